"""What a submission's CSV answers for each id, whatever its cells mean."""

import csv
import io
from collections.abc import Mapping


def answers(text: str) -> dict[str, str]:
    """By id the most probable class, the label, or whether the only probability is >= 0.5."""
    header, *rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(header) > 2:
        return {row[0]: header[_largest_column(row)] for row in rows}
    cells = {row[0]: row[1] for row in rows}
    if _are_probabilities(cells):
        return {name: str(float(cell) >= 0.5) for name, cell in cells.items()}
    return cells


def _largest_column(row: list[str]) -> int:
    """The position of the largest number after the id; ties go to the first."""
    return max(range(1, len(row)), key=lambda column: float(row[column]))


def _are_probabilities(cells: Mapping[str, str]) -> bool:
    """Whether all cells are numbers from 0 to 1, and one has a fraction or an exponent."""
    has_fraction = any("." in cell or "e" in cell for cell in cells.values())
    return has_fraction and all(map(_is_between_0_and_1, cells.values()))


def _is_between_0_and_1(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False


def share_differing(a: Mapping[str, str], b: Mapping[str, str]) -> float:
    """The share of a's ids that b answers differently, or not at all."""
    return sum(b.get(name) != answer for name, answer in a.items()) / max(1, len(a))
