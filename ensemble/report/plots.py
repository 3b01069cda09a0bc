"""CSV and PNG of a training, side by side in its folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ensemble.events import EpochEnded
from ensemble.report.figures import draw_curves, draw_range_test
from ensemble.runs import writer


def save_history(history: Sequence[EpochEnded], folder: Path, title: str) -> None:
    """`history.csv`, one row per epoch, and `curves.png`. Raises EnsembleError."""
    writer.write_history(folder, history)
    draw_curves(history, folder / "curves.png", title)


def save_range_test(
    rates: Sequence[float],
    losses: Sequence[float],
    suggestions: Mapping[str, float | None],
    chosen: float,
    rule: str,
    folder: Path,
) -> None:
    """`lr_find.csv` and `lr_find.png`. Raises EnsembleError."""
    points = list(zip(rates, losses, strict=True))
    writer.write_range_test(folder, points)
    draw_range_test(points, suggestions, chosen, rule, folder / "lr_find.png")
