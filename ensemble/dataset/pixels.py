"""Decoded pixels: every image decoded and resized once into one uint8 array on disk, named by content and geometry.

The array is memory-mapped, so several runs and processes share one copy. It appears under its name only when whole.
The same decoding gives the looks that are not known yet.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock
from PIL import Image

from ensemble.dataset.looks import (
    Look,
    Progress,
    UnreadableImage,
    known_looks,
    read_image,
    read_picture,
    remember_looks,
)  # fmt: skip
from ensemble.dataset.places import cache_root
from ensemble.errors import DataError
from ensemble.files import atomic_path, write_text

Array = npt.NDArray[Any]
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
MAX_ASPECT = 16  # of a picture before its middle is cut out: a strip of 1 × 10,000 would be enlarged to gigabytes


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
        with _alone(cache_root() / "locks" / f"{key.hexdigest()}.lock"):
            if _stored(array, sidecar, len(contents)) is None:
                _fill(array, sidecar, {content: by_hash[content] for content in contents}, geometry, progress)
        stored = _stored(array, sidecar, len(contents))
    if stored is None:
        raise DataError(f"{array}: cannot be read back after it was written; is the disk failing?")
    pixels, said = stored
    unreadable = {contents[i]: reason for i, reason in said["unreadable"]}
    return PixelStore(pixels, {c: i for i, c in enumerate(contents)}, unreadable, geometry, said["native"])


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time in this block, where the file system has locks; else work is done twice, not wrongly."""
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(lock))
        yield


def _stored(array: Path, sidecar: Path, n_images: int) -> tuple[Array, dict[str, Any]] | None:
    """The array and its sidecar where both are there and whole."""
    try:
        said = json.loads(sidecar.read_text())
        pixels = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return (pixels, said) if len(pixels) == n_images and {"unreadable", "native"} <= said.keys() else None


def _fill(array: Path, sidecar: Path, files: Mapping[str, Path], geometry: Geometry, progress: Progress) -> None:
    """Decode the files, by content hash, in the order given. Raises DataError."""
    native = _first_size(files, geometry)
    with atomic_path(array) as temporary:
        unreadable = _write(temporary, files, native, None, progress) if native else None
        if unreadable is None:
            native = None
            unreadable = _write(temporary, files, (geometry.size, geometry.size), geometry, progress)
    write_text(sidecar, json.dumps({"native": native is not None, "unreadable": unreadable or []}))


def _write(
    path: Path, files: Mapping[str, Path], size: tuple[int, int], geometry: Geometry | None, progress: Progress
) -> list[tuple[int, str]] | None:
    """The unreadable files and why; None, with the array unfinished, where a picture has not this (height, width)."""
    _check_space(path.parent, len(files) * size[0] * size[1] * 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(files), *size, 3))
    unreadable: list[tuple[int, str]] = []
    for i, decoded in enumerate(_decoded(files, geometry)):
        if isinstance(decoded, UnreadableImage):
            unreadable.append((i, str(decoded)))
        elif decoded.shape != pixels.shape[1:]:
            return None
        else:
            pixels[i] = decoded
        if i % 100 == 99 or i + 1 == len(files):
            progress(i + 1, len(files))
    pixels.flush()
    return unreadable


def _decoded(files: Mapping[str, Path], geometry: Geometry | None) -> Iterator[Array | UnreadableImage]:
    """Arrays in the order of the files, decoded in threads (Pillow frees the interpreter while it decodes).

    The looks that are not known yet are made on the way and remembered.
    """

    def decode(content: str) -> tuple[Array | UnreadableImage, Look | None]:
        try:
            picture = read_picture(files[content])
            pixels = np.asarray(picture.image if geometry is None else geometry.apply(picture.image))
            return pixels, None if content in known else picture.look()
        except UnreadableImage as error:
            return error, None

    contents = list(files)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(contents), 512):
            some = contents[start : start + 512]
            known = known_looks(some).keys()
            found = list(pool.map(decode, some))
            remember_looks({content: look for content, (_, look) in zip(some, found, strict=True) if look})
            yield from (pixels for pixels, _ in found)


def decode_pixels(path: Path, geometry: Geometry | None) -> Array:
    """One picture as (height, width, 3) uint8, at its own size without a geometry. Raises UnreadableImage."""
    image = read_image(path)
    return np.asarray(image if geometry is None else geometry.apply(image))


def _first_size(files: Mapping[str, Path], geometry: Geometry) -> tuple[int, int] | None:
    """The first readable picture's (height, width), if pictures of this size are stored as they are, else None.

    Not where they are larger than the geometry's, nor where they have exactly its size and are to be cut: on the
    device they would pass as done.
    """
    for path in files.values():
        with suppress(UnreadableImage):
            image = read_image(path)
            full = (geometry.size, geometry.size)
            is_cut = image.size == full and geometry.scaled(*full) != full
            return None if is_cut or max(image.size) > geometry.size else (image.height, image.width)
    return None


def _check_space(folder: Path, n_bytes: int) -> None:
    import shutil

    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if n_bytes > free * 0.95:
        raise DataError(
            f"{folder}: the decoded pixels need {n_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free\n"
            "free space, set ENS_CACHE to a larger disk, or use a smaller data.size or data.sample"
        )
