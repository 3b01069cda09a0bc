"""Split a recipe's images into train, valid and test: by folders, fractions, folds or a column.

Images of one group are never split.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble.dataset import tables
from ensemble.dataset.content import content_hashes
from ensemble.dataset.duplicates import duplicate_groups
from ensemble.dataset.stratified import Array, distribute, folds, held_out
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import ColumnSplit, Data, Folds, LabelsFile, LabelsPattern

Cells = Mapping[str, Mapping[str, str]]  # the labels file's rows by id
SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint tables; validated holds the rows that any fold validates (valid, without folds)."""

    train: Images
    valid: Images
    test: Images | None
    validated: Images


def split_images(data: Data, root: Path, fold: int = 0) -> Splits:
    """The splits of one run; fold counts where `data.valid` asks for folds.

    Raises DataError, RecipeError.
    """
    pool, cells = _pool(data, root)
    pool = _with_groups(pool, cells, data)
    if isinstance(data.valid, ColumnSplit):
        return _by_column(pool, cells, data, root)
    pool, test = _without_test(data, root, pool)
    pool = _sampled(pool, data)
    if isinstance(data.valid, str):
        valid = _folder(data, root, data.valid)
        return Splits(pool, valid, test, valid)
    if isinstance(data.valid, Folds):
        fold_of = folds(pool.ids, pool.classes, pool.groups, data.valid.folds, data.split_seed)
        mask = np.asarray(fold_of == fold)
        return Splits(_rows(pool, ~mask), _rows(pool, mask), test, pool)
    mask = _held_out(pool, data.valid, data.split_seed, "valid")
    valid = _rows(pool, mask)
    return Splits(_rows(pool, ~mask), valid, test, valid)


def _rows(images: Images, mask: Array) -> Images:
    return images.take(np.flatnonzero(mask))


def _pool(data: Data, root: Path) -> tuple[Images, Cells]:
    """The labeled images to split, and the rows of the labels file."""
    if data.source == "folder":
        if isinstance(data.valid, ColumnSplit):
            raise RecipeError(
                "data.valid: {column: …} needs data.source: csv, a labels file with that column"
            )
        return tables.class_folders(root / data.train), {}
    valid_folder = data.valid if isinstance(data.valid, str) else None
    return tables.labelled_files(root, data.train, _labels_file(data), valid_folder)


def _labels_file(data: Data) -> str | LabelsFile:
    if isinstance(data.labels, LabelsPattern):
        raise RecipeError("data.labels: {pattern: …} is not supported yet")
    return data.labels


def _folder(data: Data, root: Path, folder: str) -> Images:
    if data.source == "folder":
        return tables.class_folders(root / folder)
    return tables.labelled_files(root, folder, _labels_file(data), data.train)[0]


def _with_groups(pool: Images, cells: Cells, data: Data) -> Images:
    """The pool with the groups that must stay together."""
    if data.group is None:
        return pool
    if isinstance(data.valid, str):
        raise RecipeError(
            f"data.group: {data.group}: the folder {data.valid} is the validation set, "
            "so nothing is split\n"
            "set data.valid to a fraction or to {folds: 5}, or leave data.group out"
        )
    if data.group == "duplicates":
        groups = duplicate_groups(pool.files, content_hashes(pool.files))
        return replace(pool, groups=tuple(groups))
    if not isinstance(data.group, str):
        raise RecipeError("data.group: {file: …} and {pattern: …} are not supported yet")
    if data.source == "folder":
        raise RecipeError(
            f"data.group: {data.group!r}: class folders have no columns; allowed here: duplicates"
        )
    cells_of_column = _column(pool, cells, data.group, "data.group")
    if not all(cells_of_column):
        image_id = pool.ids[cells_of_column.index("")]
        raise DataError(f"data.group: {image_id!r} has no {data.group}; every image needs one")
    return replace(pool, groups=cells_of_column)


def _column(pool: Images, cells: Cells, name: str, key: str) -> tuple[str, ...]:
    columns = list(next(iter(cells.values()), {}))
    if name not in columns:
        raise DataError(
            f"{key}: the labels file has no column {name!r}; it has {', '.join(columns)}"
        )
    return tuple(cells[image_id][name] for image_id in pool.ids)


