"""Columns beside test pixels whose cells are the ids of the sample submission, whatever their names."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ensemble.convert.part_names import first_number, sample_rows
from ensemble.convert.pixel_roles import PixelTable
from ensemble.convert.table_rows import end_cells
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError


def with_sample_ids(root: Path, table: PixelTable) -> PixelTable:
    """A test table whose id is the column with the ids of a sample submission. Raises DataError."""
    if table.split != "test" or table.id_column is not None:
        return table
    if table.key_column() == 0:
        return _with_index(root, table)
    asked = [sorted(ids) for _, _, ids in _ids_of_samples(root)]
    for column in table.beside_pixels():
        if column == table.label_column:
            continue
        with closing(table.rows()) as rows:
            cells = sorted(row[column].strip() for _, row in rows if column < len(row))
        if cells in asked:
            return replace(table, id_column=column)
    return table


def _ids_of_samples(root: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """Each sample submission: its path, what it calls the ids, the ids."""
    for path, header, rows in sample_rows(root):
        yield path, header[0], [row[header[0]].strip() for row in rows]


def _with_index(root: Path, table: PixelTable) -> PixelTable:
    """A test table whose id is the index that pandas wrote, if a sample submission has these ids.

    Ids that count the rows in order name them as their numbers do. Raises DataError where they
    count in another order: the row's number and its index would be different test images.
    """
    index = [first for first, _ in islice(end_cells(table.path), int(table.has_header), None)]
    for path, name, ids in _ids_of_samples(root):
        if sorted(ids) != sorted(index):
            continue
        if first_number(ids) is None:
            return replace(table, id_column=0)
        if index != sorted(index, key=int):
            raise DataError(
                f"{one_line(table.path)}: its first column has no name and counts the rows in "
                f"another order\nname it {name or 'id'} if it holds the ids of {path.name}, "
                "else remove it"
            )
    return table
