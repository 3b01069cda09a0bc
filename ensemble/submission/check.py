"""Read a written CSV back as a competition would, and refuse what it would refuse."""

import math
from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.csvfile import read_csv
from ensemble.errors import SubmissionError
from ensemble.submission.shape import Shape

SUM_TOLERANCE = 1e-6


def check(path: Path, shape: Shape, classes: Sequence[str]) -> None:
    """Columns and order, ids and order, range, sums, spelling of labels. Raises SubmissionError."""
    header, rows = read_csv(path)
    if tuple(header) != shape.columns:
        raise SubmissionError(
            f"{path}: its columns are {header[:5]}, wanted {list(shape.columns[:5])}"
        )
    ids = tuple(row[header[0]] for row in rows)
    if ids != shape.ids:
        raise SubmissionError(f"{path}: {_difference(ids, shape.ids)}")
    for line, row in enumerate(rows, start=2):
        problem = _problem([row[column] for column in header[1:]], shape, classes)
        if problem:
            raise SubmissionError(f"{path}:{line}: {row[header[0]][:100]!r}: {problem}")


def _difference(ids: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if len(set(ids)) < len(ids):
        return "an id stands more than once"
    if set(ids) != set(wanted):
        return f"{len(set(wanted) - set(ids))} ids are missing, {len(set(ids) - set(wanted))} are not wanted"
    return "its rows are in another order than the sample's"


def _problem(cells: list[str], shape: Shape, classes: Sequence[str]) -> str:
    if shape.kind == "class name":
        return "" if cells[0] in classes else f"{cells[0]!r} is no class"
    if shape.kind == "class id":
        is_number = cells[0].isascii() and cells[0].isdigit()
        return "" if is_number and int(cells[0]) < len(classes) else f"{cells[0]!r} is no class id"
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return "not a number"
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        return "a probability outside 0 to 1"
    if shape.kind == "probabilities" and abs(math.fsum(values) - 1) > SUM_TOLERANCE:
        return f"its probabilities sum to {math.fsum(values):.8f}"
    return ""
