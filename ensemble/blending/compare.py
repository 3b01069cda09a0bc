"""Paired tests of runs or recipes on the same validation rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending.folds import seed_from
from ensemble.blending.selection import check_target
from ensemble.errors import MismatchError, SelectionError
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array, aligned
from ensemble.runs import Run, RunStore
from ensemble.runs.groups import by_recipe

METRICS = ("accuracy", "log_loss")
N_DRAWS = 10_000
_MANY_SEEDS = 3  # fewer do not show how much seeds differ
_FEW_SEEDS = f"these networks: fewer than {_MANY_SEEDS} seeds do not show how much seeds differ"
_BLOCK = 4_000_000  # drawn rows in memory at once


@dataclass(frozen=True)
class Side:
    """One run, or the seeds of one recipe."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Difference:
    """The score of the first side minus that of the second on the same rows.

    value is positive if the first is better: in accuracy, or by how much lower its log loss is, in
    nats; its 95 % interval and p are not adjusted, adjusted_p is Holm's.
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

    @property
    def verdict(self) -> str:
        """What the adjusted p says."""
        if self.adjusted_p >= 0.05:
            return f"not distinguishable at n={self.n_rows}"
        answer = "better" if self.value.value > 0 else "worse"
        return f"{answer} at n={self.n_rows}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def sides(store: RunStore, names: Sequence[str]) -> list[Side]:
    """A side for each run named by its id and for each recipe that a name or pattern matches.

    Raises SelectionError where a name matches no run, or all names together only one side.
    """
    runs_by_key: dict[tuple[str, ...], dict[str, Run]] = {}
    for name in names:
        runs = store.finished([name])
        if not runs:
            raise SelectionError(
                f"no finished run in {store.root} matches {name}\n`ens runs` lists them"
            )
        for run in runs:
            key = (run.id,) if run.id == name else run.recipe_key
            runs_by_key.setdefault(key, {})[run.id] = run
    named = _named(
        {key: [by_id[run_id] for run_id in sorted(by_id)] for key, by_id in runs_by_key.items()}
    )
    if len(named) < 2:
        raise SelectionError(
            f"{' '.join(names)} names one side: {named[0].name}\nname two runs, recipes or patterns"
        )
    return named


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


def compare(compared: Sequence[Side]) -> list[Difference]:
    """Every pair of sides by accuracy and by log loss. Raises EnsembleError."""
    runs = {run.id: run for side in compared for run in side.runs}
    first = next(iter(runs.values()))
    for run in runs.values():
        if run.blend_key != first.blend_key:
            raise MismatchError(
                f"{first.id} and {run.id} were not validated on the same rows "
                f"({first.data.name}, {run.data.name})"
            )
    check_target(list(runs.values()))
    outcomes = _read(runs)
    position = {name: i for i, name in enumerate(sorted(runs))}
    members = [np.array([position[run.id] for run in side.runs]) for side in compared]
    draws = _resampled(
        np.concatenate(list(outcomes.by_metric.values())), seed_from(first.data.valid)
    )
    pairs = list(combinations(range(len(compared)), 2))
    differences = []
    for kind, metric in enumerate(METRICS):
        metric_draws = draws[:, kind * len(runs) : (kind + 1) * len(runs)]
        tests = [_test(metric, outcomes, metric_draws, members[a], members[b]) for a, b in pairs]
        adjusted = holm([test.p for test in tests])
        for (a, b), test, adjusted_p in zip(pairs, tests, adjusted, strict=True):
            differences.append(
                Difference(
                    metric=metric,
                    first=compared[a].name,
                    second=compared[b].name,
                    n_rows=outcomes.n_rows,
                    value=test.value,
                    p=test.p,
                    adjusted_p=adjusted_p,
                    test=test.name,
                    about=test.about,
                )
            )
    return differences


@dataclass(frozen=True, eq=False)
class _Outcomes:
    """Outcomes by metric, (runs, units), runs sorted by id; a unit is a row or a group of rows."""

    by_metric: dict[str, Array]
    unit: str
    n_rows: int


@dataclass(frozen=True)
class _Test:
    """The difference with its interval, p, the name of the test, and what it is about."""

    value: Interval
    p: float
    name: str
    about: str


def _read(runs: Mapping[str, Run]) -> _Outcomes:
    """Hits and losses of these runs. Raises MismatchError, DamagedError."""
    hits, losses = [], []
    groups: Array | None = None
    for predictions in aligned({name: run.valid for name, run in runs.items()}):
        assert predictions.targets is not None  # Run.valid refuses predictions without targets
        hits.append(metrics.hits(predictions.probs, predictions.targets))
        losses.append(metrics.losses(predictions.probs, predictions.targets))
        groups = predictions.groups if groups is None else groups
    numbers = None if groups is None else np.unique(groups, return_inverse=True)[1]
    by_metric = {
        metric: np.stack([metrics.by_group(values, numbers) for values in by_run])
        for metric, by_run in zip(METRICS, (hits, losses), strict=True)
    }
    return _Outcomes(by_metric, "rows" if groups is None else "groups", len(hits[0]))


def _test(metric: str, outcomes: _Outcomes, draws: Array, a: Array, b: Array) -> _Test:
    """The test of two sides, given as positions of their runs; draws is (draws, runs)."""
    values = outcomes.by_metric[metric]
    is_single = len(a) == len(b) == 1
    if is_single and metric == "accuracy" and outcomes.unit == "rows":
        return _mcnemar_test(values[a[0]], values[b[0]])
    sign = 1 if metric == "accuracy" else -1
    rng = np.random.default_rng(0)
    has_seeds = min(len(a), len(b)) >= _MANY_SEEDS
    sums = []
    for runs in (a, b):
        shares = _seed_shares(rng, len(draws), len(runs), has_seeds)
        sums.append((draws[:, runs] * shares).sum(1))
    change = sign * (sums[0] - sums[1])
    low, high = np.percentile(change, [2.5, 97.5])
    value = sign * float(values[a].mean() - values[b].mean())
    if has_seeds:
        name = f"bootstrap over {outcomes.unit} crossed with seeds"
        about = "the recipes"
    else:
        name = f"paired bootstrap over {outcomes.unit}"
        about = "these two networks" if is_single else _FEW_SEEDS
    return _Test(Interval(value, float(low), float(high)), _two_sided(change, value), name, about)


def _mcnemar_test(hits_a: Array, hits_b: Array) -> _Test:
    only_a, only_b = int((hits_a > hits_b).sum()), int((hits_b > hits_a).sum())
    return _Test(
        value=metrics.paired_difference(hits_a, hits_b),
        p=mcnemar(only_a, only_b),
        name="mid-p exact McNemar, Newcombe's interval",
        about="these two networks",
    )


def _two_sided(change: Array, mean: float) -> float:
    """Twice the smaller tail of the bootstrap beyond 0.

    If no draw lies there, the tail of its normal approximation.
    """
    tail = min(int((change <= TIE).sum()), int((change >= -TIE).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(change) + 1))
    spread = float(change.std())
    if tail > 0 or spread <= 0:
        return p
    return min(p, math.erfc(abs(mean) / spread / math.sqrt(2)))


def _seed_shares(rng: np.random.Generator, n_draws: int, n_seeds: int, is_drawn: bool) -> Array:
    """The share of each seed in each draw, (draws, seeds); one row of equal shares unless drawn."""
    if not is_drawn:
        return np.full((1, n_seeds), 1 / n_seeds)
    return np.asarray(rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws) / n_seeds)


def _resampled(values: Array, seed: int) -> Array:
    """Means over drawn rows, the same rows for all values.

    values is (values, rows); returns (draws, values).
    """
    rng, n = np.random.default_rng(seed), values.shape[1]
    per_block, means = max(1, _BLOCK // n), []
    for n_done in range(0, N_DRAWS, per_block):
        n_draws = min(per_block, N_DRAWS - n_done)
        rows = rng.integers(0, n, (n_draws, n), dtype=np.uint32)
        cells = rows + np.arange(n_draws, dtype=np.int64)[:, None] * n
        counts = np.bincount(cells.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        means.append(counts @ values.T / n)
    return np.concatenate(means)


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test with the mid-p (Fagerland, Lydersen and Laake, 2013), two-sided.

    only_a and only_b count the rows that only a, only b gets right.
    """
    n, k = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    steps = np.log(n - np.arange(k)) - np.log(np.arange(k) + 1)  # of log binomial(n, i)
    logs = np.concatenate([[0.0], np.cumsum(steps)]) - n * np.log(2)
    return float(min(1.0, 2 * np.exp(logs).sum() - np.exp(logs[-1])))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p (1979), in the given order."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
