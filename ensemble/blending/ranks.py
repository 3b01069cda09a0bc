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
from ensemble.targets import Target


def check_ranks(metric: Metric, target: Target) -> None:
    """Raises SelectionError where ranks would not be scored as what they are."""
    if metric.reads != "ranks":
        raise SelectionError(
            f"--average rank: {metric.name} reads more than the order of rows, only roc_auc does "
            "not\nuse --metric roc_auc, or --average arithmetic"
        )
    if target == "class" and len(metric.classes) != 2:
        raise SelectionError(
            f"--average rank is for two classes, these are {len(metric.classes)}: the ranks of a "
            "row do not add up to 1\nuse --average arithmetic or geometric"
        )


def sorted_columns(valid: Predictions) -> Array:
    """The probabilities of the second class (rows,), or of each label (rows, labels), sorted."""
    probs = valid.probs
    return np.sort(probs[:, 1]) if valid.target == "class" else np.sort(probs, axis=0)


def ranked(members: Iterable[tuple[Predictions, Array]]) -> Iterator[Predictions]:
    """Members with ranks in place of probabilities, each by its own reference."""
    for member, reference in members:
        if member.target == "class":
            of_second = ranks(member.probs[:, 1], reference)
            probs = np.stack([1 - of_second, of_second], axis=1)
        else:
            columns = zip(member.probs.T, reference.T, strict=True)
            probs = np.stack([ranks(column, of_valid) for column, of_valid in columns], axis=1)
        yield replace(member, probs=probs, is_checked=True)


def ranks(column: Array, reference: Array) -> Array:
    """The rank of each of a column (rows,) among sorted probabilities: the share below, ties half."""
    below = np.searchsorted(reference, column, "left")
    through = np.searchsorted(reference, column, "right")
    return np.asarray((below + through) / (2 * len(reference)))
