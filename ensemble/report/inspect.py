"""Pictures of a data set: bars of the images per class, and a grid of samples."""

import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from ensemble.dataset.audit import Audit
from ensemble.dataset.decode import UnreadableImage, read_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.tables import Images
from ensemble.files import atomic_path
from ensemble.report.plots import BLUE, GREEN, GREY, ORANGE

COLOURS = {"train": BLUE, "valid": ORANGE, "test": GREEN}
MAX_CLASSES, PER_CLASS, TRIES = (
    24,
    6,
    20,
)  # rows and columns of the grid; readable pictures are sought among so many
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


def save_counts(audit: Audit, path: Path) -> None:
    """A PNG with a bar per class and labeled split, the largest class first. Raises EnsembleError."""
    splits = [split for split in audit.splits if split.counts]
    names = list(audit.counts)
    size, height = (9, 0.3) if len(names) <= 30 else (7, 0.15)  # points, inches
    figure = Figure(figsize=(8, min(1.5 + height * len(names), 500)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(names))
    for split in splits:
        counts = np.array([split.counts.get(name, 0) for name in names])
        axes.barh(
            range(len(names)),
            counts,
            left=left,
            color=COLOURS[split.name],
            height=0.75,
            label=split.name,
        )
        left += counts
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:,.0f}", va="center", fontsize=size, color=GREY)
    axes.set_yticks(range(len(names)), [_short(name) for name in names], fontsize=size)
    axes.set(
        xlabel="images",
        title=f"{_short(audit.name)}: images per class",
        ylim=(len(names) - 0.4, -0.6),
    )
    axes.margins(x=0.08)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    if splits:
        figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    _save(figure, path)


def save_samples(images: Images, path: Path, ranges: Ranges = EIGHT_BITS) -> None:
    """A PNG with some pictures of each class, evenly spread over its images; of many classes some.

    Raises EnsembleError.
    """
    assert images.labels is not None
    classes = sorted(set(images.labels))
    shown = [
        classes[i]
        for i in np.unique(np.linspace(0, len(classes) - 1, MAX_CLASSES).round().astype(int))
    ]
    figure = Figure(figsize=(1.6 + PER_CLASS, 0.5 + len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), PER_CLASS, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    for row, name in zip(grid, shown, strict=True):
        files = [
            file for file, label in zip(images.files, images.labels, strict=True) if label == name
        ]
        row[0].set_ylabel(
            textwrap.fill(_short(name), 16), rotation=0, ha="right", va="center", fontsize=9
        )
        for axes, pixels in zip(row, _pictures(files, ranges), strict=False):
            axes.imshow(pixels, interpolation="nearest")
    left_out = f", {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else ""
    figure.suptitle(f"Training images{left_out}", fontsize=11)
    _save(figure, path)


def _pictures(files: Sequence[Path], ranges: Ranges) -> list[np.ndarray]:
    """Up to PER_CLASS readable pictures as (height, width, 3) uint8, at most CELL pixels a side."""
    found: list[np.ndarray] = []
    step = max(1, len(files) // PER_CLASS)
    for file in [*files[::step], *files][:TRIES]:
        try:
            image = read_image(file, ranges=ranges)
        except UnreadableImage:
            continue
        image.thumbnail((CELL, CELL))
        found.append(np.asarray(image))
        if len(found) == min(PER_CLASS, len(files)):
            break
    return found


def _short(name: str) -> str:
    """A name that fits, and that matplotlib does not take for a formula."""
    return (
        textwrap.shorten(name, 40, placeholder="…").replace("$", r"\$")
        if len(name) > 40
        else name.replace("$", r"\$")
    )


def _save(figure: Figure, path: Path) -> None:
    known = set(font_manager.get_font_names())
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="(?s).*Glyph"
        )  # a letter that no font here has is a box
        for text in figure.findobj(Text):
            text.set_fontfamily([name for name in FONTS if name in known])
        figure.savefig(temporary, dpi=110, metadata={"Software": "ens"})
