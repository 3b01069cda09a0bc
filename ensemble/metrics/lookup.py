"""Metrics by name, for the classes at hand."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from ensemble.errors import MetricError
from ensemble.metrics.additive import accuracy_metric, log_loss_metric, map_metric, top_k_metric
from ensemble.metrics.class_numbers import class_numbers, named_positive
from ensemble.metrics.confusion import (
    BalancedAccuracy,
    OneClass,
    QuadraticKappa,
    WeightedF1,
    by_class,
    by_rows,
    of_weakest,
)
from ensemble.metrics.metric import Metric, Rule
from ensemble.metrics.ranking import roc_auc_metric

_AT_K = re.compile(r"(map|top_k_accuracy)@([1-9][0-9]{0,5})", re.ASCII)
_RULE: Rule = "effective rows"
_SHOWN = 5  # classes that a message lists


def metric_names() -> tuple[str, ...]:
    """Every name; k in `map@k` and `top_k_accuracy@k` stands for a whole number from 1."""
    return (*_BUILDERS, "map@k", "top_k_accuracy@k")


def metric_named(name: str, classes: Sequence[str], positive: str | None = None) -> Metric:
    """The metric of this name for probabilities whose columns are these classes, in this order.

    positive is the class that `f1` is about; 0 and 1, or false and true, name it themselves.
    Raises MetricError for an unknown name, and for a metric that these classes do not have: f1 of
    other than two classes or without a positive one, roc_auc and quadratic_kappa of one class,
    quadratic_kappa of classes that are not numbers.
    """
    columns = tuple(classes)
    matched = _AT_K.fullmatch(name)
    if matched:
        of_k = map_metric if matched[1] == "map" else top_k_metric
        return of_k(name, columns, int(matched[2]))
    if name not in _BUILDERS:
        raise MetricError(_unknown(name))
    return _BUILDERS[name](name, columns, positive)


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    names = metric_names()
    if name.partition("@")[0] in ("map", "top_k_accuracy"):
        stem = name.partition("@")[0]
        return f"the metric {name[:60]!r} has no k from 1 up to 999999: write {stem}@5, for example"
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"{name[:60]!r} is not a metric{hint}\nmetrics are {', '.join(names)}"


def _roc_auc(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    _check_several(name, classes)
    is_known = len(classes) == 2 and (positive is not None or named_positive(classes) is not None)
    return roc_auc_metric(name, classes, _positive(name, classes, positive) if is_known else None)


def _f1(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    if len(classes) != 2:
        raise MetricError(
            f"f1 needs two classes, a positive one among them; these are {_listed(classes)}\n"
            "use f1_macro, f1_micro, f1_weighted or f1_min"
        )
    column = classes.index(_positive(name, classes, positive))
    return WeightedF1(name, classes, True, "decisions", (0.0, 1.0), _RULE, OneClass(column))


def _f1_macro(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    return WeightedF1(name, classes, True, "decisions", (0.0, 1.0), _RULE, by_class)


def _f1_weighted(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    return WeightedF1(name, classes, True, "decisions", (0.0, 1.0), _RULE, by_rows)


def _f1_min(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    return WeightedF1(name, classes, True, "decisions", (0.0, 1.0), _RULE, of_weakest)


def _balanced_accuracy(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    return BalancedAccuracy(name, classes, True, "decisions", (0.0, 1.0), _RULE)


def _quadratic_kappa(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    _check_several(name, classes)
    numbers = class_numbers(classes)
    if numbers is None:
        raise MetricError(
            f"{name} needs classes in an order, named by different numbers; "
            f"these are {_listed(classes)}\n"
            "name the classes 0, 1, 2, … in their order, or choose another metric"
        )
    in_order = sorted(classes, key=numbers.__getitem__)
    positions = tuple(in_order.index(class_name) for class_name in classes)
    return QuadraticKappa(name, classes, True, "decisions", (-1.0, 1.0), _RULE, positions)


def _check_several(name: str, classes: tuple[str, ...]) -> None:
    if len(classes) < 2:
        raise MetricError(f"{name} needs two classes or more; these are {_listed(classes)}")


def _positive(name: str, classes: tuple[str, ...], positive: str | None) -> str:
    """The positive class of two. Raises MetricError."""
    if positive is None:
        named = named_positive(classes)
        if named is not None:
            return named
        state = "is not set"
    else:
        composed = unicodedata.normalize("NFC", positive)
        for class_name in classes:
            if unicodedata.normalize("NFC", class_name) == composed:
                return class_name
        state = f"is {positive[:60]!r}, which is not a class"
    raise MetricError(
        f"{name} is about the positive class, and data.positive {state}\n"
        f"set it to one of the classes: {_listed(classes)}"
    )


def _listed(classes: tuple[str, ...]) -> str:
    """`'cat', 'dog'`, or the first five `and 10 others`."""
    shown = ", ".join(repr(class_name[:40]) for class_name in classes[:_SHOWN])
    n_more = len(classes) - _SHOWN
    return f"{shown} and {n_more} more" if n_more > 0 else shown


_BUILDERS: dict[str, Callable[[str, tuple[str, ...], str | None], Metric]] = {
    "accuracy": lambda name, classes, positive: accuracy_metric(name, classes),
    "balanced_accuracy": _balanced_accuracy,
    "log_loss": lambda name, classes, positive: log_loss_metric(name, classes),
    "roc_auc": _roc_auc,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "f1_micro": lambda name, classes, positive: accuracy_metric(name, classes),
    "f1_weighted": _f1_weighted,
    "f1_min": _f1_min,
    "quadratic_kappa": _quadratic_kappa,
}
