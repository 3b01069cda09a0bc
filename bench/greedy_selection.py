"""Greedy selection for log loss, ours and AutoGluon's: the score at equal picks and the time.

    python -m venv ag && ag/bin/pip install autogluon.core
    OPENBLAS_NUM_THREADS=1 python bench/greedy_selection.py --autogluon ag/bin/python [--members 200] [--rows 50000]

Both get the same probabilities in memory; only the selection is timed, each side in a process of its own, in turn.
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


def make(path: Path, members: int, rows: int, classes: int) -> None:
    """Members with correlated errors, (members, rows, classes) float32, and targets."""
    rng = np.random.default_rng(0)
    targets, common = (
        np.arange(rows) % classes,
        rng.standard_normal((rows, classes), dtype=np.float32),
    )
    probs = np.empty((members, rows, classes), np.float32)
    for own in probs:
        own[:] = common + rng.standard_normal((rows, classes), dtype=np.float32)
        own[np.arange(rows), targets] += np.float32(rng.uniform(1, 4))
        np.exp(own, out=own)
        own /= own.sum(1, keepdims=True)
    np.savez(path, probs=probs, targets=targets)


def ours(probs: Any, targets: Any, picks: int) -> Any:
    """Weights by ens."""
    from ensemble.blending.greedy import LogLossObjective, greedy_weights

    true = probs[:, np.arange(len(targets)), targets].astype(np.float64)
    return greedy_weights(LogLossObjective(true), len(probs), picks)


def autogluons(probs: Any, targets: Any, picks: int) -> Any:
    """Weights by AutoGluon's EnsembleSelection."""
    from autogluon.core.metrics import log_loss  # type: ignore[import-not-found]
    from autogluon.core.models.greedy_ensemble.ensemble_selection import (  # type: ignore[import-not-found]
        EnsembleSelection,
    )

    made = EnsembleSelection(ensemble_size=picks, problem_type="multiclass", metric=log_loss)
    return made.fit(list(probs), targets).weights_


def run(side: str, path: Path, picks: int) -> None:
    """One side, in the process of its own environment: seconds and weights as JSON."""
    with np.load(path) as stored:
        probs, targets = stored["probs"], stored["targets"]
    {"ours": ours, "autogluon": autogluons}[side](
        probs[:3, :100], targets[:100], 2
    )  # imports and first calls
    began = time.perf_counter()
    weights = {"ours": ours, "autogluon": autogluons}[side](probs, targets, picks)
    print(
        json.dumps(
            {"seconds": time.perf_counter() - began, "weights": np.asarray(weights).tolist()}
        )
    )


def main() -> None:
    """Both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--autogluon", required=True, metavar="PYTHON", help="the Python that has autogluon.core"
    )
    for name, value in (
        ("members", 200),
        ("rows", 50_000),
        ("classes", 10),
        ("picks", 20),
        ("turns", 3),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probs.npz"
        make(path, asked.members, asked.rows, asked.classes)
        found: dict[str, list[dict[str, Any]]] = {"ours": [], "autogluon": []}
        for _ in range(asked.turns):
            for side, python in (("ours", sys.executable), ("autogluon", asked.autogluon)):
                command = [python, __file__, "--side", side, str(path), str(asked.picks)]
                ended = subprocess.run(command, check=True, capture_output=True, text=True)
                found[side].append(json.loads(ended.stdout.splitlines()[-1]))
        with np.load(path) as stored:
            true = stored["probs"][:, np.arange(asked.rows), stored["targets"]].astype(np.float64)
    for side, turns in found.items():
        seconds, weights = [turn["seconds"] for turn in turns], np.array(turns[0]["weights"])
        print(
            f"{side:10s} {median(seconds):8.3f} s ({min(seconds):.3f}–{max(seconds):.3f}), log loss "
            f"{-np.log(weights @ true).mean():.6f}, {np.count_nonzero(weights)} members"
        )
    theirs, mine = (
        median(turn["seconds"] for turn in found[side]) for side in ("autogluon", "ours")
    )
    print(f"{theirs / mine:.1f} times faster")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
