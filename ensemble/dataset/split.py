"""Split a recipe's images into train, valid and test: by folders, fractions, folds or a column.

Images of one group are never split.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble.dataset.class_folders import class_folders, test_folder
from ensemble.dataset.groups import check_groups, with_groups
from ensemble.dataset.label_cells import CellReading
from ensemble.dataset.labels import Labelled, labelled_by_name, labelled_files
from ensemble.dataset.listed_test import ListedImages, check_not_labeled, listed_images
from ensemble.dataset.listed_test import test_images as listed_test_images
from ensemble.dataset.shares import folds_of, rare_line, share_of
from ensemble.dataset.stratified import Array
from ensemble.dataset.tables import Images
from ensemble.dataset.truth import check_source, checked_names
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import ColumnSplit, Data, Folds, LabelsPattern, TestTable

SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint tables; validated holds the rows that any fold validates (valid, without folds).

    columns are those of the labels in a table, () without one; n_missing rows of it have no image
    and are left out. notes are lines for the user, separator the mark between labels in its cells.
    """

    train: Images
    valid: Images
    test: Images | None
    validated: Images
    columns: tuple[str, ...] = ()
    n_missing: int = 0
    notes: tuple[str, ...] = ()
    separator: str | None = None


def split_images(data: Data, root: Path, fold: int = 0) -> Splits:
    """The splits of one run; fold counts where `data.valid` asks for folds.

    Raises DataError, RecipeError.
    """
    check_source(data)
    listed = None
    if isinstance(data.test, TestTable):
        listed = listed_images(root, data.train, data.test)
    pool = _pool(data, root, listed)
    _check_some_left(pool, listed, root / data.train)
    pool = with_groups(pool, data, root)
    test, test_notes = _test(data, root, pool, listed)
    if isinstance(data.valid, ColumnSplit):
        splits = _by_column(pool, test, data)
    else:
        splits = _by_share(pool.images, test, data, fold)
    if isinstance(data.valid, str):
        valid = _valid_folder(data, root, data.valid, listed)
        _check_some_left(valid, listed, root / data.valid)
        splits = replace(splits, valid=valid.images, validated=valid.images, notes=valid.notes)
    notes = [*pool.notes, *splits.notes, _unlisted_line(pool, data, root, listed), *test_notes]
    lines = tuple(line for line in dict.fromkeys(notes) if line)
    return replace(
        splits,
        columns=pool.columns,
        n_missing=pool.n_missing,
        notes=lines,
        separator=pool.separator,
    )


def _by_share(pool: Images, test: Images | None, data: Data, fold: int) -> Splits:
    """Fractions and folds; where a folder is the validation set, the whole pool is for training."""
    if isinstance(data.test, float):
        mask = share_of(pool, data.test, data, "test")
        pool, test = pool.where(~mask), pool.where(mask)
    pool = _sampled(pool, data)
    if isinstance(data.valid, Folds):
        fold_of = folds_of(pool, data, data.valid.folds)
        mask, notes = fold_of == fold, (rare_line(pool, data),)
        validated = pool.where(fold_of >= 0)
        return Splits(pool.where(~mask), pool.where(mask), test, validated, notes=notes)
    if not isinstance(data.valid, float):
        return Splits(pool, pool, test, pool)
    mask = share_of(pool, data.valid, data, "valid")
    valid = pool.where(mask)
    return Splits(pool.where(~mask), valid, test, valid, notes=(rare_line(pool, data),))


def _pool(data: Data, root: Path, listed: ListedImages | None) -> Labelled:
    """The labeled images to split, without those that a table lists for the test."""
    test = listed.file_set if listed else frozenset()
    has_table = data.source != "folder" and not isinstance(data.labels, LabelsPattern)
    if isinstance(data.valid, ColumnSplit) and not has_table:
        raise RecipeError(
            "data.valid: {column: …} needs data.source: csv, a labels file with that column"
        )
    if data.source == "folder":
        return checked_names(Labelled(class_folders(root / data.train, test)), data)
    if isinstance(data.labels, LabelsPattern):
        is_shared = _is_test_in_train(data, root)
        pattern = data.labels.pattern
        return checked_names(labelled_by_name(root, data.train, pattern, test, is_shared), data)
    elsewhere = data.valid if isinstance(data.valid, str) else None
    pool = _listed_in_table(data, root, data.train, elsewhere)
    if listed:
        check_not_labeled(listed, pool)
    return pool


def _listed_in_table(data: Data, root: Path, folder: str, elsewhere: str | None) -> Labelled:
    """The images of a folder that the labels table lists."""
    assert not isinstance(data.labels, LabelsPattern)
    reading = CellReading(data.target, data.separator)
    return labelled_files(root, folder, data.labels, elsewhere, data.skip_missing, reading)


