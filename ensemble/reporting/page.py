"""The report as one HTML file: no network request, no script, every name escaped."""

from pathlib import Path

import numpy as np

from ensemble import numbers
from ensemble.files import check_replaceable, write_text
from ensemble.predictions import Array
from ensemble.reporting import figures
from ensemble.reporting.environment import environment_of
from ensemble.reporting.mistakes import ClassMistakes
from ensemble.reporting.svg import inline_svg
from ensemble.reporting.thumbnails import heatmap
from ensemble.reporting.values import Report
from ensemble.targets import NOUNS

MAX_CELLS = (
    15  # classes of a confusion table; with more, a heatmap and a table of the worst classes
)
MAX_NAMED = 150  # classes of a heatmap that names them
MAX_LISTED = 200  # classes in a table of scores
MAX_CURVES = 24  # ROC curves of labels
MAX_RUNS = 24  # runs in the table of disagreement
BLUE, RED = (31, 119, 200), (214, 74, 25)  # visible on white and on black


def check_page(path: Path) -> None:
    """Whether the page may be written: an existing file must be an earlier page. Raises EnsembleError."""
    check_replaceable(path, b'<meta name="generator" content="ens ')


def write_report(report: Report, path: Path) -> None:
    """Replace the page atomically. Raises EnsembleError."""
    write_text(path, render(report))


def render(report: Report) -> str:
    """The page's text; the same report gives the same text."""
    environment = environment_of("ensemble.reporting")
    environment.filters |= {
        "percent": numbers.percent,
        "unit": numbers.unit,
        "words": numbers.metric_in_words,
        "in_words": numbers.in_metric,
        "ends": numbers.ends_in_metric,
        "in_metric": numbers.interval_in_metric,
        "minutes": numbers.minutes,
        "millions": numbers.millions,
        "count": numbers.count,
        "difference": _difference,
        "signed_number": _signed_number,
    }
    environment.globals |= {
        "svg": inline_svg,
        "figures": figures,
        "nouns": NOUNS,
        "heatmap_of": lambda mistakes: heatmap(mistakes.shares, BLUE, RED),
        "table_classes": _table_classes,
        "fill_of": _fill_of,
        "MAX_CELLS": MAX_CELLS,
        "MAX_NAMED": MAX_NAMED,
        "MAX_CURVES": MAX_CURVES,
        "MAX_LISTED": MAX_LISTED,
        "MAX_RUNS": MAX_RUNS,
    }
    return environment.get_template("page.html").render(report=report)


def _difference(change: float, metric: str) -> str:
    """`+0.35`, `−0.10`."""
    return numbers.difference(change, metric).replace("-", "−")


def _signed_number(number: float) -> str:
    """`+12.3`, `−0.1`, with four digits."""
    return f"{number + 0.0:+.4g}".replace("-", "−")


def _fill_of(disagreement: Array) -> Array:
    """The color's strength of each pair of members, from 0.08 (least) to 1 (most)."""
    pairs = disagreement[~np.eye(len(disagreement), dtype=bool)]
    spread = max(float(np.ptp(pairs)), 1e-9)
    return np.asarray(0.08 + 0.92 * (disagreement - pairs.min()) / spread)


def _table_classes(mistakes: ClassMistakes) -> list[int]:
    """The classes of the confusion table: all where they are few, else the most confused ones."""
    n_classes = len(mistakes.classes)
    if n_classes <= MAX_CELLS:
        return list(range(n_classes))
    return mistakes.most_confused(MAX_CELLS - 5)
