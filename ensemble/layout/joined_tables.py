"""Labels and splits of several tables as one labeling: train and valid lists, labels of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ensemble.dataset.column_names import is_usual_label
from ensemble.dataset.split_names import split_of_file, without_split
from ensemble.grouping import grouped
from ensemble.layout.labeling import Labeling, by_columns
from ensemble.layout.placement import Placed, Placement
from ensemble.layout.roles import Roles
from ensemble.layout.survey import Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.validation import splits_in


def merged(surveyed: Survey, labelings: Sequence[Labeling]) -> list[Labeling]:
    """Labelings of tables with one header about different images, such as train and valid, as one.

    splits then says which table an image is from, where the tables' names mean splits. Tables that
    label an image differently, or of which only some are named like splits, stay apart.
    """
    by_columns = grouped(
        ((labeling.table.header, labeling.columns), labeling)
        for labeling in labelings
        if labeling.table
    )
    return [
        *(part for alike in by_columns.values() for part in _joined_or_apart(surveyed, alike)),
        *(labeling for labeling in labelings if labeling.table is None),
    ]


def _joined_or_apart(surveyed: Survey, labelings: Sequence[Labeling]) -> list[Labeling]:
    """One labeling of different images; of the same images the largest, or all that disagree."""
    labelings = sorted(labelings, key=_train_first)
    images = [labeling.by_path for labeling in labelings]
    labels = {image: label for part in images for image, label in part.items()}
    if len(labels) == sum(map(len, images)):
        names = [labeling.named_split for labeling in labelings]
        are_apart = 0 < names.count(None) < len(names)
        return labelings if are_apart else [_joined(surveyed, labelings, images)]
    largest = max(labelings, key=lambda labeling: len(labeling.labels))
    is_same = all(labels[image] == label for part in images for image, label in part.items())
    if is_same and len(largest.labels) == len(labels):
        return [largest]
    by_kind = grouped((_kind(labeling), labeling) for labeling in labelings)
    if len(by_kind) == 1:
        return labelings
    return [joined for alike in by_kind.values() for joined in _joined_or_apart(surveyed, alike)]


def _train_first(labeling: Labeling) -> bool:
    return labeling.named_split != "train"


def _kind(labeling: Labeling) -> str:
    """The name of a table without the words for its split."""
    assert labeling.table is not None
    return without_split(PurePosixPath(labeling.table.file).stem)


def _joined(
    surveyed: Survey, labelings: Sequence[Labeling], images: Sequence[Mapping[str, str]]
) -> Labeling:
    if len(labelings) == 1:
        return labelings[0]
    names = [labeling.named_split for labeling in labelings]
    splits: dict[str, str] = {}
    if "train" in names and None not in names:
        for split, part in zip(names, images, strict=True):
            splits |= dict.fromkeys(part, str(split))
    labels = {image: label for part in images for image, label in part.items()}
    root = surveyed.folders["."]
    targets = {labeling.target for labeling in labelings}
    target = labelings[0].target if len(targets) == 1 else "labels"  # some rows of columns have two
    return replace(
        labelings[0], folder=root, labels=labels, splits=splits, is_joined=True, target=target
    )


def by_all_columns(surveyed: Survey, placed: Placed, likely: Sequence[Labeling]) -> Labeling | None:
    """The labeling by all those columns of 0 and 1 that could each be the label, of all tables that
    have them; None for fewer than two, and for several kinds of tables.
    """
    named = {labeling.columns[0] for labeling in likely if _is_yes_no(labeling)}
    headers = {labeling.table.header for labeling in likely if labeling.table}
    if len(headers) != 1 or len(named) < 2:
        return None
    header = headers.pop()
    columns = tuple(name for name in header if name in named)
    of_tables = [
        by_columns(table, placement, columns)
        for table, placement in placed.values()
        if table.header == header
    ]
    joined = merged(surveyed, of_tables)
    return joined[0] if len(joined) == 1 else None


def _is_yes_no(labeling: Labeling) -> bool:
    if labeling.table is None or labeling.source != "column":
        return False
    return labeling.table[labeling.columns[0]].is_one is not None


def with_listed_splits(
    surveyed: Survey, roles: Roles, labeling: Labeling, placed: Placed
) -> Labeling:
    """The labeling with the splits that tables state, and with the labels of those they label.

    A table with labels is about validation or test images alone and has one column whose cells are
    classes. A list of images says which of the labeled ones are for which split.
    """
    labels, splits = dict(labeling.by_path), dict[str, str]()
    for table, placement in placed.values():
        split = split_of_file(table.file) or _split_of_all(placement, roles)
        columns = _label_columns(table, placement, labeling)
        paths = [path for path in placement.paths if path is not None]
        if split in ("valid", "test") and len(columns) == 1 and not labels.keys() & set(paths):
            rows = zip(placement.paths, columns[0].cells, strict=True)
            labels |= {path: cell for path, cell in rows if path is not None}
            splits |= dict.fromkeys(paths, str(split))
    if not splits:
        return _with_lists(labeling, placed)
    splits = {path: splits.get(path, "train") for path in labels}
    root = surveyed.folders["."]
    return replace(labeling, folder=root, labels=labels, splits=splits, is_joined=True)


def _split_of_all(placement: Placement, roles: Roles) -> str | None:
    """The split of the folder whose images a table lists, all of them."""
    is_complete = set(placement.images) >= set(placement.folder.images)
    return roles.split_of(placement.folder) if is_complete else None


def _with_lists(labeling: Labeling, placed: Placed) -> Labeling:
    """The labeling with the splits of its images that lists state; images in no list are left out."""
    split_of = _listed(labeling.by_path, labeling, placed)
    if not split_of:
        return labeling
    splits = {
        image: split_of[path]
        for image in labeling.labels
        if (path := labeling.folder.path_of(image)) in split_of
    }
    labels = {image: labeling.labels[image] for image in splits}
    return replace(labeling, labels=labels, splits=splits)


def _label_columns(table: Table, placement: Placement, labeling: Labeling) -> list[Column]:
    """The columns whose cells are classes: those of a usual name, if any are."""
    columns = [
        column
        for column in table.others(placement.column)
        if len(column.counts) > 1 and set(column.counts) <= set(labeling.classes)
    ]
    return [column for column in columns if is_usual_label(column.name)] or columns


def _stated_splits(table: Table, placement: Placement) -> tuple[str, ...]:
    """The split of each row of a table: by the only column that says it, else by the table's name."""
    of_columns = [splits_in(column) for column in table.others(placement.column)]
    stated = [splits for splits in of_columns if splits]
    if stated:
        return stated[0] if len(stated) == 1 else ()
    split = split_of_file(table.file)
    return (split,) * len(table) if split else ()


def _listed(labels: Mapping[str, str], labeling: Labeling, placed: Placed) -> dict[str, str]:
    """The splits of labeled images that lists of different ones state, or a table's column of splits.

    {} without such tables. Lists of nothing but ids may leave images out, other tables must not.
    """
    lists: dict[str, set[str]] = {}
    n_listed, are_ids_alone = 0, True
    for table, placement in placed.values():
        paths = set(placement.paths)
        splits_of_rows = _stated_splits(table, placement)
        if splits_of_rows and table is not labeling.table and paths <= labels.keys():
            for split, path in zip(splits_of_rows, placement.paths, strict=True):
                lists.setdefault(split, set()).add(str(path))
            n_listed += len(paths)
            are_ids_alone = are_ids_alone and len(table.columns) == 1
    splits = {path: split for split, paths in lists.items() for path in paths}
    is_whole = are_ids_alone or len(splits) == len(labels)
    if not lists.keys() & {"valid", "test"} or len(splits) < n_listed or not is_whole:
        return {}
    if "train" not in lists:
        splits = dict.fromkeys(labels, "train") | splits
    return splits if len(set(splits.values())) > 1 else {}
