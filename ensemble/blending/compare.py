"""Paired tests between runs or recipes on the same validation rows: better, worse, or not distinguishable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending.estimate import METRICS, seed_from
from ensemble.errors import MismatchError, SelectionError
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array, aligned
from ensemble.runs import Run, RunStore
from ensemble.runs.groups import by_recipe

N_DRAWS = 10_000
_MANY_SEEDS = 3  # fewer say nothing of how much seeds differ
_BLOCK = 4_000_000  # drawn rows held at once


@dataclass(frozen=True)
class Side:
    """One run, or the seeds of one recipe."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Difference:
    """The first side's score less the second's on the same rows, its unadjusted 95 % interval, p and Holm's p.

    value is positive where the first is better: in accuracy, or by how much its log loss is lower, in nats.
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
        return f"{'better' if self.value.value > 0 else 'worse'} at n={self.n_rows}"

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
    """Groups by run id or recipe key, named by the id or the recipe; the digest tells two recipes of one name apart."""
    recipes = [key[0] for key in groups]
    return [
        Side("-".join(key) if recipes.count(key[0]) > 1 else key[0], tuple(runs))
        for key, runs in groups.items()
    ]


def compare(compared: Sequence[Side]) -> list[Difference]:
    """Every pair of sides by accuracy and by log loss. Raises MismatchError, DamagedError."""
    runs = {run.id: run for side in compared for run in side.runs}
    first = next(iter(runs.values()))
    for run in runs.values():
        if run.blend_key != first.blend_key:
            raise MismatchError(
                f"{first.id} and {run.id} were not validated on the same rows ({first.data.name}, {run.data.name})"
            )
    hits, losses, groups = {}, {}, None
    for name, member in zip(
        sorted(runs), aligned({name: run.valid for name, run in runs.items()}), strict=True
    ):
        assert member.targets is not None  # Run.valid refuses predictions without targets
        hits[name] = metrics.hits(member.probs, member.targets)
        losses[name] = metrics.losses(member.probs, member.targets)
        groups = member.groups if groups is None else groups
    unit = "rows" if groups is None else "groups"
    numbers = None if groups is None else np.unique(groups, return_inverse=True)[1]
    outcome = [
        np.stack([metrics.by_group(each[name], numbers) for name in sorted(runs)])
        for each in (hits, losses)
    ]
    place = {name: i for i, name in enumerate(sorted(runs))}
    own = [np.array([place[run.id] for run in side.runs]) for side in compared]
    drawn = _resampled(np.concatenate(outcome), seed_from(first.data.valid))
    found = []
    for kind, metric in enumerate(METRICS):
        draws = drawn[:, kind * len(runs) : (kind + 1) * len(runs)]
        pairs = list(combinations(range(len(compared)), 2))
        tests = [_test(metric, outcome[kind], draws, own[i], own[j], unit) for i, j in pairs]
        adjusted = holm([p for _, p, _, _ in tests])
        found += [
            Difference(
                metric,
                compared[i].name,
                compared[j].name,
                len(hits[first.id]),
                value,
                p,
                up,
                test,
                about,
            )
            for (i, j), (value, p, test, about), up in zip(pairs, tests, adjusted, strict=True)
        ]
    return found


def _test(
    metric: str, outcome: Array, draws: Array, a: Array, b: Array, unit: str
) -> tuple[Interval, float, str, str]:
    """The interval, p, the test's name, and what it is about.

    outcome is (runs, units), draws (draws, runs); a unit is one of independent rows or groups.
    """
    sign = 1 if metric == "accuracy" else -1
    is_single = len(a) == len(b) == 1
    if is_single and metric == "accuracy" and unit == "rows":
        one, other = outcome[a[0]], outcome[b[0]]
        only_one, only_other = int((one > other).sum()), int((other > one).sum())
        newcombe = metrics.paired_difference(one, other)
        return (
            newcombe,
            mcnemar(only_one, only_other),
            "mid-p exact McNemar, Newcombe's interval",
            "these two networks",
        )
    rng = np.random.default_rng(0)
    has_seeds = min(len(a), len(b)) >= _MANY_SEEDS
    sums = [(draws[:, own] * _seeds(rng, len(draws), len(own), has_seeds)).sum(1) for own in (a, b)]
    change = sign * (sums[0] - sums[1])
    low, high = np.percentile(change, [2.5, 97.5])
    value = sign * float(outcome[a].mean() - outcome[b].mean())
    p = _two_sided(change, value)
    test = (
        f"bootstrap over {unit} crossed with seeds"
        if has_seeds
        else f"paired bootstrap over {unit}"
    )
    few = f"these networks: fewer than {_MANY_SEEDS} seeds say nothing of others"
    about = "the recipes" if has_seeds else "these two networks" if is_single else few
    return Interval(value, float(low), float(high)), p, test, about


def _two_sided(change: Array, value: float) -> float:
    """Twice the bootstrap's smaller tail beyond 0; where no draw is there, the tail of its normal approximation."""
    tail = min(int((change <= TIE).sum()), int((change >= -TIE).sum()))
    p = min(1.0, 2 * (tail + 1) / (len(change) + 1))
    spread = float(change.std())
    return min(p, math.erfc(abs(value) / spread / math.sqrt(2))) if tail == 0 and spread > 0 else p


def _seeds(rng: np.random.Generator, n_draws: int, n_seeds: int, is_drawn: bool) -> Array:
    """How much each seed counts in each draw, (draws, seeds)."""
    if not is_drawn:
        return np.full((1, n_seeds), 1 / n_seeds)
    return np.asarray(rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_draws) / n_seeds)


def _resampled(values: Array, seed: int) -> Array:
    """Means over drawn rows, the same rows for all. values is (values, rows); returns (draws, values)."""
    rng, n = np.random.default_rng(seed), values.shape[1]
    per_block, means = max(1, _BLOCK // n), []
    for done in range(0, N_DRAWS, per_block):
        n_draws = min(per_block, N_DRAWS - done)
        rows = (
            rng.integers(0, n, (n_draws, n), dtype=np.uint32)
            + np.arange(n_draws, dtype=np.int64)[:, None] * n
        )
        counts = np.bincount(rows.ravel(), minlength=n_draws * n).reshape(n_draws, n)
        means.append(counts @ values.T / n)
    return np.concatenate(means)


def mcnemar(only_one: int, only_other: int) -> float:
    """McNemar's exact test with the mid-p (Fagerland, Lydersen and Laake, 2013), two-sided.

    only_one and only_other count the rows that one alone gets right.
    """
    n, k = only_one + only_other, min(only_one, only_other)
    if only_one == only_other:
        return 1.0
    steps = np.log(n - np.arange(k)) - np.log(np.arange(k) + 1)  # of log binomial(n, i)
    logs = np.concatenate([[0.0], np.cumsum(steps)]) - n * np.log(2)
    return float(min(1.0, 2 * np.exp(logs).sum() - np.exp(logs[-1])))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p (1979), in the order given."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
