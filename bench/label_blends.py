"""Do cross-fitted scores of blends of labels and of numbers tell the truth? On made-up data.

python bench/label_blends.py --rows 300 --draws 40
python bench/label_blends.py --rows 300 --draws 40 --thresholds

Each draw makes five members with common errors; the truth is the score on 20,000 fresh rows of the
weights and the decision that were fitted on all rows. With --thresholds, labels alone: what greedy
selection at a learned threshold gains over that at 0.5, and thresholds of each label, shrunk towards
the common one, over that one.
"""

import argparse
from functools import partial
from typing import Any

import numpy as np

from ensemble.blending.decisions import label_threshold
from ensemble.blending.fit_rows import FitRows
from ensemble.blending.greedy import greedy_weights
from ensemble.blending.objectives import MetricObjective, ThresholdObjective
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.metrics import AnswerMetric, metric_named
from ensemble.predictions import Predictions
from ensemble.targets import Target

N_FRESH, N_MEMBERS = 20_000, 5
CASES: tuple[tuple[Target, str], ...] = (
    *(("labels", name) for name in ("f1_samples", "f2_samples", "f1_macro", "roc_auc")),
    *(("number", name) for name in ("rmse", "mae", "quadratic_kappa")),
)


def main() -> None:
    """Print a line for each case and weighting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--thresholds", action="store_true")
    flags = parser.parse_args()
    if flags.thresholds:
        show_thresholds(flags.rows, flags.draws)
        return
    for target, name in CASES:
        draws = [scores_of_draw(target, name, flags.rows, seed) for seed in range(flags.draws)]
        for rule in draws[0]:
            errors, covers, halves, gains = np.array([draw[rule] for draw in draws]).T
            print(
                f"{target:6} {name:15} {rule:11} bias {errors.mean() / halves.mean():+.2f} "
                f"half-widths, covers {100 * covers.mean():.1f} %, decision {gains.mean():+.4f}",
                flush=True,
            )


def scores_of_draw(target: Target, name: str, n_rows: int, seed: int) -> dict[str, list[float]]:
    """By weighting: the error, whether the interval holds the truth, half its width, and what the
    decision gains over the plain one.
    """
    rng = np.random.default_rng([seed, len(target)])
    world = world_of(rng)
    draw = labels if target == "labels" else numbers
    (truth, members), (fresh_truth, fresh) = draw(rng, n_rows, world), draw(rng, N_FRESH, world)
    columns = tuple("abcde") if target == "labels" else ("value",)
    metric = metric_named(name, columns, target=target)
    ids = np.array([f"{i:06d}" for i in range(n_rows)])
    by_name = {
        f"m{i}": partial(Predictions, ids, columns, probs, truth, None, target)
        for i, probs in enumerate(members)
    }
    table = rate(open_pool(by_name), Options(weights="best", metric=name), [""] * N_MEMBERS, seed)
    scores = {}
    for rating in table.ratings:
        rule = table.rule if rating.name == "best" else table.names.index(rating.name)
        mixed = np.tensordot(table.weights[rule], fresh, 1)
        plain = true = float(metric.values(mixed, fresh_truth))
        if isinstance(metric, AnswerMetric):
            true = float(metric.values_of(table.decisions[rule].apply(mixed), fresh_truth))
        score = rating.score
        is_covered = score.low <= true <= score.high
        scores[rating.name] = [
            *(score.value - true, is_covered, (score.high - score.low) / 2, true - plain)
        ]
    return scores


def show_thresholds(n_rows: int, n_draws: int) -> None:
    """Print what each way to choose thresholds gains over its counterpart, on fresh rows."""
    for name in ("f1_samples", "f2_samples", "f1_macro"):
        draws = [gains_of_thresholds(name, n_rows, seed) for seed in range(n_draws)]
        for way in draws[0]:
            gains = np.array([draw[way] for draw in draws])
            error = gains.std(ddof=1) / np.sqrt(n_draws)
            print(f"{name:11} {way:45} {gains.mean():+.5f} ± {error:.5f}", flush=True)


def gains_of_thresholds(name: str, n_rows: int, seed: int) -> dict[str, float]:
    """By way of choosing thresholds, how much the score on fresh rows is higher."""
    rng = np.random.default_rng([seed, 6])
    world = world_of(rng)
    (truth, members), (fresh_truth, fresh) = labels(rng, n_rows, world), labels(rng, N_FRESH, world)
    metric = metric_named(name, tuple("abcde"), target="labels")
    assert isinstance(metric, AnswerMetric)
    rows = FitRows(truth, N_MEMBERS, 5, pool_scores=members.swapaxes(1, 2))
    equal = members.mean(0)
    by_weights = {}
    for weighting, objective in {
        "greedy at 0.5": MetricObjective(metric, rows, False),
        "greedy at the learned threshold": ThresholdObjective(metric, rows, False),
    }.items():
        weights = greedy_weights(objective, N_MEMBERS)
        threshold = label_threshold(metric, np.tensordot(weights, members, 1), truth)
        answers = threshold.apply(np.tensordot(weights, fresh, 1))
        by_weights[weighting] = float(metric.values_of(answers, fresh_truth))
    common = label_threshold(metric, equal, truth).threshold
    of_one = float(metric.values_of(fresh.mean(0) > common, fresh_truth))
    gains = {"greedy: learned threshold over 0.5": np.subtract(*[*by_weights.values()][::-1])}
    gains["greedy at 0.5 over equal weights"] = by_weights["greedy at 0.5"] - of_one
    gains["greedy, learned threshold, over equal weights"] = (
        by_weights["greedy at the learned threshold"] - of_one
    )
    own = own_thresholds(metric, equal, truth, common)
    for strength in (0, 10, 30, 100):
        share = truth.sum(0) / (truth.sum(0) + strength)
        shrunk = _sigmoid(share * _logit(own) + (1 - share) * _logit(common))
        score = float(metric.values_of(fresh.mean(0) > shrunk, fresh_truth))
        gains[f"own thresholds, shrunk by {strength} positives, over one"] = score - of_one
    return gains


def own_thresholds(metric: AnswerMetric, probs: Any, truth: Any, common: float) -> Any:
    """The best threshold of each label, (labels,), one label after the other, twice."""
    grid = _sigmoid(np.linspace(-5, 3, 33))
    best = np.full(probs.shape[1], common)
    for label in [*range(len(best))] * 2:
        candidates = np.repeat(best[None], len(grid), 0)
        candidates[:, label] = grid
        values = [float(metric.values_of(probs > row, truth)) for row in candidates]
        if max(values) > float(metric.values_of(probs > best, truth)):
            best = candidates[int(np.argmax(values))]
    return best


def labels(rng: np.random.Generator, n: int, world: dict[str, Any]) -> tuple[Any, Any]:
    """Targets (n, labels) of 0 and 1, and the members' probabilities."""
    logits = rng.normal(0, 1.5, (n, 5))
    truth = rng.random((n, 5)) < _sigmoid(logits + world["shift"])
    common = rng.normal(0, 0.8, (n, 5))
    members = [
        _sigmoid(logits * slope + world["shift"] + common + rng.normal(0, noise, (n, 5)))
        for slope, noise in zip(world["slope"], world["noise"], strict=True)
    ]
    return truth.astype(np.uint8), np.array(members)


def numbers(rng: np.random.Generator, n: int, world: dict[str, Any]) -> tuple[Any, Any]:
    """Grades from 0 to 4, and the members' values, drawn towards the middle."""
    latent, common = rng.normal(0, 1, n), rng.normal(0, 0.3, n)
    columns = zip(world["slope"], world["noise"], world["bias"], strict=True)
    members = [
        (2 + 0.72 * slope * latent + bias + common + rng.normal(0, noise, n))[:, None]
        for slope, noise, bias in columns
    ]
    return np.clip(np.rint(1.2 * latent + 2), 0, 4), np.array(members)


def world_of(rng: np.random.Generator) -> dict[str, Any]:
    """How common labels are, and how good the members."""
    return {
        "shift": rng.normal(-1, 1, 5),
        "slope": rng.uniform(0.6, 1.2, N_MEMBERS),
        "noise": rng.uniform(0.4, 1.5, N_MEMBERS),
        "bias": rng.normal(0, 0.2, N_MEMBERS),
    }


def _sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


def _logit(probs: Any) -> Any:
    return np.log(probs / (1 - probs))


if __name__ == "__main__":
    main()
