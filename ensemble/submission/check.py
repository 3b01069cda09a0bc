"""Read a written CSV back as a competition would, and refuse what it would refuse."""

import math
from pathlib import Path

from ensemble.dataset.csvfile import read_cells
from ensemble.errors import SubmissionError
from ensemble.submission.choices import LABELS, POSITIVE, PROBABILITIES, VALUES
from ensemble.submission.listing import Listing
from ensemble.submission.shape import Shape

SUM_TOLERANCE = 1e-6


def check(path: Path, shape: Shape) -> None:
    """Check columns, ids, their order, ranges, sums and the spelling of labels.

    Raises SubmissionError.
    """
    lines = read_cells(path, shape.delimiter)
    header = shape.lines_before_rows
    if lines[: len(header)] != header:
        raise SubmissionError(f"{path}: its columns are {lines[0][:5]}, expected {header[0][:5]}")
    rows = [shape.as_written(line) for line in lines[len(header) :]]
    ids = tuple(row[0] for row in rows)
    if ids != shape.ids:
        raise SubmissionError(f"{path}: {_difference(ids, shape.ids)}")
    for line, (image_id, *cells) in enumerate(rows, start=1 + len(header)):
        problem = _problem(cells, shape)
        if problem:
            raise SubmissionError(f"{path}:{line}: {image_id[:100]!r}: {problem}")


def _difference(ids: tuple[str, ...], expected: tuple[str, ...]) -> str:
    if len(set(ids)) < len(ids):
        return "an id appears more than once"
    n_missing = len(set(expected) - set(ids))
    n_extra = len(set(ids) - set(expected))
    if n_missing or n_extra:
        return f"{n_missing} ids of the sample are missing, {n_extra} are not in the sample"
    return "its rows are not in the sample's order"


def _problem(cells: list[str], shape: Shape) -> str:
    """What is wrong with a row's cells, or ""."""
    cell = cells[0]
    if shape.answer in (PROBABILITIES, POSITIVE):
        is_share = shape.answer == PROBABILITIES and shape.target == "class"
        return _problem_of_probabilities(cells, is_share)
    if shape.answer == VALUES:
        return _problem_of_value(cell)
    if shape.answer == LABELS and shape.listing is None:
        return "" if set(cells) <= {"0", "1"} else "a label that is neither 0 nor 1"
    if shape.listing:
        return _problem_of_list(cells, shape.listing)
    is_class = cell in shape.texts.values()
    return "" if is_class else f"{cell!r} is not a {shape.answer.replace('_', ' ')}"


def _problem_of_value(cell: str) -> str:
    try:
        return "" if math.isfinite(float(cell)) else f"{cell!r} is not finite"
    except ValueError:
        return f"{cell!r} is not a number"


def _problem_of_list(cells: list[str], listing: Listing) -> str:
    if cells == [listing.nothing] and not listing.k:
        return ""
    names = listing.names_in(cells)
    if len(set(names)) < len(names):
        return "a name appears twice"
    if listing.k and len(names) != listing.k:
        return f"{len(names)} names, expected {listing.k}"
    odd = next((name for name in names if name not in listing.texts.values()), None)
    return "" if odd is None else f"{odd!r} is not a name of a class or label"


def _problem_of_probabilities(cells: list[str], must_sum_to_1: bool) -> str:
    try:
        probs = [float(cell) for cell in cells]
    except ValueError:
        return "not a number"
    if not all(math.isfinite(prob) and 0 <= prob <= 1 for prob in probs):
        return "a probability outside 0 to 1"
    total = math.fsum(probs)
    if must_sum_to_1 and abs(total - 1) > SUM_TOLERANCE:
        return f"its probabilities sum to {total:.8f}"
    return ""
