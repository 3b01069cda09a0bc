"""Where predictions go wrong: confusions, weak classes, confident mistakes, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ensemble import metrics
from ensemble.blending.calibration import N_BINS, bins_of, ece, ece_noise
from ensemble.blending.label_errors import label_errors
from ensemble.metrics import ClassScore, Interval
from ensemble.predictions import Array, Predictions
from ensemble.reporting.label_mistakes import LabelMistakes, label_mistakes_of
from ensemble.reporting.number_mistakes import NumberMistakes, number_mistakes_of
from ensemble.targets import Target

N_PAIRS, N_SHOWN = 8, 12


@dataclass(frozen=True)
class Pair:
    """n of the n_true images of a class that were predicted as another class."""

    true: str
    predicted: str
    n: int
    n_true: int


@dataclass(frozen=True)
class Misclassified:
    """A misclassified image with the probabilities of its predicted and its true class.

    thumbnail is a data URI, "" where the image is not available; so is heat, which shows where the
    network looks for the predicted class, on request.
    """

    id: str
    true: str
    predicted: str
    confidence: float
    prob_of_true: float
    thumbnail: str
    heat: str = ""


@dataclass(frozen=True)
class Bin:
    """The n images whose highest probability lies in one of equal steps; confidence is its mean."""

    n: int
    confidence: float
    accuracy: Interval


@dataclass(frozen=True, eq=False)
class ClassMistakes:
    """What predictions of one class per image get wrong.

    confusion is the number of images, (true class, predicted class); scores are in the order of
    classes. shown are the misclassified images of the highest confidence, the highest first;
    suspects the likeliest of the n_suspects images whose label is likely wrong (label_errors.py).
    """

    target: ClassVar[Target] = "class"
    n_rows: int
    n_wrong: int
    classes: tuple[str, ...]
    confusion: Array
    scores: tuple[ClassScore, ...]
    pairs: tuple[Pair, ...]
    shown: tuple[Misclassified, ...]
    n_suspects: int
    suspects: tuple[Misclassified, ...]
    bins: tuple[Bin, ...]
    ece: float
    ece_noise: float
    explained_by: str = ""  # the run whose heat maps are shown

    @property
    def counts(self) -> dict[str, int]:
        """The images of each class."""
        return {score.name: score.n_rows for score in self.scores}

    @property
    def shares(self) -> Array:
        """The confusion matrix, each row as shares of its images; 0 for a class without images."""
        n_true = np.maximum(self.confusion.sum(1, keepdims=True), 1)
        return np.asarray(self.confusion / n_true)

    @property
    def weakest_first(self) -> list[ClassScore]:
        """The classes that have images, the lowest F1 first."""
        with_images = [score for score in self.scores if score.n_rows]
        return sorted(with_images, key=lambda score: (score.f1, score.name))

    def most_confused(self, n: int) -> list[int]:
        """The n classes that take part in most confusions, in the order of classes."""
        errors = _without_diagonal(self.confusion)
        per_class = errors.sum(0) + errors.sum(1)
        return sorted(np.argsort(-per_class, kind="stable")[:n].tolist())


Mistakes = ClassMistakes | LabelMistakes | NumberMistakes


def mistakes_of(
    predictions: Predictions, thumbnail: Callable[[str], str], n_shown: int = N_SHOWN
) -> Mistakes:
    """Everything about labeled predictions; thumbnail gives an image's data URI by its id."""
    if predictions.target == "labels":
        return label_mistakes_of(predictions, thumbnail, n_shown)
    if predictions.target == "number":
        return number_mistakes_of(predictions, thumbnail, n_shown)
    return _class_mistakes_of(predictions, thumbnail, n_shown)


def _class_mistakes_of(
    predictions: Predictions, thumbnail: Callable[[str], str], n_shown: int
) -> ClassMistakes:
    probs, targets, classes = predictions.probs, predictions.known_targets, predictions.classes
    labels = metrics.predicted(probs)
    confidence = probs[np.arange(len(labels)), labels]
    wrong = np.flatnonzero(labels != targets)
    most_confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:n_shown].tolist()
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (targets, labels), 1)
    suspects = label_errors(predictions)
    return ClassMistakes(
        n_rows=len(targets),
        n_wrong=len(wrong),
        classes=classes,
        confusion=confusion,
        scores=tuple(metrics.per_class(probs, targets, classes)),
        pairs=_pairs(confusion, classes),
        shown=tuple(_misclassified(predictions, row, thumbnail) for row in most_confident),
        n_suspects=len(suspects),
        suspects=tuple(
            Misclassified(
                id=error.id,
                true=error.label,
                predicted=error.new_label,
                confidence=error.prob_of_new_label,
                prob_of_true=error.prob_of_label,
                thumbnail=thumbnail(error.id),
            )
            for error in suspects[:n_shown]
        ),
        bins=_bins(confidence, labels == targets),
        ece=ece(probs, targets),
        ece_noise=ece_noise(probs),
    )


def _misclassified(
    predictions: Predictions, row: int, thumbnail: Callable[[str], str]
) -> Misclassified:
    probs, image_id = predictions.probs[row], str(predictions.ids[row])
    true, predicted = int(predictions.known_targets[row]), int(metrics.predicted(probs[None])[0])
    return Misclassified(
        id=image_id,
        true=predictions.classes[true],
        predicted=predictions.classes[predicted],
        confidence=float(probs[predicted]),
        prob_of_true=float(probs[true]),
        thumbnail=thumbnail(image_id),
    )


def _without_diagonal(confusion: Array) -> Array:
    return np.asarray(confusion - np.diag(np.diag(confusion)))


def _pairs(confusion: Array, classes: Sequence[str]) -> tuple[Pair, ...]:
    """The most frequent confusions, the most frequent first."""
    errors, pairs = _without_diagonal(confusion), []
    for cell in np.argsort(-errors, axis=None, kind="stable")[:N_PAIRS].tolist():
        true, predicted = divmod(cell, len(classes))
        n, n_true = int(errors[true, predicted]), int(confusion[true].sum())
        if n:
            pairs.append(Pair(classes[true], classes[predicted], n, n_true))
    return tuple(pairs)


def _bins(confidence: Array, is_right: Array) -> tuple[Bin, ...]:
    """The bins that hold an image, by confidence."""
    numbers, bins = bins_of(confidence), []
    for number in range(N_BINS):
        rows = np.flatnonzero(numbers == number)
        if len(rows):
            accuracy = metrics.wilson(float(is_right[rows].mean()), len(rows))
            bins.append(Bin(len(rows), float(confidence[rows].mean()), accuracy))
    return tuple(bins)
