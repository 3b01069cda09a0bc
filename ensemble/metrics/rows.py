"""What single rows say: the predicted class, hits, losses; and the scores of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
TIE = 1e-12  # sums that differ by less are a tie
_MANY_CLASSES = 32  # from here on comparing whole rows is faster than column by column
FLOOR = 1e-15  # a true class of probability 0 would make log loss infinite


def predicted(probs: Array, tie: float = TIE) -> Array:
    """The most probable class of each row, (...,); ties, within rounding, go to the first class.

    probs is (..., classes).
    """
    n_classes = probs.shape[-1]
    bar = probs.max(-1) - tie
    if n_classes >= _MANY_CLASSES and probs.strides[-1] == probs.itemsize:
        return np.asarray(np.argmax(probs >= bar[..., None], axis=-1))
    is_lower = np.ones(bar.shape, bool)  # all classes so far
    n_lower = np.zeros(bar.shape, np.int8 if n_classes < 128 else np.int64)
    for column in range(n_classes - 1):
        is_lower &= probs[..., column] < bar
        n_lower += is_lower.view(np.int8)
    return n_lower.astype(np.int64)


def given_labels(probs: Array) -> Array:
    """Where a label's probability is above 0.5, as booleans; 0.5, within rounding, is not."""
    return np.asarray(probs > 0.5 + TIE)


def ranked(probs: Array) -> Array:
    """The classes from the most to the least probable, as positions; ties in the order of classes.

    probs is (..., classes). Neighbours that differ by rounding are a tie.
    """
    order = np.argsort(-probs, axis=-1, kind="stable")
    sorted_probs = np.take_along_axis(probs, order, axis=-1).astype(np.float64)
    is_lower = np.zeros(order.shape, dtype=np.int64)
    higher = sorted_probs[..., :-1]
    is_lower[..., 1:] = sorted_probs[..., 1:] < higher * (1 - TIE)
    ties = np.cumsum(is_lower, axis=-1)
    within = np.argsort(ties * probs.shape[-1] + order, axis=-1)
    return np.take_along_axis(order, within, axis=-1)


def hits(probs: Array, targets: Array) -> Array:
    """1.0 where the most probable class is the true one, (..., rows).

    probs is (..., rows, classes), targets (rows,).
    """
    return np.asarray(predicted(probs) == targets, dtype=np.float64)


def losses(probs: Array, targets: Array) -> Array:
    """Each row's log loss in nats, positive, (..., rows).

    probs is (..., rows, classes), targets (rows,).
    """
    true = true_probs(probs, targets).astype(np.float64)
    return -np.log(np.maximum(true, FLOOR))


def true_probs(probs: Array, targets: Array) -> Array:
    """The probability of each row's true class, (..., rows).

    probs is (..., rows, classes), targets (rows,).
    """
    return np.asarray(probs[..., np.arange(len(targets)), targets])


def accuracy(probs: Array, targets: Array) -> float:
    """Share of rows whose most probable class is the true one."""
    return float(hits(probs, targets).mean())


def log_loss(probs: Array, targets: Array) -> float:
    """Mean negative log probability of the true class, in nats."""
    return float(losses(probs, targets).mean())


@dataclass(frozen=True)
class ClassScore:
    """One class of a run: its rows, and precision, recall and F1, 0 if undefined."""

    name: str
    n_rows: int
    precision: float
    recall: float
    f1: float


def per_class(probs: Array, targets: Array, classes: Sequence[str]) -> list[ClassScore]:
    """Every class's scores, in the order of classes. probs is (rows, classes), targets (rows,).

    Of labels, whose targets are (rows, classes), those above 0.5 are given.
    """
    if targets.ndim == 2:
        is_given, is_true = given_labels(probs), targets > 0
        n_predicted, n_true, n_right = is_given.sum(0), is_true.sum(0), (is_given & is_true).sum(0)
    else:
        n_predicted = np.bincount(predicted(probs), minlength=len(classes))
        n_true = np.bincount(targets, minlength=len(classes))
        n_right = np.bincount(targets[hits(probs, targets) > 0], minlength=len(classes))
    precision = n_right / np.maximum(n_predicted, 1)
    recall = n_right / np.maximum(n_true, 1)
    f1 = 2 * n_right / np.maximum(n_predicted + n_true, 1)
    columns = (n_true.tolist(), precision.tolist(), recall.tolist(), f1.tolist())
    return [ClassScore(*row) for row in zip(classes, *columns, strict=True)]
