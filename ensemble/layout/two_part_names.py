"""Tables that name an image by two columns: its folder, and its file name inside."""

from dataclasses import replace

from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table

N_LOOKED_AT = 20  # rows that show whether file names alone fit several images


def with_whole_names(surveyed: Survey) -> Survey:
    """The same with the folder put before file names that need it, where another column has it."""
    images = surveyed.folders["."]
    tables = tuple(_with_whole_names(images, table) for table in surveyed.tables)
    return replace(surveyed, tables=tables)


def _with_whole_names(images: Folder, table: Table) -> Table:
    for column in table.columns:
        some = [images.names.positions(cell) for cell in column.cells[:N_LOOKED_AT]]
        if not all(some) or not any(len(positions) > 1 for positions in some):
            continue
        for folder in table.others(column.name):
            if folder.is_unique and column.numbers is not None:
                continue  # a number for each folder is its label, though a file has this name
            whole = _joined(images, folder, column)
            if whole is not None:
                columns = tuple(whole if old is column else old for old in table.columns)
                return replace(table, columns=columns, form="made")
    return table


def _joined(images: Folder, folder: Column, column: Column) -> Column | None:
    """The column with the folders before the file names, None where these are no images."""
    names = tuple(f"{above}/{name}" for above, name in zip(folder.cells, column.cells, strict=True))
    if not all(map(images.names.positions, names[:N_LOOKED_AT])):
        return None
    match = images.names.match(names)
    is_whole = match.is_complete and not match.rule
    return Column(column.name, names) if is_whole else None
