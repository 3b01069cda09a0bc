"""Averages of ranks, for metrics that read nothing but the order of rows.

A row's rank is the share of the member's validation rows that are below it, ties half, so that it
depends on no other test row.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from ensemble.errors import SelectionError
from ensemble.metrics import Metric
from ensemble.predictions import Array, Predictions


def check_ranks(metric: Metric) -> None:
    """Raises SelectionError where ranks would not be scored as what they are."""
    if metric.reads != "ranks":
        raise SelectionError(
            f"--average rank: {metric.name} reads more than the order of rows, only roc_auc does "
            "not\nuse --metric roc_auc, or --average arithmetic"
        )
    if len(metric.classes) != 2:
        raise SelectionError(
            f"--average rank is for two classes, these are {len(metric.classes)}: the ranks of a "
            "row do not add up to 1\nuse --average arithmetic or geometric"
        )


def reference_of(valid: Predictions) -> Array:
    """The validation probabilities of the second class, sorted, (rows,); classes sorted by name."""
    return np.sort(valid.canonical().probs[:, 1])


def ranked(members: Iterable[tuple[Predictions, Array]]) -> Iterator[Predictions]:
    """Members with ranks in place of probabilities, each by its own reference."""
    for member, reference in members:
        yield replace(member, probs=ranks(member.probs, reference), is_checked=True)


def ranks(probs: Array, reference: Array) -> Array:
    """The rank of each row of probs (rows, 2) among sorted probabilities of the second class."""
    of_second = probs[:, 1]
    below = np.searchsorted(reference, of_second, "left")
    through = np.searchsorted(reference, of_second, "right")
    shares = (below + through) / (2 * len(reference))
    return np.stack([1 - shares, shares], axis=1)
