"""Image infos: how a file is stored and what it shows in some 900 bytes, cached by content hash."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image

from ensemble.dataset.cache_table import CacheTable
from ensemble.dataset.content import files_by_content, read_hashed
from ensemble.dataset.decode import DecodedImage, UnreadableImage, decode_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.events import Progress
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
THUMB = (16, 16)
BATCH = 512  # images decoded between two writes of the cache
COLUMNS = (
    "digest TEXT PRIMARY KEY",
    "format TEXT",
    "mode TEXT",
    "width INT",
    "height INT",
    "orientation INT",
    "has_alpha INT",
    "is_animated INT",
    "contrast INT",
    "brightest INT",
    "pixels TEXT",
    "thumb BLOB",
)


@dataclass(frozen=True, eq=False)
class ImageInfo:
    """How an image is stored and what it shows.

    width and height are in pixels, of the upright image; orientation is EXIF's (1: upright).
    contrast is the widest span of a channel and brightest its highest value, 0 to 255. pixels is a
    BLAKE2 hash of size and RGB pixels. thumb is (16, 16, 3) uint8: the means of 16 × 16 boxes.
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

    @classmethod
    def of(cls, decoded: DecodedImage) -> "ImageInfo":
        """The info of a whole image, not of one that was decoded at a part of its size."""
        image = decoded.image
        hasher = hashlib.blake2b(repr(image.size).encode(), digest_size=16)
        hasher.update(image.tobytes())
        channels: Any = image.getextrema()  # (lowest, highest) of each
        return cls(
            format=decoded.format,
            mode=decoded.mode,
            width=image.width,
            height=image.height,
            orientation=decoded.orientation,
            has_alpha=decoded.has_alpha,
            is_animated=decoded.is_animated,
            contrast=max(high - low for low, high in channels),
            brightest=max(high for _, high in channels),
            pixels=hasher.hexdigest(),
            thumb=np.asarray(image.resize(THUMB, Image.Resampling.BOX)),
        )

    def as_row(self) -> tuple[Any, ...]:
        """The columns of the cache after the content hash."""
        *columns, thumb = vars(self).values()
        return *columns, thumb.tobytes()

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> "ImageInfo":
        """What as_row gave. Raises ValueError."""
        names = [field.name for field in fields(cls)]
        stored = dict(zip(names, row, strict=True))
        flags = {name: bool(stored[name]) for name in ("has_alpha", "is_animated")}
        thumb = np.frombuffer(stored["thumb"], np.uint8).reshape((*THUMB, 3))
        return cls(**stored | flags | {"thumb": thumb})


def image_infos(
    hashes: Mapping[Path, str], progress: Progress, ranges: Ranges = EIGHT_BITS
) -> tuple[dict[str, ImageInfo], dict[str, str]]:
    """Infos by content hash, and for unreadable files the reason by content hash. Raises DataError.

    hashes holds the content hash of every file. Files that the cache does not know are decoded, in
    threads; progress is called with how many of these are done.
    """
    files = files_by_content(hashes)
    infos = cached_infos(files, ranges)
    reasons: dict[str, str] = {}
    new = [digest for digest in files if digest not in infos]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            paths = [files[digest] for digest in batch]
            decoded = list(pool.map(partial(_info_or_reason, ranges), paths, batch))
            new_infos: dict[str, ImageInfo] = {}
            for digest, info in zip(batch, decoded, strict=True):
                if isinstance(info, ImageInfo):
                    new_infos[digest] = info
                else:
                    reasons[digest] = info
            store_infos(new_infos, ranges)
            infos |= new_infos
            progress(start + len(batch), len(new))
    return infos, reasons


def _info_or_reason(ranges: Ranges, path: Path, digest: str) -> ImageInfo | str:
    try:
        stored = read_hashed(path, digest)
        return ImageInfo.of(decode_image(path, ranges=ranges, content=stored))
    except UnreadableImage as error:
        return str(error)


def cached_infos(digests: Iterable[str], ranges: Ranges = EIGHT_BITS) -> dict[str, ImageInfo]:
    """The infos that the cache holds, by content hash."""
    infos: dict[str, ImageInfo] = {}
    with suppress(ValueError):  # a damaged row
        for digest, *row in _table(ranges).rows(digests):
            infos[digest] = ImageInfo.from_row(tuple(row))
    return infos


def store_infos(infos: Mapping[str, ImageInfo], ranges: Ranges = EIGHT_BITS) -> None:
    """Add infos, by content hash, to the cache."""
    _table(ranges).store([(digest, *info.as_row()) for digest, info in infos.items()])


def _table(ranges: Ranges) -> CacheTable:
    """A table per version of Pillow, which may decode other pixels, and per ranges."""
    name = f"image_infos-1-{PIL.__version__}"
    if ranges.by_mode:
        name += f"-{hashlib.blake2b(repr(ranges).encode(), digest_size=8).hexdigest()}"
    return CacheTable(cache_root() / f"{name}.sqlite", "image_infos", COLUMNS)
