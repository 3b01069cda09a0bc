"""What a GPU is kept busy with: CIFAR-10 at 32 and 128 px, three networks, ours beside the compute bound and fastai.

python bench/gpu.py path/to/cifar10 --minutes 9

Every line is one run of bench/speed.py (its command is printed); those that do not fit into the minutes are left out.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

SPEED = Path(__file__).with_name("speed.py")
ARCHS = ("resnet34", "tf_efficientnet_lite0", "densenet121")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128])
    said = parser.parse_args()
    ends = time.monotonic() + 60 * said.minutes
    fastai = dict.fromkeys(f"fastai:{n}" for n in (4, min(8, os.cpu_count() or 1), os.cpu_count()))
    for size in said.sizes:
        for arch in ARCHS:
            options = f"--valid test --arch {arch} --size {size} --batch 256 --epochs 3 --augment flip"
            sides = ["ours", *fastai, f"timm:{os.cpu_count()}"]
            command = [sys.executable, str(SPEED), str(said.data), *shlex.split(options), "--images", str(said.images),
                       "--pairs", str(said.pairs), "--sides", *sides]  # fmt: skip
            print(f"\npython bench/speed.py {shlex.join(command[2:])}", flush=True)
            with subprocess.Popen(command, start_new_session=True) as process:  # its sides end with it
                try:
                    if process.wait(max(0, ends - time.monotonic())):
                        raise SystemExit(process.returncode)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    print("no time is left for this one")


if __name__ == "__main__":
    main()
