"""Rank likely wrong labels by out-of-fold probabilities, as in confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021.
A network is sure of some classes more often than of others, so a probability counts relative to the
class's threshold: the mean probability of the images that carry its label. docs/log.md compares
rules on planted errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.errors import SelectionError
from ensemble.files import as_csv
from ensemble.metrics import FLOOR
from ensemble.predictions import Array, Predictions
from ensemble.targets import IN_WORDS

_HEADER = ("id", "label", "new_label", "prob_of_label", "prob_of_new_label", "confidence")
LIST_MARK = ",".join(_HEADER).encode()  # how a list begins


@dataclass(frozen=True)
class LabelError:
    """An image whose label is likely wrong, the class that is more likely, and both probabilities.

    confidence is that of the label relative to its class's threshold: the smaller, the likelier an
    error.
    """

    id: str
    label: str
    new_label: str
    prob_of_label: float
    prob_of_new_label: float
    confidence: float


def label_errors(predictions: Predictions) -> tuple[LabelError, ...]:
    """The likely wrong labels, the likeliest first, at most as many as `n_wrong` estimates.

    Relative to the thresholds, another class is more probable than the label of each. predictions
    are labeled and must not have seen these rows' labels. Raises SelectionError for several labels
    or numbers.
    """
    if predictions.target != "class":
        raise SelectionError(
            f"--labels ranks labels of one class per image; these predictions are of "
            f"{IN_WORDS[predictions.target]}"
        )
    probs, targets = predictions.probs.astype(np.float64), predictions.known_targets
    relative = probs / thresholds(probs, targets)
    rows = np.arange(len(targets))
    confidence = relative[rows, targets]
    rivals = relative.copy()
    rivals[rows, targets] = -np.inf
    best = rivals.argmax(1)
    ranked = np.lexsort((predictions.ids, confidence))[: n_wrong(probs, targets)]
    classes = predictions.classes
    return tuple(
        LabelError(
            id=str(predictions.ids[row]),
            label=classes[targets[row]],
            new_label=classes[best[row]],
            prob_of_label=float(probs[row, targets[row]]),
            prob_of_new_label=float(probs[row, best[row]]),
            confidence=float(confidence[row]),
        )
        for row in ranked.tolist()
        if rivals[row, best[row]] > confidence[row]
    )


def n_wrong(probs: Array, targets: Array) -> int:
    """How many labels are likely wrong: by the share among rows that some class is sure of.

    A class is sure of a row at its threshold; of several, the most probable one counts.
    """
    is_sure = probs >= thresholds(probs, targets)
    sure_of = np.where(is_sure, probs, -1.0).argmax(1)
    counted = is_sure.any(1)
    n_counted = int(counted.sum())
    n_off = int((counted & (sure_of != targets)).sum())
    return round(len(targets) * n_off / max(n_counted, 1))


def thresholds(probs: Array, targets: Array) -> Array:
    """The mean probability of each class among the rows of its label, (classes,); 1 without rows.

    At least FLOOR.
    """
    n_rows = np.bincount(targets, minlength=probs.shape[1])
    sums = np.bincount(targets, probs[np.arange(len(targets)), targets], probs.shape[1])
    means = np.where(n_rows > 0, sums / np.maximum(n_rows, 1), 1.0)
    return np.maximum(means, FLOOR)


def label_errors_csv(errors: Sequence[LabelError]) -> str:
    """A list that data.exclude and data.relabel take, the likeliest errors first."""
    rows: list[Sequence[str]] = [_HEADER]
    for error in errors:
        numbers = (error.prob_of_label, error.prob_of_new_label, error.confidence)
        cells = [f"{number:.4f}" for number in numbers]
        rows.append([error.id, error.label, error.new_label, *cells])
    return as_csv(rows)
