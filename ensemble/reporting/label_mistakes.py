"""Where predictions of several labels go wrong: weak labels, ROC curves, images of a large loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble.metrics import ClassScore, given_labels, per_class
from ensemble.metrics.labels import binary_losses
from ensemble.predictions import Array, Predictions
from ensemble.targets import Target

N_POINTS = 60  # of a drawn ROC curve


@dataclass(frozen=True)
class LabelScore(ClassScore):
    """A label's scores, and its ROC curve.

    auc is NaN and roc empty where every image has the label, or none has. roc holds pairs of the
    false positive rate and the true positive rate.
    """

    n_predicted: int
    auc: float
    roc: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class WrongLabels:
    """An image, its mean loss over labels in nats, and the labels that are predicted, missed or wrong.

    Each label comes with its probability, the most probable first; right are both predicted and
    true. thumbnail is a data URI, "" where the image is not available.
    """

    id: str
    loss: float
    right: tuple[tuple[str, float], ...]
    missed: tuple[tuple[str, float], ...]
    wrong: tuple[tuple[str, float], ...]
    thumbnail: str


@dataclass(frozen=True)
class LabelMistakes:
    """What predictions of several labels get wrong, a label being predicted above 0.5.

    n_wrong images have a missed or a wrong label. scores are in the order of classes; shown are the
    images of the largest loss, the largest first.
    """

    target: ClassVar[Target] = "labels"
    n_rows: int
    n_wrong: int
    n_missed: int
    n_false: int
    classes: tuple[str, ...]
    scores: tuple[LabelScore, ...]
    shown: tuple[WrongLabels, ...]

    @property
    def weakest_first(self) -> list[LabelScore]:
        """The labels that some images have or are predicted to have, the lowest F1 first."""
        used = [score for score in self.scores if score.n_rows or score.n_predicted]
        return sorted(used, key=lambda score: (score.f1, score.name))

    @property
    def curves(self) -> list[LabelScore]:
        """The labels that have a ROC curve, the smallest area first."""
        drawn = [score for score in self.scores if score.roc]
        return sorted(drawn, key=lambda score: (score.auc, score.name))

    @property
    def counts(self) -> dict[str, int]:
        """The images of each label."""
        return {score.name: score.n_rows for score in self.scores}


def label_mistakes_of(
    predictions: Predictions, thumbnail: Callable[[str], str], n_shown: int
) -> LabelMistakes:
    """Everything about labeled predictions; thumbnail gives an image's data URI by its id."""
    probs, targets = predictions.probs, predictions.known_targets
    is_true, is_given = targets == 1, given_labels(probs)
    losses = binary_losses(probs, targets)
    is_wrong = (is_true != is_given).any(1)
    scores = per_class(probs, targets, predictions.classes)
    worst = np.argsort(-losses, kind="stable")
    rows = [row for row in worst.tolist() if is_wrong[row]][:n_shown]
    return LabelMistakes(
        n_rows=len(losses),
        n_wrong=int(is_wrong.sum()),
        n_missed=int((is_true & ~is_given).sum()),
        n_false=int((is_given & ~is_true).sum()),
        classes=predictions.classes,
        scores=tuple(map(_label_score, scores, probs.T, is_true.T)),
        shown=tuple(_wrong_labels(predictions, row, losses[row], thumbnail) for row in rows),
    )


def _label_score(score: ClassScore, probs: Array, is_true: Array) -> LabelScore:
    """The scores with the ROC curve; probs and is_true are (rows,)."""
    false_rate, true_rate = roc_curve(probs, is_true)
    return LabelScore(
        **vars(score),
        n_predicted=int(given_labels(probs).sum()),
        auc=float(np.trapezoid(true_rate, false_rate)) if len(true_rate) else float("nan"),
        roc=_thinned(false_rate, true_rate) if len(true_rate) else (),
    )


def _thinned(x: Array, y: Array) -> tuple[tuple[float, float], ...]:
    """At most N_POINTS points of a curve, evenly spread, both ends among them."""
    kept = np.unique(np.linspace(0, len(x) - 1, N_POINTS).round().astype(int))
    return tuple(zip(x[kept].tolist(), y[kept].tolist(), strict=True))


def roc_curve(probs: Array, is_true: Array) -> tuple[Array, Array]:
    """False and true positive rates from the highest threshold to the lowest, (points,) each.

    probs is (rows,), is_true (rows,) booleans. Empty where all rows are true, or none is.
    """
    n_true = int(is_true.sum())
    if not 0 < n_true < len(is_true):
        return np.empty(0), np.empty(0)
    order = np.argsort(-probs, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(probs[order])), len(order) - 1)
    hits = np.cumsum(is_true[order])[last_of_tie]
    false = last_of_tie + 1 - hits
    return np.append(0, false / (len(order) - n_true)), np.append(0, hits / n_true)


def _wrong_labels(
    predictions: Predictions, row: int, loss: float, thumbnail: Callable[[str], str]
) -> WrongLabels:
    probs, image_id = predictions.probs[row], str(predictions.ids[row])
    is_true, is_given = predictions.known_targets[row] == 1, given_labels(probs)
    order = np.argsort(-probs, kind="stable").tolist()

    def listed(chosen: Array) -> tuple[tuple[str, float], ...]:
        return tuple((predictions.classes[i], float(probs[i])) for i in order if chosen[i])

    return WrongLabels(
        id=image_id,
        loss=float(loss),
        right=listed(is_true & is_given),
        missed=listed(is_true & ~is_given),
        wrong=listed(is_given & ~is_true),
        thumbnail=thumbnail(image_id),
    )
