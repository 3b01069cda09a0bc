"""Two recipes on several splits: how much of their difference is the split.

One split's difference holds for its training and validation images. Between splits it varies more
than its rows say, because other images train the networks (Bouthillier et al., "Accounting for
variance in machine learning benchmarks", 2021). Splits of the same images are not independent, so
the variance of their mean is corrected (Nadeau and Bengio, "Inference for the generalization error",
2003).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ensemble.blending.compare import Side, beside, scoring_of_sides
from ensemble.blending.scoring import OTHER_METRICS, Scoring
from ensemble.blending.split_runs import FEWEST, SplitRuns, missing_lines
from ensemble.errors import MismatchError, SelectionError
from ensemble.metrics import TIE, Interval, Metric
from ensemble.predictions import Array, aligned
from ensemble.runs import Run


@dataclass(frozen=True)
class SplitDifference:
    """The score of the first recipe minus that of the second, over splits.

    value is the mean over splits, positive if the first is better (for log loss: lower), with its
    95 % interval by Student's t; by_split are the means of each split. deviation is the standard
    deviation of one split's difference (with folds, of one fold's), seed_share the part of its
    variance that seeds explain, None where a split has one seed. ratio is the correction, n_valid /
    n_train, 0 where no two validation parts share an image.
    """

    metric: str
    first: str
    second: str
    split_seeds: tuple[int, ...]
    by_split: tuple[float, ...]
    value: Interval
    p: float
    deviation: float
    seed_share: float | None
    ratio: float

    @property
    def n_ahead(self) -> int:
        """The splits on which the first recipe is better."""
        return sum(change > TIE for change in self.by_split)

    @property
    def verdict(self) -> str:
        """What p says."""
        n_splits = f"over {len(self.by_split)} splits"
        if self.p >= 0.05:
            return f"not distinguishable {n_splits}"
        return f"{'better' if self.value.value > 0 else 'worse'} {n_splits}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "verdict": self.verdict}


def compare_splits(
    first: SplitRuns, second: SplitRuns, metric: str | None = None, positive: str | None = None
) -> tuple[list[SplitDifference], str]:
    """The differences by the metrics of `beside` over the common splits, and a note.

    Raises SelectionError, MismatchError, DamagedError, MetricError.
    """
    common = [seed for seed in first.by_split if seed in second.by_split]
    if len(common) < FEWEST:
        lines = missing_lines(first, second)[:FEWEST]
        raise SelectionError(
            f"{first.recipe} and {second.recipe} have {len(common)} common data.split_seed, "
            f"--splits needs {FEWEST}; train them:\n" + "\n".join(lines)
        )
    sides = [
        Side(side.recipe, tuple(run for seed in common for run in side.by_split[seed]))
        for side in (first, second)
    ]
    scoring, note = scoring_of_sides(sides, metric, positive)
    units = [
        unit
        for seed in common
        for unit in _units(seed, first.by_split[seed], second.by_split[seed], scoring)
    ]
    _check_splits_differ(units)
    by_metric = beside(scoring)
    return [
        _difference(kind, by_metric[kind], units, (first.recipe, second.recipe))
        for kind in range(len(by_metric))
    ], note


@dataclass(frozen=True, eq=False)
class _Unit:
    """One split, or one fold of it: differences and what seeds explain of them, (metrics,)."""

    split_seed: int
    differences: Array
    seed_variances: Array
    ids: frozenset[str] = field(repr=False)
    n_train: int
    valid: str


def _units(
    split_seed: int, runs_a: Sequence[Run], runs_b: Sequence[Run], scoring: Scoring
) -> list[_Unit]:
    """A unit for each fold. Raises MismatchError, DamagedError, SelectionError."""
    every_run = [*runs_a, *runs_b]
    units = []
    for fold, reference in enumerate(runs_a[0].folds):
        networks = []
        for run in every_run:
            network = run.folds[fold] if fold < len(run.folds) else None
            if network is None or network.blend_key != reference.blend_key:
                raise MismatchError(
                    f"{reference.id} and {run.id} were not validated on the same rows, "
                    f"with data.split_seed {split_seed} both"
                )
            networks.append(network)
        by_run = {network.id: network.valid for network in networks}
        scores_by_run = {}
        for name, predictions in zip(sorted(by_run), aligned(by_run), strict=True):
            scores_by_run[name] = _scores(
                predictions.probs, predictions.known_targets, scoring, name
            )
        scores = np.array([scores_by_run[network.id] for network in networks])
        of_a, of_b = scores[: len(runs_a)], scores[len(runs_a) :]
        units.append(
            _Unit(
                split_seed=split_seed,
                differences=of_a.mean(0) - of_b.mean(0),
                seed_variances=_variance_of_mean(of_a) + _variance_of_mean(of_b),
                ids=frozenset(predictions.ids.tolist()),
                n_train=reference.data.n_train,
                valid=reference.data.valid,
            )
        )
    return units


def _scores(probs: Array, targets: Array, scoring: Scoring, run_id: str) -> Array:
    """Scores of each metric, more is better, (metrics,). Raises SelectionError."""
    scores = [
        float(metric.values(probs, targets)) * (1 if metric.is_higher_better else -1)
        for metric in beside(scoring)
    ]
    if np.isnan(scores).any():
        raise SelectionError(
            f"--metric {scoring.name}: the validation rows of {run_id} do not define it\n"
            f"use {OTHER_METRICS[scoring.target]}"
        )
    return np.array(scores)


def _variance_of_mean(scores: Array) -> Array:
    """The variance of the mean over seeds, (metrics,), NaN for one seed. scores is (seeds, metrics)."""
    if len(scores) < 2:
        return np.full(scores.shape[1], np.nan)
    return np.asarray(scores.var(0, ddof=1) / len(scores))


def _check_splits_differ(units: Sequence[_Unit]) -> None:
    rows_by_split: dict[int, set[tuple[str, frozenset[str]]]] = {}
    for unit in units:
        rows_by_split.setdefault(unit.split_seed, set()).add((unit.valid, unit.ids))
    first, *others = rows_by_split.values()
    if all(rows == first for rows in others):
        raise SelectionError(
            "all splits have the same validation rows: data.split_seed does not change them here\n"
            "without --splits, `ens compare` compares on these rows"
        )


def _difference(
    kind: int, metric: Metric, units: Sequence[_Unit], recipes: tuple[str, str]
) -> SplitDifference:
    changes = np.array([unit.differences[kind] for unit in units])
    split_seeds = list(dict.fromkeys(unit.split_seed for unit in units))
    by_split = [
        np.mean([unit.differences[kind] for unit in units if unit.split_seed == seed])
        for seed in split_seeds
    ]
    ratio = correction(units)
    value, p = corrected_t(changes, ratio)
    variance = float(changes.var(ddof=1))
    of_seeds = float(np.mean([unit.seed_variances[kind] for unit in units]))
    has_share = variance > 0 and not np.isnan(of_seeds)
    return SplitDifference(
        metric=metric.name,
        first=recipes[0],
        second=recipes[1],
        split_seeds=tuple(split_seeds),
        by_split=tuple(map(float, by_split)),
        value=value,
        p=p,
        deviation=variance**0.5,
        seed_share=min(1.0, of_seeds / variance) if has_share else None,
        ratio=ratio,
    )


def correction(units: Sequence[_Unit]) -> float:
    """n_valid / n_train where two splits' validation parts share images, else 0."""
    share_images = any(
        a.split_seed != b.split_seed and a.ids & b.ids
        for i, a in enumerate(units)
        for b in units[:i]
    )
    if not share_images:
        return 0.0
    return float(np.mean([len(unit.ids) / max(1, unit.n_train) for unit in units]))


def corrected_t(differences: Array, ratio: float) -> tuple[Interval, float]:
    """The mean of differences (units,), its 95 % interval and p by Student's t.

    ratio is added to 1 / units in the variance of the mean (Nadeau and Bengio, 2003).
    """
    from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]

    n, mean = len(differences), float(differences.mean())
    error = float(np.sqrt(differences.var(ddof=1) * (1 / n + ratio)))
    half = float(stdtrit(n - 1, 0.975)) * error
    p = 1.0 if abs(mean) <= TIE else 0.0
    if error > 0:
        p = 2 * float(stdtr(n - 1, -abs(mean) / error))
    return Interval(mean, mean - half, mean + half), p
