"""Numbers of pixels as those of PNG files: 0 to 255 as they are, 0 to 1 times 255, 16 bits kept."""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DataError

Array = npt.NDArray[Any]
N_HEAD, N_HEAD_VALUES = 200, 1_000_000  # rows at the beginning that decide the scale, at most
_NUMBER = re.compile(r"[+-]?(\d{1,20}(\.\d{0,40})?|\.\d{1,40})(e[+-]?\d{1,3})?", re.IGNORECASE)
_BYTE_OF = {str(number): number for number in range(256)}


class Scale(Enum):
    """What the numbers of a set are."""

    BYTES = "whole numbers from 0 to 255"
    UNIT = "numbers from 0 to 1"
    DEEP = "whole numbers from 0 to 65,535"


def n_head_rows(n_values: int) -> int:
    """How many rows of so many values decide the scale and the order of the channels."""
    return min(N_HEAD, max(5, N_HEAD_VALUES // max(1, n_values)))


def scale_of(heads: Iterable[Array]) -> Scale:
    """The scale of a set, from the first rows of each of its tables or arrays.

    UNIT where no number is above 1 and one is above 0.
    """
    maxima = [float(head.max()) for head in heads if head.size]
    return Scale.UNIT if maxima and 0 < max(maxima) <= 1 else Scale.BYTES


def scale_note(scale: Scale) -> tuple[str, ...]:
    """What is said to the user about a scale: nothing where values stay as they are."""
    if scale is Scale.DEEP:
        return ("pixels have more than 8 bits; they are written to PNG files of 16 bits",)
    if scale is Scale.UNIT:
        return ("pixels are numbers from 0 to 1; they are multiplied by 255",)
    return ()


def scaled(values: Array, scale: Scale, where: str) -> Array:
    """Numbers of any shape as uint8, uint16 for DEEP. Raises DataError for one outside the scale."""
    if scale is Scale.BYTES and values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    highest = {Scale.UNIT: 1, Scale.BYTES: 255, Scale.DEEP: 65535}[scale]
    fits = (values >= 0) & (values <= highest)  # not where a value is NaN
    if scale is not Scale.UNIT and values.dtype.kind == "f":
        fits &= values == np.floor(values)
    if not fits.all():
        wrong = values[~fits].flat[0]
        repair = "all images must have one scale"
        if wrong < 0 and values.dtype.kind == "f":
            repair = "nothing says which numbers are black and white: save 0 to 255, or 0 to 1"
        raise DataError(
            f"{where}: the pixel {wrong} is outside the set's {scale.value}\n"
            f"repair the data; {repair}"
        )
    if scale is Scale.UNIT:
        values = np.rint(values.astype(np.float64) * 255)
    return values.astype(np.uint16 if scale is Scale.DEEP else np.uint8)


def is_number(text: str) -> bool:
    """Whether a text is a number in decimal digits, as pixels are written."""
    return text.isascii() and bool(_NUMBER.fullmatch(text))


def pixels_of(cells: Sequence[str], scale: Scale, where: str) -> bytes:
    """The pixels that a row's cells spell, a byte each. Raises DataError."""
    if scale is Scale.BYTES:
        try:
            return bytes(map(_BYTE_OF.__getitem__, cells))  # 784 cells: 20 µs
        except KeyError:
            pass
    return scaled(numbers_of(cells, where), scale, where).tobytes()


def numbers_of(cells: Sequence[str], where: str) -> npt.NDArray[np.float64]:
    """The numbers that cells spell. Raises DataError for anything else, NaN and infinity too."""
    texts = [cell.strip() for cell in cells]
    wrong = next((text for text in texts if not is_number(text)), None)
    if wrong is not None:
        shown = f"{wrong[:40]!r} is not a number" if wrong else "a pixel is empty"
        raise DataError(f"{where}: {shown}\npixels are numbers from 0 to 255, or from 0 to 1")
    return np.array([float(text) for text in texts])
