"""Weights from validation results: one function per rule, each non-negative and summing to 1."""

from collections.abc import Callable

import numpy as np

from ensemble.errors import SelectionError
from ensemble.predictions import Array

Weighting = Callable[[Array], Array]


def equal_weights(hits: Array) -> Array:
    """The same weight for everyone. hits is (members, rows)."""
    return np.full(len(hits), 1 / len(hits))


def accuracy_weights(hits: Array) -> Array:
    """Weights in proportion to accuracy; equal where nobody is ever right. hits is (members, rows) of 0 and 1."""
    accuracies = hits.mean(1)
    total = accuracies.sum()
    return accuracies / total if total > 0 else equal_weights(hits)


WEIGHTINGS: dict[str, Weighting] = {"accuracy": accuracy_weights, "equal": equal_weights}


def weighting_named(name: str) -> Weighting:
    """The rule behind `--weights`. Raises SelectionError naming those there are."""
    try:
        return WEIGHTINGS[name]
    except KeyError:
        raise SelectionError(f"--weights {name} is not one of {', '.join(WEIGHTINGS)}") from None
