"""Peak memory of `ens predict` for 1,000 and for 100,000 images: python bench/predict_memory.py RUN_ID [RUNS]

The images are 1,000 of 32 px, under 100 names each.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

COUNTS = (1_000, 100_000)


def fill(folder: Path, n: int) -> Path:
    """A folder with n names of 1,000 pictures."""
    rng, made = np.random.default_rng(0), folder / str(n)
    made.mkdir()
    for i in range(1_000):
        first = made / f"000-{i:04d}.png"
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(first)
        for k in range(1, n // 1_000):
            os.link(first, made / f"{k:03d}-{i:04d}.png")
    return made


def main() -> None:
    run, runs = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "runs"
    with tempfile.TemporaryDirectory() as temporary:
        for n in COUNTS:
            command = ["predict", str(fill(Path(temporary), n)), "--run", run, "--runs", runs]
            began = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "ensemble", *command, "--out", f"{temporary}/{n}.csv"]
            )
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
            print(
                f"{n:,} images: {used.ru_maxrss / 1024:,.0f} MiB at most, {seconds:.0f} s, exit {status}"
            )


if __name__ == "__main__":
    main()
