"""Decoded pixels: every image decoded and resized once into one uint8 array on disk, named by content and geometry.

The array is memory-mapped, so several runs and processes share one copy. It appears under its name only when whole.
Only bytes that have the hash they are stored under are decoded, and what is opened has the checksums of its sidecar.
The same decoding gives the looks that are not known yet. Past the disk budget pictures are decoded when a batch asks.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from filelock import FileLock

from ensemble.dataset.content import read_hashed
from ensemble.dataset.depth import Ranges
from ensemble.dataset.geometry import Geometry, RandomCrop
from ensemble.dataset.image_info import (
    EIGHT_BITS,
    ImageInfo,
    Progress,
    UnreadableImage,
    decode_image,
    image_infos,
    known_infos,
    read_image,
    store_infos,
)
from ensemble.dataset.sidecar import Sidecar, read_sidecar, write_sidecar
from ensemble.errors import DataError
from ensemble.files import atomic_path, make_folder
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
FREE_SHARE = 0.5  # of the free disk may be taken where the recipe names no budget


class Streamed:
    """Pictures that are decoded, in threads, when their rows are asked for; indexed as the array would be."""

    def __init__(
        self,
        files: Mapping[str, Path],
        size: tuple[int, int],
        geometry: Geometry | None,
        ranges: Ranges = EIGHT_BITS,
    ) -> None:
        """Takes files by content hash, a row each."""
        self.contents, self.files = list(files), list(files.values())
        self.geometry, self.ranges = geometry, ranges
        self.shape = (len(files), *size, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Array) -> Array:
        """(rows, height, width, 3) uint8. Raises DataError where a file is not what it was."""

        def decode(row: int) -> Array:
            pixels = decode_pixels(self.files[row], self.geometry, self.ranges, self.contents[row])
            if pixels.shape != self.shape[1:]:
                raise UnreadableImage(f"{self.files[row]}: has another size now")
            return pixels

        return in_threads(as_it_was(decode), rows)


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Decoded images: pixels is (images, height, width, 3) uint8; row_of finds a content hash.

    Where all images share one size no larger than the geometry's, they are stored as they are (is_native) and resized
    on the device; else geometry has been applied. Pictures of exactly the geometry's size need no more work. ranges
    says how values of more than 8 bits were scaled.
    """

    pixels: Array | Streamed
    row_of: dict[str, int]
    unreadable: dict[str, str]
    geometry: Geometry
    is_native: bool
    ranges: Ranges = EIGHT_BITS


class _TooLarge(Exception):
    """The decoded pixels would pass the disk budget."""


def open_store(
    hashes: dict[Path, str],
    geometry: Geometry,
    progress: Progress,
    budget: int | None = None,
    ranges: Ranges = EIGHT_BITS,
) -> PixelStore:
    """The decoded pixels of these files, made when they are not there yet. Raises DataError.

    Where they would take more than `budget` bytes (None: half of the free disk), images stream.
    """
    by_hash = {digest: path for path, digest in sorted(hashes.items(), reverse=True)}
    contents = sorted(by_hash)
    key = hashlib.blake2b(digest_size=16)
    key.update(repr([contents, asdict(geometry), PIL.__version__, "5", ranges.by_mode]).encode())
    folder = cache_root() / "pixels"
    array, sidecar = folder / f"{key.hexdigest()}.npy", folder / f"{key.hexdigest()}.json"
    stored = _stored(array, sidecar, len(contents))
    if stored is None:
        files = {content: by_hash[content] for content in contents}
        try:
            with _alone(cache_root() / "locks" / f"{key.hexdigest()}.lock"):
                if _stored(array, sidecar, len(contents)) is None:
                    _fill(array, sidecar, files, geometry, progress, budget, ranges)
        except _TooLarge:
            return _streamed(files, geometry, progress, ranges)
        stored = _stored(array, sidecar, len(contents))
    if stored is None:
        raise DataError(f"{array}: cannot be read back after it was written; is the disk failing?")
    pixels, described = stored
    unreadable = {contents[i]: reason for i, reason in described.unreadable}
    rows = {content: i for i, content in enumerate(contents)}
    return PixelStore(pixels, rows, unreadable, geometry, described.native, ranges)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time in this block, where the file system has locks; else work is done twice, not wrongly."""
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            lock.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(lock))
        yield


def _stored(array: Path, sidecar: Path, n_images: int) -> tuple[Array, Sidecar] | None:
    """The array and its sidecar where both are there and whole; what is damaged is decoded again."""
    try:
        described = read_sidecar(array, sidecar)
        pixels = np.load(array, mmap_mode="r", allow_pickle=False)
    except (
        OSError,
        ValueError,
        EOFError,
        SyntaxError,
    ):  # SyntaxError: what numpy raises for a header of no literal
        return None
    is_whole = pixels.ndim == 4 and pixels.shape[::3] == (n_images, 3) and pixels.dtype == np.uint8
    are_rows = all(0 <= row < n_images for row, _ in described.unreadable)
    return (pixels, described) if is_whole and are_rows else None


def _streamed(
    files: Mapping[str, Path], geometry: Geometry, progress: Progress, ranges: Ranges
) -> PixelStore:
    """A store that decodes when asked; each file is decoded once here, to know the unreadable ones."""
    contents = list(files)
    looks, reasons = image_infos(
        {path: content for content, path in files.items()}, progress, ranges
    )
    sizes = {(look.height, look.width) for look in looks.values()}
    native = sizes.pop() if len(sizes) == 1 else None
    is_native = native is not None and _is_native(native[1], native[0], geometry)
    size = native if native and is_native else (geometry.size, geometry.size)
    pixels = Streamed(files, size, None if is_native else geometry, ranges)
    return PixelStore(
        pixels,
        {content: i for i, content in enumerate(contents)},
        reasons,
        geometry,
        is_native,
        ranges,
    )


def _fill(
    array: Path,
    sidecar: Path,
    files: Mapping[str, Path],
    geometry: Geometry,
    progress: Progress,
    budget: int | None,
    ranges: Ranges,
) -> None:
    """Decode the files, by content hash, in the order given. Raises DataError, _TooLarge."""
    native = _first_size(files, geometry)
    make_folder(array.parent)
    free = shutil.disk_usage(array.parent).free
    most = free * FREE_SHARE if budget is None else min(budget, 0.95 * free)
    with atomic_path(array) as temporary:
        unreadable = (
            _write(temporary, files, native, None, progress, most, ranges) if native else None
        )
        if unreadable is None:
            native = None
            unreadable = _write(
                temporary, files, (geometry.size, geometry.size), geometry, progress, most, ranges
            )
    write_sidecar(array, sidecar, native is not None, unreadable or [])


def _write(
    path: Path,
    files: Mapping[str, Path],
    size: tuple[int, int],
    geometry: Geometry | None,
    progress: Progress,
    most: float,
    ranges: Ranges,
) -> list[tuple[int, str]] | None:
    """The unreadable files and why; None, with the array unfinished, where a picture has not this (height, width).

    Raises _TooLarge.
    """
    if len(files) * size[0] * size[1] * 3 > most:
        raise _TooLarge
    pixels = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(len(files), *size, 3)
    )
    _reserve(path)
    progress(0, len(files))
    unreadable: list[tuple[int, str]] = []
    for i, decoded in enumerate(_decoded(files, geometry, ranges)):
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


def _reserve(path: Path) -> None:
    """Take the whole file's room at once: a mapped page that finds none later would kill the process without a word."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stored:
            os.posix_fallocate(stored.fileno(), 0, path.stat().st_size)


