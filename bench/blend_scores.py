"""How honest the table of `ens blend` is: synthetic competitions whose truth is known.

    OPENBLAS_NUM_THREADS=1 python bench/blend_scores.py [--competitions 150] [--out FILE.json]

A competition has members of several strengths whose errors are correlated (shared noise and noise
per member, drawn again each time), and validation rows. The code of `ens blend` selects, weights
and scores. The truth is the score of that blend, weights fitted on all validation rows, on fresh
rows of the same kind: 20,000, or ten times the validation rows if those are more, so that the error
of the truth stays small. Printed for each weighting: mean (cross-fitted - truth) with its standard
error and as a share of an interval's half-width, the same for the in-sample score, and how often
the 95 % interval contains the truth, with its binomial interval; pooled and cell by cell.
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
from ensemble.blending.cross_fit import METRICS
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
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
    """One competition: every row of the table with its truth."""
    n_members, n_rows, n_classes = cell
    rng = np.random.default_rng([*cell, seed, METRICS.index(metric)])
    world = World(rng, n_members, n_classes)
    ids = np.array([f"{i:06d}" for i in range(n_rows)])
    classes = tuple(f"c{i:03d}" for i in range(n_classes))
    members = {
        f"m{i:03d}": partial(Predictions, ids, classes, probs, world.targets(n_rows))
        for i, probs in enumerate(world.rows(rng, n_rows))
    }
    pool = open_pool(members)
    table = rate(pool, Options(metric=metric, weights="best"), [""] * n_members, seed)
    ratings = table.ratings
    weights = np.stack([*table.weights[:-1], table.blend_weights])
    truth = world.truth(rng, weights, max(20_000, 10 * n_rows))
    return {
        "cell": cell,
        "names": [rating.name for rating in ratings],
        "truth": truth.tolist(),
        "in_sample": [[r.fitted_accuracy for r in ratings], [r.fitted_log_loss for r in ratings]],
        "interval": [
            [[i.value, i.low, i.high] for i in (getattr(rating, name) for rating in ratings)]
            for name in METRICS
        ],
        "accuracies": pool.hits.mean(1).tolist(),
    }


class World:
    """Members with correlated errors: logits are signal, shared noise and noise per member."""

    def __init__(self, rng: np.random.Generator, n_members: int, n_classes: int) -> None:
        spread = rng.uniform(0.2, 1.5)
        self.strength = (rng.uniform(2, 6) + spread * rng.standard_normal(n_members)).astype(
            np.float32
        )
        self.shared = np.float32(rng.uniform(0.4, 0.9))  # of the noise's variance
        self.scale = np.float32(
            rng.uniform(0.7, 1.5)
        )  # above 1 overconfident, below 1 underconfident
        self.n_classes = n_classes

    def targets(self, n: int) -> Array:
        """The true classes of n rows, balanced."""
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
            logits *= self.scale
            np.exp(logits, out=logits)
            logits /= logits.sum(1, keepdims=True)
            yield logits

    def truth(self, rng: np.random.Generator, weights: Array, n: int) -> Array:
        """Accuracy and log loss of blends on n new rows, (2, blends).

        weights is (blends, members).
        """
        mixed = np.zeros((len(weights), n, self.n_classes), np.float32)
        for member_weights, probs in zip(
            weights.T.astype(np.float32), self.rows(rng, n), strict=True
        ):
            for blend in np.flatnonzero(member_weights):
                mixed[blend] += member_weights[blend] * probs
        measures = (metrics.accuracy, metrics.log_loss)
        return np.array(
            [[measure(probs, self.targets(n)) for probs in mixed] for measure in measures]
        )


def report(competitions: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A line for each weighting: pooled, then cell by cell."""
    kind = METRICS.index(metric)
    lines = []
    cells = sorted({tuple(row["cell"]) for row in competitions}, key=lambda cell: (cell[1], cell))
    for cell in [None, *cells]:
        rows = [row for row in competitions if cell in (None, tuple(row["cell"]))]
        truth = np.array([row["truth"][kind] for row in rows])
        in_sample = np.array([row["in_sample"][kind] for row in rows])
        value, low, high = np.moveaxis(np.array([row["interval"][kind] for row in rows]), 2, 0)
        inside, half = (low <= truth) & (truth <= high), (high - low) / 2
        for i, name in enumerate(rows[0]["names"]):
            bias, optimism = value[:, i] - truth[:, i], in_sample[:, i] - truth[:, i]
            covered = metrics.wilson(float(inside[:, i].mean()), len(rows))
            lines.append(
                {
                    "metric": metric,
                    "cell": cell or "all",
                    "n": len(rows),
                    "weights": name,
                    "bias": bias.mean(),
                    "bias_se": bias.std() / len(rows) ** 0.5,
                    "half_width": half[:, i].mean(),
                    "in_sample_bias": optimism.mean(),
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
            f"  in-sample {line['in_sample_bias']:+.4f}"
            f"  covered {line['coverage']:.1%}"
            f" ({line['coverage_low']:.1%}–{line['coverage_high']:.1%})"
        )


def main() -> None:
    """Run the grid for both metrics."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--competitions", type=int, default=150, help="for each cell of the grid and each metric"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started, lines = time.perf_counter(), []
    for metric in METRICS:
        tasks = [(cell, seed, metric) for seed in range(options.competitions) for cell in GRID]
        with Processes(options.processes) as processes:
            rows = processes.starmap(competition, tasks, chunksize=1)
        lines += report(rows, metric)
    show(lines)
    minutes = (time.perf_counter() - started) / 60
    print(f"{2 * options.competitions * len(GRID):,} competitions in {minutes:.1f} minutes")
    if options.out:
        options.out.write_text(json.dumps(lines))


if __name__ == "__main__":
    main()
