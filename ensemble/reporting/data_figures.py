"""Figures of a data set: a bar chart of the images per class, and a grid of sample images."""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ensemble.dataset.audit import Audit
from ensemble.dataset.decode import UnreadableImage, read_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.tables import Images
from ensemble.reporting.figures import BLUE, GREEN, GREY, ORANGE, save_png

COLORS = {"train": BLUE, "valid": ORANGE, "test": GREEN}
MAX_CLASSES, PER_CLASS = 24, 6  # rows and columns of the grid
MAX_TRIED = 20  # files of a class that are tried, since some may be unreadable
CELL = 96  # pixels
# class names may be of any script: matplotlib takes each letter from the first font that has it
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
    "Microsoft YaHei",
    "PingFang SC",
    "Malgun Gothic",
    "Nirmala UI",
)


def draw_counts(audit: Audit, path: Path) -> None:
    """A PNG with a bar per class, the largest first. Raises EnsembleError."""
    names = list(audit.counts)
    font_size, height = (9, 0.3) if len(names) <= 30 else (7, 0.15)  # points, inches
    figure = Figure(figsize=(8, min(1.5 + height * len(names), 500)), layout="constrained")
    axes = figure.subplots()
    totals = _plot_bars(axes, audit)
    for row, total in enumerate(totals):
        axes.text(total, row, f" {total:,.0f}", va="center", fontsize=font_size, color=GREY)
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=font_size)
    axes.set(xlabel="images", ylim=(len(names) - 0.4, -0.6))
    axes.set_title(f"{_short(audit.name)}: images per class")
    axes.margins(x=0.08)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if names:
        figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    _save(figure, path)


def _plot_bars(axes: Axes, audit: Audit) -> np.ndarray:
    """A bar per class, a piece per labeled split; returns the bars' lengths, (classes,)."""
    names = list(audit.counts)
    totals = np.zeros(len(names))
    for split in audit.splits:
        if split.counts:
            counts = [split.counts.get(name, 0) for name in names]
            color, label = COLORS[split.name], split.name
            axes.barh(range(len(names)), counts, 0.75, totals, color=color, label=label)
            totals += counts
    return totals


def draw_samples(images: Images, path: Path, ranges: Ranges = EIGHT_BITS) -> None:
    """A PNG with some images of each class, in the order of images, evenly spread over its files.

    Of more than MAX_CLASSES classes it shows some. Raises EnsembleError.
    """
    assert images.labels is not None
    classes = list(dict.fromkeys(images.labels))
    rows = np.unique(np.linspace(0, len(classes) - 1, MAX_CLASSES).round().astype(int)).tolist()
    figure = Figure(figsize=(1.6 + PER_CLASS, 0.5 + len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), PER_CLASS, squeeze=False)
    labeled = list(zip(images.files, images.labels, strict=True))
    for grid_row, name in zip(grid, (classes[row] for row in rows), strict=True):
        files = [file for file, label in labeled if label == name]
        _plot_samples(grid_row, name, files, ranges)
    left_out = f", {len(rows)} of {len(classes)} classes" if len(rows) < len(classes) else ""
    figure.suptitle(f"Training images{left_out}", fontsize=11)
    _save(figure, path)


def _plot_samples(
    row: Sequence[Axes], class_name: str, files: Sequence[Path], ranges: Ranges
) -> None:
    """A row of the grid: the class's name and its images."""
    for axes in row:
        axes.set(xticks=[], yticks=[], frame_on=False)
    label = textwrap.fill(_short(class_name), 16)
    row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
    step = max(1, len(files) // PER_CLASS)
    tried = [*files[::step], *files][:MAX_TRIED]
    n_shown = min(PER_CLASS, len(files))
    for axes, pixels in zip(row, islice(_readable(tried, ranges), n_shown), strict=False):
        axes.imshow(pixels, interpolation="nearest")


def _readable(files: Sequence[Path], ranges: Ranges) -> Iterator[np.ndarray]:
    """The images that can be read, (height, width, 3) uint8, at most CELL pixels a side."""
    for file in files:
        try:
            image = read_image(file, ranges=ranges)
        except UnreadableImage:
            continue
        image.thumbnail((CELL, CELL))
        yield np.asarray(image)


def _short(name: str) -> str:
    """A name of at most 40 characters; its dollar signs do not start a formula."""
    if len(name) > 40:
        name = f"{name[:39]}…"
    return name.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    installed = set(font_manager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts)
    with warnings.catch_warnings():
        # a letter that no installed font has is drawn as a box
        warnings.filterwarnings("ignore", message="(?s).*Glyph")
        save_png(figure, path)
