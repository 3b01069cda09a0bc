"""The table of a sample submission, whatever separates its cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.dataset.column_names import is_usual_label
from ensemble.dataset.csvfile import LABEL_DELIMITERS, check_names, read_cells
from ensemble.dataset.match import Names
from ensemble.dataset.sample import is_id_last
from ensemble.errors import DataError


@dataclass(frozen=True, eq=False)
class SampleTable:
    """A sample submission: its header, its rows as texts, and what separates its cells.

    The id is the first of a row's cells here; is_id_last: in the file it is the last of two. Without
    a header the columns are called `column 1` and `column 2`.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    delimiter: str
    is_id_last: bool = False
    has_header: bool = True

    @property
    def ids(self) -> tuple[str, ...]:
        """The first column."""
        return tuple(row[0] for row in self.rows)

    @property
    def cells(self) -> set[str]:
        """The different texts of the second column, without spaces around them."""
        return {row[1].strip() for row in self.rows}

    def of_images(self, image_ids: Sequence[str]) -> "SampleTable":
        """The same table, its ids in the one of two columns that names these images.

        A few rows do not show by themselves which column repeats itself: those of `Category,Id` may
        all have another class. Where both columns name images, their own names decide.

        A first line of two cells whose id is an image that no other row is about is a row: the
        competition's files have no header.
        """
        if len(self.columns) != 2:
            return self
        names = Names(image_ids)
        if self.has_header and self._begins_with_row(names):
            columns = ("column 1", "column 2")
            table = replace(self, columns=columns, rows=[list(self.columns), *self.rows])
            return replace(table, has_header=False).of_images(image_ids)
        first, last = (_names_images(names, [row[i] for row in self.rows]) for i in (0, 1))
        is_label_first, is_label_last = map(is_usual_label, self.columns)
        if not last or (first and not (is_label_first and not is_label_last)):
            return self
        rows = [row[::-1] for row in self.rows]
        return replace(self, columns=self.columns[::-1], rows=rows, is_id_last=not self.is_id_last)

    def _begins_with_row(self, names: Names) -> bool:
        """Whether the first line names an image of its own, as the lines below it do."""
        first = names.full_positions(self.columns[0].strip())
        others = {position for name in self.ids for position in names.positions(name.strip())}
        return len(first) == 1 and not others.issuperset(first)


def _names_images(names: Names, cells: Sequence[str]) -> bool:
    """Whether each cell names an image of its own."""
    match = names.match([cell.strip() for cell in cells])
    return match.is_complete and len(set(match.positions)) == len(cells)


def read_sample(path: Path) -> SampleTable:
    """The table with the first delimiter that gives several columns. Raises DataError."""
    first: SampleTable | DataError | None = None
    for delimiter in LABEL_DELIMITERS:
        table = _read(path, delimiter)
        if isinstance(table, SampleTable) and len(table.columns) > 1:
            return table
        first = first or table
    assert first is not None
    if isinstance(first, DataError):
        raise first
    return first


def _read(path: Path, delimiter: str) -> SampleTable | DataError:
    try:
        header, *texts = read_cells(path, delimiter)
        if len(header) > 2:
            check_names(path, header)
    except DataError as error:
        return error
    filled = [row for row in texts if any(map(str.strip, row))]  # a spreadsheet adds empty rows
    kept = filled or texts
    if is_id_last(list(zip(*kept, strict=True))):
        return SampleTable(path, tuple(header[::-1]), [row[::-1] for row in kept], delimiter, True)
    return SampleTable(path, tuple(header), kept, delimiter)
