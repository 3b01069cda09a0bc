"""Metrics by name, for the classes at hand."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ensemble.errors import MetricError
from ensemble.metrics.additive import Additive, ReciprocalRank, TopK
from ensemble.metrics.class_numbers import class_numbers, named_positive
from ensemble.metrics.confusion import (
    BalancedAccuracy,
    OneClass,
    WeightedF1,
    by_class,
    by_rows,
    of_weakest,
)
from ensemble.metrics.distances import GradeKappa, RootMeanSquare, absolute_errors
from ensemble.metrics.kappa import QuadraticKappa
from ensemble.metrics.labels import (
    AveragePrecision,
    LabelF1,
    MeanOfAnswers,
    SampleF,
    binary_losses,
    exact_matches,
)
from ensemble.metrics.metric import Metric
from ensemble.metrics.ranking import RocAuc
from ensemble.metrics.rows import hits, losses
from ensemble.targets import IN_WORDS, TARGETS, Array, Target

_AT_K = re.compile(r"(\w+)@([1-9][0-9]{0,5})", re.ASCII)
_ANY_COLUMNS: dict[Target, tuple[str, ...]] = {
    "class": ("0", "1"),
    "labels": ("0", "1"),
    "number": ("0",),
}
_KAPPA = (-1.0, 1.0)  # bounds
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
    build = _BUILDERS[target][name]
    is_of_positive = build in (_roc_auc, _f1)
    return build(name, columns, positive) if is_of_positive else build(name, columns)


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
    """The area of the positive class of two, else the one-versus-rest mean.

    Without a positive one that of the last: either has the same area where their probabilities add
    up to 1.
    """
    _check_several(name, classes)
    columns = tuple(range(len(classes)))
    if len(classes) == 2:
        is_known = positive is not None or named_positive(classes) is not None
        columns = (classes.index(_positive(name, classes, positive)) if is_known else 1,)
    return RocAuc(name, classes, columns, reads="ranks")


def _f1(name: str, classes: tuple[str, ...], positive: str | None) -> Metric:
    if len(classes) != 2:
        raise MetricError(
            f"f1 needs two classes, a positive one among them; these are {_listed(classes)}\n"
            "use f1_macro, f1_micro, f1_weighted or f1_min"
        )
    column = classes.index(_positive(name, classes, positive))
    return WeightedF1(name, classes, OneClass(column))


def _quadratic_kappa(name: str, classes: tuple[str, ...]) -> Metric:
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
    return QuadraticKappa(name, classes, positions, bounds=_KAPPA)


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
    """`'cat', 'dog'`, or the first five `and 10 more`."""
    shown = ", ".join(repr(class_name[:40]) for class_name in classes[:_SHOWN])
    n_more = len(classes) - _SHOWN
    return f"{shown} and {n_more} more" if n_more > 0 else shown


_Builder = Callable[..., Metric]  # of the name, the classes, and the positive one or k
_ACCURACY = partial(Additive, row_scores=hits, interval_rule="share")
_LOG_LOSS = partial(
    Additive,
    is_higher_better=False,
    reads="probabilities",
    bounds=(0.0, np.inf),
    interval_rule="bootstrap",
)
_ERRORS: dict[str, Any] = {
    "is_higher_better": False,
    "reads": "values",
    "bounds": (0.0, np.inf),
    "interval_rule": "logarithm",
}
_BUILDERS: dict[Target, dict[str, _Builder]] = {
    "class": {
        "accuracy": _ACCURACY,
        "balanced_accuracy": BalancedAccuracy,
        "log_loss": partial(_LOG_LOSS, row_scores=losses),
        "roc_auc": _roc_auc,
        "f1": _f1,
        "f1_macro": partial(WeightedF1, class_weights=by_class),
        "f1_micro": _ACCURACY,  # F1 over all decisions
        "f1_weighted": partial(WeightedF1, class_weights=by_rows),
        "f1_min": partial(WeightedF1, class_weights=of_weakest),
        "quadratic_kappa": _quadratic_kappa,
    },
    "labels": {
        "f1_samples": partial(MeanOfAnswers, row_scores=SampleF(1)),
        "f2_samples": partial(MeanOfAnswers, row_scores=SampleF(2)),
        "f1_macro": partial(LabelF1, is_micro=False),
        "f1_micro": partial(LabelF1, is_micro=True),
        "roc_auc": lambda name, labels: RocAuc(
            name, labels, tuple(range(len(labels))), reads="ranks"
        ),
        "log_loss": partial(_LOG_LOSS, row_scores=binary_losses),
        # scikit-learn's accuracy of labels, the subset accuracy
        "accuracy": partial(MeanOfAnswers, row_scores=exact_matches, interval_rule="share"),
    },
    "number": {
        "rmse": partial(RootMeanSquare, **_ERRORS),
        "mae": partial(Additive, row_scores=absolute_errors, **_ERRORS),
        "quadratic_kappa": partial(GradeKappa, bounds=_KAPPA),
    },
}
_BUILDERS_AT_K: dict[Target, dict[str, _Builder]] = {
    "class": {
        "map": lambda name, classes, k: Additive(
            name, classes, ReciprocalRank(k), reads="probabilities"
        ),
        "top_k_accuracy": lambda name, classes, k: Additive(
            name, classes, TopK(k), reads="probabilities", interval_rule="share"
        ),
    },
    "labels": {
        "map": lambda name, labels, k: Additive(
            name, labels, AveragePrecision(k), reads="probabilities"
        ),
    },
    "number": {},
}
DEFAULT_METRIC: dict[Target, str] = {target: next(iter(_BUILDERS[target])) for target in TARGETS}
