"""An index that pandas wrote beside test pixels: nothing, or the ids of the sample submission."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

from ensemble.convert.part_names import first_number, sample_tables
from ensemble.convert.pixel_roles import PixelTable
from ensemble.convert.table_rows import end_cells
from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError


def with_sample_ids(root: Path, table: PixelTable) -> PixelTable:
    """A test table whose nameless first column is the id, if a sample submission has these ids.

    Ids that count the rows in order name them as their numbers do. Raises DataError where they
    count in another order: the row's number and its index would be different test images.
    """
    is_indexed = table.split == "test" and table.id_column is None and table.key_column() == 0
    if not is_indexed:
        return table
    index = [first for first, _ in islice(end_cells(table.path), int(table.has_header), None)]
    for path in sample_tables(root):
        header, rows = read_csv(path, LABEL_DELIMITERS)
        ids = [row[header[0]] for row in rows]
        if sorted(ids) != sorted(index):
            continue
        if first_number(ids) is None:
            return replace(table, id_column=0)
        if index != sorted(index, key=int):
            raise DataError(
                f"{one_line(table.path)}: its first column has no name and counts the rows in "
                f"another order\nname it {header[0] or 'id'} if it holds the ids of {path.name}, "
                "else remove it"
            )
    return table
