"""Columns of masks and boxes: the answers of segmentation and detection, which label no whole image."""

import re

from ensemble.dataset.column_names import letters
from ensemble.errors import DataError
from ensemble.layout.table import Column

_MASKS = re.compile(r"encodedpixels?|(mask)?rles?(masks?)?|polygons?|segmentations?|encodedmasks?")
_BOXES = re.compile(r"b(ounding)?box(es)?|boxes|predictionstring")
_RUNS = re.compile(r"\d+ \d+( \d+ \d+)*")  # where each run of pixels begins, and its length
_NUMBER = r"-?\d+(\.\d+)?"
_BOX = re.compile(
    rf"([^\W\d]\S*( {_NUMBER}){{4,6}} ?)+"  # dog 12 40 33 60, perhaps with a confidence, again
    rf"|[\[(]{_NUMBER}(, ?{_NUMBER}){{3}}[\])]"  # [12.0, 40.0, 33.0, 60.0]
)
_FEWEST = 5  # numbers under a name of boxes


def region_of(column: Column) -> str:
    """What a column holds, `masks` or `boxes`; "" for anything else."""
    cells, name = [cell for cell in column.counts if cell], letters(column.name)
    is_mask = all(_RUNS.fullmatch(cell) for cell in cells)
    if is_mask and (_MASKS.fullmatch(name) or _follow(column, cells)):
        return "masks"
    if cells and all(_BOX.fullmatch(cell) for cell in cells):
        return "boxes"
    if _BOXES.fullmatch(name) and any(len(re.findall(_NUMBER, cell)) >= _FEWEST for cell in cells):
        return "boxes"
    return ""


def _follow(column: Column, cells: list[str]) -> bool:
    """Whether pairs of numbers are runs of pixels: hardly two cells alike, each run after the other."""
    n_filled = sum(column.counts[cell] for cell in cells)
    if len(cells) < 2 or 2 * len(cells) <= n_filled:
        return False
    runs = [[int(number) for number in cell.split()] for cell in cells]
    follow = all(
        begin + length <= following
        for numbers in runs
        for begin, length, following in zip(
            numbers[::2], numbers[1::2], numbers[2::2], strict=False
        )
    )
    return follow and 2 * sum(len(numbers) > 2 for numbers in runs) > len(runs)


def region_reason(column: Column) -> str:
    """Why a column of masks or boxes holds no labels, in words; "" for any other column."""
    region = region_of(column)
    example = next((cell for cell in column.counts if cell), "")
    return f"{column.name} holds {region}, such as {example[:40]!r}" if region else ""


def check_no_regions(file: str, *columns: Column, next_step: str) -> None:
    """Raises DataError for a column of masks or boxes."""
    for reason in map(region_reason, columns):
        if reason:
            raise DataError(
                f"{file}: {reason}: where something is in an image; classes, labels and numbers of "
                f"whole images are predicted\n{next_step}"
            )
