"""Shares and folds of labeled images: stratified by class, by labels, or by numbers or bins of them.

Numbers that are few enough to be grades are split as classes of those names are, so that runs on
either are validated on the same rows.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ensemble.dataset.iterative import distribute_labels
from ensemble.dataset.label_cells import names_in
from ensemble.dataset.stratified import Array, distribute, folds, held_out
from ensemble.dataset.tables import Images
from ensemble.errors import DataError
from ensemble.predictions import some
from ensemble.recipe import Data

MOST_BINS = 10  # of numbers; each holds at least a row for every split


def share_of(pool: Images, share: float, data: Data, salt: str) -> Array:
    """A mask of the rows of a stratified share, whole groups at a time; salt is its recipe key.

    Rows that data.rare keeps in training are in the share `sample` alone. Raises DataError.
    """
    mask = np.full(len(pool), salt == "sample")
    is_free = ~rare_rows(pool, data)
    if is_free.any():
        mask[is_free] = _share_of(pool.where(is_free), share, data, salt)
    if mask.any() and (salt == "sample" or not mask.all()):
        return mask
    raise DataError(
        f"data.{salt}: no {'group' if pool.groups else 'image'} is left for "
        f"{salt if not mask.any() else 'training'}\nuse another fraction or smaller groups"
    )


def _share_of(pool: Images, share: float, data: Data, salt: str) -> Array:
    seed, shares = data.split_seed, [share, 1 - share]
    if data.target == "labels":
        return np.asarray(_distribute(pool, shares, data, salt) == 0)
    if data.target == "number":
        if pool.groups is not None or len(pool) < 2:
            return np.asarray(_distribute(pool, shares, data, salt) == 0)
        return held_out(pool.ids, strata_of_numbers(pool, 2), share, seed, salt)
    if pool.groups is None:
        return held_out(pool.ids, pool.classes, share, seed, salt)
    mask = np.asarray(distribute(pool.ids, pool.classes, pool.groups, shares, seed, salt) == 0)
    missing = sorted(set(pool.classes) - set(pool.where(~mask).classes))
    if missing and data.rare == "refuse":
        raise DataError(
            f"data.{salt}: groups cannot be split, so all images of {missing[0]!r} would be in "
            f"{salt}\nuse another fraction or smaller groups"
        )
    return mask


def folds_of(pool: Images, data: Data, n_folds: int) -> Array:
    """The fold that validates each row, (rows,); -1 for rows that data.rare keeps in training.

    Raises DataError.
    """
    fold_of = np.full(len(pool), -1)
    is_free = ~rare_rows(pool, data)
    free = pool.where(is_free)
    if data.target == "class":
        fold_of[is_free] = folds(
            free.ids, free.classes, free.groups, n_folds, data.split_seed, data.rare == "keep"
        )
        return fold_of
    fold_of = _distribute(pool, [1 / n_folds] * n_folds, data, "folds")
    empty = [k for k in range(n_folds) if not (fold_of == k).any()]
    if empty:
        raise DataError(
            f"data.valid: fold {empty[0]} of {n_folds} has no image\n"
            "use fewer folds or smaller groups"
        )
    return fold_of


def _distribute(pool: Images, shares: Sequence[float], data: Data, salt: str) -> Array:
    """The bin of each row, by labels or by strata of numbers."""
    seed = data.split_seed
    if data.target == "labels":
        labels = [names_in(text) for text in pool.classes]
        return distribute_labels(pool.ids, labels, pool.groups, shares, seed, salt)
    strata = strata_of_numbers(pool, len(shares))
    return distribute(pool.ids, strata, pool.groups, shares, seed, salt)


def strata_of_numbers(pool: Images, n_splits: int) -> Sequence[str]:
    """The number of each image where every number has as many rows as there are splits, else its
    bin, (images,).
    """
    is_graded = min(Counter(pool.classes).values(), default=0) >= n_splits
    return pool.classes if is_graded else quantile_bins(pool, n_splits)


def quantile_bins(pool: Images, n_splits: int) -> list[str]:
    """The bin of each image's number, (images,): at most ten, each of a row per split or more."""
    n_bins = max(1, min(MOST_BINS, len(pool) // n_splits))
    order = np.lexsort((np.array(pool.ids), np.array(pool.classes, np.float64)))
    bins = np.empty(len(pool), np.int64)
    bins[order] = np.arange(len(pool)) * n_bins // max(1, len(pool))
    return [str(number) for number in bins]


def rare_rows(pool: Images, data: Data) -> Array:
    """A mask of the rows that data.rare keeps in training: the only image, or group, of a class."""
    mask = np.zeros(len(pool), bool)
    if data.target != "class" or data.rare == "refuse":
        return mask
    names = pool.ids if pool.groups is None else pool.groups
    n_of_class = Counter(label for label, _ in set(zip(pool.classes, names, strict=True)))
    rare = {name for label, name in zip(pool.classes, names, strict=True) if n_of_class[label] == 1}
    return np.array([name in rare for name in names], bool)


def rare_line(pool: Images, data: Data) -> str:
    """A line about the classes that data.rare keeps out of validation, "" without any."""
    rare = set(pool.where(rare_rows(pool, data)).classes)
    if not rare:
        return ""
    what = "image" if pool.groups is None else "group"
    return f"data.rare: classes of one {what} are in training alone: {some(rare)}"
