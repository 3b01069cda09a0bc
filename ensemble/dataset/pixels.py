"""Decoded pixels: every image decoded and resized once into one uint8 array on disk, named by content and geometry.

The array is memory-mapped, so several runs and processes share one copy. It appears under its name only when whole.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageOps

from ensemble.dataset.places import cache_root
from ensemble.errors import DataError
from ensemble.files import atomic_path, write_text

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
SYSTEM_TROUBLES = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES}  # not the file's own
MAX_ASPECT = 16  # of a picture before its middle is cut out: a strip of 1 × 10,000 would be enlarged to gigabytes
MAX_PIXELS = 200_000_000  # 600 MB as RGB; a larger picture is taken for an attack or a mistake
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here and refuses twice as much


class UnreadableImage(Exception):
    """A file that no decoder accepts as a picture."""


@dataclass(frozen=True)
class Geometry:
    """How a picture of any shape becomes size × size pixels: the weights' evaluation view.

    crop: the short side becomes size / crop_pct, then the middle is cut out; squish: both sides are resized;
    pad: the whole picture fits, black bars fill the rest.
    """

    size: int
    resize: Literal["squish", "crop", "pad"] = "crop"
    crop_pct: float = 1.0
    interpolation: str = "bicubic"

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """The size of the whole picture just before it is cut or padded."""
        if self.resize == "squish":
            return self.size, self.size
        target = int(np.floor(self.size / self.crop_pct)) if self.resize == "crop" else self.size
        side = min(width, height) if self.resize == "crop" else max(width, height)
        return max(1, int(target * width / side)), max(1, int(target * height / side))

    def apply(self, image: Image.Image) -> Image.Image:
        """A picture as size × size pixels."""
        if self.resize == "crop":
            image = _middle(image, MAX_ASPECT)
        scaled = image.resize(self.scaled(*image.size), FILTERS[self.interpolation])
        left, top = (round((side - self.size) / 2) for side in scaled.size)
        return scaled.crop((left, top, left + self.size, top + self.size))  # outside the picture: black


def _middle(image: Image.Image, aspect: int) -> Image.Image:
    """A picture whose long side is at most `aspect` times the short one: what is cut off is cropped away anyhow."""
    width, height = (min(side, aspect * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image if (width, height) == image.size else image.crop((left, top, left + width, top + height))


def read_image(path: Path) -> Image.Image:
    """A picture as RGB, turned as its EXIF says, alpha dropped, 16 bits scaled to 8.

    Raises UnreadableImage, and DataError where the system refuses the file.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16") or image.mode == "I":
                image = Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
            return image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB")
    except Exception as error:  # whatever a decoder raises on a damaged file, the file is unreadable
        if isinstance(error, OSError) and error.errno in SYSTEM_TROUBLES:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        raise UnreadableImage(f"{path}: {str(error)[:200] or type(error).__name__}") from None


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Decoded images: pixels is (images, height, width, 3) uint8; row_of finds a content hash.

    Where all images share one size no larger than the geometry's, they are stored as they are (is_native) and resized
    on the device; else geometry has been applied. Pictures of exactly the geometry's size need no more work.
    """

    pixels: Array
    row_of: dict[str, int]
    unreadable: dict[str, str]
    geometry: Geometry
    is_native: bool


def open_store(hashes: dict[Path, str], geometry: Geometry, progress: Progress) -> PixelStore:
    """The decoded pixels of these files, made when they are not there yet. Raises DataError."""
    by_hash = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    contents = sorted(by_hash)
    key = hashlib.blake2b(digest_size=16)
    key.update(repr([contents, asdict(geometry), PIL.__version__, "2"]).encode())
    folder = cache_root() / "pixels"
    array, sidecar = folder / f"{key.hexdigest()}.npy", folder / f"{key.hexdigest()}.json"
    stored = _stored(array, sidecar, len(contents))
    if stored is None:
        _fill(array, sidecar, [by_hash[content] for content in contents], geometry, progress)
        stored = _stored(array, sidecar, len(contents))
    if stored is None:
        raise DataError(f"{array}: cannot be read back after it was written; is the disk failing?")
    pixels, said = stored
    unreadable = {contents[i]: reason for i, reason in said["unreadable"]}
    return PixelStore(pixels, {c: i for i, c in enumerate(contents)}, unreadable, geometry, said["native"])


def _stored(array: Path, sidecar: Path, n_images: int) -> tuple[Array, dict[str, Any]] | None:
    """The array and its sidecar where both are there and whole."""
    try:
        said = json.loads(sidecar.read_text())
        pixels = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return (pixels, said) if len(pixels) == n_images and {"unreadable", "native"} <= said.keys() else None


def _fill(array: Path, sidecar: Path, files: Sequence[Path], geometry: Geometry, progress: Progress) -> None:
    native = _shared_size(files, geometry)
    height, width = native or (geometry.size, geometry.size)
    unreadable: list[tuple[int, str]] = []
    _check_space(array.parent, len(files) * height * width * 3)
    with atomic_path(array) as temporary:
        shape = (len(files), height, width, 3)
        pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for i, decoded in enumerate(_decoded(files, None if native else geometry)):
            if isinstance(decoded, UnreadableImage):
                unreadable.append((i, str(decoded)))
            else:
                pixels[i] = decoded
            if i % 100 == 99 or i + 1 == len(files):
                progress(i + 1, len(files))
        pixels.flush()
        del pixels
    write_text(sidecar, json.dumps({"native": native is not None, "unreadable": unreadable}))


def _decoded(files: Sequence[Path], geometry: Geometry | None) -> Iterator[Array | UnreadableImage]:
    """Arrays in the order of the files, decoded in threads (Pillow frees the interpreter while it decodes)."""

    def decode(path: Path) -> Array | UnreadableImage:
        try:
            return decode_pixels(path, geometry)
        except UnreadableImage as error:
            return error

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(files), 512):
            yield from pool.map(decode, files[start : start + 512])


def decode_pixels(path: Path, geometry: Geometry | None) -> Array:
    """One picture as (height, width, 3) uint8, at its own size without a geometry. Raises UnreadableImage."""
    image = read_image(path)
    return np.asarray(image if geometry is None else geometry.apply(image))


def _shared_size(files: Sequence[Path], geometry: Geometry) -> tuple[int, int] | None:
    """(height, width) where all readable images share one that is no larger than the geometry's, else None.

    Also None where they have exactly the geometry's size and are to be cut: on the device they would pass as done.
    """
    shared: tuple[int, int] | None = None
    for path in files:
        try:
            image = read_image(path)
        except UnreadableImage:
            continue
        size = (image.height, image.width)
        if size != (shared or size) or max(size) > geometry.size:
            return None
        shared = size
    full = (geometry.size, geometry.size)
    return None if shared == full and geometry.scaled(*full) != full else shared


def _check_space(folder: Path, n_bytes: int) -> None:
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if n_bytes > free * 0.95:
        raise DataError(
            f"{folder}: the decoded pixels need {n_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free\n"
            "free space, set ENS_CACHE to a larger disk, or use a smaller data.size or data.sample"
        )
