"""Stratified splits that depend on ids and a seed alone: not on file order, platform or random generator."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DataError

Array = npt.NDArray[Any]


def held_out(
    ids: Sequence[str], labels: Sequence[str], share: float, seed: int, salt: str
) -> Array:
    """A mask of the rows that a stratified split holds out, at least one and not all of each class.

    Rows are ranked by a hash of seed, salt and id; class counts are rounded by largest remainder so that the total is
    the rounded share. Raises DataError for a class with one image.
    """
    counts = Counter(labels)
    lonely = sorted(name for name, count in counts.items() if count < 2)
    if lonely:
        raise DataError(
            f"class {lonely[0]!r} has one image and cannot be split ({len(lonely)} such classes)\n"
            f"add images, or give the {salt} images a folder of their own"
        )
    wanted = _quotas(counts, share)
    ranked = sorted(range(len(ids)), key=lambda i: _hash(seed, salt, ids[i]))
    mask = np.zeros(len(ids), bool)
    for i in ranked:
        if wanted[labels[i]] > 0:
            wanted[labels[i]] -= 1
            mask[i] = True
    return mask


def _quotas(counts: Counter[str], share: float) -> dict[str, int]:
    quotas = {name: min(max(int(count * share), 1), count - 1) for name, count in counts.items()}
    missing = round(sum(counts.values()) * share) - sum(quotas.values())
    can_give = [name for name in counts if quotas[name] < counts[name] - 1]
    by_remainder = sorted(can_give, key=lambda name: (quotas[name] - counts[name] * share, name))
    for name in by_remainder[: max(missing, 0)]:
        quotas[name] += 1
    return quotas


def spread(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[str] | None,
    shares: Sequence[float],
    seed: int,
    salt: str,
) -> Array:
    """The bin of each row, (rows,): bins hold these shares of every class as nearly as whole groups allow.

    Groups (rows, where there are none) come largest first, equal ones by a hash of seed, salt and name; each goes to
    the bin that is least filled with its classes. Without groups no bin is off by more than one row of a class.
    """
    names = ids if groups is None else groups
    members: dict[str, list[int]] = {}
    for i in sorted(range(len(ids)), key=lambda i: ids[i]):
        members.setdefault(names[i], []).append(i)
    totals = Counter(labels)
    filled: list[Counter[str]] = [Counter() for _ in shares]
    bins = np.zeros(len(ids), np.int64)
    for name in sorted(members, key=lambda name: (-len(members[name]), _hash(seed, salt, name))):
        classes = Counter(labels[i] for i in members[name])
        own = min(
            range(len(shares)), key=lambda b: (_fill(filled[b], classes, totals, shares[b]), b)
        )
        bins[members[name]] = own
        filled[own] += classes
    return bins


def _fill(
    filled: Counter[str], classes: Counter[str], totals: Counter[str], share: float
) -> tuple[float, float]:
    """How full a bin is of a group's classes, then how full it is, both as shares of what it should hold."""
    of_classes = sum(count * filled[name] / totals[name] for name, count in classes.items()) / share
    return of_classes, filled.total() / share


def folds(
    ids: Sequence[str], labels: Sequence[str], groups: Sequence[str] | None, n_folds: int, seed: int
) -> Array:
    """The fold that validates each row, (rows,). Raises DataError where a fold would train without a class."""
    units = (
        Counter(labels)
        if groups is None
        else Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    )
    few = sorted(
        (count, name) for name, count in units.items() if count < (n_folds if groups is None else 2)
    )
    if few:
        what = "images" if groups is None else "groups"
        listed = ", ".join(f"{name!r} has {count}" for count, name in few[:5])
        raise DataError(
            f"data.valid: {n_folds} folds need {n_folds if groups is None else 2} {what} of every class: {listed} "
            f"({len(few)} such classes)\nadd images, use fewer folds, or leave the class out"
        )
    found = spread(ids, labels, groups, [1 / n_folds] * n_folds, seed, "folds")
    _check_every_class(labels, found, n_folds)
    return found


def _check_every_class(labels: Sequence[str], fold: Array, n_folds: int) -> None:
    names = np.array(labels)
    for k in range(n_folds):
        missing = sorted(set(labels) - set(names[fold != k].tolist()))
        if missing or not (fold == k).any():
            problem = f"no image of {missing[0]!r} outside of it" if missing else "no image in it"
            raise DataError(
                f"data.valid: fold {k} of {n_folds} has {problem}\nuse fewer folds or smaller groups"
            )


def _hash(seed: int, salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{salt}/{name}".encode()).digest()
