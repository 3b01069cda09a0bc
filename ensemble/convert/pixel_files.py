"""Which CSVs of a folder hold pixels."""

from collections.abc import Collection, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from ensemble.convert.nameless_columns import nameless_table
from ensemble.convert.pixel_columns import pixel_columns
from ensemble.convert.pixel_roles import PixelTable, sample_headers, with_id_and_split
from ensemble.convert.table_rows import table_rows
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError


def pixel_tables(root: Path, paths: Sequence[Path]) -> tuple[list[PixelTable], tuple[str, ...]]:
    """The tables of pixels, and notes about those without a header.

    Raises DataError where a CSV beside them is damaged or empty.
    """
    tables: list[PixelTable] = []
    notes: list[str] = []
    damaged: dict[Path, DataError] = {}
    asked = {header[0] for header in sample_headers(root)} - {""}
    for path in paths:
        try:
            table, note = _pixel_table(path, asked)
        except _NotRead as error:
            damaged[path] = error
        else:
            tables += [table] if table else []
            notes += [note] if note else []
    _check_others(tables, [path for path in paths if path not in damaged])
    folders = {root, *(table.path.parent for table in tables)}
    beside = [path for path in damaged if path.parent in folders]
    if tables and beside:
        raise damaged[beside[0]]
    return tables, tuple(notes)


def _check_others(tables: Sequence[PixelTable], paths: Sequence[Path]) -> None:
    """Raises DataError for a table with most pixels of another one, but not all of them in order."""
    names = {name for table in tables for name in table.pixel_names()}
    of_pixels = {table.path for table in tables}
    for path in [path for path in paths if names and path not in of_pixels]:
        with closing(table_rows(path)) as rows:
            header = {name.strip() for name in next(rows, (0, []))[1]}
        if len(header & names) >= len(names) / 2:
            raise DataError(
                f"{one_line(path)}: its pixel columns are not those of {tables[0].path.name}, "
                "or in another order\nall pixels of a square image are needed, in order"
            )


class _NotRead(DataError):
    """A CSV whose first lines cannot be read: a fault only where the others hold pixels."""


def _pixel_table(path: Path, asked: Collection[str]) -> tuple[PixelTable | None, str]:
    """A table of pixels, and a note about its missing header; None for another kind of table."""
    try:
        with closing(table_rows(path)) as rows:
            lines = [row for _, row in islice(rows, 2)]
    except DataError as error:
        raise _NotRead(str(error)) from None
    if not lines:
        raise _NotRead(f"{one_line(path)}: the file is empty\ndownload it again")
    header, first = lines[0], lines[1] if len(lines) > 1 else []
    columns = pixel_columns(header, first, one_line(path))
    if columns is None:
        return nameless_table(path, header, first) or (None, "")
    names = tuple(name.strip() for name in header)
    return with_id_and_split(PixelTable(path, names, columns), first, asked), ""
