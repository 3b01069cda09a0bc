"""Charts as SVG inside the page: matplotlib draws, the page's style colours, so that dark mode and print fit.

Each is about 320 units wide, so that its letters can be read on a phone. Names never enter a chart: the page writes
them, in any script.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ensemble.events import EpochEnded
from ensemble.report.mistakes import Bin
from ensemble.report.plots import BLUE, GREEN, GREY, ORANGE, PINK, RULE_COLOURS
from ensemble.runs import LrFind, drawable

INK, LINE = "#010203", "#d0d1d2"  # what matplotlib is told, for the page's own colours
COLOURS = {
    INK: "ink",
    LINE: "line",
    GREY: "muted",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PINK: "pink",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ens",
    "font.size": 9,
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
    "path.simplify": True,
}
SIZE = (4.5, 2.9)  # inches
_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_DIGITS = re.compile(r"(\.\d\d)\d+")


def loss_chart(history: Sequence[EpochEnded]) -> Markup:
    """Training and validation loss by epoch, the kept epoch and the change of phase marked."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure, axes = _axes("epoch", "loss (nats)")
        epochs = [row.epoch for row in history]
        axes.plot(
            epochs,
            [drawable(row.train_loss) for row in history],
            color=BLUE,
            marker="o",
            label="train",
        )
        axes.plot(
            epochs,
            [drawable(row.valid_loss) for row in history],
            color=ORANGE,
            marker="s",
            label="validation",
        )
        _mark_epochs(axes, history)
        first, last = history[0], history[-1]
        return _svg(
            figure,
            f"Loss by epoch: validation {first.valid_loss:.4g} at first, {last.valid_loss:.4g} at the end; "
            f"training {first.train_loss:.4g} and {last.train_loss:.4g}.",
        )


def accuracy_chart(history: Sequence[EpochEnded]) -> Markup:
    """Validation accuracy by epoch."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure, axes = _axes("epoch", "validation accuracy")
        axes.plot(
            [row.epoch for row in history],
            [row.accuracy for row in history],
            color=ORANGE,
            marker="s",
            label="validation",
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        _mark_epochs(axes, history)
        return _svg(
            figure,
            f"Validation accuracy by epoch: {history[0].accuracy:.1%} at first, {history[-1].accuracy:.1%} "
            "at the end.",
        )


def _mark_epochs(axes: Axes, history: Sequence[EpochEnded]) -> None:
    kept = max((row.epoch for row in history if row.is_best), default=None)
    if kept is not None:
        axes.axvline(kept, color=GREY, ls=":", lw=1.2, label=f"kept: epoch {kept}", zorder=0)
    for before, after in zip(history, history[1:], strict=False):
        if before.phase != after.phase:
            axes.axvline(after.epoch - 0.5, color=GREY, lw=0.8, zorder=0)
            axes.annotate(
                f" {after.phase}",
                (after.epoch - 0.5, 1),
                xycoords=("data", "axes fraction"),
                va="top",
                fontsize=8,
                color=GREY,
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.legend(loc="best")


def rate_chart(points: Sequence[tuple[float, float]], found: LrFind) -> Markup:
    """The range test: smoothed loss by learning rate, what each rule reads off it, and the choice."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure, axes = _axes("learning rate", "smoothed training loss (nats)")
        rates, losses = [rate for rate, _ in points], [loss for _, loss in points]
        low, start = min(losses), losses[0]
        rise = max(abs(start - low), 0.05)
        top = start + 0.5 * rise
        axes.plot(rates, [loss if loss <= top else math.nan for loss in losses], color=INK, lw=1.3)
        for rule, rate in found.suggestions.items():
            if rate is not None:
                axes.axvline(
                    rate,
                    color=RULE_COLOURS.get(rule, GREY),
                    ls="--",
                    lw=1.2,
                    label=f"{rule} {rate:.1e}",
                )
        axes.axvline(found.chosen, color=GREY, lw=5, alpha=0.35, label=f"taken {found.chosen:.1e}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(
            lambda rate, _: f"{rate:.0e}".replace("e-0", "e-").replace("e+00", "")
        )
        axes.set_ylim(low - 0.1 * rise, top)
        axes.legend(loc="best")
        said = ", ".join(
            f"{rule} {rate:.1e}" for rule, rate in found.suggestions.items() if rate is not None
        )
        return _svg(
            figure,
            f"Range test of the learning rate: {said or 'no rule answered'}; taken {found.chosen:.1e}.",
        )


