"""How honest the table of `ens blend` is: synthetic competitions whose truth is known.

    OPENBLAS_NUM_THREADS=1 python bench/blend_scores.py [--competitions 150] [--processes 2] [--out FILE.json]

A competition has members of several strengths whose errors are correlated (a shared and an own part, drawn anew each
time), and validation rows. `ens blend`'s own code chooses, weighs and scores. The truth is the score of that very
blend, weights learnt on all validation rows, on fresh rows of the same kind: 20,000, or ten times the validation rows
where those are more, so that the truth's own error stays small. Printed for each weighting: mean (cross-fitted -
truth) with its standard error and as a share of an interval's half-width, the same for the score on the fitting rows,
and how often the 95 % interval holds the truth, with its own binomial interval; pooled and cell by cell.
"""

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool as Processes
from pathlib import Path
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending.estimate import METRICS
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import Options, Rules, table_of
from ensemble.predictions import Array, Predictions

# members, validation rows, classes
GRID = [
    (3, 200, 2),
    (30, 200, 10),
    (9, 500, 120),
    (60, 500, 10),
    (9, 1000, 10),
    (60, 1000, 2),
    (30, 2000, 5),
    (5, 2000, 120),
    (9, 10_000, 10),
]


def competition(cell: tuple[int, int, int], seed: int, metric: str) -> dict[str, Any]:
    """One competition: every row of the table beside its truth."""
    n_members, n_rows, n_classes = cell
    rng = np.random.default_rng([*cell, seed, METRICS.index(metric)])
    world = World(rng, n_members, n_classes)
    ids, classes = (
        np.array([f"{i:06d}" for i in range(n_rows)]),
        tuple(f"c{i:03d}" for i in range(n_classes)),
    )
    members = {
        f"m{i:03d}": partial(Predictions, ids, classes, probs, world.targets(n_rows))
        for i, probs in enumerate(world.rows(rng, n_rows))
    }
    pool = open_pool(members)
    rules = Rules(pool, Options(metric=metric, weights="best"), [""] * n_members)
    learnt, found = rules.cross_fit(seed)
    table, chosen = table_of(pool, rules, found, learnt, seed)
    weights = np.stack([*learnt[:-1], learnt[chosen]])
    truth = world.truth(rng, weights, max(20_000, 10 * n_rows))
    return {
        "cell": cell,
        "names": [rating.name for rating in table],
        "truth": truth.tolist(),
        "fitted": [[r.fitted_accuracy for r in table], [r.fitted_log_loss for r in table]],
        "interval": [
            [[i.value, i.low, i.high] for i in (getattr(rating, name) for rating in table)]
            for name in METRICS
        ],
        "accuracies": pool.hits.mean(1).tolist(),
    }


class World:
    """Members whose logits are the truth's strength, shared noise and noise of their own; some rows are harder."""

    def __init__(self, rng: np.random.Generator, n_members: int, n_classes: int) -> None:
        spread = rng.uniform(0.2, 1.5)
        self.strength = (rng.uniform(2, 6) + spread * rng.standard_normal(n_members)).astype(
            np.float32
        )
        self.shared = np.float32(rng.uniform(0.4, 0.9))  # of the noise's variance
        self.heat = np.float32(rng.uniform(0.7, 1.5))  # above 1 too sure, below 1 not sure enough
        self.n_classes = n_classes

    def targets(self, n: int) -> Array:
        """The true classes of n rows, as many of each."""
        return np.arange(n) % self.n_classes

    def rows(self, rng: np.random.Generator, n: int) -> Iterator[Array]:
        """Member by member probabilities of n new rows."""
        targets, size = self.targets(n), (n, self.n_classes)
        common = rng.standard_normal(size, dtype=np.float32) * np.float32(
            1.6 * np.sqrt(self.shared)
        )
        ease = rng.standard_normal(n, dtype=np.float32)
        for strength in self.strength:
            logits = rng.standard_normal(size, dtype=np.float32)
            logits *= np.float32(1.6 * np.sqrt(1 - self.shared))
            logits += common
            logits[np.arange(n), targets] += strength + ease
            logits *= self.heat
            np.exp(logits, out=logits)
            logits /= logits.sum(1, keepdims=True)
            yield logits

    def truth(self, rng: np.random.Generator, weights: Array, n: int) -> Array:
        """Accuracy and log loss of blends on n new rows, (2, blends); weights is (blends, members)."""
        mixed = np.zeros((len(weights), n, self.n_classes), np.float32)
        for own, probs in zip(weights.T.astype(np.float32), self.rows(rng, n), strict=True):
            for blend in np.flatnonzero(own):
                mixed[blend] += own[blend] * probs
        measures = (metrics.accuracy, metrics.log_loss)
        return np.array(
            [[measure(probs, self.targets(n)) for probs in mixed] for measure in measures]
        )


def report(found: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A line for each weighting: pooled, then cell by cell."""
    kind = METRICS.index(metric)
    lines = []
    for cell in [
        None,
        *sorted({tuple(one["cell"]) for one in found}, key=lambda cell: (cell[1], cell)),
    ]:
        own = [one for one in found if cell in (None, tuple(one["cell"]))]
        truth, fitted = (np.array([one[key][kind] for one in own]) for key in ("truth", "fitted"))
        value, low, high = np.moveaxis(np.array([one["interval"][kind] for one in own]), 2, 0)
        inside, half = (low <= truth) & (truth <= high), (high - low) / 2
        for i, name in enumerate(own[0]["names"]):
            bias, flattery = value[:, i] - truth[:, i], fitted[:, i] - truth[:, i]
            covered = metrics.wilson(float(inside[:, i].mean()), len(own))
            lines.append(
                {
                    "metric": metric,
                    "cell": cell or "all",
                    "n": len(own),
                    "weights": name,
                    "bias": bias.mean(),
                    "bias_se": bias.std() / len(own) ** 0.5,
                    "half_width": half[:, i].mean(),
                    "fitted_bias": flattery.mean(),
                    "coverage": covered.value,
                    "coverage_low": covered.low,
                    "coverage_high": covered.high,
                }
            )
    return lines


def show(lines: list[dict[str, Any]]) -> None:
    """The report as a table."""
    for line in lines:
        cell = line["cell"] if line["cell"] == "all" else "×".join(map(str, line["cell"]))
        print(
            f"{line['metric']:9s}{cell:>14s} {line['n']:5d}"
            f" {line['weights']:12s} bias {line['bias']:+.4f} ± {line['bias_se']:.4f}"
            f" ({line['bias'] / line['half_width']:+.2f} half-widths of {line['half_width']:.4f})"
            f"  fitted {line['fitted_bias']:+.4f}"
            f"  covered {line['coverage']:.1%} ({line['coverage_low']:.1%}–{line['coverage_high']:.1%})"
        )


def main() -> None:
    """Run the grid for both metrics."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--competitions", type=int, default=150, help="for each cell of the grid and each metric"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    began, lines = time.perf_counter(), []
    for metric in METRICS:
        tasks = [(cell, seed, metric) for seed in range(asked.competitions) for cell in GRID]
        with Processes(asked.processes) as processes:
            found = processes.starmap(competition, tasks, chunksize=1)
        lines += report(found, metric)
    show(lines)
    print(
        f"{2 * asked.competitions * len(GRID):,} competitions in {(time.perf_counter() - began) / 60:.1f} minutes"
    )
    if asked.out:
        asked.out.write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
