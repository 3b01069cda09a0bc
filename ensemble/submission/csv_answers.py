"""What a submission's CSV answers for each id, whatever its cells mean."""

import csv
import io
from collections.abc import Mapping

from ensemble.dataset.csvfile import LABEL_DELIMITERS
from ensemble.dataset.sample import is_id_last
from ensemble.metrics.class_numbers import number


def answers(text: str) -> dict[str, str]:
    """By id the most probable class, the label or labels; a probability is 1 from 0.5 on, else 0.

    Numbers are compared by their value: `1.0` is the answer `1`.
    """
    header, *rows = _rows(text)
    if len(header) > 2 and number(rows[0][1]) is None:
        return {row[0]: " ".join(row[1:]) for row in rows}
    if len(header) > 2:
        return {row[0]: header[_largest_column(row)] for row in rows}
    step = -1 if is_id_last(list(zip(*rows, strict=True))) else 1
    cells = dict(row[::step] for row in rows)
    if _are_probabilities(cells):
        return {name: str(int(float(cell) >= 0.5)) for name, cell in cells.items()}
    return {name: _plain(cell) for name, cell in cells.items()}


def _rows(text: str) -> list[list[str]]:
    """The rows, by the first delimiter that gives several columns."""
    for delimiter in LABEL_DELIMITERS:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        if len(rows[0]) > 1:
            break
    return rows


def _largest_column(row: list[str]) -> int:
    """The position of the largest number after the id; ties go to the first."""
    return max(range(1, len(row)), key=lambda column: float(row[column]))


def _are_probabilities(cells: Mapping[str, str]) -> bool:
    """Whether all cells are numbers from 0 to 1, and one is neither 0 nor 1."""
    numbers = [number(cell) for cell in cells.values()]
    are_shares = all(share is not None and 0 <= share <= 1 for share in numbers)
    return are_shares and any(share not in (0, 1) for share in numbers)


def _plain(cell: str) -> str:
    """A whole number without decimals and leading zeros; any other text as it is."""
    value_of_cell = number(cell)
    if value_of_cell is None or value_of_cell != int(value_of_cell):
        return cell
    return str(int(value_of_cell))


def share_differing(a: Mapping[str, str], b: Mapping[str, str]) -> float:
    """The share of a's ids that b answers differently, or not at all."""
    return sum(b.get(name) != answer for name, answer in a.items()) / max(1, len(a))
