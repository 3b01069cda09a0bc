"""How honest the table of `ens blend` is: synthetic competitions whose truth is known.

    OPENBLAS_NUM_THREADS=1 python bench/blend_scores.py [--competitions 150] [--out FILE.json]
        [--metric NAME]... [--cell 9x1000x10]...

A competition has members of several strengths whose errors are correlated (shared noise and noise
per member, drawn again each time), and validation rows. The code of `ens blend` selects, weights
and scores. The truth is the score of that blend, weights fitted on all validation rows, on fresh
rows of the same kind: 50,000, or twenty times the validation rows if those are more, so that the error
of the truth stays small. Classes are balanced, rare (shares from large to 1 %; of two classes 3 %)
or ordinal (members confuse neighbours); grouped rows come five to a group, of one class, as easy and
with the same shared noise. Printed for each weighting: mean (cross-fitted - truth) with
its standard error and as a share of an interval's half-width, the same for the in-sample score, and
how often the 95 % interval contains the truth, with its binomial interval; the same for the interval
of the difference from the best member; and how often the rows were too few for an interval, which
counts as neither covered nor missed. Pooled and cell by cell. The bench fails (exit status 1) where
coverage pooled is below 93 %, where the 95 % upper limit of a cell of 1,000 rows or more is below
92 %, of the score or of the difference, or where the bias is clearly above a quarter half-width.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import Pool as Processes
from pathlib import Path
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.metrics.decision import Decision
from ensemble.predictions import Array, Predictions

METRICS = (
    *("accuracy", "log_loss", "roc_auc", "f1_macro", "balanced_accuracy", "quadratic_kappa"),
    *("f1", "f1_micro", "f1_weighted", "f1_min", "map@5", "top_k_accuracy@5"),
)

TRUTH = 50_000  # rows, at least

# members, validation rows, classes, how classes are distributed unless they are balanced
GRID: list[Any] = [
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
MORE: list[Any] = [  # for metrics other than accuracy and log loss
    (9, 1000, 2, "rare"),
    (9, 3000, 2, "rare"),
    (9, 1000, 5, "rare"),
    (9, 3000, 10, "rare"),
    (9, 1000, 5, "ordinal"),
]
GROUPED: list[Any] = [(9, 1000, 3, "grouped"), (9, 3000, 5, "grouped")]
GROUP = 5  # rows


def competition(cell: Any, seed: int, name: str) -> dict[str, Any]:
    """One competition: every row of the table with its truth."""
    n_members, n_rows, n_classes, *kind = cell
    rng = np.random.default_rng([n_members, n_rows, n_classes, seed, METRICS.index(name)])
    world = World(rng, n_members, n_classes, kind[0] if kind else "balanced")
    ids = np.array([f"{i:06d}" for i in range(n_rows)])
    classes = tuple(f"{i:03d}" for i in range(n_classes))
    groups = np.array([f"{i // GROUP:06d}" for i in range(n_rows)]) if "grouped" in kind else None
    members = {
        f"m{i:03d}": partial(Predictions, ids, classes, probs, world.targets(n_rows), groups)
        for i, probs in enumerate(world.rows(rng, n_rows))
    }
    pool = open_pool(members)
    table = rate(pool, Options(metric=name, weights="best"), [""] * n_members, seed)
    ratings = table.ratings
    weights = np.stack([*table.weights[:-1], table.blend_weights])
    metric = metrics.metric_named(name, classes)
    decisions = [*table.decisions[:-1], table.decision]
    truth = world.truth(rng, weights, decisions, max(TRUTH, 20 * n_rows), metric)
    sign = 1 if metric.is_higher_better else -1
    return {
        "cell": cell,
        "names": [rating.name for rating in ratings],
        "truth": truth.tolist(),
        "lead": (sign * (truth - truth[0])).tolist(),
        "in_sample": [rating.fitted_score for rating in ratings],
        "score": [[i.value, i.low, i.high] for i in (rating.score for rating in ratings)],
        "difference": [[i.value, i.low, i.high] for i in (r.difference for r in ratings)],
    }


class World:
    """Members with correlated errors: logits are signal, shared noise and noise per member."""

    def __init__(
        self, rng: np.random.Generator, n_members: int, n_classes: int, kind: str = "balanced"
    ) -> None:
        spread = rng.uniform(0.2, 1.5)
        self.strength = (rng.uniform(2, 6) + spread * rng.standard_normal(n_members)).astype(
            np.float32
        )
        self.shared = np.float32(rng.uniform(0.4, 0.9))  # of the noise's variance
        self.scale = np.float32(
            rng.uniform(0.7, 1.5)
        )  # above 1 overconfident, below 1 underconfident
        self.n_classes, self.kind = n_classes, kind
        self.n_alike = GROUP if kind == "grouped" else 1
        classes = np.arange(n_classes)
        distance = np.abs(classes[:, None] - classes)
        self.signal = np.maximum(
            1 - distance / (2 if kind == "ordinal" else 1), 0, dtype=np.float32
        )

    def targets(self, n: int) -> Array:
        """The true classes of n rows."""
        if self.kind != "rare":
            return np.arange(n) // self.n_alike % self.n_classes
        shares = np.array([0.97, 0.03]) if self.n_classes == 2 else self._shares_down_to(0.01)
        return np.searchsorted(np.cumsum(shares)[:-1], (np.arange(n) + 0.5) / n)

    def _shares_down_to(self, smallest: float) -> Array:
        """Shares of classes that fall evenly on a logarithmic scale to the smallest one."""
        ratios = np.linspace(0, 1, self.n_classes)[::-1]
        low, high = 0.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            weights = np.exp(middle * ratios)
            low, high = (middle, high) if weights[-1] / weights.sum() > smallest else (low, middle)
        return np.asarray(weights / weights.sum())

    def rows(self, rng: np.random.Generator, n: int) -> Iterator[Array]:
        """Member by member probabilities of n new rows."""
        targets, size = self.targets(n), (n, self.n_classes)
        n_groups = n // self.n_alike
        common = rng.standard_normal((n_groups, self.n_classes), dtype=np.float32)
        common = np.repeat(common, self.n_alike, axis=0) * np.float32(1.6 * np.sqrt(self.shared))
        ease = np.repeat(rng.standard_normal(n_groups, dtype=np.float32), self.n_alike)
        for strength in self.strength:
            logits = rng.standard_normal(size, dtype=np.float32)
            logits *= np.float32(1.6 * np.sqrt(1 - self.shared))
            logits += common
            logits += self.signal[targets] * (strength + ease)[:, None]
            logits *= self.scale
            np.exp(logits, out=logits)
            logits /= logits.sum(1, keepdims=True)
            yield logits

    def truth(
        self,
        rng: np.random.Generator,
        weights: Array,
        decisions: Sequence[Decision],
        n: int,
        metric: metrics.Metric,
    ) -> Array:
        """The metric of blends on n new rows, (blends,); weights is (blends, members)."""
        mixed = np.zeros((len(weights), n, self.n_classes), np.float32)
        for member_weights, probs in zip(
            weights.T.astype(np.float32), self.rows(rng, n), strict=True
        ):
            for blend in np.flatnonzero(member_weights):
                mixed[blend] += member_weights[blend] * probs
        targets = self.targets(n)
        return np.array(
            [
                value_of(metric, decision, probs, targets)
                for decision, probs in zip(decisions, mixed, strict=True)
            ]
        )


def value_of(metric: metrics.Metric, decision: Decision, probs: Array, targets: Array) -> float:
    """The metric of probabilities, or of the answers that the decision gives for them."""
    if isinstance(metric, metrics.DecisionMetric):
        return float(metric.values_of(decision.apply(probs), targets))
    return float(metric.values(probs, targets))


def report(competitions: list[dict[str, Any]], metric: str) -> list[dict[str, Any]]:
    """A line for each weighting: pooled, then cell by cell."""
    lines = []
    cells = sorted({tuple(row["cell"]) for row in competitions}, key=lambda cell: (cell[1], cell))
    for cell in [None, *cells]:
        rows = [row for row in competitions if cell in (None, tuple(row["cell"]))]
        truth, lead, in_sample = (
            np.array([row[key] for row in rows]) for key in ("truth", "lead", "in_sample")
        )
        value, low, high = np.moveaxis(np.array([row["score"] for row in rows]), 2, 0)
        _, lead_low, lead_high = np.moveaxis(np.array([row["difference"] for row in rows]), 2, 0)
        has_interval = ~np.isnan(low[:, 0])
        inside, half = (low <= truth) & (truth <= high), (high - low) / 2
        lead_inside = (lead_low - 1e-12 <= lead) & (lead <= lead_high + 1e-12)
        n_known = int(has_interval.sum())
        for i, name in enumerate(rows[0]["names"]):
            bias, optimism = value[:, i] - truth[:, i], in_sample[:, i] - truth[:, i]
            covered, lead_covered = (
                metrics.wilson(float(contains[has_interval, i].mean()), n_known)
                if n_known
                else None
                for contains in (inside, lead_inside)
            )
            lines.append(
                {
                    "metric": metric,
                    "cell": cell or "all",
                    "n": len(rows),
                    "weights": name,
                    "bias": bias.mean(),
                    "bias_se": bias.std() / len(rows) ** 0.5,
                    "half_width": half[has_interval, i].mean() if n_known else None,
                    "in_sample_bias": optimism.mean(),
                    "coverage": covered.value if covered else None,
                    "coverage_low": covered.low if covered else None,
                    "coverage_high": covered.high if covered else None,
                    "difference_coverage": lead_covered.value if lead_covered else None,
                    "difference_coverage_high": lead_covered.high if lead_covered else None,
                    "too_few": len(rows) - n_known,
                }
            )
    return lines


def failures(lines: list[dict[str, Any]]) -> list[str]:
    """What breaks the rules of the head of this file, in words."""
    broken = []
    for line in lines:
        if line["coverage"] is None:
            continue
        name = f"{line['metric']}, {line['cell']}, {line['weights']}"
        is_pooled = line["cell"] == "all"
        for key in ("coverage", "difference_coverage"):
            if is_pooled and line[key] < 0.93:
                broken.append(f"{name}: {key} {line[key]:.1%}, 93 % are required")
            if not is_pooled and line["cell"][1] >= 1000 and line[f"{key}_high"] < 0.92:
                broken.append(f"{name}: {key} at most {line[f'{key}_high']:.1%}, 92 % are required")
        if abs(line["bias"]) - 2 * line["bias_se"] > line["half_width"] / 4:
            broken.append(f"{name}: bias {line['bias']:+.4f}, half-width {line['half_width']:.4f}")
    return broken


def show(lines: list[dict[str, Any]]) -> None:
    """The report as a table."""
    for line in lines:
        cell = line["cell"] if line["cell"] == "all" else "×".join(map(str, line["cell"]))
        start = (
            f"{line['metric']:17s}{cell:>16s} {line['n']:5d} {line['weights']:12s}"
            f" bias {line['bias']:+.4f} ± {line['bias_se']:.4f}"
        )
        if line["coverage"] is None:
            print(f"{start}  always too few rows for an interval")
            continue
        print(
            f"{start} ({line['bias'] / line['half_width']:+.2f} half-widths of"
            f" {line['half_width']:.4f})  in-sample {line['in_sample_bias']:+.4f}"
            f"  covered {line['coverage']:.1%}"
            f" ({line['coverage_low']:.1%}–{line['coverage_high']:.1%}),"
            f" difference {line['difference_coverage']:.1%}"
            + (f", too few rows {line['too_few']}" if line["too_few"] else "")
        )


def cells_of(metric: str) -> list[Any]:
    """The cells of the grid that a metric has: f1 needs two classes, @5 more than five."""
    cells = (GRID if metric in ("accuracy", "log_loss") else GRID + MORE) + GROUPED
    if metric == "f1":
        return [cell for cell in cells if cell[2] == 2]
    return [cell for cell in cells if cell[2] > 5] if "@" in metric else cells


def main() -> None:
    """Run the grid, by default for accuracy and log loss."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--competitions", type=int, default=150, help="for each cell of the grid and each metric"
    )
    parser.add_argument("--metric", action="append", choices=[*METRICS, "all"])
    parser.add_argument("--cell", action="append", help="only this one, such as 9x1000x5xordinal")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    chosen = options.metric or ["accuracy", "log_loss"]
    started, lines, n_competitions = time.perf_counter(), [], 0
    for metric in METRICS if "all" in chosen else chosen:
        cells = [
            cell
            for cell in cells_of(metric)
            if not options.cell or "x".join(map(str, cell)) in options.cell
        ]
        tasks = [(cell, seed, metric) for seed in range(options.competitions) for cell in cells]
        if not tasks:
            continue
        with Processes(options.processes) as processes:
            rows = processes.starmap(competition, tasks, chunksize=1)
        n_competitions += len(rows)
        lines += report(rows, metric)
    show(lines)
    minutes = (time.perf_counter() - started) / 60
    print(f"{n_competitions:,} competitions in {minutes:.1f} minutes")
    if options.out:
        options.out.write_text(json.dumps(lines))
    conclude(lines)


def conclude(lines: list[dict[str, Any]]) -> None:
    """Print what breaks the rules; exit with status 1 if anything does."""
    broken = failures(lines)
    for problem in broken:
        print(f"FAILED {problem}")
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
