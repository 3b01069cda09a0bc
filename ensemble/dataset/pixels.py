"""One image as (height, width, 3) uint8: whole, resized to a geometry, or a random crop."""

import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.content import read_hashed
from ensemble.dataset.decode import UnreadableImage, read_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.geometry import Geometry, RandomCrop
from ensemble.errors import DataError

Array = npt.NDArray[Any]


def decode_pixels(
    path: Path, geometry: Geometry | None, ranges: Ranges = EIGHT_BITS, digest: str | None = None
) -> Array:
    """(height, width, 3) uint8 of an image file, at its own size without a geometry.

    Raises UnreadableImage, and DataError where `digest` is not the file's content hash.
    """
    content = None if digest is None else read_hashed(path, digest)
    return pixels_of(path, content, geometry, ranges)


def pixels_of(
    path: Path, content: bytes | None, geometry: Geometry | None, ranges: Ranges
) -> Array:
    """The same, of a file whose bytes are `content` (None: read it). Raises UnreadableImage."""
    if geometry is None:
        return np.asarray(read_image(path, ranges=ranges, content=content))
    return np.asarray(geometry.apply(read_image(path, geometry.least_side, ranges, content)))


def cropped_pixels(
    path: Path,
    digest: str,
    geometry: Geometry,
    crop: RandomCrop,
    rng: random.Random,
    ranges: Ranges = EIGHT_BITS,
) -> Array:
    """A random crop of an image as (size, size, 3) uint8. Raises UnreadableImage, DataError."""
    image = read_image(path, crop.least_side(geometry), ranges, read_hashed(path, digest))
    return np.asarray(crop.apply(image, geometry, rng))


def must_stay_readable(decode: Callable[[Any], Array]) -> Callable[[Any], Array]:
    """`decode` for images that were readable at first: DataError replaces UnreadableImage."""

    def checked(image: Any) -> Array:
        try:
            return decode(image)
        except UnreadableImage as error:
            raise DataError(
                f"{error}\nit was readable when the run started: put it back, and the run resumes"
            ) from None

    return checked


def in_threads(decode: Callable[[Any], Array], images: Sequence[Any] | Array) -> Array:
    """(images, height, width, 3), for one size; Pillow frees the interpreter as it decodes."""
    return np.stack(list(_thread_pool().map(decode, images)))


@cache
def _thread_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1)
