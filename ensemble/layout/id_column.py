"""Which column of a table names the images, and in which folder they are."""

from collections.abc import Sequence

from ensemble.dataset.column_names import same_name
from ensemble.dataset.filenames import SUFFIXES
from ensemble.layout.placement import Placement, placements, smallest
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, one_of
from ensemble.layout.survey import ImageFolder, Survey
from ensemble.layout.table import Column, Table

INDEX_NAMES = ("", "index", "unnamed: 0", "unnamed: 0.1", "#", "row", "no", "no.", "nr")


def placed_table(
    surveyed: Survey, roles: Roles, table: Table, sample: Table | None, inquiry: Inquiry
) -> Placement | None:
    """The images that a table is about: by its id column, in one folder; None if by none."""
    by_column = {
        column.name: placed
        for column in table.columns
        if (placed := smallest(placements(column, surveyed.folders.values())))
    }
    if not by_column:
        return None
    columns = [table[name] for name in by_column]
    column = _id_column(table, columns, by_column, sample, inquiry)
    return _in_one_folder(surveyed, roles, by_column[column.name], inquiry)


def _id_column(
    table: Table,
    columns: Sequence[Column],
    by_column: dict[str, list[Placement]],
    sample: Table | None,
    inquiry: Inquiry,
) -> Column:
    chosen = inquiry.options.id
    names = [column.name for column in columns]
    if chosen in names:
        return table[chosen]
    likely = _likely(columns, sample)
    paths = {tuple(by_column[column.name][0].paths) for column in likely}
    if len(paths) == 1:
        return likely[0]
    meanings = {column.name: f"such as {column.cells[0][:40]}" for column in likely}
    text = f"{table.file}: several columns name images, but not the same ones"
    return table[inquiry.choose("id", text, meanings, allowed=names)]


def _likely(columns: Sequence[Column], sample: Table | None) -> list[Column]:
    """The columns that are ids by every evidence there is: each rule keeps some, or all."""
    likely = list(columns)
    rules = (
        lambda column: bool(sample and _is_named_id(column, sample)),
        lambda column: len(column.counts) == len(column.cells),
        lambda column: not (column.name.lower() in INDEX_NAMES and column.is_counter),
        _has_suffixes,
    )
    for rule in rules:
        likely = [column for column in likely if rule(column)] or likely
    return likely


def _is_named_id(column: Column, sample: Table) -> bool:
    """Whether a column is called as the sample's ids are, and not as pandas calls its index."""
    name = sample.header[0]
    return same_name(column.name, name) and name.lower() not in INDEX_NAMES


def _has_suffixes(column: Column) -> bool:
    """Whether the cells are file names with an image's suffix."""
    return all(cell.lower().endswith(tuple(SUFFIXES)) for cell in column.some_cells)


def _in_one_folder(
    surveyed: Survey, roles: Roles, placed: Sequence[Placement], inquiry: Inquiry
) -> Placement:
    """The placement in the training folder, if the ids fit several."""
    if len(placed) == 1:
        return placed[0]
    by_folder = {placement.folder.name: placement for placement in placed}
    folders: list[ImageFolder] = [placement.folder for placement in placed]
    training = [folder for folder in folders if roles.split_of(folder) == "train"]
    unnamed = [folder for folder in folders if roles.split_of(folder) is None]
    folder = one_of(surveyed, training or unnamed or folders, "train", inquiry)
    return by_folder.get(folder.name, placed[0])
