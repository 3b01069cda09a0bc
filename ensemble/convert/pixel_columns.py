"""Which columns of a CSV are pixels, and which image shape their number means."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DataError
from ensemble.grouping import grouped

NUMBERED = re.compile(r"(\D*?)[ _.-]?(\d{1,7})")
GRID = re.compile(r"(\d{1,4})[xX](\d{1,4})")
PIXEL_NAMES = {"pixel", "pixels", "px", "pix"}
SHORT_NAMES = {"", "p", "x", "v", "i"}  # pixels only where there are many, in a fitting number
N_SHORT = 64
TEXT_NAMES = {"pixels", "pixel", "image", "img", "pixel_values"}  # a column with a text of numbers
N_TEXT = 16  # numbers in such a text, at least
CLEARLY = 0.8  # how much smoother one order of the channels must be than the other

Shape = tuple[int, int, int]  # rows, columns, channels


@dataclass(frozen=True)
class PixelColumns:
    """Where the pixels are: columns first to last of a row, or one column with a text of numbers.

    shape is None where the number of values decides it, in the first row.
    """

    first: int
    n_columns: int
    shape: Shape | None
    is_text: bool = False

    def cells(self, row: Sequence[str]) -> Sequence[str]:
        """The texts of the pixels of a row."""
        if not self.is_text:
            return row[self.first : self.first + self.n_columns]
        return numbers_in(row[self.first])

    def besides(self, n_columns: int) -> list[int]:
        """The positions of the columns that are not pixels."""
        pixels = range(self.first, self.first + self.n_columns)
        return [i for i in range(n_columns) if i not in pixels]


def numbers_in(cell: str) -> list[str]:
    """The numbers in a text, between spaces or commas and perhaps in brackets."""
    return cell.replace(",", " ").strip("[] \n").split()


def pixel_columns(header: Sequence[str], row: Sequence[str], where: str) -> PixelColumns | None:
    """The pixels of a table with this header and first row; None for another kind of table.

    Raises DataError for columns that are named like pixels and do not fit together.
    """
    names = [name.strip() for name in header]
    return _grid(names, where) or _numbered(names, where) or _text(names, row, where)


def _grid(names: Sequence[str], where: str) -> PixelColumns | None:
    """Columns named by row and column: 1x1, 1x2, …"""
    positions = [i for i, name in enumerate(names) if GRID.fullmatch(name)]
    if len(positions) < 4:
        return None
    corners = [tuple(map(int, names[i].lower().split("x"))) for i in positions]
    (top, left), (bottom, right) = corners[0], corners[-1]
    rows, columns = range(top, bottom + 1), range(left, right + 1)
    expected = [(y, x) for y in rows for x in columns] if len(rows) * len(columns) < 1e8 else []
    first, count = positions[0], len(positions)
    if corners != expected or positions != list(range(first, first + count)) or top > 1 or left > 1:
        raise DataError(
            f"{where}: the columns {names[first]} to {names[positions[-1]]} are no image row by row\n"
            "each pixel needs its column, in this order: 1x1, 1x2, …, 2x1, …"
        )
    return PixelColumns(first, count, (len(rows), len(columns), 1))


def _numbered(names: Sequence[str], where: str) -> PixelColumns | None:
    """Columns named by one number that counts up: pixel0, pixel1, …"""
    by_prefix = grouped(
        (match[1].lower(), (i, int(match[2])))
        for i, name in enumerate(names)
        if (match := NUMBERED.fullmatch(name))
    )
    for prefix, columns in by_prefix.items():
        positions, numbers = zip(*columns, strict=True)
        is_named = prefix in PIXEL_NAMES
        if not is_named and (prefix not in SHORT_NAMES or len(columns) < N_SHORT):
            continue
        first, count = positions[0], len(columns)
        is_whole = numbers[0] in (0, 1) and numbers == tuple(range(numbers[0], numbers[0] + count))
        if is_whole and positions == tuple(range(first, first + count)) and shape_of(count):
            return PixelColumns(first, count, shape_of(count))
        if is_named:
            raise _no_image(names, positions, numbers, where)
    return None


def _no_image(
    names: Sequence[str], positions: Sequence[int], numbers: Sequence[int], where: str
) -> DataError:
    expected = range(numbers[0], numbers[0] + len(numbers))
    gap = next((k for k, number in enumerate(numbers) if number != expected[k]), None)
    if gap is not None:
        problem = f"{names[positions[gap]]} follows {names[positions[gap - 1]]}"
    elif numbers[0] > 1:
        problem = f"the first is {names[positions[0]]}"
    elif positions[-1] - positions[0] >= len(positions):
        problem = "other columns are between them"
    else:
        problem = f"{len(numbers):,} are neither n × n nor 3 × n × n"
    return DataError(
        f"{where}: the pixel columns are no image: {problem}\n"
        "all pixels of a square image are needed, in order"
    )


def shape_of(n_values: int) -> Shape | None:
    """The square image that so many values are: gray, else with three channels, else None."""
    for channels in (1, 3):
        side = math.isqrt(n_values // channels)
        if n_values and side * side * channels == n_values:
            return side, side, channels
    return None


def _text(names: Sequence[str], row: Sequence[str], where: str) -> PixelColumns | None:
    """One column whose cells are texts of numbers."""
    columns = list(enumerate(row))[: len(names)]  # a row may be too long
    counts = {i: len(numbers_in(cell)) for i, cell in columns if _are_numbers(cell)}
    named = [i for i in counts if names[i].lower() in TEXT_NAMES]
    fitting = named or [i for i in counts if shape_of(counts[i])]
    if len(fitting) > 1:
        listed = " and ".join(names[i] or "(unnamed)" for i in fitting)
        raise DataError(f"{where}: each of {listed[:200]} could be the pixels\nremove one of them")
    if not fitting:
        return None
    shape = shape_of(counts[fitting[0]])
    if shape is None:
        raise DataError(
            f"{where}: {names[fitting[0]]} has {counts[fitting[0]]:,} numbers: "
            "neither n × n nor 3 × n × n\nall pixels of a square image are needed"
        )
    return PixelColumns(fitting[0], 1, shape, is_text=True)


def _are_numbers(cell: str) -> bool:
    """Whether a cell has many numbers in it, and nothing else in its first ones."""
    numbers = numbers_in(cell)
    head = numbers[:N_TEXT]
    return len(head) == N_TEXT and all(text.replace(".", "", 1).isdigit() for text in head)


def image_of(pixels: npt.NDArray[Any], shape: Shape, has_planes: bool) -> npt.NDArray[Any]:
    """(rows, columns, channels) of the values of one image; has_planes: one channel after another."""
    height, width, channels = shape
    if has_planes:
        return pixels.reshape(channels, height, width).transpose(1, 2, 0)
    return pixels.reshape(shape)


def are_planes(rows: npt.NDArray[np.float64], shape: Shape, where: str) -> bool:
    """Whether rows of three channels hold one channel after another, not pixel after pixel.

    rows is (rows, values). In images neighbors are alike, so the right order is the smoother one.
    Raises DataError where neither is clearly.
    """
    height, width, channels = shape
    if height * width == 1:
        return False
    by_pixel = rows.reshape(-1, height, width, channels)
    by_plane = rows.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    pixel_steps, plane_steps = (
        np.abs(np.diff(images, axis=1)).mean() + np.abs(np.diff(images, axis=2)).mean()
        for images in (by_pixel, by_plane)
    )
    if min(pixel_steps, plane_steps) >= CLEARLY * max(pixel_steps, plane_steps):
        raise DataError(
            f"{where}: {rows.shape[1]:,} values are {height} × {width} pixels of three channels, "
            "but not clearly in which order\nconvert them to image files yourself"
        )
    return bool(plane_steps < pixel_steps)