def _is_test_in_train(data: Data, root: Path) -> bool:
    """Whether the training folder is the test folder too."""
    if not isinstance(data.test, str):
        return False
    return (root / data.test).resolve() == (root / data.train).resolve()


def _check_some_left(labelled: Labelled, listed: ListedImages | None, folder: Path) -> None:
    """Raises DataError where a table lists all images of a folder for the test."""
    if listed and not labelled.images:
        raise DataError(
            f"data.test: {listed.table.path.name} names every image in {folder}\n"
            "no image is left there; data.test needs a table of the test images alone"
        )


def _valid_folder(data: Data, root: Path, folder: str, listed: ListedImages | None) -> Labelled:
    """The validation folder's images, without those that a table lists for the test."""
    test = listed.file_set if listed else frozenset()
    if data.source == "folder":
        return checked_names(Labelled(class_folders(root / folder, test)), data)
    if isinstance(data.labels, LabelsPattern):
        return checked_names(labelled_by_name(root, folder, data.labels.pattern, test), data)
    valid = _listed_in_table(data, root, folder, data.train)
    if listed:
        check_not_labeled(listed, valid)
    line = _images_line(len(set(valid.unlisted) - test), folder, valid)
    return replace(valid, notes=(*valid.notes, line))


def _unlisted_line(pool: Labelled, data: Data, root: Path, listed: ListedImages | None) -> str:
    """A line about training images that are in no row, unless they are the test images."""
    if _is_test_in_train(data, root):
        return ""
    test = listed.file_set if listed else frozenset()
    return _images_line(len(set(pool.unlisted) - test), data.train, pool)


def _images_line(n_unlisted: int, folder: str, labelled: Labelled) -> str:
    if not n_unlisted or labelled.table is None:
        return ""
    n_images = len(labelled.images) + len(labelled.unlisted)
    return (
        f"{folder}: {n_unlisted:,} of {n_images:,} images have no row in "
        f"{labelled.table.path.name} and are left out"
    )


def _by_column(labelled: Labelled, test: Images | None, data: Data) -> Splits:
    """The splits that a column of the labels file states."""
    pool, split_of = labelled.images, _splits_of_column(labelled, data)
    check_groups(pool, split_of.tolist())
    has_test_rows = bool((split_of == "test").any())
    if data.test is not None and (has_test_rows or isinstance(data.test, float)):
        assert isinstance(data.valid, ColumnSplit)
        written = data.test.file if isinstance(data.test, TestTable) else data.test
        raise RecipeError(
            f"data.test: {written}: column {data.valid.column} states the split; "
            "its test rows are the test set"
        )
    train = _sampled(pool.where(split_of == "train"), data)
    valid = _sampled(pool.where(split_of == "valid"), data)
    return Splits(train, valid, pool.where(split_of == "test") if has_test_rows else test, valid)


def _splits_of_column(pool: Labelled, data: Data) -> Array:
    """train, valid or test of each row, (rows,). Raises DataError for other cells."""
    assert isinstance(data.valid, ColumnSplit)
    name = data.valid.column
    column = pool.column(name, "data.valid.column")
    split_of = np.array([SPLIT_NAMES.get(cell.lower(), "") for cell in column])
    if (split_of == "").any():
        row = int(np.flatnonzero(split_of == "")[0])
        raise DataError(
            f"data.valid.column: {pool.images.ids[row]!r} has {name} {column[row]!r}; "
            "allowed: train, valid, test"
        )
    for split in ("train", "valid"):
        if not (split_of == split).any():
            raise DataError(f"data.valid.column: no row has {name} {split}")
    return split_of


def _test(
    data: Data, root: Path, pool: Labelled, listed: ListedImages | None
) -> tuple[Images | None, tuple[str, ...]]:
    """The test images of a folder or a table, and lines for the user; None for a fraction."""
    if listed:
        return listed_test_images(listed, pool, data, root)
    if not isinstance(data.test, str):
        return None, ()
    test, line = test_folder(root / data.test, set(pool.images.classes))
    if data.source != "csv" or not _is_test_in_train(data, root):
        return test, (line,)
    labeled = set(pool.images.files)
    has_no_label = np.array([file not in labeled for file in test.files])
    if not has_no_label.any():
        raise DataError(
            f"data.test: {data.test} is the training folder, and every image in it has a label"
        )
    return test.where(has_no_label), ()


def _sampled(pool: Images, data: Data) -> Images:
    if data.sample == 1:
        return pool
    return pool.where(share_of(pool, data.sample, data, "sample"))
