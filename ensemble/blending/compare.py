"""Paired tests of runs or recipes on the same validation rows, by any metric."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending.folds import seed_from
from ensemble.blending.resampling import holm, mcnemar, resampled_means, seed_shares, two_sided
from ensemble.blending.scoring import (
    ACCURACY,
    LOG_LOSS,
    OTHER_METRICS,
    Scoring,
    scoring_of,
)
from ensemble.errors import DamagedError, MismatchError, SelectionError
from ensemble.metrics import Interval, Metric, positive_class
from ensemble.predictions import Array, aligned
from ensemble.runs import GradedRun, Run, RunStore
from ensemble.runs.grades import with_grades
from ensemble.runs.groups import by_recipe
from ensemble.runs.run import MEND

_MANY_SEEDS = 3  # fewer do not show how much seeds differ
_FEW_SEEDS = f"these networks: fewer than {_MANY_SEEDS} seeds do not show how much seeds differ"


@dataclass(frozen=True)
class Side:
    """One run, or the seeds of one recipe."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Difference:
    """The score of the first side minus that of the second on the same rows.

    value is positive if the first is better: in the metric, or by how much lower its log loss is, in
    nats; its 95 % interval and p are not adjusted, adjusted_p is Holm's. too_few says why the rows
    are too few for an interval, whose ends and p are then NaN.
    """

    metric: str
    first: str
    second: str
    n_rows: int
    value: Interval
    p: float
    adjusted_p: float
    test: str
    about: str
    too_few: str = ""

    @property
    def verdict(self) -> str:
        """What the adjusted p says."""
        if self.too_few:
            return f"too few rows to tell at n={self.n_rows}"
        if self.adjusted_p >= 0.05:
            return f"not distinguishable at n={self.n_rows}"
        answer = "better" if self.value.value > 0 else "worse"
        return f"{answer} at n={self.n_rows}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def sides(store: RunStore, names: Sequence[str]) -> list[Side]:
    """A side for each run named by its id and for each recipe that a name or pattern matches.

    Among runs on numbers, those on classes of the same rows are `GradedRun`s. Raises SelectionError
    where a name matches no run, or all names together only one side.
    """
    runs_by_key: dict[tuple[str, ...], dict[str, Run]] = {}
    for name in names:
        for run in matching(store, name):
            key = (run.id,) if run.id == name else run.recipe_key
            runs_by_key.setdefault(key, {})[run.id] = run
    named = _named(
        {key: [by_id[run_id] for run_id in sorted(by_id)] for key, by_id in runs_by_key.items()}
    )
    if len(named) < 2:
        raise SelectionError(
            f"{' '.join(names)} names one side: {named[0].name}\nname two runs, recipes or patterns"
        )
    return _with_grades(named)


def _with_grades(named: list[Side]) -> list[Side]:
    runs = [run for side in named for run in side.runs]
    first = next((run for run in runs if run.data.target == "number"), runs[0])
    by_id = {run.id: run for run in with_grades(runs, first)}
    return [Side(side.name, tuple(by_id.get(run.id, run) for run in side.runs)) for side in named]


def matching(store: RunStore, name: str) -> list[Run]:
    """The finished runs of an id, a recipe or a pattern.

    Raises SelectionError where none is, DamagedError where one is damaged: without it, the others
    would be compared as if they were all.
    """
    listing = store.all([name])
    if listing.damaged:
        raise DamagedError(f"{listing.damaged[0].reason}\n{MEND}")
    if not listing.runs:
        raise SelectionError(f"{store.none_found([name])}\n`ens runs` lists them")
    return listing.runs


def recipe_sides(runs: Sequence[Run]) -> list[Side]:
    """A side for each recipe, its runs in the given order."""
    return _named({group[0].recipe_key: group for group in by_recipe(runs)})


def _named(groups: Mapping[tuple[str, ...], Sequence[Run]]) -> list[Side]:
    """Sides named by run id or recipe; with its digest if several recipes have the same name."""
    recipes = [key[0] for key in groups]
    return [
        Side("-".join(key) if recipes.count(key[0]) > 1 else key[0], tuple(runs))
        for key, runs in groups.items()
    ]


def scoring_of_sides(
    compared: Sequence[Side], name: str | None = None, positive: str | None = None
) -> tuple[Scoring, str]:
    """The scoring by a named metric, else by the runs' data.metric, else by accuracy; and a note.

    Raises MetricError, SelectionError.
    """
    runs = [run for side in compared for run in side.runs]
    classes = sorted(runs[0].classes)
    scoring, note = scoring_of(runs, name, classes, positive)
    if positive is not None and scoring.name != "f1":
        positive_class("--positive", tuple(classes), positive)
        unused = f"--positive changes nothing: {scoring.name} does not depend on it"
        note += f"{'; ' if note else ''}{unused}"
    graded = [side.name for side in compared if isinstance(side.runs[0], GradedRun)]
    if graded:
        note += f"{'; ' if note else ''}on classes, by expected grades: {', '.join(graded)}"
    return scoring, note


