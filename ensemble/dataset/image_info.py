"""What a file shows before it becomes training pixels: read once, its look remembered by the content's hash.

`decode_image` is the one place that opens an image. An ImageInfo is some 900 bytes: enough to find copies
and odd formats.
"""

import errno
import hashlib
import io
import os
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from ensemble.dataset.content import read_hashed
from ensemble.dataset.decode import open_image, orientation_of, upright, without_metadata
from ensemble.dataset.depth import Ranges, kind_of, to_8_bits
from ensemble.errors import DataError
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
THUMB = (16, 16)
EIGHT_BITS = Ranges()
SYSTEM_TROUBLES = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EIO,
    errno.EACCES,
}  # not the file's own
MAX_PIXELS = 200_000_000  # 600 MB as RGB; a larger picture is taken for an attack or a mistake
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here and refuses twice as much
warnings.filterwarnings(
    "ignore", category=Image.DecompressionBombWarning
)  # it refuses what is too much


class UnreadableImage(Exception):
    """A file that no decoder accepts as a picture."""


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """How a picture is stored and what it shows.

    width and height are in pixels, turned as the EXIF orientation (1: upright) says; contrast is the widest span of
    a channel and brightest its highest value, 0 to 255; pixels is a BLAKE2 hash of size and decoded RGB pixels; thumb
    is (16, 16, 3) uint8, the means of the whole picture's parts.
    """

    format: str
    mode: str
    width: int
    height: int
    orientation: int
    has_alpha: bool
    is_animated: bool
    contrast: int
    brightest: int
    pixels: str
    thumb: Array


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded file: its pixels as upright RGB, and how it was stored."""

    image: Image.Image
    format: str
    mode: str
    orientation: int
    has_alpha: bool
    is_animated: bool

    def info(self) -> ImageInfo:
        """What is worth remembering of it."""
        digest = hashlib.blake2b(repr(self.image.size).encode(), digest_size=16)
        digest.update(self.image.tobytes())
        thumb = np.asarray(self.image.resize(THUMB, Image.Resampling.BOX))
        spans: Any = self.image.getextrema()  # one for each channel
        contrast, brightest = max(high - low for low, high in spans), max(high for _, high in spans)
        return ImageInfo(
            self.format,
            self.mode,
            *self.image.size,
            self.orientation,
            self.has_alpha,
            self.is_animated,
            contrast,
            brightest,
            digest.hexdigest(),
            thumb,
        )


def decode_image(
    path: Path,
    least_side: int | None = None,
    ranges: Ranges = EIGHT_BITS,
    content: bytes | None = None,
) -> DecodedImage:
    """A picture as RGB, turned as its EXIF says, alpha dropped; of more than 8 bits a pixel, scaled by the ranges.

    Where the file has been read already, content holds its bytes.
    A JPEG may come at a half, quarter or eighth of its size, where both sides stay at least_side or more.
    Raises UnreadableImage, and DataError where the system refuses the file.
    """
    try:
        return _decoded(_source(path, content), path.suffix, least_side, ranges)
    except (
        Exception
    ) as error:  # whatever a decoder raises on a damaged file, the file is unreadable
        if isinstance(error, OSError) and error.errno in SYSTEM_TROUBLES:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        with suppress(Exception):
            bare = without_metadata(_source(path, content))
            if bare is not None:
                return _decoded(bare, path.suffix, least_side, ranges)
        reason = re.sub(r"<_io.BytesIO object at \w+>", repr(str(path)), str(error))[:200]
        raise UnreadableImage(f"{path}: {reason or type(error).__name__}") from None


def _source(path: Path, content: bytes | None) -> Path | IO[bytes]:
    return path if content is None else io.BytesIO(content)


def _decoded(
    file: Path | IO[bytes], suffix: str, least_side: int | None, ranges: Ranges
) -> DecodedImage:
    with open_image(file, suffix) as opened:
        if least_side is not None:
            opened.draft("RGB", (least_side, least_side))
        mode = "RGB;16" if opened.mode == "RGB" and "RGB;16" in str(opened.tile) else opened.mode
        orientation = orientation_of(opened)
        opened.load()
        image: Image.Image = opened
        has_alpha = image.has_transparency_data
        deep = kind_of(image.mode)
        if deep:
            image = Image.fromarray(to_8_bits(np.asarray(image), *ranges.of(deep)))
        image = image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB")
        if opened.format != "TIFF":  # which Pillow turns when it loads
            image = upright(image, orientation)
        return DecodedImage(
            image, opened.format or "?", mode, orientation, has_alpha, _is_animated(opened)
        )


def read_image(
    path: Path,
    least_side: int | None = None,
    ranges: Ranges = EIGHT_BITS,
    content: bytes | None = None,
) -> Image.Image:
    """A picture's pixels alone, as decode_image gives them. Raises UnreadableImage, DataError."""
    return decode_image(path, least_side, ranges, content).image


