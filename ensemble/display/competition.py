"""Predictions of any images, submissions and what became of them."""

from collections.abc import Sequence

from ensemble.display.text import count, say
from ensemble.engines.predict import Predicted


def show_predicted(predicted: Predicted, members: Sequence[str]) -> None:
    """Where the CSV is, by whom, and which images nobody could read."""
    by = members[0] if len(members) == 1 else f"a blend of {len(members)} runs"
    networks = f" ({count(predicted.n_networks, 'network')})" if predicted.n_networks > 1 else ""
    columns = ", ".join(predicted.columns[:6]) + (", …" if len(predicted.columns) > 6 else "")
    say(f"{predicted.path}: {count(predicted.n_images, 'image')} by {by}{networks}; columns {columns}")
    if predicted.unreadable:
        images = count(len(predicted.unreadable), "unreadable image")
        say(f"{images} got the class shares of the training set; {predicted.unreadable_path} lists them all:")
        for name, reason in list(predicted.unreadable.items())[:5]:
            say(f"  {name}: {reason}")