def _decoded(
    files: Mapping[str, Path], geometry: Geometry | None, ranges: Ranges
) -> Iterator[Array | UnreadableImage]:
    """Arrays in the order of the files, decoded in threads (Pillow frees the interpreter while it decodes).

    The looks that are not known yet are made on the way and remembered.
    """

    def decode(content: str) -> tuple[Array | UnreadableImage, ImageInfo | None]:
        path = files[content]
        try:
            stored = read_hashed(path, content)
            if content in known:
                return _decode(path, geometry, ranges, stored), None
            picture = decode_image(path, ranges=ranges, content=stored)  # whole, for its look
            is_small = geometry is None or min(picture.image.size) < 2 * geometry.least_side
            if not is_small:
                return _decode(path, geometry, ranges, stored), picture.info()
            image = picture.image
            return np.asarray(image if geometry is None else geometry.apply(image)), picture.info()
        except UnreadableImage as error:
            return error, None

    contents = list(files)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(contents), 512):
            some = contents[start : start + 512]
            known = known_infos(some, ranges).keys()
            found = list(pool.map(decode, some))
            store_infos(
                {content: look for content, (_, look) in zip(some, found, strict=True) if look},
                ranges,
            )
            yield from (pixels for pixels, _ in found)


def decode_pixels(
    path: Path, geometry: Geometry | None, ranges: Ranges = EIGHT_BITS, content: str | None = None
) -> Array:
    """One picture as (height, width, 3) uint8, at its own size without a geometry.

    Raises UnreadableImage, and DataError where the file has not the content hash that is given.
    """
    return _decode(path, geometry, ranges, None if content is None else read_hashed(path, content))


def _decode(path: Path, geometry: Geometry | None, ranges: Ranges, stored: bytes | None) -> Array:
    if geometry is None:
        return np.asarray(read_image(path, ranges=ranges, content=stored))
    return np.asarray(geometry.apply(read_image(path, geometry.least_side, ranges, stored)))


def cropped_pixels(
    path: Path,
    content: str,
    geometry: Geometry,
    crop: RandomCrop,
    rng: random.Random,
    ranges: Ranges = EIGHT_BITS,
) -> Array:
    """A random part of one picture as (size, size, 3) uint8. Raises UnreadableImage, DataError as decode_pixels."""
    image = read_image(path, crop.least_side(geometry), ranges, read_hashed(path, content))
    return np.asarray(crop.apply(image, geometry, rng))


def as_it_was(decode: Callable[[Any], Array]) -> Callable[[Any], Array]:
    """The same for pictures that were readable when the run began: another is an error that the user can mend."""

    def checked(item: Any) -> Array:
        try:
            return decode(item)
        except UnreadableImage as error:
            raise DataError(
                f"{error}\nit was readable when the run began: put it back, and the run goes on"
            ) from None

    return checked


def in_threads(decode: Callable[[Any], Array], items: Sequence[Any] | Array) -> Array:
    """The pictures of some items as one array; Pillow frees the interpreter while it decodes."""
    return np.stack(list(_pool().map(decode, items)))


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1)


def _first_size(files: Mapping[str, Path], geometry: Geometry) -> tuple[int, int] | None:
    """The first readable picture's (height, width), if pictures of this size are stored as they are, else None."""
    for content, path in files.items():
        with suppress(UnreadableImage):
            width, height = read_image(path, content=read_hashed(path, content)).size
            return (height, width) if _is_native(width, height, geometry) else None
    return None


def _is_native(width: int, height: int, geometry: Geometry) -> bool:
    """Whether pictures of this size are stored as they are.

    Not where they are larger than the geometry's, nor where they have exactly its size and are to be cut: on the
    device they would pass as done.
    """
    full = (geometry.size, geometry.size)
    is_cut = (width, height) == full and geometry.scaled(*full) != full
    return not is_cut and max(width, height) <= geometry.size