def reliability_chart(bins: Sequence[Bin]) -> Markup:
    """Accuracy by confidence with 95 % intervals; points on the diagonal are honest. Dots are as large as bins are."""
    with rc_context(STYLE):  # type: ignore[arg-type]
        figure, axes = _axes("confidence (highest probability)", "accuracy")
        most = max(own.n for own in bins)
        x = [own.confidence for own in bins]
        start = max(0.0, min(0.8, *x) - 0.05)
        axes.plot([start, 1], [start, 1], color=GREY, lw=1, ls="--", label="as sure as right")
        axes.vlines(
            x,
            [own.accuracy.low for own in bins],
            [own.accuracy.high for own in bins],
            color=BLUE,
            lw=1.4,
            alpha=0.55,
        )
        for own in bins:
            axes.plot(
                own.confidence,
                own.accuracy.value,
                "o",
                color=BLUE,
                ms=3 + 6 * (own.n / most) ** 0.5,
                zorder=3,
            )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set(xlim=(start, 1.02), ylim=(-0.03, 1.05))
        axes.legend(loc="lower right")
        worst = max(bins, key=lambda own: own.n * abs(own.confidence - own.accuracy.value))
        return _svg(
            figure,
            f"Reliability: in the bin that is furthest off, {worst.n} images have a mean confidence of "
            f"{worst.confidence:.0%} and {worst.accuracy.value:.0%} of them are right.",
        )


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE)  # a constrained layout draws each chart three times
    axes = figure.add_axes((0.145, 0.155, 0.825, 0.82))
    axes.set(xlabel=x, ylabel=y)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, alt: str) -> Markup:
    """The drawing as an element that takes the page's width, fonts and colours. No id is left to meet another's."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(out.getvalue())
    for node in root.iter():
        node.tag = node.tag.removeprefix(_SVG)
    shapes = {node.get("id", ""): node for node in root.iter("path")}
    drawn = "".join(
        _drawn(node, shapes) for node in root.iter() if node.tag in ("path", "use", "text")
    )
    for colour, name in COLOURS.items():
        drawn = drawn.replace(colour.lower(), f"var(--{name})")
    box, shown = root.get("viewBox", ""), Markup(drawn)  # noqa: S704 only what matplotlib wrote
    return Markup('<svg viewBox="{}" role="img" aria-label="{}">{}</svg>').format(box, alt, shown)


def _drawn(node: ElementTree.Element, shapes: Mapping[str, ElementTree.Element]) -> str:
    """A path, a marker or a text as it stands, to a hundredth of a unit; "" for what is defined or invisible."""
    style = re.sub(r"font-family: [^;]*;? ?", "", node.get("style", ""))
    if node.get("id") or style == "fill: none":
        return ""
    if node.tag == "text":
        own = {
            "x": node.get("x"),
            "y": node.get("y"),
            "transform": node.get("transform"),
            "style": style,
        }
        content = escape("".join(node.itertext()))
    else:
        shape, move = node, None
        if node.tag == "use":
            shape, move = (
                shapes[node.get(_LINK, "#")[1:]],
                f"translate({node.get('x')} {node.get('y')})",
            )
        own, content = {"d": shape.get("d"), "transform": move, "style": style}, Markup()
    said = "".join(f' {name}="{" ".join(value.split())}"' for name, value in own.items() if value)
    tag, said = "text" if node.tag == "text" else "path", _DIGITS.sub(r"\1", said)
    return f"<{tag}{said}>{content}</{tag}>\n"
