"""The validation images that the data set sets apart: a folder, a second table, or a column."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from ensemble.dataset.column_names import letters
from ensemble.dataset.filenames import same_form, without_suffix
from ensemble.dataset.split import SPLIT_NAMES
from ensemble.dataset.split_names import Split, split_of_name, usual_split
from ensemble.layout.labeling import Labeling
from ensemble.layout.roles import Roles
from ensemble.layout.survey import Folder
from ensemble.layout.table import Column

# what cells of a column of splits say beside the words for splits
SHORT_WORDS: dict[str, Split] = {"tr": "train", "va": "valid", "te": "test"}
# columns that say yes or no to a split: the splits of yes and of no
YES_NO: dict[str, tuple[Split, Split]] = {
    **dict.fromkeys(("isvalid", "isval", "isvalidation"), ("valid", "train")),
    **dict.fromkeys(("istest", "istesting", "istestimage"), ("test", "train")),
    **dict.fromkeys(("istrain", "istraining", "istrainingimage"), ("train", "test")),
}
# columns that may say a split in words or numbers of their own
LIKE_SPLITS = {
    *("split", "splits", "fold", "folds", "kfold", "phase", "subset", "partition", "usage", "set"),
    *("datasplit", "dataset", "datatype", "evaluation", "evaluationstatus", "train", *YES_NO),
    *("test", "valid", "val", "training", "traintestsplit"),
}
MOST_PARTS = 20


def validation_folder(roles: Roles, labeling: Labeling) -> Folder | None:
    """A folder of labeled images for validation; of several test folders, a labeled one serves."""
    labeled = [folder for folder in roles["valid"] if _is_labeled(folder, labeling)]
    if labeled:
        return labeled[0]
    labeled = [folder for folder in roles["test"] if _is_labeled(folder, labeling)]
    rest = [folder for folder in roles["test"] if folder not in labeled]
    if not labeled or not rest or roles["valid"]:
        return None
    is_test = usual_split(labeled[0].last_name) and not usual_split(rest[0].last_name)
    return None if is_test else labeled[0]


def _is_labeled(folder: Folder, labeling: Labeling) -> bool:
    """Whether the images of a folder have labels of the same kind."""
    if folder.name == labeling.folder.name:
        return False
    if labeling.source == "folders":
        return bool(folder.classes) and not _other_classes(folder, labeling)
    if labeling.source == "names":
        stems = [without_suffix(PurePosixPath(image).name) for image in folder.images]
        return all(re.search(labeling.pattern, stem) for stem in stems)
    return False


def _other_classes(folder: Folder, labeling: Labeling) -> list[str]:
    """The class folders that the training images do not have, in any case of their letters."""
    classes = {same_form(name).casefold() for name in labeling.classes}
    return [name for name in folder.classes if same_form(name).casefold() not in classes]


def unused_validation(roles: Roles, labeling: Labeling, valid: Folder | None) -> list[str]:
    """Doubts about validation folders that are not used since other classes are in them."""
    if valid is not None or labeling.source != "folders":
        return []
    return [
        f"{folder.name} is not used for validation: its folder {names[0]!r} is no training class"
        for folder in roles["valid"]
        if folder.classes and (names := _other_classes(folder, labeling))
    ]


@dataclass(frozen=True)
class Splits:
    """The split of labeled images, by path in the labels' folder, where the data set says it.

    column is the column of the labels' table that says so, "" where tables or folders do;
    recipe_column the same, "" also where its words are not those that a recipe reads.
    """

    split_of: Mapping[str, str]
    column: str = ""
    recipe_column: str = ""

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
    if stated := _by_column(labeling):
        column, split_of = stated
        return Splits(split_of, column.name, column.name if _is_readable(column) else "")
    return Splits(_by_folder(labeling, roles))


def _by_column(labeling: Labeling) -> tuple[Column, dict[str, str]] | None:
    """The first column beside the labels that says splits, and the split of each image."""
    if labeling.table is None or labeling.placement is None:
        return None
    for column in labeling.table.others(labeling.placement.column, *labeling.columns):
        if splits := splits_in(column):
            rows = zip(labeling.placement.images, splits, strict=True)
            return column, {image: split for image, split in rows if image}
    return None


def _is_readable(column: Column) -> bool:
    """Whether a recipe can name the column as it is."""
    return all(cell.lower() in SPLIT_NAMES for cell in column.counts)


def is_of_splits(column: Column) -> bool:
    """Whether a column says for each image whether it is for training or for another split."""
    return bool(splits_in(column))


def splits_in(column: Column) -> tuple[str, ...]:
    """The split of each row that a column says, () for a column of anything else."""
    if len(column.counts) > MOST_PARTS:
        return ()
    words = _words(column)
    splits = set(words.values())
    if None in splits or "train" not in splits or len(splits) == 1:
        return ()
    return tuple(str(words[cell]) for cell in column.cells)


def _words(column: Column) -> Mapping[str, Split | None]:
    """What each cell of a column of splits would say: true and false under `is_valid`.

    `PrivateTest` says it under `Usage`, but not in a column of another kind.
    """
    name = letters(column.name)
    if name in YES_NO and column.is_one is not None:
        yes, no = YES_NO[name]
        rows = zip(column.cells, column.is_one, strict=True)
        return {cell: yes if is_one else no for cell, is_one in rows}
    forms = {cell: cell if name in LIKE_SPLITS else letters(cell) for cell in column.counts}
    return {
        cell: SHORT_WORDS.get(cell.lower()) or split_of_name(form) for cell, form in forms.items()
    }


def may_be_of_splits(column: Column) -> bool:
    """Whether a column is called as those of splits or folds are, and says few things."""
    return letters(column.name) in LIKE_SPLITS and 2 <= len(column.counts) <= MOST_PARTS


def without_unlabeled_tests(labeling: Labeling) -> Labeling:
    """The same without empty labels of images that a column says are for testing."""
    stated = _by_column(labeling)
    if stated is None:
        return labeling
    _, split_of = stated
    kept = {i: label for i, label in labeling.labels.items() if label or split_of.get(i) != "test"}
    return replace(labeling, labels=kept)


def without_test_rows(labeling: Labeling, splits: Splits) -> tuple[Labeling, Splits]:
    """The same without the labels of test images; without splits where all are for training."""
    kept = {image: split for image, split in splits.split_of.items() if split != "test"}
    labels = {image: label for image, label in labeling.labels.items() if image in kept}
    labeling = replace(labeling, labels=labels, splits={})
    return labeling, replace(splits, split_of=kept) if "valid" in kept.values() else Splits({})


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
