"""The pixel store: every image decoded and resized once into one uint8 array on disk.

The array is named by the images' content and the geometry, and memory-mapped, so that runs and
processes share one copy. Only bytes that have the hash they are stored under are decoded, and an
array is used only if it has the checksums of its sidecar. Decoding also fills the cache of image
infos. A store that would pass the disk budget decodes its images whenever a batch needs them.
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from ensemble.dataset.content import files_by_content, read_hashed
from ensemble.dataset.decode import UnreadableImage, decode_image, read_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.image_info import (
    BATCH,
    ImageInfo,
    cached_infos,
    image_infos,
    store_infos,
)
from ensemble.dataset.pixels import decode_pixels, in_threads, must_stay_readable, pixels_of
from ensemble.dataset.sidecar import Sidecar, read_sidecar, write_sidecar
from ensemble.errors import DataError
from ensemble.events import Progress
from ensemble.files import atomic_path, locked, make_folder
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
FREE_SHARE = 0.5  # of the free disk that a store may take where the recipe names no budget


class Streamed:
    """Images that are decoded, in threads, when rows are read; indexed as the array would be."""

    def __init__(
        self,
        files: Mapping[str, Path],
        size: tuple[int, int],
        geometry: Geometry | None,
        ranges: Ranges = EIGHT_BITS,
    ) -> None:
        """files has a row for each content hash; size is (height, width)."""
        self.digests, self.files = list(files), list(files.values())
        self.geometry, self.ranges = geometry, ranges
        self.shape = (len(files), *size, 3)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Array) -> Array:
        """(rows, height, width, 3) uint8. Raises DataError where a file has changed."""
        return in_threads(must_stay_readable(self._decode), rows)

    def _decode(self, row: int) -> Array:
        pixels = decode_pixels(self.files[row], self.geometry, self.ranges, self.digests[row])
        if pixels.shape != self.shape[1:]:
            raise UnreadableImage(f"{self.files[row]}: has another size now")
        return pixels


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Decoded images: pixels is (images, height, width, 3) uint8; row_of: row by content hash.

    Where all images share one size no larger than the geometry's, they are stored at their own size
    (is_native) and resized on the device; else the geometry is applied already, as it is to images
    of exactly its size. unreadable gives the reason by content hash. ranges scaled the values of
    more than 8 bits.
    """

    pixels: Array | Streamed
    row_of: dict[str, int]
    unreadable: dict[str, str]
    geometry: Geometry
    is_native: bool
    ranges: Ranges = EIGHT_BITS


class _OverBudget(Exception):
    """The decoded pixels would take more disk than they may."""


@dataclass(frozen=True, eq=False)
class _Images:
    """What a store holds: files by content hash, a row each, and how they are decoded."""

    files: Mapping[str, Path]
    geometry: Geometry
    ranges: Ranges
    progress: Progress

    @property
    def key(self) -> str:
        """The name of the array: a hash of all that decides its bytes."""
        decides = [list(self.files), asdict(self.geometry), PIL.__version__, "5"]
        text = repr([*decides, self.ranges.by_mode])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def open_store(
    hashes: Mapping[Path, str],
    geometry: Geometry,
    progress: Progress,
    budget: int | None = None,
    ranges: Ranges = EIGHT_BITS,
) -> PixelStore:
    """The decoded pixels of files with these content hashes, made if missing. Raises DataError.

    Where they would take more than `budget` bytes (None: half of the free disk), images stream.
    """
    files = files_by_content(hashes)
    images = _Images(files, geometry, ranges, progress)
    folder, key = cache_root() / "pixels", images.key
    array, sidecar = folder / f"{key}.npy", folder / f"{key}.json"
    stored = _read(array, sidecar, len(files))
    if stored is None:
        try:
            with _one_at_a_time(cache_root() / "locks" / f"{key}.lock"):
                if _read(array, sidecar, len(files)) is None:
                    _fill(array, sidecar, images, budget)
        except _OverBudget:
            return _streamed(images)
        stored = _read(array, sidecar, len(files))
    if stored is None:
        raise DataError(f"{array}: cannot be read back after it was written; is the disk failing?")
    pixels, described = stored
    digests = list(files)
    unreadable = {digests[row]: reason for row, reason in described.unreadable}
    return PixelStore(pixels, _rows(files), unreadable, geometry, described.native, ranges)


def _rows(files: Mapping[str, Path]) -> dict[str, int]:
    return {digest: row for row, digest in enumerate(files)}


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """One process at a time in this block; on a file system without locks, work is done twice."""
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            held.enter_context(locked(lock))
        yield


def _read(array: Path, sidecar: Path, n_images: int) -> tuple[Array, Sidecar] | None:
    """The array and its sidecar; None where one is missing or damaged, so that it is made again."""
    try:
        described = read_sidecar(array, sidecar)
        pixels = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):  # SyntaxError: numpy, of a damaged header
        return None
    is_whole = pixels.ndim == 4 and pixels.shape[::3] == (n_images, 3) and pixels.dtype == np.uint8
    are_rows = all(0 <= row < n_images for row, _ in described.unreadable)
    return (pixels, described) if is_whole and are_rows else None


