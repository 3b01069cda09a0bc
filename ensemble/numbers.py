"""Numbers as text: formatted the same way in the terminal and in the report, and told from other cells."""

import math

from ensemble.metrics import Interval


def percent(share: float | None, digits: int = 2) -> str:
    """0.9472 as `94.72 %`, None as `–`."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def metric_in_words(metric: str) -> str:
    """`log loss`; other metrics by their names."""
    return "log loss" if metric == "log_loss" else metric


def in_metric(score: float, metric: str, digits: int = 2) -> str:
    """A value of a metric: `94.72 %` for accuracy, with these digits, else `0.9472`."""
    if math.isnan(score):
        return "undefined"
    if metric == "accuracy":
        return percent(score, digits)
    return f"{round(score, 4) + 0.0:.4f}"  # no -0.0000


def ends_in_metric(value: Interval, metric: str) -> str:
    """`94.27–95.14` for accuracy, else `0.9427–0.9514`; without unknown ends."""
    if math.isnan(value.low):
        return "too few rows"
    if metric == "accuracy":
        return f"{100 * value.low:.2f}–{100 * value.high:.2f}"
    return f"{value.low:.4f}–{value.high:.4f}"


def interval_in_metric(value: Interval, metric: str) -> str:
    """`94.72 % (94.27–95.14)` for accuracy, else `0.9472 (0.9427–0.9514)`; without unknown ends."""
    score = in_metric(value.value, metric)
    return score if math.isnan(value.value) else f"{score} ({ends_in_metric(value, metric)})"


def unit(metric: str) -> str:
    """What differences are in: points of accuracy, nats, else the metric's name."""
    return {"accuracy": "points", "log_loss": "nats"}.get(metric, metric)


def difference(change: float, metric: str) -> str:
    """A signed difference in `unit`; `–` for nan."""
    if math.isnan(change):
        return "–"
    scale, digits = (100, 2) if metric == "accuracy" else (1, 4)
    return f"{round(scale * change, digits) + 0.0:+.{digits}f}"  # no -0.00


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 classes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def minutes(seconds: float) -> str:
    """A duration in a fitting unit: `42 s`, `12.5 min`, `2.1 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def millions(n: int) -> str:
    """A number of parameters: `950`, `41 k`, `7.0 M`."""
    if n >= 1_000_000:
        return f"{n / 1e6:.1f} M"
    return f"{n / 1e3:.0f} k" if n >= 10_000 else f"{n:,}"


def megabytes(n_bytes: int) -> str:
    """A number of bytes: `0.3 MB`, `1,234.5 MB`."""
    return f"{n_bytes / 1e6:,.1f} MB"


def gigabytes(n_bytes: int) -> str:
    """A number of bytes in a fitting unit: `12 MB`, `3.4 GB`."""
    n_megabytes = n_bytes / 1e6
    return f"{n_megabytes:,.0f} MB" if n_megabytes < 1000 else f"{n_megabytes / 1000:,.1f} GB"


def is_number(cell: str) -> bool:
    """Whether a cell is a number, as `float` reads it."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
