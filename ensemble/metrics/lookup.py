"""Metrics by name, for the classes at hand."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from ensemble.errors import MetricError
from ensemble.metrics.additive import accuracy_metric, log_loss_metric, map_metric, top_k_metric
from ensemble.metrics.class_numbers import class_numbers, named_positive
from ensemble.metrics.confusion import (
    BalancedAccuracy,
    OneClass,
    WeightedF1,
    by_class,
    by_rows,
    of_weakest,
)
from ensemble.metrics.distances import grade_kappa_metric, mae_metric, rmse_metric
from ensemble.metrics.kappa import QuadraticKappa
from ensemble.metrics.labels import (
    average_precision_metric,
    binary_log_loss_metric,
    exact_match_metric,
    label_f1_metric,
    sample_f_metric,
)
from ensemble.metrics.metric import Metric, Rule
from ensemble.metrics.ranking import label_auc_metric, roc_auc_metric
from ensemble.targets import IN_WORDS, TARGETS, Array, Target

_AT_K = re.compile(r"(\w+)@([1-9][0-9]{0,5})", re.ASCII)
_ANY_COLUMNS: dict[Target, tuple[str, ...]] = {
    "class": ("0", "1"),
    "labels": ("0", "1"),
    "number": ("0",),
}
_RULE: Rule = "effective rows"
_SHOWN = 5  # classes that a message lists


def metric_names(target: Target = "class") -> tuple[str, ...]:
    """Every name; k in `map@k` and `top_k_accuracy@k` stands for a whole number from 1."""
    return (*_BUILDERS[target], *(f"{stem}@k" for stem in _BUILDERS_AT_K[target]))


def metric_named(
    name: str, classes: Sequence[str], positive: str | None = None, target: Target = "class"
) -> Metric:
    """The metric of this name for predictions whose columns are these classes, in this order.

    positive is the class that `f1` is about; 0 and 1, or false and true, name it themselves.
    Raises MetricError for a name that the target does not have, and for a metric that these classes
    do not have: f1 of other than two classes or without a positive one, roc_auc and quadratic_kappa
    of one class, quadratic_kappa of classes that are not numbers.
    """
    columns = tuple(classes)
    matched = _AT_K.fullmatch(name)
    if matched and matched[1] in _BUILDERS_AT_K[target]:
        return _BUILDERS_AT_K[target][matched[1]](name, columns, int(matched[2]))
    if name not in _BUILDERS[target]:
        raise MetricError(_unknown(name, target))
    return _BUILDERS[target][name](name, columns, positive)


def metric_of_any_target(name: str) -> Metric:
    """The metric of this name for made-up columns, of the first target that has it.

    Its direction and bounds are the same for all targets. Raises MetricError.
    """
    for target, columns in _ANY_COLUMNS.items():
        with suppress(MetricError):
            return metric_named(name, columns, target=target)
    raise MetricError(_unknown(name, "class"))


def check_defined(metric: Metric, targets: Array) -> None:
    """Check that rows with these targets define the metric. Raises MetricError.

    Whether they do depends on the targets alone.
    """
    guess = np.full((len(targets), len(metric.classes)), 1 / len(metric.classes))
    if np.isnan(metric.values(guess, targets)):
        is_class = targets.ndim == 1 and targets.dtype.kind in "iu"
        present = tuple(metric.classes[i] for i in np.unique(targets)) if is_class else ()
        reason = f", all are of class {_listed(present)}" if is_class else ""
        raise MetricError(
            f"the {len(targets):,} validation rows do not define {metric.name}{reason}"
        )


def _unknown(name: str, target: Target) -> str:
    from difflib import get_close_matches

    names, stem = metric_names(target), name.partition("@")[0]
    if stem in _BUILDERS_AT_K[target]:
        return f"the metric {name[:60]!r} has no k from 1 up to 999999: write {stem}@5, for example"
    near = get_close_matches(name.lower(), names, n=1, cutoff=0.4)
    hint = f": did you mean {near[0]}?" if near else ""
    about = "" if target == "class" else f" of {IN_WORDS[target]}"
    return f"{name[:60]!r} is not a metric{about}{hint}\nmetrics{about} are {', '.join(names)}"


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


def positive_class(key: str, classes: tuple[str, ...], positive: str) -> str:
    """The class that data.positive or --positive, the key, names. Raises MetricError."""
    composed = unicodedata.normalize("NFC", positive)
    for class_name in classes:
        if unicodedata.normalize("NFC", class_name) == composed:
            return class_name
    raise MetricError(
        f"{key} is {positive[:60]!r}, which is not a class\n"
        f"set it to one of the classes: {_listed(classes)}"
    )


def _positive(name: str, classes: tuple[str, ...], positive: str | None) -> str:
    """The positive class of two. Raises MetricError."""
    positive = named_positive(classes) if positive is None else positive
    if positive is None:
        raise MetricError(
            f"{name} is about the positive class, and data.positive is not set\n"
            f"set it to one of the classes: {_listed(classes)}"
        )
    about = f"{name} is about the positive class, and data.positive"
    return positive_class(about, classes, positive)


def _listed(classes: tuple[str, ...]) -> str:
    """`'cat', 'dog'`, or the first five `and 10 others`."""
    shown = ", ".join(repr(class_name[:40]) for class_name in classes[:_SHOWN])
    n_more = len(classes) - _SHOWN
    return f"{shown} and {n_more} more" if n_more > 0 else shown


_Builder = Callable[[str, tuple[str, ...], str | None], Metric]
_BUILDERS: dict[Target, dict[str, _Builder]] = {
    "class": {
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
    },
    "labels": {
        "f1_samples": lambda name, labels, positive: sample_f_metric(name, labels, beta=1),
        "f2_samples": lambda name, labels, positive: sample_f_metric(name, labels, beta=2),
        "f1_macro": lambda name, labels, positive: label_f1_metric(name, labels, is_micro=False),
        "f1_micro": lambda name, labels, positive: label_f1_metric(name, labels, is_micro=True),
        "roc_auc": lambda name, labels, positive: label_auc_metric(name, labels),
        "log_loss": lambda name, labels, positive: binary_log_loss_metric(name, labels),
        "accuracy": lambda name, labels, positive: exact_match_metric(name, labels),
    },
    "number": {
        "rmse": lambda name, column, positive: rmse_metric(name, column),
        "mae": lambda name, column, positive: mae_metric(name, column),
        "quadratic_kappa": lambda name, column, positive: grade_kappa_metric(name, column),
    },
}
_BUILDERS_AT_K: dict[Target, dict[str, Callable[[str, tuple[str, ...], int], Metric]]] = {
    "class": {"map": map_metric, "top_k_accuracy": top_k_metric},
    "labels": {"map": average_precision_metric},
    "number": {},
}
DEFAULT_METRIC: dict[Target, str] = {target: next(iter(_BUILDERS[target])) for target in TARGETS}
