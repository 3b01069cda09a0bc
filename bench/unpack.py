"""Seconds and peak memory of turning rows of pixels into PNG files: python bench/unpack.py [ROWS]

The rows are those of a table with a label and 784 columns of random digits-like pixels (a fifth of them not black).
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ensemble.convert.plan import conversion_of


def write_table(path: Path, n_rows: int) -> None:
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as stored:
        stored.write(",".join(["label", *(f"pixel{i}" for i in range(784))]) + "\n")
        for row in range(n_rows):
            pixels = rng.integers(1, 256, 784) * (rng.random(784) < 0.2)
            stored.write(",".join(map(str, [row % 10, *pixels])) + "\n")


def convert(root: Path, folder: Path) -> None:
    started = time.perf_counter()
    conversion = conversion_of(root)
    assert conversion is not None
    planned = time.perf_counter() - started
    conversion.write(folder, lambda done, total: None)
    seconds = time.perf_counter() - started
    stated = f"{conversion.n_bytes / 1e6:,.0f} MB stated"
    print(
        f"{conversion.n_images:,} rows: {planned:.1f} s to plan, {seconds:.1f} s in all, {stated}"
    )


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 70_000
    with tempfile.TemporaryDirectory() as temporary:
        for n_rows in (most // 10, most):
            root, folder = Path(temporary) / f"in{n_rows}", Path(temporary) / f"out{n_rows}"
            root.mkdir()
            folder.mkdir()
            write_table(root / "train.csv", n_rows)
            child = os.fork()
            if child == 0:  # a process of its own, whose peak memory is that of the conversion
                convert(root, folder)
                sys.stdout.flush()
                os._exit(0)
            _, status, used = os.wait4(child, 0)
            print(f"  {used.ru_maxrss / 1024:,.0f} MiB at most, exit {status}")


if __name__ == "__main__":
    main()
