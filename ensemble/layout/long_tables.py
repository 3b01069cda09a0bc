"""Tables of several rows for an image: a row for each image and class, or for each of its labels."""

from collections.abc import Sequence
from dataclasses import replace

from ensemble.dataset.column_names import is_usual_label
from ensemble.dataset.separators import free_mark
from ensemble.errors import DataError
from ensemble.layout.labeling import Labeling
from ensemble.layout.questions import Inquiry
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table


def with_wide_tables(surveyed: Survey, sample: Table | None) -> Survey:
    """The survey with a row for each image in tables of 0 and 1 for each image and class."""
    tables = [
        table if table is sample else _widened(table, surveyed.folders["."], sample)
        for table in surveyed.tables
    ]
    return replace(surveyed, tables=tuple(tables))


def _widened(table: Table, images: Folder, sample: Table | None) -> Table:
    """A table with a row for each image and class, and one column of 0 and 1, with a row for each
    image and a column for each class; any other table as it is.

    The classes are in a column that is called as labels are, or as the sample's columns. The image
    and the class may be one text, such as 12_cat.
    """
    answers = [column for column in table.columns if column.is_one is not None]
    if len(table) < 4 or len(answers) != 1 or len(answers[0].counts) < 2:
        return table
    others = [column for column in table.columns if column not in answers]
    of_sample = sample.header if sample else ()
    grids = [
        (ids, names)
        for ids, names in _grids(others, images)
        if is_usual_label(names.name)
        or names.name in of_sample
        or set(names.counts) <= set(of_sample)
    ]
    grids = grids or _grids_of_texts(others, images)
    if len(grids) != 1:
        return table
    ids, names = grids[0]
    cells = dict(zip(zip(ids.cells, names.cells, strict=True), answers[0].cells, strict=True))
    columns = [Column(name, tuple(cells[i, name] for i in ids.counts)) for name in names.counts]
    return replace(table, columns=(Column(ids.name, tuple(ids.counts)), *columns), form="wide")


def check_not_long(sample: Table | None, images: Folder) -> None:
    """Raises DataError for a sample submission with a row for each image and class."""
    if sample is None or len(sample) < 4 or sample.columns[-1].numbers is None:
        return
    columns = sample.columns[:-1]
    if not (_grids(columns, images) or _grids_of_texts(columns, images)):
        return
    example = ",".join(column.cells[0] for column in columns)
    raise DataError(
        f"{sample.file}: a row for each image and class, such as {example[:60]!r}; a submission is "
        "written with one for each image\n"
        "name a table of an id and a column for each class by --sample (pandas: pivot), and turn the "
        "CSV that is written for it back (melt)"
    )


def _grids(columns: Sequence[Column], images: Folder) -> list[tuple[Column, Column]]:
    """The columns of images and of classes in which each image has each class in one row.

    Of two columns with other names for the same classes it is the one of texts.
    """
    found = [
        (ids, names)
        for ids in columns
        for names in columns
        if ids is not names and _is_grid(ids, names) and images.may_name(list(ids.counts))
    ]
    of_texts = [(ids, names) for ids, names in found if names.numbers is None]
    return of_texts or found


def _is_grid(ids: Column, names: Column) -> bool:
    n_pairs = len(set(zip(ids.cells, names.cells, strict=True)))
    n_ids, n_names = len(ids.counts), len(names.counts)
    return n_pairs == len(ids.cells) == n_ids * n_names and n_ids > 1 and n_names > 1


def _grids_of_texts(columns: Sequence[Column], images: Folder) -> list[tuple[Column, Column]]:
    """The same for a column of texts such as 12_cat, parted at the last mark."""
    found: list[tuple[Column, Column]] = []
    for column in columns:
        parts = [cell.rpartition("_") for cell in column.cells]
        ids = Column(column.name, tuple(before for before, _, _ in parts))
        names = Column("class", tuple(after for _, _, after in parts))
        if all(mark and after for _, mark, after in parts) and not names.is_whole:
            found += _grids([ids, names], images)
    return found


def with_all_labels(labeling: Labeling, inquiry: Inquiry) -> Labeling:
    """The labeling by a table with a row for each label of an image, where the user says so.

    Raises DataError for any other image with two labels.
    """
    if not labeling.conflict or labeling.table is None or labeling.placement is None:
        return labeling
    column = labeling.table[labeling.columns[0]]
    names: dict[str, set[str]] = {}
    for image, cell in zip(labeling.placement.images, column.cells, strict=True):
        if image is not None:
            names.setdefault(image, set()).update({cell} if cell else ())
    mark = free_mark(column.counts)
    if inquiry.options.answer != "labels" or not mark:
        raise _two_labels(labeling, column, len(set(map(frozenset, names.values()))) == 1)
    _check_all_hold(labeling.table, column)
    labels = {image: mark.join(sorted(several)) for image, several in names.items()}
    return replace(labeling, labels=labels, target="labels", separator=mark, conflict="")


def _check_all_hold(table: Table, labels: Column) -> None:
    """Raises DataError where a column of 0 and 1, or of shares, may say which rows do not hold."""
    for column in table.others(labels.name):
        if len(column.counts) > 1 and (column.is_one is not None or _are_shares(column)):
            lowest = min(column.counts)
            raise DataError(
                f"{table.file}: column {column.name} is {lowest} in {column.counts[lowest]:,} rows: "
                "are these labels that an image does not have?\n"
                f"leave out such rows, then column {column.name}, and run `ens init` again"
            )


def _are_shares(column: Column) -> bool:
    """Whether all cells are numbers from 0 to 1."""
    return column.numbers is not None and all(0 <= share <= 1 for share in column.numbers)


def _two_labels(labeling: Labeling, column: Column, are_all: bool) -> DataError:
    """The error for an image with two labels; are_all says that every image has every label."""
    assert labeling.table is not None
    next_step = "leave one row for each image"
    if are_all and column.is_one is None:
        next_step = "a column of 0 and 1 must say which of its rows are an image's labels"
    elif column.is_one is None:
        next_step += "; or, where an image has all the labels of its rows, add --answer labels"
    return DataError(
        f"{labeling.table.file}: column {column.name}: an image has two labels, {labeling.conflict}\n"
        f"{next_step}; or name another column with --label"
    )
