"""Tables as people have them: any usual delimiter, with or without a header, with empty rows."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from ensemble.dataset import csvfile
from ensemble.dataset.label_cells import YES_NO
from ensemble.errors import DataError

SUFFIXES = (".csv", ".tsv", ".txt")
SIGNS = ({"-1", "1"}, {"-1.0", "1.0"})
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
    def is_unique(self) -> bool:
        """Whether no text appears twice."""
        return len(self.counts) == len(self.cells)

    @property
    def is_whole(self) -> bool:
        """Whether all cells are whole numbers."""
        return self.numbers is not None and all(number.is_integer() for number in self.numbers)

    @property
    def is_binary(self) -> bool:
        """Whether all cells are 0 or 1."""
        return self.numbers is not None and set(self.numbers) <= {0, 1}

    @cached_property
    def is_one(self) -> tuple[bool, ...] | None:
        """Whether each cell is 1 or true, None if one is neither that nor 0 or false.

        1 and -1 say it too, in a column of both alone, as in CelebA.
        """
        said = {cell.lower() for cell in self.counts}
        if said in SIGNS:
            return tuple(cell.startswith("1") for cell in self.cells)
        if not said <= YES_NO.keys():
            return None
        return tuple(YES_NO[cell.lower()] for cell in self.cells)

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

    Without a header the columns are called `column 1`, `column 2`, …. stripped is a line about blanks
    around cells that were left out, "" without any. form says whether these are the rows of the file,
    or made of it, so that no recipe can name it: `coco` where the file says what is a label, `wide`
    where all columns but the first are classes, `folders` where class folders or file names say them,
    which file names then. row is the column whose cells are each about several
    images, "" where each row of the file is about one.
    """

    file: str
    columns: tuple[Column, ...]
    has_header: bool = True
    stripped: str = ""
    form: Literal["rows", "made", "coco", "wide", "folders"] = "rows"
    row: str = ""

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
    """A table; None for a text that is not one. Raises DataError for a damaged .csv or .tsv.

    A first row with a text twice is taken as no header.
    """
    is_text = file.lower().endswith(".txt")
    try:
        stored = csvfile.read_table(root / file, may_repeat_names=True)
    except DataError:
        if is_text:
            return None
        raise
    if is_text and len(stored.header) == 1 and any(" " in cell for cell in stored.header):
        return None
    columns = zip(stored.header, zip(*stored.cells, strict=True), strict=True)
    named = [Column(name, tuple(map(str.strip, cells))) for name, cells in columns]
    table = Table(file, tuple(named), stripped=stored.stripped_line(*stored.header))
    return table if len(set(table.header)) == len(named) else table.without_header()
