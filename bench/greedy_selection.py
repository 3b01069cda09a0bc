"""Greedy selection by any metric, ours and AutoGluon's: the score at equal picks and the time.

    python -m venv ag && ag/bin/pip install autogluon.core
    OPENBLAS_NUM_THREADS=1 python bench/greedy_selection.py --autogluon ag/bin/python [--metric log_loss]...
        [--members 200] [--rows 50000] [--classes 10] [--picks 20] [--turns 3]

Both get the same probabilities in memory; only the selection is timed, in seconds of the processor on one thread, each
side in a process of its own, in turn.
Without --autogluon, ours alone is timed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

METRICS = ("log_loss", "accuracy", "quadratic_kappa", "f1_macro", "roc_auc")


def make(path: Path, members: int, rows: int, classes: int) -> None:
    """Members with correlated errors, (members, rows, classes) float32, and targets."""
    rng = np.random.default_rng(0)
    targets = np.arange(rows) % classes
    common = rng.standard_normal((rows, classes), dtype=np.float32)
    probs = np.empty((members, rows, classes), np.float32)
    for member_probs in probs:
        member_probs[:] = common + rng.standard_normal((rows, classes), dtype=np.float32)
        member_probs[np.arange(rows), targets] += np.float32(rng.uniform(1, 4))
        np.exp(member_probs, out=member_probs)
        member_probs /= member_probs.sum(1, keepdims=True)
    np.savez(path, probs=probs, targets=targets)


def ours(probs: Any, targets: Any, picks: int, name: str) -> Any:
    """Weights by ens, from the members' probabilities on."""
    from ensemble.blending.fit_rows import ClassRows
    from ensemble.blending.greedy import LogLossObjective, greedy_weights
    from ensemble.blending.weighting import greedy_weighting

    true = probs[:, np.arange(len(targets)), targets].astype(np.float64)
    if name == "log_loss":
        return greedy_weights(LogLossObjective(true), len(probs), picks)
    metric = metric_of(name, probs.shape[2])
    scores = probs.transpose(0, 2, 1).astype(np.float64, order="C")
    values = None
    if metric.reads == "ranks":  # a decision metric computes its own
        values = np.array([metric.values(member.T, targets) for member in scores])
    hits = np.zeros(true.shape, bool)  # of no use here
    sizes = len(hits), probs.shape[2]
    rows = ClassRows(targets, *sizes, scores, values, hits=hits, true=true, margins=None)
    return greedy_weighting(metric, False, rows)(rows)


def autogluons(probs: Any, targets: Any, picks: int, name: str) -> Any:
    """Weights by AutoGluon's EnsembleSelection."""
    from autogluon.core import metrics  # type: ignore[import-not-found]
    from autogluon.core.models.greedy_ensemble.ensemble_selection import (  # type: ignore[import-not-found]
        EnsembleSelection,
    )

    metric = getattr(metrics, "roc_auc_ovr" if name == "roc_auc" else name)
    selection = EnsembleSelection(ensemble_size=picks, problem_type="multiclass", metric=metric)
    return selection.fit(list(probs), targets).weights_


def metric_of(name: str, n_classes: int) -> Any:
    """The metric of classes named by their numbers."""
    from ensemble.metrics import metric_named

    return metric_named(name, tuple(f"{i:03d}" for i in range(n_classes)))


def run(side: str, path: Path, picks: int, name: str) -> None:
    """One side, in the process of its own environment: seconds and weights as JSON."""
    select = {"ours": ours, "autogluon": autogluons}[side]
    with np.load(path) as stored:
        probs, targets = stored["probs"], stored["targets"]
    select(probs[:3, :100], targets[:100], 2, name)  # imports and first calls
    began = time.process_time()
    weights = select(probs, targets, picks, name)
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "weights": np.asarray(weights).tolist()}))


def compared(path: Path, name: str, sides: dict[str, str], picks: int, n_turns: int) -> None:
    """All sides in turn by one metric: seconds, in-sample value, members."""
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(n_turns):
        for side, python in sides.items():
            command = [python, __file__, "--side", side, str(path), str(picks), name]
            ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            turns[side].append(json.loads(ended.stdout.splitlines()[-1]))
    with np.load(path) as stored:
        probs, targets = stored["probs"], stored["targets"]
    metric = metric_of(name, probs.shape[2])
    for side, rows in turns.items():
        seconds, weights = [row["seconds"] for row in rows], np.array(rows[0]["weights"])
        blend = sum(w * probs[m].astype(np.float64) for m, w in enumerate(weights) if w)
        print(
            f"{name:16s} {side:10s} {median(seconds):8.3f} s "
            f"({min(seconds):.3f}–{max(seconds):.3f}), in sample "
            f"{float(metric.values(blend, targets)):.6f}, {np.count_nonzero(weights)} members"
        )
    if len(turns) > 1:
        medians = [median(row["seconds"] for row in turns[side]) for side in ("autogluon", "ours")]
        print(f"{name:16s} {medians[0] / medians[1]:.1f} times faster")


def main() -> None:
    """Every metric, all sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--autogluon", metavar="PYTHON", help="the Python that has autogluon.core")
    parser.add_argument("--metric", action="append", choices=METRICS)
    for name, default in (
        ("members", 200),
        ("rows", 50_000),
        ("classes", 10),
        ("picks", 15),
        ("turns", 3),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    chosen = options.metric or ["log_loss"]
    if options.picks != 15 and chosen != ["log_loss"]:
        parser.error("ens picks 15 members; another number of --picks is for log_loss alone")
    sides = {"ours": sys.executable}
    if options.autogluon:
        sides["autogluon"] = options.autogluon
    else:
        print("without --autogluon PYTHON: ours alone")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probs.npz"
        make(path, options.members, options.rows, options.classes)
        for name in chosen:
            compared(path, name, sides, options.picks, options.turns)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        main()
