"""Which arrays are images, and the pixels of each: gray, channels last or first, or a flat row."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.convert.array_files import StoredArray
from ensemble.convert.pixel_columns import N_SHORT, Shape, are_planes, image_of, shape_of
from ensemble.convert.pixel_scale import Scale, n_head_rows, scale_of, scaled
from ensemble.errors import DataError

Array = npt.NDArray[Any]
CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class ImageArray:
    """An array whose rows are images; has_planes: one channel after another."""

    array: StoredArray
    shape: Shape
    has_planes: bool

    def images(self, scale: Scale) -> Generator[tuple[str, Array], None, None]:
        """Place for a message and pixels of every image, (rows, columns, channels).

        Raises DataError for a value outside the scale.
        """
        with closing(self.array.rows()) as rows:
            for row, pixels in enumerate(rows):
                where = f"{self.array.where}: row {row}"
                yield where, image_of(scaled(pixels, scale, where), self.shape, self.has_planes)


def head_of(array: StoredArray) -> Array:
    """The first rows of an array, in its own shape and type. Raises DataError."""
    n_rows = n_head_rows(int(np.prod(array.shape[1:])))
    with closing(array.rows()) as rows:
        return np.array(list(islice(rows, n_rows)))


def is_flat(array: StoredArray) -> bool:
    """Whether the rows of an array can be images written in one row each: 784 or 3,072 numbers."""
    width = flat_width(array)
    return width >= N_SHORT and shape_of(width) is not None and array.dtype.kind in "uifb"


def flat_width(array: StoredArray) -> int:
    """How many numbers a row has where all are in one row, else 0; (n, 784, 1) has 784."""
    sides = array.shape[1:]
    is_one_row = len(sides) == 1 or (len(sides) == 2 and 1 in sides)
    return int(np.prod(sides, dtype=object)) if is_one_row else 0


def image_arrays(arrays: Sequence[StoredArray]) -> list[ImageArray]:
    """Arrays as images of one size. Raises DataError for what is no image, or has two readings."""
    for array in arrays:
        _check(array)
    shapes = [(array, *_shape(array)) for array in arrays]
    for array, shape, _ in shapes:
        if shape != shapes[0][1]:
            first = f"{shapes[0][0].where} has {_size(shapes[0][1])}"
            raise DataError(
                f"{array.where}: images of {_size(shape)}, {first}\n"
                "all images of a set need one size"
            )
    has_planes = _flat_have_planes([array for array in arrays if is_flat(array)])
    return [
        ImageArray(array, shape, has_planes if axis is None else axis == 1)
        for array, shape, axis in shapes
    ]


def _check(array: StoredArray) -> None:
    if not all(array.shape):
        raise DataError(f"{array.where}: no image: its shape is {array.shape}\nsave it again")
    if array.dtype.kind not in "uifb":
        raise DataError(
            f"{array.where}: its type is {array.dtype}\nimages are numbers, such as uint8"
        )


def _shape(array: StoredArray) -> tuple[Shape, int | None]:
    """Rows, columns and channels, and the axis of the channels: 1 or 3, None for a flat row."""
    if is_flat(array):
        shape = shape_of(flat_width(array))
        assert shape is not None
        return shape, None
    if len(array.shape) == 3:
        return (array.shape[1], array.shape[2], 1), 3
    is_first = array.shape[1] in (1, 3)
    is_last = array.shape[3] in CHANNELS
    if is_first == is_last:
        both = "the channels can be its second or its last axis" if is_first else "no axis has them"
        raise DataError(
            f"{array.where}: its shape is {array.shape}: {both}\n"
            "images are (n, h, w), (n, h, w, 1, 3 or 4), or (n, 1 or 3, h, w)"
        )
    _, *sides = array.shape
    return ((sides[1], sides[2], sides[0]), 1) if is_first else ((sides[0], sides[1], sides[2]), 3)


def _flat_have_planes(arrays: Sequence[StoredArray]) -> bool:
    """Whether flat rows of three channels hold one channel after another. Raises DataError."""
    shape = shape_of(flat_width(arrays[0])) if arrays else None
    if shape is None or shape[2] == 1:
        return False
    heads = [head_of(array).astype(np.float64) for array in arrays]
    rows = np.concatenate([head.reshape(len(head), -1) for head in heads])
    return are_planes(rows, shape, arrays[0].where)


def _size(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def scale_of_arrays(arrays: Iterable[ImageArray]) -> Scale:
    """The scale of a set, by the first rows; by all rows of arrays of 16 bits. Raises DataError."""
    images = list(arrays)
    heads = {image.array: head_of(image.array) for image in images}
    scale = scale_of(heads.values())
    if scale is Scale.BYTES and any(_is_deep(image.array) for image in images):
        scale = Scale.DEEP
        deep = next(image for image in images if _is_deep(image.array))
        if deep.shape[2] > 1:
            raise DataError(
                f"{deep.array.where}: colors of 16 bits, with values above 255\n"
                "no PNG file is written for these; save the array as uint8"
            )
    for array, head in heads.items():
        for row, pixels in enumerate(head):
            scaled(pixels, scale, f"{array.where}: row {row}")
    return scale


def _is_deep(array: StoredArray) -> bool:
    """Whether an array of 16-bit whole numbers has a value that 8 bits do not hold."""
    if array.dtype.kind not in "ui" or array.dtype.itemsize != 2:
        return False
    with closing(array.rows()) as rows:
        return any(bool((pixels > 255).any()) for pixels in rows)
