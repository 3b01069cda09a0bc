"""Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011): splits of images with labels.

The rarest label is dealt out first, so that each split has its share of every label.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ensemble.dataset.stratified import Array, hash_of
from ensemble.grouping import grouped

NO_LABEL = ""  # images without a label are shared out like those with one


def distribute_labels(
    ids: Sequence[str],
    labels: Sequence[Sequence[str]],
    groups: Sequence[str] | None,
    shares: Sequence[float],
    seed: int,
    salt: str,
) -> Array:
    """The bin of each row, (rows,): bins hold these shares of every label, as far as possible.

    labels are each row's; groups (rows, without groups) are never split. Where a label has a row
    for every bin, every bin asks for at least one. Equal groups come in the order of a hash of
    seed, salt and name, so that the order of the rows does not matter.
    """
    names = ids if groups is None else groups
    rows_of = grouped((name, row) for row, name in enumerate(names))
    counts = {
        name: Counter(label for row in rows for label in labels[row] or (NO_LABEL,))
        for name, rows in rows_of.items()
    }
    order = sorted(rows_of, key=lambda name: (-len(rows_of[name]), hash_of(seed, salt, name)))
    bin_of = _deal(order, counts, {name: len(rows) for name, rows in rows_of.items()}, shares)
    return np.array([bin_of[name] for name in names], np.int64)


def _deal(
    order: Sequence[str],
    counts: dict[str, Counter[str]],
    sizes: dict[str, int],
    shares: Sequence[float],
) -> dict[str, int]:
    """The bin of each group: that which wants most of the rarest label, then most rows."""
    groups_of = grouped((label, name) for name in order for label in counts[name])
    totals = Counter(label for name in order for label in counts[name].elements())
    n_bins = len(shares)
    wanted = {
        label: [max(share * total, float(total >= n_bins)) for share in shares]
        for label, total in totals.items()
    }
    rows_wanted = [share * sum(sizes.values()) for share in shares]
    n_left = {label: len(names) for label, names in groups_of.items()}
    bin_of: dict[str, int] = {}
    while n_left:
        rarest = min(n_left, key=lambda label: (n_left[label], label))
        for name in groups_of[rarest]:
            if name in bin_of:
                continue
            of_rarest = wanted[rarest]
            chosen = max(range(n_bins), key=lambda i: (of_rarest[i], rows_wanted[i], -i))
            bin_of[name] = chosen
            rows_wanted[chosen] -= sizes[name]
            for label, count in counts[name].items():
                wanted[label][chosen] -= count
                if label in n_left:
                    n_left[label] -= 1
        n_left = {label: n for label, n in n_left.items() if n and label != rarest}
    return bin_of
