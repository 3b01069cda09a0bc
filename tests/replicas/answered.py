"""The answers of predictions where nothing was learned about them."""

from ensemble.blending.mixture import Answered
from ensemble.metrics import predicted


def by_most_probable(predictions):
    """Predictions sorted by id, answered by the most probable class."""
    ordered = predictions.canonical()
    return Answered(ordered, predicted(ordered.probs))