def _by_column(pool: Images, cells: Cells, data: Data, root: Path) -> Splits:
    """The splits that a column of the labels file states."""
    split_of = _splits_of_column(pool, cells, data)
    _check_groups(pool, split_of)
    test = _rows(pool, split_of == "test") if (split_of == "test").any() else None
    if data.test is not None:
        if test is not None or not isinstance(data.test, str):
            assert isinstance(data.valid, ColumnSplit)
            raise RecipeError(
                f"data.test: {data.test}: column {data.valid.column} states the split; "
                "its test rows are the test set"
            )
        test = tables.test_folder(root / data.test, sorted(set(pool.classes)))
    train = _sampled(_rows(pool, split_of == "train"), data)
    valid = _sampled(_rows(pool, split_of == "valid"), data)
    return Splits(train, valid, test, valid)


def _splits_of_column(pool: Images, cells: Cells, data: Data) -> Array:
    """train, valid or test of each row, (rows,). Raises DataError for other cells."""
    assert isinstance(data.valid, ColumnSplit)
    name = data.valid.column
    column = _column(pool, cells, name, "data.valid.column")
    split_of = np.array([SPLIT_NAMES.get(cell.strip().lower(), "") for cell in column])
    if (split_of == "").any():
        row = int(np.flatnonzero(split_of == "")[0])
        raise DataError(
            f"data.valid.column: {pool.ids[row]!r} has {name} {column[row]!r}; "
            "allowed: train, valid, test"
        )
    for split in ("train", "valid"):
        if not (split_of == split).any():
            raise DataError(f"data.valid.column: no row has {name} {split}")
    return split_of


def _check_groups(pool: Images, split_of: Array) -> None:
    """Raises DataError where a group is in two splits."""
    firsts: dict[str, tuple[str, str]] = {}
    groups = pool.groups or pool.ids
    for group, split, image_id in zip(groups, split_of.tolist(), pool.ids, strict=True):
        first_split, first_id = firsts.setdefault(group, (split, image_id))
        if first_split != split:
            raise DataError(
                f"data.group: {group!r} is in {first_split} ({first_id!r}) "
                f"and in {split} ({image_id!r})\n"
                "correct the column, or let data.valid be a fraction or {folds: 5}"
            )


def _without_test(data: Data, root: Path, pool: Images) -> tuple[Images, Images | None]:
    """The pool without the test images, and the test images."""
    if data.test is None:
        return pool, None
    if isinstance(data.test, str):
        return pool, _test_folder(data, root, data.test, pool)
    if not isinstance(data.test, float):
        raise RecipeError("data.test: {file: …} is not supported yet")
    mask = _held_out(pool, data.test, data.split_seed, "test")
    return _rows(pool, ~mask), _rows(pool, mask)


def _test_folder(data: Data, root: Path, folder: str, pool: Images) -> Images:
    """The test images; where they share the training folder, those without a label."""
    test = tables.test_folder(root / folder, sorted(set(pool.classes)))
    is_shared = (root / folder).resolve() == (root / data.train).resolve()
    if data.source != "csv" or not is_shared:
        return test
    labeled = set(pool.files)
    has_no_label = np.array([file not in labeled for file in test.files])
    if not has_no_label.any():
        raise DataError(
            f"data.test: {folder} is the training folder, and every image in it has a label"
        )
    return _rows(test, has_no_label)


def _sampled(pool: Images, data: Data) -> Images:
    if data.sample == 1:
        return pool
    return _rows(pool, _held_out(pool, data.sample, data.split_seed, "sample"))


def _held_out(pool: Images, share: float, seed: int, salt: str) -> Array:
    """A mask of the rows of a stratified share, whole groups at a time."""
    if pool.groups is None:
        return held_out(pool.ids, pool.classes, share, seed, salt)
    shares = [share, 1 - share]
    mask = np.asarray(distribute(pool.ids, pool.classes, pool.groups, shares, seed, salt) == 0)
    missing = sorted(set(pool.classes) - set(_rows(pool, ~mask).classes))
    if missing:
        problem = f"all images of {missing[0]!r} would be in {salt}"
    elif not mask.any():
        problem = f"no group is left for {salt}"
    else:
        return mask
    raise DataError(
        f"data.{salt}: groups cannot be split, so {problem}\nuse another fraction or smaller groups"
    )