def _streamed(images: _Images) -> PixelStore:
    """A store that decodes when rows are read; decodes each file once to find unreadable ones."""
    hashes = {path: digest for digest, path in images.files.items()}
    infos, reasons = image_infos(hashes, images.progress, images.ranges)
    geometry = images.geometry
    size, is_native = (geometry.size, geometry.size), False
    sizes = {(info.height, info.width) for info in infos.values()}
    if len(sizes) == 1:
        height, width = sizes.pop()
        if _is_native(width, height, geometry):
            size, is_native = (height, width), True
    pixels = Streamed(images.files, size, None if is_native else geometry, images.ranges)
    rows = _rows(images.files)
    return PixelStore(pixels, rows, reasons, geometry, is_native, images.ranges)


def _fill(array: Path, sidecar: Path, images: _Images, budget: int | None) -> None:
    """Write the array and its sidecar. Raises DataError, _OverBudget."""
    native = _native_size(images)
    make_folder(array.parent)
    free = shutil.disk_usage(array.parent).free
    n_bytes = free * FREE_SHARE if budget is None else min(budget, 0.95 * free)
    unreadable = None
    with atomic_path(array) as temporary:
        if native:
            unreadable = _write(temporary, images, native, None, n_bytes)
        is_native = unreadable is not None
        if unreadable is None:
            geometry = images.geometry
            size = (geometry.size, geometry.size)
            unreadable = _write(temporary, images, size, geometry, n_bytes)
    write_sidecar(array, sidecar, is_native, unreadable or [])


def _write(
    path: Path, images: _Images, size: tuple[int, int], geometry: Geometry | None, budget: float
) -> list[tuple[int, str]] | None:
    """Write an array of images of one (height, width); return the unreadable rows and reasons.

    None, with the array unfinished, where an image has another size. Raises _OverBudget.
    """
    n_images = len(images.files)
    if n_images * size[0] * size[1] * 3 > budget:
        raise _OverBudget
    shape = (n_images, *size, 3)
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    _reserve(path)
    images.progress(0, n_images)
    unreadable: list[tuple[int, str]] = []
    for row, decoded in enumerate(_decoded(images, geometry)):
        if isinstance(decoded, UnreadableImage):
            unreadable.append((row, str(decoded)))
        elif decoded.shape != pixels.shape[1:]:
            return None
        else:
            pixels[row] = decoded
        if row % 100 == 99 or row + 1 == n_images:
            images.progress(row + 1, n_images)
    pixels.flush()
    return unreadable


def _reserve(path: Path) -> None:
    """Take the file's whole room now: a full disk under a mapped page would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stored:
            os.posix_fallocate(stored.fileno(), 0, path.stat().st_size)


def _decoded(images: _Images, geometry: Geometry | None) -> Iterator[Array | UnreadableImage]:
    """Arrays in the order of the rows, decoded in threads; new infos go into their cache."""
    digests = list(images.files)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(digests), BATCH):
            batch = digests[start : start + BATCH]
            cached = cached_infos(batch, images.ranges).keys()
            decoded = list(pool.map(partial(_decode, images, geometry, cached), batch))
            infos = {digest: info for digest, (_, info) in zip(batch, decoded, strict=True) if info}
            store_infos(infos, images.ranges)
            yield from (pixels for pixels, _ in decoded)


def _decode(
    images: _Images, geometry: Geometry | None, cached: Collection[str], digest: str
) -> tuple[Array | UnreadableImage, ImageInfo | None]:
    """One image's pixels, and its info unless that is cached."""
    path, ranges = images.files[digest], images.ranges
    try:
        content = read_hashed(path, digest)
        if digest in cached:
            return pixels_of(path, content, geometry, ranges), None
        whole = decode_image(path, ranges=ranges, content=content)  # as its info needs it
        info = ImageInfo.of(whole)
        if geometry is None:
            return np.asarray(whole.image), info
        if min(whole.image.size) < 2 * geometry.least_side:
            return np.asarray(geometry.apply(whole.image)), info
        return pixels_of(path, content, geometry, ranges), info
    except UnreadableImage as error:
        return error, None


def _native_size(images: _Images) -> tuple[int, int] | None:
    """The first readable image's (height, width), if images of this size are stored natively."""
    for digest, path in images.files.items():
        with suppress(UnreadableImage):
            width, height = read_image(path, content=read_hashed(path, digest)).size
            return (height, width) if _is_native(width, height, images.geometry) else None
    return None


def _is_native(width: int, height: int, geometry: Geometry) -> bool:
    """Whether images of this size are stored at it: they are no larger than the geometry's.

    Those of exactly its size only where the geometry leaves them alone: the device would not
    crop them any more.
    """
    full = (geometry.size, geometry.size)
    is_cropped = (width, height) == full and geometry.scaled(*full) != full
    return not is_cropped and max(width, height) <= geometry.size
