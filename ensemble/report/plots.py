"""Pictures of a training: the loss and accuracy curves, and the range test with what each rule reads off it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ensemble.events import EpochEnded
from ensemble.files import atomic_path
from ensemble.runs import drawable, writer

BLUE, ORANGE, GREEN, PINK, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#666666",
)  # Okabe and Ito, 2008
RULE_COLOURS = {"valley": BLUE, "slide": ORANGE, "steep": GREEN, "minimum": PINK}


def save_history(history: Sequence[EpochEnded], folder: Path, title: str) -> None:
    """`history.csv`, one row per epoch, and `curves.png`. Raises EnsembleError."""
    writer.write_history(folder, history)
    _save(_curves(history, title), folder / "curves.png")


def _curves(history: Sequence[EpochEnded], title: str) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    losses, shares = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    losses.plot(
        epochs,
        [drawable(row.train_loss) for row in history],
        color=BLUE,
        marker="o",
        ms=3,
        label="train",
    )
    losses.plot(
        epochs,
        [drawable(row.valid_loss) for row in history],
        color=ORANGE,
        marker="s",
        ms=3,
        label="valid",
    )
    losses.set(xlabel="epoch", ylabel="loss (nats)")
    shares.plot(
        epochs,
        [100 * row.accuracy for row in history],
        color=ORANGE,
        marker="s",
        ms=3,
        label="valid",
    )
    shares.set(xlabel="epoch", ylabel="accuracy (%)")
    kept = max((row.epoch for row in history if row.is_best), default=None)
    changes = [
        b.epoch - 0.5 for a, b in zip(history, history[1:], strict=False) if a.phase != b.phase
    ]
    for axes in (losses, shares):
        if kept is not None:
            axes.axvline(kept, color=GREY, ls=":", lw=1, label=f"best epoch ({kept})")
        for change in changes:
            axes.axvline(change, color=GREY, lw=0.6)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8)
    return figure


def save_range_test(
    rates: Sequence[float],
    losses: Sequence[float],
    suggestions: Mapping[str, float | None],
    chosen: float,
    rule: str,
    folder: Path,
) -> None:
    """`lr_find.csv` and `lr_find.png`. Raises EnsembleError."""
    writer.write_range_test(folder, list(zip(rates, losses, strict=True)))
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, color="black", lw=1.2)
    for name, rate in suggestions.items():
        if rate is not None:
            axes.axvline(
                rate, color=RULE_COLOURS[name], ls="--", lw=1.2, label=f"{name} {rate:.2g}"
            )
    axes.axvline(chosen, color=GREY, lw=4, alpha=0.35, label=f"chosen {chosen:.2g} ({rule})")
    axes.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="smoothed training loss (nats)",
        title="Range test",
    )
    if losses:
        low, start = min(losses), losses[0]
        axes.set_ylim(low - 0.1 * abs(start - low) - 0.01, start + 0.5 * abs(start - low) + 0.05)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    _save(figure, folder / "lr_find.png")


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": "ens"})
