"""Stratified splits that depend on ids and a seed alone: not on file order, platform or random generator."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DataError

Array = npt.NDArray[Any]


def held_out(ids: Sequence[str], labels: Sequence[str], share: float, seed: int, salt: str) -> Array:
    """A mask of the rows that a stratified split holds out, at least one and not all of each class.

    Rows are ranked by a hash of seed, salt and id; class counts are rounded by largest remainder so that the total is
    the rounded share. Raises DataError for a class with one image.
    """
    counts = Counter(labels)
    lonely = sorted(name for name, count in counts.items() if count < 2)
    if lonely:
        raise DataError(f"class {lonely[0]!r} has one image and cannot be split ({len(lonely)} such classes)\n"
                        f"add images, or give the {salt} images a folder of their own")  # fmt: skip
    wanted = _quotas(counts, share)
    ranked = sorted(range(len(ids)), key=lambda i: hashlib.sha256(f"{seed}/{salt}/{ids[i]}".encode()).digest())
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
