"""Tables as people have them: any usual delimiter, with or without a header, with empty rows."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ensemble.dataset.csvfile import read_csv
from ensemble.errors import DataError

SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = (",", ";", "\t", " ")
N_ROWS_SEEN = 200  # rows, spread over the table, by which a column is judged


@dataclass(frozen=True)
class Column:
    """A column of a table: its name and its cells, (rows,), without surrounding blanks."""

    name: str
    cells: tuple[str, ...]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each text appears."""
        return Counter(self.cells)

    @cached_property
    def numbers(self) -> tuple[float, ...] | None:
        """The cells as numbers, None if one is not a number."""
        try:
            return tuple(float(cell) for cell in self.cells)
        except ValueError:
            return None

    @property
    def is_whole(self) -> bool:
        """Whether all cells are whole numbers."""
        return self.numbers is not None and all(number.is_integer() for number in self.numbers)

    @property
    def is_binary(self) -> bool:
        """Whether all cells are 0 or 1."""
        return self.numbers is not None and set(self.numbers) <= {0, 1}

    @property
    def is_counter(self) -> bool:
        """Whether the cells count the rows, from 0 or from 1."""
        if not self.is_whole or self.numbers is None:
            return False
        first = self.numbers[0]
        return first in (0, 1) and all(
            number == first + row for row, number in enumerate(self.numbers)
        )

    @property
    def some_cells(self) -> tuple[str, ...]:
        """Cells spread over the table, at most twice N_ROWS_SEEN."""
        return self.cells[:: max(1, len(self.cells) // N_ROWS_SEEN)]


@dataclass(frozen=True)
class Table:
    """A table of the data set; file is its POSIX path under the data set's folder.

    Without a header the columns are called `column 1`, `column 2`, ….
    """

    file: str
    columns: tuple[Column, ...]
    has_header: bool = True

    def __len__(self) -> int:
        return len(self.columns[0].cells)

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def __contains__(self, name: str) -> bool:
        return name in self.header

    def __getitem__(self, name: str) -> Column:
        """The column of this name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def others(self, *names: str) -> tuple[Column, ...]:
        """The columns of other names."""
        return tuple(column for column in self.columns if column.name not in names)

    def without_header(self) -> "Table":
        """The same with the header as its first row, as if the file had none."""
        columns = tuple(
            Column(f"column {number}", (column.name, *column.cells))
            for number, column in enumerate(self.columns, start=1)
        )
        return replace(self, columns=columns, has_header=False)


def read_table(root: Path, file: str) -> Table | None:
    """A table; None for a text that is not one. Raises DataError for a damaged .csv or .tsv."""
    path = root / file
    rows = _rows(path)
    if rows is None:
        if path.suffix.lower() == ".txt":
            return None
        header, records = read_csv(path, ",;\t")  # says what is wrong
        rows = [header, *[list(record.values()) for record in records]]
    rows = _without_empty([[cell.strip() for cell in row] for row in rows])
    if len(rows) < 2 or len(set(rows[0])) < len(rows[0]):
        if path.suffix.lower() == ".txt":
            return None
        raise _no_table(path, rows)
    columns = zip(*rows, strict=True)
    return Table(file, tuple(Column(name, tuple(cells)) for name, *cells in columns))


def _no_table(path: Path, rows: Sequence[Sequence[str]]) -> DataError:
    """The error for a table without rows or with a column name twice."""
    if len(rows) < 2:
        return DataError(f"{path}: a CSV needs a header and at least one row")
    name = next(name for name, n in Counter(rows[0]).items() if n > 1)
    return DataError(f"{path}: the column name {name[:100]!r} appears twice")


def _rows(path: Path) -> list[list[str]] | None:
    """The cells of every row that is not blank, equally many in each; None if there is no way."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError):
        return None
    if "\0" in text:
        return None
    is_text = path.suffix.lower() == ".txt"
    for delimiter in DELIMITERS if is_text else DELIMITERS[:3]:
        rows = _split(text, delimiter)
        if rows and len(rows[0]) > 1:
            return rows
    lines = [line for line in text.splitlines() if line.strip()]
    if is_text and any(" " in line.strip() for line in lines):
        return None
    return _split(text, ",")


def _split(text: str, delimiter: str) -> list[list[str]] | None:
    """The rows by one delimiter; None where they have different numbers of cells."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        rows = [row for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        return None
    width = len(rows[0]) if rows else 0
    trimmed = [row if not any(row[width:]) else None for row in rows]
    if any(row is None or len(row) < width for row in trimmed):
        return None
    return [row[:width] for row in rows]


def _without_empty(rows: list[list[str]]) -> list[list[str]]:
    """The rows without columns that have neither a name nor a cell."""
    width = len(rows[0]) if rows else 0
    kept = [i for i in range(width) if any(row[i] for row in rows)]
    return [[row[i] for i in kept] for row in rows] if len(kept) < width else rows
