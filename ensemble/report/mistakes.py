"""Where predictions go wrong: confusions, weak classes, the surest mistakes, how far confidence can be trusted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.blending.calibration import N_BINS, ece
from ensemble.metrics import ClassScore, Interval
from ensemble.predictions import Array, Predictions

N_PAIRS, N_WRONG = 8, 12


@dataclass(frozen=True)
class Pair:
    """Images of one class that were taken for another, n of n_true."""

    true: str
    named: str
    n: int
    n_true: int


@dataclass(frozen=True)
class Wrong:
    """An image that was named wrongly, and how sure of it; picture is a data URI, "" where the image is not at hand."""

    id: str
    true: str
    named: str
    confidence: float
    of_truth: float
    picture: str


@dataclass(frozen=True)
class Bin:
    """The n images whose highest probability lies in one of equal steps; confidence is its mean."""

    n: int
    confidence: float
    accuracy: Interval


@dataclass(frozen=True, eq=False)
class Mistakes:
    """What predictions get wrong. counts is (true class, named class); scores stand in the order of classes."""

    n_rows: int
    n_wrong: int
    classes: tuple[str, ...]
    counts: Array
    scores: tuple[ClassScore, ...]
    pairs: tuple[Pair, ...]
    wrong: tuple[Wrong, ...]
    bins: tuple[Bin, ...]
    ece: float

    @property
    def shares(self) -> Array:
        """Of each true class's images, the share named so, (classes, classes); 0 for a class without images."""
        return np.asarray(self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1))

    @property
    def weakest_first(self) -> list[ClassScore]:
        """The classes that have images, the lowest F1 first."""
        return sorted(
            (one for one in self.scores if one.n_rows), key=lambda one: (one.f1, one.name)
        )

    def most_confused(self, n: int) -> list[int]:
        """The classes that take part in most confusions, in their own order."""
        off = self.counts - np.diag(np.diag(self.counts))
        return sorted(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:n].tolist())


def mistakes_of(
    predictions: Predictions, picture: Callable[[str], str], n_pictures: int = N_WRONG
) -> Mistakes:
    """Everything about labelled predictions; picture gives an image's data URI by its id."""
    assert predictions.targets is not None
    probs, targets, classes = predictions.probs, predictions.targets, predictions.classes
    labels = metrics.predicted(probs)
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (targets, labels), 1)
    sure = probs[np.arange(len(labels)), labels]
    false = np.flatnonzero(labels != targets)
    surest = false[np.argsort(-sure[false], kind="stable")][:n_pictures].tolist()
    return Mistakes(
        n_rows=len(targets),
        n_wrong=len(false),
        classes=classes,
        counts=counts,
        scores=tuple(metrics.per_class(probs, targets, classes)),
        pairs=_pairs(counts, classes),
        wrong=tuple(
            Wrong(
                str(predictions.ids[i]),
                classes[targets[i]],
                classes[labels[i]],
                float(sure[i]),
                float(probs[i, targets[i]]),
                picture(str(predictions.ids[i])),
            )
            for i in surest
        ),
        bins=_bins(sure, labels == targets),
        ece=ece(probs, targets),
    )


def _pairs(counts: Array, classes: Sequence[str]) -> tuple[Pair, ...]:
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[:N_PAIRS].tolist()
    places = [divmod(place, len(classes)) for place in order]
    return tuple(
        Pair(classes[true], classes[named], int(off[true, named]), int(counts[true].sum()))
        for true, named in places
        if off[true, named]
    )


def _bins(confidence: Array, right: Array) -> tuple[Bin, ...]:
    number = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    inside = [np.flatnonzero(number == k) for k in range(N_BINS)]
    return tuple(
        Bin(
            len(rows),
            float(confidence[rows].mean()),
            metrics.wilson(float(right[rows].mean()), len(rows)),
        )
        for rows in inside
        if len(rows)
    )