def compare(compared: Sequence[Side], scoring: Scoring | None = None) -> list[Difference]:
    """Every pair of sides by a metric; of one class per image also by accuracy and by log loss.

    The metric is by default that of the runs. Raises EnsembleError.
    """
    runs = {run.id: run for side in compared for run in side.runs}
    first = next(iter(runs.values()))
    for run in runs.values():
        if run.blend_key != first.blend_key:
            raise MismatchError(
                f"{first.id} and {run.id} were not validated on the same rows "
                f"({first.data.name}, {run.data.name})"
            )
    outcomes = _read(runs, beside(scoring or scoring_of_sides(compared)[0]))
    draws = resampled_means(
        outcomes.values.reshape(-1, outcomes.n_units), seed_from(first.data.valid)
    )
    differences = []
    for kind in range(len(outcomes.metrics)):
        metric_draws = draws[:, kind * len(runs) : (kind + 1) * len(runs)]
        pairs = combinations(compared, 2)
        tests = [_difference(outcomes, kind, metric_draws, a, b) for a, b in pairs]
        p_values = [test.p for test in tests]
        adjusted = p_values if outcomes.too_few[kind] else holm(p_values)  # NaN stays NaN
        differences += [
            replace(test, adjusted_p=p) for test, p in zip(tests, adjusted, strict=True)
        ]
    return differences


def beside(scoring: Scoring) -> tuple[Metric, ...]:
    """The metric, then accuracy and log loss of one class per image."""
    if scoring.target != "class":
        return (scoring.metric,)
    classes = scoring.metric.classes
    names = dict.fromkeys((scoring.name, ACCURACY, LOG_LOSS))
    return tuple(
        scoring.metric if name == scoring.name else Scoring.named(name, classes).metric
        for name in names
    )


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """What units contribute to metrics, (metrics, runs, units), runs sorted by id.

    A unit is a row or a group of rows. too_few is why the rows are too few, for each metric.
    """

    metrics: tuple[Metric, ...]
    run_ids: Sequence[str]
    values: Array
    too_few: tuple[str, ...]
    unit: str
    n_rows: int

    @property
    def n_units(self) -> int:
        return int(self.values.shape[2])


def _read(runs: Mapping[str, Run], by_metrics: tuple[Metric, ...]) -> _Outcomes:
    """The contributions of these runs' rows. Raises MismatchError, DamagedError, SelectionError."""
    by_run: list[list[Array]] = []
    groups: Array | None = None
    targets, target = np.empty(0, np.int64), next(iter(runs.values())).data.target
    for predictions in aligned({name: run.valid for name, run in runs.items()}):
        targets = predictions.known_targets
        by_run.append([metric.contributions(predictions.probs, targets) for metric in by_metrics])
        groups = predictions.group_numbers if groups is None else groups
    if np.isnan(by_run[0][0]).any():
        reason = ", all are of one class" if target == "class" else ""
        raise SelectionError(
            f"--metric {by_metrics[0].name}: the {len(targets):,} validation rows do not define "
            f"it{reason}\nuse {OTHER_METRICS[target]}"
        )
    values = [[metrics.by_group(rows, groups) for rows in of_run] for of_run in by_run]
    return _Outcomes(
        metrics=by_metrics,
        run_ids=sorted(runs),
        values=np.array(values).swapaxes(0, 1),
        too_few=tuple(metric.too_few_rows(targets) for metric in by_metrics),
        unit="rows" if groups is None else "groups",
        n_rows=len(targets),
    )


def _difference(
    outcomes: _Outcomes, kind: int, draws: Array, first: Side, second: Side
) -> Difference:
    """The test of two sides, its p not adjusted yet; draws is (draws, runs)."""
    metric, values = outcomes.metrics[kind], outcomes.values[kind]
    a, b = ([outcomes.run_ids.index(run.id) for run in side.runs] for side in (first, second))
    sign = 1 if metric.is_higher_better else -1
    value = sign * float(values[a].mean() - values[b].mean())
    is_single = len(a) == len(b) == 1
    has_seeds = min(len(a), len(b)) >= _MANY_SEEDS
    untested = Difference(
        metric=metric.name,
        first=first.name,
        second=second.name,
        n_rows=outcomes.n_rows,
        value=Interval(value, math.nan, math.nan),
        p=math.nan,
        adjusted_p=math.nan,
        test="no test",
        about="the recipes" if has_seeds else "these two networks" if is_single else _FEW_SEEDS,
        too_few=outcomes.too_few[kind],
    )
    if untested.too_few:
        return untested
    if is_single and metric.interval_rule == "share" and outcomes.unit == "rows":
        hits_a, hits_b = values[a[0]], values[b[0]]
        p = mcnemar(int((hits_a > hits_b).sum()), int((hits_b > hits_a).sum()))
        interval = metrics.paired_difference(hits_a, hits_b)
        name = "mid-p exact McNemar, Newcombe's interval"
        return replace(untested, value=interval, p=p, test=name)
    rng = np.random.default_rng(0)
    sums = []
    for runs in (a, b):
        shares = seed_shares(rng, len(draws), len(runs), has_seeds)
        sums.append((draws[:, runs] * shares).sum(1))
    change = sign * (sums[0] - sums[1])
    low, high = map(float, np.percentile(change, [2.5, 97.5]))
    name = f"paired bootstrap over {outcomes.unit}"
    if has_seeds:
        name = f"bootstrap over {outcomes.unit} crossed with seeds"
    p = two_sided(change, value)
    return replace(untested, value=Interval(value, low, high), p=p, test=name)
