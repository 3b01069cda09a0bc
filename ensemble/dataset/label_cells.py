"""What the label cells of a table say: a class, several labels, or a number.

Each image's labels are kept as one text: the class; the sorted names of its labels, joined by
`JOINT`; or the number as `repr` writes it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ensemble.dataset.csvfile import CsvTable
from ensemble.dataset.separators import CLEAR, is_list, names_in_cell
from ensemble.errors import DataError
from ensemble.targets import Target

JOINT = "\x1f"  # ASCII's own separator of units, which no table holds
ZERO_ONE = frozenset({"0", "1", "0.0", "1.0"})
YES_NO = {"0": False, "0.0": False, "1": True, "1.0": True, "false": False, "true": True}


@dataclass(frozen=True)
class CellReading:
    """How the recipe's data section reads label cells."""

    target: Target = "class"
    separator: str | None = None


CLASSES = CellReading()


class Cells(NamedTuple):
    """The labels' text for every row of a table, lines for the user, and the mark between labels.

    separator is None where no cell has one, and for other targets.
    """

    texts: list[str]
    lines: list[str]
    separator: str | None = None


def names_in(text: str) -> tuple[str, ...]:
    """The labels of an image, from its text."""
    return tuple(text.split(JOINT)) if text else ()


def joined_names(names: Iterable[str]) -> str:
    """The text of an image's labels."""
    return JOINT.join(sorted(set(names)))


def read_cells(
    table: CsvTable,
    columns: Sequence[str],
    ids: Sequence[str],
    rows: Sequence[int],
    reading: CellReading,
) -> Cells:
    """What the cells of a table say.

    Only these rows, those of images, are checked. Raises DataError naming file, line and id.
    """
    if len(columns) > 1:
        return Cells(_names_of_ones(table, columns, ids, rows), [])
    cells = table.column(columns[0])
    if reading.target == "labels":
        return _split_cells(table, columns[0], reading.separator)
    _check_filled(table, columns[0], ids, cells, rows)
    if reading.target == "class":
        return Cells(list(cells), [])
    _check_numbers(table, columns[0], ids, cells, rows)
    texts = list(cells)
    for row in rows:
        texts[row] = number_text(cells[row])
    numbers = [float(texts[row]) for row in rows]
    line = (
        f"{table.path.name}: numbers are column {columns[0]}: {min(numbers):g} to "
        f"{max(numbers):g}, mean {math.fsum(numbers) / len(numbers):.4g}"
    )
    return Cells(texts, [line])


def number_text(cell: str) -> str:
    """The number in a cell as `repr` writes it, "" where it is none that is finite."""
    try:
        number = float(cell)
    except ValueError:
        return ""
    return repr(number) if math.isfinite(number) and "_" not in cell else ""


def _check_filled(
    table: CsvTable, column: str, ids: Sequence[str], cells: Sequence[str], rows: Sequence[int]
) -> None:
    empty = [row for row in rows if not cells[row]]
    if empty:
        n_more = f" ({len(empty):,} such rows)" if len(empty) > 1 else ""
        row = min(empty)
        raise DataError(f"{table.where(row)}: {ids[row][:100]!r} has an empty {column}{n_more}")


def _check_numbers(
    table: CsvTable, column: str, ids: Sequence[str], cells: Sequence[str], rows: Sequence[int]
) -> None:
    wrong = [row for row in rows if not number_text(cells[row])]
    if wrong:
        row = min(wrong)
        n_more = f" ({len(wrong):,} such rows)" if len(wrong) > 1 else ""
        raise DataError(
            f"{table.where(row)}: {ids[row][:100]!r} has {column} {cells[row][:60]!r}, "
            f"which is not a finite number{n_more}\n"
            "data.target: number needs a number in every row; name another column in data.labels, "
            "or leave the row out"
        )


def _names_of_ones(
    table: CsvTable, columns: Sequence[str], ids: Sequence[str], rows: Sequence[int]
) -> list[str]:
    """The names of the columns that say 1, row by row."""
    names: list[list[str]] = [[] for _ in ids]
    for column in columns:
        cells = table.column(column)
        wrong = [row for row in rows if cells[row].lower() not in YES_NO]
        if wrong:
            row = min(wrong)
            n_more = f" ({len(wrong):,} such rows)" if len(wrong) > 1 else ""
            raise DataError(
                f"{table.where(row)}: {ids[row][:100]!r} has {column} {cells[row][:60]!r}{n_more}\n"
                "allowed in a column of data.labels.columns: 0 and 1, false and true"
            )
        for row in rows:
            if YES_NO[cells[row].lower()]:
                names[row].append(column)
    return [joined_names(each) for each in names]


def _split_cells(table: CsvTable, column: str, separator: str | None) -> Cells:
    """The labels in each cell of a column, and a line that names what is between them."""
    cells = table.column(column)
    if ZERO_ONE.issuperset(cells):
        raise DataError(
            f"{table.path}: column {column} says only 0 or 1, so it is one of several labels\n"
            "name all such columns: data.labels: {file:, id:, columns: [...]}"
        )
    mark, reason = _separator(table, column, cells, separator)
    texts = [joined_names(names_in_cell(cell, mark)) for cell in cells]
    example = max(cells, key=lambda cell: len(cell.split(mark)))
    n_empty = sum(not text for text in texts)
    lines = [f"{table.path.name}: labels are separated by {mark!r}{reason}: {example[:60]!r}"]
    if n_empty:
        lines.append(f"{table.path.name}: {n_empty:,} of {len(cells):,} rows have no label")
    return Cells(texts, lines, mark if any(mark in cell for cell in cells) else separator)


def _separator(
    table: CsvTable, column: str, cells: Sequence[str], separator: str | None
) -> tuple[str, str]:
    """The mark between labels, and how it is known. Raises DataError where that is open."""
    lists = [cell for cell in cells if is_list(cell)]
    if lists:
        raise DataError(
            f"{table.path}: cells of column {column} are lists: {lists[0][:60]!r}\n"
            "write an image's labels with one mark between them: red;blue"
        )
    present = [mark for mark in (*CLEAR, " ") if any(mark in cell for cell in cells)]
    marks = [mark for mark in present if mark != " "] or present
    listed = " and ".join(map(repr, marks))
    if separator is not None:
        if present and not any(separator in cell for cell in cells):
            raise DataError(
                f"data.separator: {separator!r} is in no cell of column {column} of "
                f"{table.path.name}; they have {listed}\nallowed: the mark between two labels"
            )
        return separator, ""
    if len(marks) > 1:
        raise DataError(
            f"{table.path}: the cells of column {column} have {listed}: which separates labels?\n"
            f"set data.separator: {marks[0]!r}"
        )
    if not marks:
        return " ", " (in no cell: one label each)"
    return marks[0], " (found; data.separator sets another)"
