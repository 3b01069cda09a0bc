"""Stratified splits by ids and a seed alone: not by file order, platform or generator."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DataError
from ensemble.grouping import grouped

Array = npt.NDArray[Any]


def held_out(
    ids: Sequence[str], labels: Sequence[str], share: float, seed: int, salt: str
) -> Array:
    """A mask of the rows that a stratified split holds out, at least one and not all of each class.

    Rows are ranked by a hash of seed, salt and id; class counts are rounded by largest remainder so
    that the total is the rounded share. Raises DataError for a class with one image.
    """
    counts = Counter(labels)
    single = sorted(name for name, count in counts.items() if count < 2)
    if single:
        raise DataError(
            f"class {single[0]!r} has one image and cannot be split ({len(single)} such classes)\n"
            f"add images, or leave them in training: data.rare: keep"
        )
    n_missing = _quotas(counts, share)
    ranked = sorted(range(len(ids)), key=lambda i: hash_of(seed, salt, ids[i]))
    mask = np.zeros(len(ids), bool)
    for i in ranked:
        if n_missing[labels[i]] > 0:
            n_missing[labels[i]] -= 1
            mask[i] = True
    return mask


def _quotas(counts: Counter[str], share: float) -> dict[str, int]:
    quotas = {name: min(max(int(count * share), 1), count - 1) for name, count in counts.items()}
    n_missing = round(sum(counts.values()) * share) - sum(quotas.values())
    can_give = [name for name in counts if quotas[name] < counts[name] - 1]
    by_remainder = sorted(can_give, key=lambda name: (quotas[name] - counts[name] * share, name))
    for name in by_remainder[: max(n_missing, 0)]:
        quotas[name] += 1
    return quotas


def distribute(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    shares: Sequence[float],
    seed: int,
    salt: str,
) -> Array:
    """The bin of each row, (rows,): bins hold these shares of every class, as far as groups allow.

    Groups (rows, without groups) come largest first, those of one size by a hash of seed, salt and
    name; each goes to the bin that is least filled with its classes. Without groups no bin is off
    by more than one row of a class.
    """
    names = ids if groups is None else groups
    members = grouped((names[i], i) for i in sorted(range(len(ids)), key=lambda i: ids[i]))
    totals = Counter(labels)
    filled: list[Counter[str]] = [Counter() for _ in shares]
    bins = np.zeros(len(ids), np.int64)
    for name in sorted(members, key=lambda name: (-len(members[name]), hash_of(seed, salt, name))):
        classes = Counter(labels[i] for i in members[name])
        fills = [
            _fill(in_bin, classes, totals, share)
            for in_bin, share in zip(filled, shares, strict=True)
        ]
        emptiest = fills.index(min(fills))
        bins[members[name]] = emptiest
        filled[emptiest] += classes
    return bins


def _fill(
    filled: Counter[str], classes: Counter[str], totals: Counter[str], share: float
) -> tuple[float, float]:
    """How full a bin is of a group's classes, then of all, as shares of what it should hold."""
    of_classes = sum(count * filled[name] / totals[name] for name, count in classes.items()) / share
    return of_classes, filled.total() / share


def folds(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    n_folds: int,
    seed: int,
    may_miss: bool = False,
) -> Array:
    """The fold that validates each row, (rows,).

    may_miss: not every fold needs every class. Raises DataError for folds without a class.
    """
    if not may_miss:
        _check_enough(labels, groups, n_folds)
    shares = [1 / n_folds] * n_folds
    fold_of = distribute(ids, labels, groups, shares, seed, "folds")
    _check_every_fold(labels, fold_of, n_folds, may_miss)
    return fold_of


def _check_enough(labels: Sequence[str], groups: Sequence[str] | None, n_folds: int) -> None:
    """Raises DataError for classes of fewer images than folds, or of one group."""
    if groups is None:
        counts, least, what = Counter(labels), n_folds, "images"
    else:
        pairs = set(zip(labels, groups, strict=True))
        counts, least, what = Counter(label for label, _ in pairs), 2, "groups"
    few = sorted((count, name) for name, count in counts.items() if count < least)
    if few:
        listed = ", ".join(f"{name!r} has {count}" for count, name in few[:5])
        raise DataError(
            f"data.valid: {n_folds} folds need {least} {what} of every class: {listed} "
            f"({len(few)} such classes)\nadd images, use fewer folds, or set data.rare: keep"
        )


def _check_every_fold(labels: Sequence[str], fold_of: Array, n_folds: int, may_miss: bool) -> None:
    names = np.array(labels)
    for k in range(n_folds):
        missing = sorted(set(labels) - set(names[fold_of != k].tolist()))
        if missing and not may_miss:
            problem = f"all images of {missing[0]!r}"
        elif not (fold_of == k).any():
            problem = "no image"
        else:
            continue
        raise DataError(
            f"data.valid: fold {k} of {n_folds} has {problem}\nuse fewer folds or smaller groups"
        )


def hash_of(seed: int, salt: str, name: str) -> bytes:
    """What orders the names of one split."""
    return hashlib.sha256(f"{seed}/{salt}/{name}".encode()).digest()
