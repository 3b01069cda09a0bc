"""The validation images that the data set sets apart: a folder, a second table, or a column."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ensemble.dataset.filenames import same_form, without_suffix
from ensemble.dataset.split_names import split_of_name
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placement
from ensemble.layout.roles import Roles
from ensemble.layout.survey import ImageFolder, Survey
from ensemble.layout.table import Table

# what the cells of a column of splits say
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def validation_folder(roles: Roles, labeling: Labeling) -> ImageFolder | None:
    """A folder of labeled images for validation; of several test folders, a labeled one serves."""
    labeled = [folder for folder in roles["valid"] if _is_labeled(folder, labeling)]
    if labeled:
        return labeled[0]
    tests = roles["test"]
    labeled = [folder for folder in tests if _is_labeled(folder, labeling)]
    return labeled[0] if len(tests) > len(labeled) > 0 and not roles["valid"] else None


def _is_labeled(folder: ImageFolder, labeling: Labeling) -> bool:
    """Whether the images of a folder have labels of the same kind."""
    if folder.name == labeling.folder.name:
        return False
    if labeling.source == "folders":
        classes = {same_form(name) for name in labeling.classes}
        return bool(folder.classes) and {same_form(name) for name in folder.classes} <= classes
    if labeling.source == "names":
        stems = [without_suffix(PurePosixPath(image).name) for image in folder.images]
        return all(re.search(labeling.pattern, stem) for stem in stems)
    return False


def merged(surveyed: Survey, labelings: Sequence[Labeling]) -> list[Labeling]:
    """Labelings of tables with one header about different images, such as train and valid, as one.

    splits then says which table an image is from, where the tables' names mean splits. Tables that
    label an image differently, or of which only some are named like splits, stay apart.
    """
    by_columns: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Labeling]] = {}
    rest: list[Labeling] = []
    for labeling in labelings:
        if labeling.table is None:
            rest.append(labeling)
        else:
            key = labeling.table.header, labeling.columns
            by_columns.setdefault(key, []).append(labeling)
    joined = [labeling for alike in by_columns.values() for labeling in _joined(surveyed, alike)]
    return joined + rest


def _joined(surveyed: Survey, labelings: Sequence[Labeling]) -> list[Labeling]:
    labelings = sorted(labelings, key=lambda labeling: _split_of(labeling.table) != "train")
    first = labelings[0]
    images = [
        {lab.folder.path_of(image): text for image, text in lab.labels.items()} for lab in labelings
    ]
    n_images = sum(map(len, images))
    labels = {image: text for part in images for image, text in part.items()}
    if len(labelings) == 1:
        return labelings
    if len(labels) < n_images:
        covers_all = len(images[0]) == len(labels)
        agrees = all(
            images[0].get(image) == text for part in images for image, text in part.items()
        )
        return [first] if covers_all and agrees else labelings
    names = [_split_of(labeling.table) for labeling in labelings]
    if 0 < names.count(None) < len(names):
        return labelings
    splits: dict[str, str] = {}
    if "train" in names and None not in names:
        for split, part in zip(names, images, strict=True):
            splits |= dict.fromkeys(part, str(split))
    root = surveyed.folders["."]
    return [replace(first, folder=root, labels=labels, splits=splits, is_joined=True)]


def with_listed_splits(
    surveyed: Survey, roles: Roles, labeling: Labeling, tables: Iterable[tuple[Table, Placement]]
) -> Labeling:
    """The labeling with the labels of tables about validation or test images alone.

    Such a table has one column whose cells are classes, and its name or folder is that of a split.
    """
    labels = {labeling.folder.path_of(image): text for image, text in labeling.labels.items()}
    splits: dict[str, str] = {}
    for table, placement in tables:
        split = _split_of(table) or _split_of_all(placement, roles)
        columns = [
            column
            for column in table.others(placement.column)
            if len(column.counts) > 1 and set(column.counts) <= set(labeling.classes)
        ]
        paths = [path for path in placement.paths if path is not None]
        if split in ("valid", "test") and len(columns) == 1 and not labels.keys() & set(paths):
            rows = zip(placement.paths, columns[0].cells, strict=True)
            labels |= {path: cell for path, cell in rows if path is not None}
            splits |= dict.fromkeys(paths, str(split))
    if not splits:
        return labeling
    splits = {path: splits.get(path, "train") for path in labels}
    root = surveyed.folders["."]
    return replace(labeling, folder=root, labels=labels, splits=splits, is_joined=True)


def _split_of_all(placement: Placement, roles: Roles) -> str | None:
    """The split of the folder whose images a table lists, all of them."""
    is_complete = set(placement.images) >= set(placement.folder.images)
    return roles.split_of(placement.folder) if is_complete else None


def _split_of(table: Table | None) -> str | None:
    return split_of_name(PurePosixPath(table.file).stem) if table else None


@dataclass(frozen=True)
class Splits:
    """The split of labeled images, by path in the labels' folder, where the data set says it.

    column is the column of the labels' table that says so, "" where tables or folders do.
    """

    split_of: Mapping[str, str]
    column: str = ""

    def __bool__(self) -> bool:
        return bool(self.split_of)

    def count(self, split: str) -> int:
        """The number of images of a split."""
        return list(self.split_of.values()).count(split)


def splits_of(labeling: Labeling, roles: Roles) -> Splits:
    """The splits that a column, the tables' names or the folders of the labeled images state."""
    if labeling.splits:
        return Splits(labeling.splits)
    if labeling.table is None or labeling.placement is None:
        return Splits({})
    for column in labeling.table.others(labeling.placement.column, *labeling.columns):
        splits = {SPLIT_WORDS.get(cell.lower()) for cell in column.counts}
        if None not in splits and {"train", "valid"} <= splits:
            rows = zip(labeling.placement.images, column.cells, strict=True)
            split_of = {image: SPLIT_WORDS[cell.lower()] for image, cell in rows if image}
            return Splits(split_of, column.name)
    return Splits(_by_folder(labeling, roles))


def _by_folder(labeling: Labeling, roles: Roles) -> dict[str, str]:
    """The split of each image by the folder that it is in, {} where all are for training."""
    split_of: dict[str, str] = {}
    for split in ("valid", "test"):
        for folder in roles[split]:
            inside = labeling.folder.name == "." or folder.name.startswith(
                f"{labeling.folder.name}/"
            )
            if inside:
                start = 0 if labeling.folder.name == "." else len(labeling.folder.name) + 1
                prefix = f"{folder.name[start:]}/"
                split_of |= {image: split for image in labeling.labels if image.startswith(prefix)}
    if not split_of:
        return {}
    return {image: split_of.get(image, "train") for image in labeling.labels}
