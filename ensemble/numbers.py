"""Numbers as people read them, written one way in the terminal and in the report."""

from ensemble.metrics import Interval


def percent(share: float, digits: int = 2) -> str:
    """0.9472 as `94.72 %`."""
    return f"{100 * share:.{digits}f} %"


def interval(value: Interval) -> str:
    """`94.72 % (94.27–95.14)`."""
    return f"{percent(value.value)} ({100 * value.low:.2f}–{100 * value.high:.2f})"


def count(n: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 classes`."""
    ending = "" if n == 1 else "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{ending}"


def minutes(seconds: float) -> str:
    """A duration in the unit that fits."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def millions(n: int) -> str:
    """A number of parameters: `950`, `41 k`, `7.0 M`."""
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n / 1e3:.0f} k" if n >= 10_000 else f"{n:,}"
