"""Which column of a table names the images, and in which folder they are."""

from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from ensemble.dataset.column_names import same_name
from ensemble.dataset.filenames import SUFFIXES
from ensemble.dataset.split_names import split_of_file
from ensemble.layout.inner_folders import no_masks
from ensemble.layout.placement import Placement, is_inside, placements, smallest
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, one_of, without_copies
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table

INDEX_NAMES = ("", "index", "unnamed: 0", "unnamed: 0.1", "#", "row", "no", "no.", "nr")

MOST_FOLDERS = 3  # that could hold the images of a table
MOST_ROWS = 50  # of a table about one image, on average

SMALL_SHARE = 0.1  # of a folder's images


def placed_table(
    surveyed: Survey, roles: Roles, table: Table, sample: Table | None, inquiry: Inquiry
) -> Placement | None:
    """The images that a table is about: by its id column, in one folder; None if by none."""
    by_column = {
        column.name: placed
        for column in table.columns
        if not _is_of_classes(column)
        and (placed := smallest(placements(column, surveyed.folders.values())))
        and not _is_chance(table, column, placed)
    }
    if not by_column or _is_of_pairs(table, by_column):
        return None
    columns = [table[name] for name in by_column]
    column = _id_column(table, columns, by_column, sample, inquiry)
    return _in_one_folder(surveyed, roles, table, by_column[column.name], inquiry)


def _is_of_pairs(table: Table, named: Collection[str]) -> bool:
    """Whether a table has nothing but images in columns of one name with a number: image_1, image_2."""
    stems = {name.rstrip("0123456789") for name in table.header}
    return table.has_header and len(table.header) == len(named) > len(stems) == 1


def _is_of_classes(column: Column) -> bool:
    """Whether so many rows have the same cell that it is a class, though a file has this name."""
    n_rows, n_cells = len(column.cells), len(column.counts)
    return n_rows > MOST_ROWS * n_cells or (column.is_binary and n_rows > n_cells)


def _is_chance(table: Table, column: Column, placed: Sequence[Placement]) -> bool:
    """Whether a few numbers, such as those of classes or epochs, are file names by chance."""
    n_images = min(len(placement.folder.images) for placement in placed)
    is_small = len(column.counts) < SMALL_SHARE * n_images
    return is_small and column.is_whole and split_of_file(table.file) is None


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
    likely += _rivals(likely[0], _likely(columns, None), by_column)
    paths = {tuple(by_column[column.name][0].paths) for column in likely}
    if len(paths) == 1:
        return likely[0]
    meanings = {column.name: f"such as {column.cells[0][:40]}" for column in likely}
    text = f"{table.file}: several columns name images, but not the same ones"
    return table[inquiry.choose("id", text, meanings, allowed=names)]


def _rivals(
    chosen: Column, columns: Sequence[Column], by_column: dict[str, list[Placement]]
) -> list[Column]:
    """The likely columns, but for their names, that give the same images other rows.

    A column that counts the rows is no rival of another one.
    """
    paths = by_column[chosen.name][0].paths
    return [
        column
        for column in columns
        if (chosen.is_counter or not column.is_counter)
        and set(by_column[column.name][0].paths) == set(paths)
        and by_column[column.name][0].paths != paths
    ]


def _likely(columns: Sequence[Column], sample: Table | None) -> list[Column]:
    """The columns that are ids by every evidence there is: each rule keeps some, or all.

    Beside file names, each in one row, a number in several rows is no id, though the sample has it.
    """
    likely = list(columns)
    has_files = any(column.is_unique and _has_suffixes(column) for column in columns)
    rules = (
        lambda column: not has_files or column.is_unique,
        lambda column: bool(sample and _is_named_id(column, sample)),
        lambda column: column.is_unique,
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
    surveyed: Survey,
    roles: Roles,
    table: Table,
    placed: Sequence[Placement],
    inquiry: Inquiry,
) -> Placement | None:
    """The placement in the table's own folder, else in that of its split, else of training, if the
    ids fit several.

    Ids that fit many folders, such as all class folders, are about none.
    """
    own = Folder(PurePosixPath(table.file).parent.as_posix(), ())
    inside = [p for p in placed if p.folder.name == own.name or is_inside(p.folder, own)]
    placed = [p for p in inside if no_masks([p.folder])] or placed
    split = split_of_file(table.file)
    of_split = [placement for placement in placed if split == roles.split_of(placement.folder)]
    if len(placed) == 1 or (split and len(of_split) == 1):
        return (of_split or placed)[0]
    by_folder = {placement.folder.name: placement for placement in placed}
    folders: list[Folder] = [placement.folder for placement in placed]
    training = [folder for folder in folders if roles.split_of(folder) == "train"]
    unnamed = [folder for folder in folders if roles.split_of(folder) is None]
    candidates = training or unnamed or folders
    if len(without_copies(surveyed, candidates)) > MOST_FOLDERS:
        return None
    folder = one_of(surveyed, candidates, "train", inquiry)
    return by_folder.get(folder.name, placed[0])
