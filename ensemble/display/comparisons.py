"""Paired tests of runs and recipes, on one split and over several."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.display.text import count, escape, out, percent, say, table
from ensemble.metrics import Interval
from ensemble.numbers import difference, metric_in_words, unit

if TYPE_CHECKING:
    from ensemble.blending.compare import Difference
    from ensemble.blending.splits import SplitDifference

_SIGN = "+ means A is better, for log loss too"


def show_differences(differences: "Sequence[Difference]") -> None:
    """Paired tests, a line for each pair and metric."""
    rows = count(differences[0].n_rows, "validation row")
    numbers = ("A − B", "p", "p (Holm)")
    shown = table(f"{rows}, the same for all", "A", "B", "metric", numbers=numbers)
    shown.add_column("A is", no_wrap=True)
    for test in differences:
        change = difference(test.value.value, test.metric)
        shown.add_row(
            escape(test.first),
            escape(test.second),
            _metric(test.metric),
            f"{change} (too few rows)" if test.too_few else _interval(test.value, test.metric),
            "–" if test.too_few else _p(test.p),
            "–" if test.too_few else _p(test.adjusted_p),
            test.verdict.partition(" at ")[0],
        )
    out.print(shown)
    for test in differences:
        if test.too_few:
            say(f"too few rows for an interval of {test.metric}: {test.too_few}")
            break
    tests = [test for test in differences if not test.too_few]
    for test_name, about in dict.fromkeys((test.test, test.about) for test in tests):
        say(f"{test_name}: about {about}")
    say(
        f"{_SIGN}; the verdict follows Holm's p over all pairs of a metric, "
        "the 95 % intervals are not adjusted"
    )


def show_splits(differences: "Sequence[SplitDifference]") -> None:
    """The difference of two recipes over splits, a line for each metric, and what varies."""
    first = differences[0]
    seeds = ", ".join(map(str, first.split_seeds))
    title = f"{len(first.split_seeds)} splits: data.split_seed {seeds}"
    numbers = ("A − B", "p", "one split's deviation", "A is ahead on")
    shown = table(title, "A", "B", "metric", numbers=numbers)
    shown.add_column("A is", no_wrap=True)
    for test in differences:
        shown.add_row(
            escape(test.first),
            escape(test.second),
            _metric(test.metric),
            _interval(test.value, test.metric),
            _p(test.p),
            difference(test.deviation, test.metric).removeprefix("+"),
            f"{test.n_ahead} of {len(test.by_split)}",
            test.verdict.partition(" over ")[0],
        )
    out.print(shown)
    for test in differences:
        if test.seed_share is not None:
            shares = (
                f"{percent(1 - test.seed_share, 0)} the split, {percent(test.seed_share, 0)} seeds"
            )
            say(f"variance of one split's {metric_in_words(test.metric)} difference: {shares}")
    if first.seed_share is None:
        say(
            "one seed a split: the deviation is of the split and of the seed; more seeds tell them apart"
        )
    if first.ratio:
        say(
            f"Student's t over splits; they share images, so 1/n is raised by n_valid/n_train = "
            f"{first.ratio:.2f} (Nadeau and Bengio, 2003)"
        )
    else:
        say("Student's t over splits, whose validation parts share no image")
    say(_SIGN)


def _metric(name: str) -> str:
    """`accuracy, points`, `log loss, nats`, else the name."""
    words, in_unit = metric_in_words(name), unit(name)
    return words if in_unit == name else f"{words}, {in_unit}"


def _interval(value: Interval, metric: str) -> str:
    mean, low, high = (difference(end, metric) for end in (value.value, value.low, value.high))
    return f"{mean} ({low} to {high})"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
