"""How the images of a recipe are cut into train, valid and test: by folders, fractions, folds or a column, whole groups
at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble.dataset import tables
from ensemble.dataset.content import content_hashes
from ensemble.dataset.duplicates import duplicate_groups
from ensemble.dataset.stratified import Array, folds, held_out, spread
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import ColumnSplit, Data, Folds

Cells = Mapping[str, Mapping[str, str]]  # the labels file's rows by id
COLUMN_PARTS = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}


@dataclass(frozen=True, eq=False)
class Parts:
    """Disjoint tables; validated holds every row that some fold validates, the same as valid without folds."""

    train: Images
    valid: Images
    test: Images | None
    validated: Images


def cut(data: Data, root: Path, fold: int = 0) -> Parts:
    """The parts of one run; fold counts where `data.valid` asks for folds. Raises DataError, RecipeError."""
    pool, cells = _pool(data, root)
    pool = _grouped(pool, cells, data)
    if isinstance(data.valid, ColumnSplit):
        return _by_column(pool, cells, data, root)
    pool, test = _test(data, root, pool)
    pool = _sampled(pool, data)
    if isinstance(data.valid, str):
        valid = _folder(data, root, data.valid)
        return Parts(pool, valid, test, valid)
    if isinstance(data.valid, Folds):
        part = folds(pool.ids, pool.classes, pool.groups, data.valid.folds, data.split_seed)
        mask = np.asarray(part == fold)
        return Parts(_rows(pool, ~mask), _rows(pool, mask), test, pool)
    mask = _held_out(pool, data.valid, data.split_seed, "valid")
    valid = _rows(pool, mask)
    return Parts(_rows(pool, ~mask), valid, test, valid)


def _rows(images: Images, mask: Array) -> Images:
    return images.take(np.flatnonzero(mask))


def _pool(data: Data, root: Path) -> tuple[Images, Cells]:
    """The labelled images that are cut, and what the labels file says about them."""
    if data.source == "folder":
        if isinstance(data.valid, ColumnSplit):
            raise RecipeError(
                "data.valid: {column: …} needs data.source: csv, a labels file with that column"
            )
        return tables.class_folders(root / data.train), {}
    others = data.valid if isinstance(data.valid, str) else None
    return tables.labelled_files(root, data.train, data.labels, others)


def _folder(data: Data, root: Path, folder: str) -> Images:
    if data.source == "folder":
        return tables.class_folders(root / folder)
    return tables.labelled_files(root, folder, data.labels, data.train)[0]


def _grouped(pool: Images, cells: Cells, data: Data) -> Images:
    """The pool with the groups that must not part."""
    if data.group is None:
        return pool
    if isinstance(data.valid, str):
        raise RecipeError(
            f"data.group: {data.group}: the folder {data.valid} is the validation set, so nothing is split\n"
            "set data.valid to a fraction or to {folds: 5}, or leave data.group out"
        )
    if data.group == "duplicates":
        return replace(pool, groups=tuple(duplicate_groups(pool.files, content_hashes(pool.files))))
    if data.source == "folder":
        raise RecipeError(
            f"data.group: {data.group!r}: class folders have no columns; allowed here: duplicates"
        )
    groups = _column(pool, cells, data.group, "data.group")
    if not all(groups):
        raise DataError(
            f"data.group: {pool.ids[groups.index('')]!r} has no {data.group}; every image needs one"
        )
    return replace(pool, groups=groups)


def _column(pool: Images, cells: Cells, name: str, key: str) -> tuple[str, ...]:
    columns = list(next(iter(cells.values()), {}))
    if name not in columns:
        raise DataError(
            f"{key}: the labels file has no column {name!r}; it has {', '.join(columns)}"
        )
    return tuple(cells[own][name] for own in pool.ids)


def _by_column(pool: Images, cells: Cells, data: Data, root: Path) -> Parts:
    """The split that a column of the labels file states."""
    assert isinstance(data.valid, ColumnSplit)
    name = data.valid.column
    said = _column(pool, cells, name, "data.valid.column")
    part = np.array([COLUMN_PARTS.get(value.strip().lower(), "") for value in said])
    if (part == "").any():
        odd = int(np.flatnonzero(part == "")[0])
        raise DataError(
            f"data.valid.column: {pool.ids[odd]!r} has {name} {said[odd]!r}; allowed: train, valid, test"
        )
    for own in ("train", "valid"):
        if not (part == own).any():
            raise DataError(f"data.valid.column: no row has {name} {own}")
    _check_whole(pool, part)
    test = _rows(pool, part == "test") if (part == "test").any() else None
    if data.test is not None:
        if test is not None or not isinstance(data.test, str):
            raise RecipeError(
                f"data.test: {data.test}: column {name} states the split; its test rows are the test set"
            )
        test = tables.test_folder(root / data.test, sorted(set(pool.classes)))
    train, valid = (_sampled(_rows(pool, part == own), data) for own in ("train", "valid"))
    return Parts(train, valid, test, valid)


def _check_whole(pool: Images, part: Array) -> None:
    first: dict[str, tuple[str, str]] = {}
    for group, own, name in zip(pool.groups or pool.ids, part.tolist(), pool.ids, strict=True):
        other, other_id = first.setdefault(group, (own, name))
        if other != own:
            raise DataError(
                f"data.group: {group!r} is in {other} ({other_id!r}) and in {own} ({name!r})\n"
                "mend the column, or let data.valid be a fraction or {folds: 5}"
            )


def _test(data: Data, root: Path, pool: Images) -> tuple[Images, Images | None]:
    """The pool without the test images, and these."""
    if data.test is None:
        return pool, None
    if isinstance(data.test, str):
        found = tables.test_folder(root / data.test, sorted(set(pool.classes)))
        if data.source == "csv" and (root / data.test).resolve() == (root / data.train).resolve():
            labelled = set(pool.files)
            is_free = np.array([file not in labelled for file in found.files])
            if not is_free.any():
                raise DataError(
                    f"data.test: {data.test} is the training folder, and every image in it has a label"
                )
            return pool, _rows(found, is_free)
        return pool, found
    mask = _held_out(pool, data.test, data.split_seed, "test")
    return _rows(pool, ~mask), _rows(pool, mask)


def _sampled(pool: Images, data: Data) -> Images:
    return (
        pool
        if data.sample == 1
        else _rows(pool, _held_out(pool, data.sample, data.split_seed, "sample"))
    )


def _held_out(pool: Images, share: float, seed: int, salt: str) -> Array:
    if pool.groups is None:
        return held_out(pool.ids, pool.classes, share, seed, salt)
    mask = np.asarray(
        spread(pool.ids, pool.classes, pool.groups, [share, 1 - share], seed, salt) == 0
    )
    lost = sorted(set(pool.classes) - set(_rows(pool, ~mask).classes))
    if lost or not mask.any():
        problem = f"{lost[0]!r} would be {salt} alone" if lost else f"no group is left for {salt}"
        raise DataError(
            f"data.{salt}: groups cannot part, so {problem}\nuse another fraction or smaller groups"
        )
    return mask
