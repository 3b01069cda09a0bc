"""The figures of a training and of its predictions, each drawn by one function.

A `plot_` function draws on matplotlib axes and returns the alt text. `draw_` functions save such
figures as PNG; the page shows the same ones as SVG (svg.py).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ensemble.events import EpochEnded
from ensemble.files import atomic_path
from ensemble.numbers import metric_in_words
from ensemble.runs import drawable

if TYPE_CHECKING:
    from ensemble.predictions import Array
    from ensemble.reporting.mistakes import Bin

# the palette of Okabe and Ito, 2008
BLUE, ORANGE, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
GREY, INK, LINE = "#666666", "#1a1d23", "#d9dce2"
RULE_COLORS = {"valley": BLUE, "slide": ORANGE, "steep": GREEN, "minimum": PINK}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}


def draw_curves(history: Sequence[EpochEnded], path: Path, title: str) -> None:
    """A PNG of loss and, where there is one, score by epoch, side by side. Raises EnsembleError."""
    with rc_context(STYLE):
        is_scored = has_scores(history) or not history
        figure = Figure(figsize=(9 if is_scored else 5, 3.6), layout="constrained")
        figure.suptitle(title, fontsize=11, parse_math=False)
        panels = figure.subplots(1, 2 if is_scored else 1, squeeze=False)[0]
        for axes, plot in zip(panels, (plot_loss, plot_score), strict=False):
            plot(axes, history)
        save_png(figure, path)


def draw_range_test(
    points: Sequence[tuple[float, float]],
    suggestions: Mapping[str, float | None],
    chosen: float,
    rule: str,
    path: Path,
) -> None:
    """A PNG of the range test; see plot_range_test. Raises EnsembleError."""
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.subplots()
        axes.set_title("Range test")
        plot_range_test(axes, points, suggestions, chosen, rule)
        save_png(figure, path)


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes. Raises EnsembleError."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": "ens"})


def plot_loss(axes: Axes, history: Sequence[EpochEnded]) -> str:
    """Training and validation loss by epoch; marks the best epoch and where a phase begins."""
    train = [drawable(epoch.train_loss) for epoch in history]
    valid = [drawable(epoch.valid_loss) for epoch in history]
    _plot_by_epoch(axes, history, train, BLUE, "o", "train")
    _plot_by_epoch(axes, history, valid, ORANGE, "s", "validation")
    _mark_epochs(axes, history)
    axes.set(xlabel="epoch", ylabel="loss")
    if not history:
        return "Loss by epoch: no epoch yet."
    first, last = history[0], history[-1]
    return (
        f"Loss by epoch: training {first.train_loss:.4g} to {last.train_loss:.4g}, "
        f"validation {first.valid_loss:.4g} to {last.valid_loss:.4g}."
    )


def plot_score(axes: Axes, history: Sequence[EpochEnded]) -> str:
    """The metric, else the accuracy, of the validation images by epoch; marks as in plot_loss."""
    metric = metric_of_history(history)
    scores = [math.nan if score is None else score for score in _scores(history)]
    _plot_by_epoch(axes, history, scores, ORANGE, "s", "validation")
    _mark_epochs(axes, history)
    if metric == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set(xlabel="epoch", ylabel=f"validation {metric_in_words(metric)}")
    if not history:
        return f"Validation {metric} by epoch: no epoch yet."
    form = ".1%" if metric == "accuracy" else ".4g"
    return f"Validation {metric} by epoch: {scores[0]:{form}} to {scores[-1]:{form}}."


def metric_of_history(history: Sequence[EpochEnded]) -> str:
    """What the epochs are scored by."""
    return (history[0].metric if history else "") or "accuracy"


def has_scores(history: Sequence[EpochEnded]) -> bool:
    """Whether some epoch has a score to draw."""
    return any(score is not None for score in _scores(history))


def _scores(history: Sequence[EpochEnded]) -> list[float | None]:
    if metric_of_history(history) == "accuracy":
        return [epoch.accuracy for epoch in history]
    return [epoch.score for epoch in history]


def _plot_by_epoch(
    axes: Axes,
    history: Sequence[EpochEnded],
    values: Sequence[float],
    color: str,
    marker: str,
    label: str,
) -> None:
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, values, color=color, marker=marker, label=label)


def _mark_epochs(axes: Axes, history: Sequence[EpochEnded]) -> None:
    best = max((epoch.epoch for epoch in history if epoch.is_best), default=None)
    if best is not None:
        axes.axvline(best, color=GREY, ls=":", lw=1.2, label=f"best epoch: {best}", zorder=0)
    for before, after in zip(history, history[1:], strict=False):
        if before.phase != after.phase:
            begin = after.epoch - 0.5
            axes.axvline(begin, color=GREY, lw=0.8, zorder=0)
            axes.annotate(
                f" {after.phase}",
                (begin, 1),
                xycoords=("data", "axes fraction"),
                va="top",
                fontsize=8,
                color=GREY,
            )
    if len(history) == 1:
        axes.set_xlim(history[0].epoch - 1, history[0].epoch + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.legend(loc="best")


def plot_range_test(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    suggestions: Mapping[str, float | None],
    chosen: float,
    rule: str,
) -> str:
    """Smoothed loss by learning rate, the rate that each rule suggests, and the chosen one.

    points are (rate, loss); the curve ends where it rises far above its first loss.
    """
    if points:
        _plot_until_it_rises(axes, points)
    suggested = {name: rate for name, rate in suggestions.items() if rate is not None}
    for name, rate in suggested.items():
        color = RULE_COLORS.get(name, GREY)
        axes.axvline(rate, color=color, ls="--", lw=1.2, label=f"{name} {rate:.1e}")
    axes.axvline(chosen, color=GREY, lw=5, alpha=0.35, label=f"chosen {chosen:.1e} ({rule})")
    axes.set(xscale="log", xlabel="learning rate", ylabel="smoothed training loss")
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda rate, _: _power_of_ten(rate))
    axes.legend(loc="best")
    rates = ", ".join(f"{name} {rate:.1e}" for name, rate in suggested.items())
    rules = rates or "no rule has a suggestion"
    return f"Range test of the learning rate: {rules}; chosen {chosen:.1e} ({rule})."


def _plot_until_it_rises(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    rates = [rate for rate, _ in points]
    losses = [loss for _, loss in points]
    low, start = min(losses), losses[0]
    rise = max(abs(start - low), 0.05)
    top = start + 0.5 * rise
    axes.plot(rates, [loss if loss <= top else math.nan for loss in losses], color=INK, lw=1.3)
    axes.set_ylim(low - 0.1 * rise, top)


def _power_of_ten(rate: float) -> str:
    return f"{rate:.0e}".replace("e-0", "e-").replace("e+00", "")


def plot_reliability(axes: Axes, bins: "Sequence[Bin]") -> str:
    """Accuracy by confidence with 95 % intervals; a dot's area grows with its bin's images.

    On the diagonal confidence is calibrated.
    """
    confidence = [each.confidence for each in bins]
    low, high = [each.accuracy.low for each in bins], [each.accuracy.high for each in bins]
    start = max(0.0, min(0.8, *confidence) - 0.05)
    axes.plot([start, 1], [start, 1], color=GREY, lw=1, ls="--", label="calibrated")
    axes.vlines(confidence, low, high, color=BLUE, lw=1.4, alpha=0.55)
    largest = max(each.n for each in bins)
    for each in bins:
        size = 3 + 6 * (each.n / largest) ** 0.5
        axes.plot(each.confidence, each.accuracy.value, "o", color=BLUE, ms=size, zorder=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.set(xlabel="confidence (highest probability)", ylabel="accuracy")
    axes.set(xlim=(start, 1.02), ylim=(-0.03, 1.05))
    axes.legend(loc="lower right")
    worst = max(bins, key=lambda each: each.n * abs(each.confidence - each.accuracy.value))
    return (
        f"Reliability: the bin furthest from the diagonal holds {worst.n} images with a mean "
        f"confidence of {worst.confidence:.0%} and an accuracy of {worst.accuracy.value:.0%}."
    )


def plot_numbers(axes: Axes, drawn: "Array") -> str:
    """Predicted by true numbers; drawn is (images, 2), true and predicted. On the line they agree."""
    low, high = float(drawn.min()), float(drawn.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color=GREY, lw=1, ls="--", label="predicted = true")
    _plot_dots(axes, drawn[:, 0], drawn[:, 1])
    axes.set(xlabel="true", ylabel="predicted", xlim=ends, ylim=ends)
    axes.legend(loc="upper left")
    return f"Predicted by true number of {len(drawn)} images, from {low:.4g} to {high:.4g}."


def plot_residuals(axes: Axes, drawn: "Array") -> str:
    """Residuals, true minus predicted, by predicted number; drawn is as in plot_numbers."""
    predicted, residuals = drawn[:, 1], drawn[:, 0] - drawn[:, 1]
    reach = 1.08 * float(abs(residuals).max()) or 1.0
    low, high = float(predicted.min()), float(predicted.max())
    margin = 0.04 * (high - low) or 1.0
    axes.axhline(0, color=GREY, lw=1, ls="--")
    _plot_dots(axes, predicted, residuals)
    axes.set(xlabel="predicted", ylabel="residual (true − predicted)")
    axes.set(xlim=(low - margin, high + margin), ylim=(-reach, reach))
    return f"Residuals of {len(drawn)} images: {residuals.min():.4g} to {residuals.max():.4g}."


def _plot_dots(axes: Axes, x: "Array", y: "Array") -> None:
    """Dots as one path, which takes a tenth of the bytes of markers in a page."""
    vertices = [
        point for pair in zip(x.tolist(), y.tolist(), strict=True) for point in (pair, pair)
    ]
    dots = Outline(vertices, [Outline.MOVETO, Outline.LINETO] * len(x))
    dots.should_simplify = False
    axes.add_patch(
        PathPatch(dots, fill=False, edgecolor=BLUE, lw=3.4, alpha=0.55, capstyle="round")
    )
