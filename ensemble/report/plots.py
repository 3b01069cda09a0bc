"""CSV and PNG of a training, side by side in its folder."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ensemble.events import EpochEnded
from ensemble.files import write_text
from ensemble.report.figures import draw_curves, draw_range_test


def save_history(history: Sequence[EpochEnded], folder: Path, title: str) -> None:
    """`history.csv`, one row per epoch, and `curves.png`. Raises EnsembleError."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["epoch", "phase", "train_loss", "valid_loss", "accuracy", "seconds", "is_best"]
    )
    for row in history:
        values = (
            f"{value:.6g}" for value in (row.train_loss, row.valid_loss, row.accuracy, row.seconds)
        )
        writer.writerow([row.epoch, row.phase, *values, int(row.is_best)])
    write_text(folder / "history.csv", out.getvalue())
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
    rows = "".join(f"{rate:.6g},{loss:.6g}\n" for rate, loss in points)
    write_text(folder / "lr_find.csv", "rate,smoothed_loss\n" + rows)
    draw_range_test(points, suggestions, chosen, rule, folder / "lr_find.png")