def _is_animated(opened: Image.Image) -> bool:
    """Whether more than one frame follows; damage behind the first frame does no harm."""
    with suppress(Exception):
        return bool(getattr(opened, "is_animated", False))
    return False


def image_infos(
    hashes: Mapping[Path, str], progress: Progress, ranges: Ranges = EIGHT_BITS
) -> tuple[dict[str, ImageInfo], dict[str, str]]:
    """Looks by content hash, and by content hash the reason why a file has none. Raises DataError.

    hashes: the content hash of every file. Only contents that are not known yet are decoded, in threads; progress
    hears how many of these are done.
    """
    by_hash = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    looks, reasons = known_infos(by_hash, ranges), dict[str, str]()
    unknown = sorted(by_hash.keys() - looks.keys())
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(unknown), 512):
            contents = unknown[start : start + 512]
            files = [by_hash[content] for content in contents]
            found = pool.map(partial(_look_or_reason, ranges), files, contents)
            fresh = dict(zip(contents, found, strict=True))
            made = {content: look for content, look in fresh.items() if isinstance(look, ImageInfo)}
            store_infos(made, ranges)
            looks |= made
            reasons |= {
                content: reason for content, reason in fresh.items() if isinstance(reason, str)
            }
            progress(start + len(contents), len(unknown))
    return looks, reasons


def _look_or_reason(ranges: Ranges, path: Path, content: str) -> ImageInfo | str:
    try:
        return decode_image(path, ranges=ranges, content=read_hashed(path, content)).info()
    except UnreadableImage as error:
        return str(error)


def _index() -> Path:
    """One index for each decoder: another version of Pillow may decode other pixels."""
    return cache_root() / f"looks-3-{PIL.__version__}.sqlite"


def _index_for(ranges: Ranges) -> Path:
    """An index of its own for a set that is scaled by ranges of its own."""
    digest = hashlib.blake2b(repr(ranges).encode(), digest_size=8).hexdigest()
    return _index().with_suffix(f".{digest}.sqlite") if ranges.by_mode else _index()


def known_infos(contents: Iterable[str], ranges: Ranges = EIGHT_BITS) -> dict[str, ImageInfo]:
    """The looks that the index holds of these contents; none where it is broken."""
    wanted, found = list(contents), dict[str, ImageInfo]()
    index = _index_for(ranges)
    if not index.exists():
        return found
    with suppress(sqlite3.Error, ValueError), closing(sqlite3.connect(index, timeout=30)) as db:
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            marks = ",".join("?" * len(some))
            for row in db.execute(f"SELECT * FROM looks WHERE content IN ({marks})", some):
                (
                    content,
                    form,
                    mode,
                    width,
                    height,
                    orientation,
                    has_alpha,
                    is_animated,
                    contrast,
                    *more,
                ) = row
                brightest, pixels, thumb = more
                shown = np.frombuffer(thumb, np.uint8).reshape(*THUMB, 3)
                flags = bool(has_alpha), bool(is_animated)
                span = contrast, brightest
                found[content] = ImageInfo(
                    form, mode, width, height, orientation, *flags, *span, pixels, shown
                )
    return found


def store_infos(looks: Mapping[str, ImageInfo], ranges: Ranges = EIGHT_BITS) -> None:
    """Add looks to the index, which only saves time: where it cannot be written, files are decoded again."""
    rows = [(content, *astuple(look)[:-1], look.thumb.tobytes()) for content, look in looks.items()]
    if not rows:
        return
    index = _index_for(ranges)
    with suppress(sqlite3.Error, OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(index, timeout=30)) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS looks (content TEXT PRIMARY KEY, format TEXT, mode TEXT, width INT, "
                "height INT, orientation INT, has_alpha INT, is_animated INT, contrast INT, brightest INT, "
                "pixels TEXT, thumb BLOB) WITHOUT ROWID"
            )
            db.executemany(f"INSERT OR REPLACE INTO looks VALUES ({','.join('?' * 12)})", rows)
