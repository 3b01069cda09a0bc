"""Predictions full of ties and zeros, and every metric that has two or more classes."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ensemble.metrics import metric_named, metric_names


@st.composite
def _tied_predictions(draw, n_classes=None, max_rows=40):
    n_classes = n_classes or draw(st.integers(2, 5))
    n_rows = draw(st.integers(1, max_rows))
    counts = draw(arrays(np.int64, (n_rows, n_classes), elements=st.integers(0, 4)))
    counts[counts.sum(1) == 0] = 1
    targets = draw(arrays(np.int64, n_rows, elements=st.integers(0, n_classes - 1)))
    return counts / counts.sum(1, keepdims=True), targets


@pytest.fixture(scope="session")
def tied_predictions():
    """tied_predictions(n_classes): a strategy of probs and targets; classes may lack rows."""
    return _tied_predictions


def _every_metric(n_classes):
    names = [name.replace("@k", "@2") for name in metric_names()]
    classes = [str(column) for column in range(n_classes)]
    return [metric_named(name, classes) for name in names if name != "f1" or n_classes == 2]


@pytest.fixture(scope="session")
def every_metric():
    """every_metric(n_classes): the metrics of classes 0, 1, …; f1 of two only."""
    return _every_metric


@pytest.fixture(scope="session")
def drawn():
    """drawn(rng, n_rows, shares, skill): probs without ties, and targets with these shares of rows."""

    def make(rng, n_rows, shares, skill=1.5):
        targets = rng.choice(len(shares), n_rows, p=shares)
        logits = rng.normal(0, 1, (n_rows, len(shares)))
        logits[np.arange(n_rows), targets] += skill
        probs = np.exp(logits)
        return probs / probs.sum(1, keepdims=True), targets

    return make
