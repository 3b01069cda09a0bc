"""The table of a sample submission, whatever separates its cells."""

from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.sample import is_id_last
from ensemble.errors import DataError


@dataclass(frozen=True, eq=False)
class SampleTable:
    """A sample submission: its header, its rows as texts, and what separates its cells.

    The id is the first of a row's cells here; is_id_last: in the file it is the last of two.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    delimiter: str
    is_id_last: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The first column."""
        return tuple(row[0] for row in self.rows)

    @property
    def cells(self) -> set[str]:
        """The different texts of the second column, without spaces around them."""
        return {row[1].strip() for row in self.rows}


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
        header, rows = read_csv(path, delimiter)
    except DataError as error:
        return error
    texts = [list(row.values()) for row in rows]
    filled = [row for row in texts if any(map(str.strip, row))]  # a spreadsheet adds empty rows
    kept = filled or texts
    if is_id_last(list(zip(*kept, strict=True))):
        return SampleTable(path, tuple(header[::-1]), [row[::-1] for row in kept], delimiter, True)
    return SampleTable(path, tuple(header), kept, delimiter)
