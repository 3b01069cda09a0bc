"""The cost of `ens blend`: time compared with the bare imports, and memory with many large members.

    python bench/blend_size.py time [--turns 11] [--metric NAME]...
    python bench/blend_size.py memory [--members 135] [--rows 10000] [--classes 120]

time: a whole process with nine made-up runs × 10,000 rows × 10 classes, alternating with
`python -c "import numpy, pydantic, typer, rich"`. Both find their bytecode compiled, as after an installation.
memory: the peak of one `ens blend` (ru_maxrss), and its time.
"""

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run

IMPORTS = [sys.executable, "-c", "import numpy, pydantic, typer, rich"]


def make(root: Path, members: int, rows: int, classes: int) -> None:
    """Runs with correlated errors and different accuracies."""
    names, targets = tuple(f"{i:03d}" for i in range(classes)), np.arange(rows) % classes

    def members_of(name: str) -> Iterator[Path]:
        rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
        common = rng.standard_normal((rows, classes), dtype=np.float32)
        ids = np.array([f"{name}{i:06d}" for i in range(rows)])
        for i in range(members):
            logits = 1.2 * common + rng.standard_normal((rows, classes), dtype=np.float32)
            logits[np.arange(rows), targets] += np.float32(3.5 + i / members)
            probs = np.exp(logits)
            probs /= probs.sum(1, keepdims=True)
            path = root / f"{name}.npz"
            Predictions(ids, names, probs, targets).save(path)
            yield path

    for i, (valid, test) in enumerate(zip(members_of("v"), members_of("t"), strict=True)):
        import_run(
            f"member{i:03d}", f"arch{i % 9}", valid, test, RunStore(root / "runs"), "made-up"
        )


def blend(root: Path, *words: str) -> list[str]:
    """The command."""
    return [
        sys.executable,
        "-m",
        "ensemble",
        "blend",
        "--runs",
        str(root / "runs"),
        "--out",
        str(root),
        "--force",
        *words,
    ]


def seconds(command: list[str]) -> float:
    """Wall time of a whole process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """One of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["time", "memory"])
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--metric", action="append")
    for name, value in (("members", 135), ("rows", 10_000), ("classes", 120)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.what == "time":
            make(root, 9, 10_000, 10)
            seconds(blend(root))
            for name in options.metric or ["accuracy"]:
                command = blend(root, "--metric", name)
                turns = [(seconds(command), seconds(IMPORTS)) for _ in range(options.turns)]
                ours, bare = (median(column) for column in zip(*turns, strict=True))
                ratios = sorted(a / b for a, b in turns)
                print(
                    f"ens blend --metric {name} {ours:.3f} s, imports {bare:.3f} s: {ours / bare:.2f} "
                    f"({ratios[0]:.2f}–{ratios[-1]:.2f})"
                )
        else:
            make(root, options.members, options.rows, options.classes)
            size = sum(path.stat().st_size for path in root.glob("runs/*/valid.npz"))
            took = seconds(blend(root))
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
            print(
                f"{options.members} × {options.rows:,} × {options.classes}, validation files {size / 2**30:.2f} GiB: "
                f"peak {peak / 2**30:.2f} GiB, {took:.0f} s"
            )


if __name__ == "__main__":
    main()
