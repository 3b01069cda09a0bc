"""The report as one HTML file that needs nothing else: no request, no script, every name escaped."""

from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ensemble import numbers
from ensemble.files import check_replaceable, write_text
from ensemble.predictions import Array
from ensemble.report import charts
from ensemble.report.mistakes import Mistakes
from ensemble.report.pictures import heat
from ensemble.report.values import Report

MAX_CELLS = 15  # classes of a confusion matrix that is a table; more are a picture and a close-up of the worst
MAX_NAMED = 150  # classes whose names stand along the picture
MAX_LISTED = 200  # classes in a table of scores
BLUE, RED = (31, 119, 200), (214, 74, 25)  # seen on white and on black


def check_page(path: Path) -> None:
    """Whether the page may be written: an existing file must be an earlier page. Raises EnsembleError."""
    check_replaceable(path, b'<meta name="generator" content="ens ')


def write_report(report: Report, path: Path) -> None:
    """Replace the page atomically. Raises EnsembleError."""
    write_text(path, render(report))


def render(report: Report) -> str:
    """The page's text; the same report gives the same text."""
    environment = Environment(
        loader=PackageLoader("ensemble", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": numbers.percent,
        "minutes": numbers.minutes,
        "millions": numbers.millions,
        "count": numbers.count,
        "signed": _signed,
    }
    environment.globals |= {
        "charts": charts,
        "heat_of": _heat,
        "closeup": _closeup,
        "tone_of": _tone,
        "MAX_CELLS": MAX_CELLS,
        "MAX_NAMED": MAX_NAMED,
        "MAX_LISTED": MAX_LISTED,
    }
    return environment.get_template("page.html").render(report=report)


def _signed(value: float, digits: int = 2) -> str:
    """`+0.35`, `−0.10`; `–` for nan."""
    if value != value:
        return "–"
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _heat(mistakes: Mistakes) -> str:
    return heat(mistakes.shares, BLUE, RED)


def _tone(shares: Array) -> Array:
    """How full the colour of each pair is: from 0.08 for the least to 1 for the largest, (members, members)."""
    pairs = shares[~np.eye(len(shares), dtype=bool)]
    spread = max(float(np.ptp(pairs)), 1e-9)
    return np.asarray(0.08 + 0.92 * (shares - pairs.min()) / spread)


def _closeup(mistakes: Mistakes) -> list[int]:
    """The classes of the table: all where they are few, else those that are confused most."""
    n_classes = len(mistakes.classes)
    return (
        list(range(n_classes)) if n_classes <= MAX_CELLS else mistakes.most_confused(MAX_CELLS - 5)
    )
