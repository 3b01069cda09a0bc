"""The arithmetic of docs/scaling.md: time, memory, disk and network of three competitions on 1, 8 and 64 workers.

    python bench/scaling.py --rate 33
    python bench/scaling.py --rate 1000

rate is images a second that one worker (a GPU, a machine) trains with; `ens train RECIPE --dry-run` measures yours.
"""

import argparse
import math
from dataclasses import dataclass

FORWARD = 1 / 3  # of a training step: docs/benchmarks.md
N_PARAMETERS = 7.0e6  # DenseNet121
PER_NODE = 8  # workers that share a disk
STATE_COPIES, WORK_COPIES = 4, 5  # weights, two averages, the kept epoch; and the gradients


@dataclass(frozen=True)
class Competition:
    """Images of one training, how they are stored, and how many trainings of how many epochs."""

    name: str
    n_train: int
    n_valid: int
    n_test: int
    stored_bytes: int
    decoded_per_second: float
    n_runs: int
    n_epochs: int

    @property
    def passes(self) -> float:
        """Images of one training, as many as take the time of a training step each."""
        each = self.n_train + FORWARD * self.n_valid
        return self.n_epochs * each + FORWARD * (self.n_valid + self.n_test)

    @property
    def n_images(self) -> int:
        """All there are."""
        return self.n_train + self.n_valid + self.n_test


COMPETITIONS = (
    Competition("CIFAR-10", 40_000, 10_000, 10_000, 32 * 32 * 3, 5_020, 135, 4),
    Competition("dog breeds", 8_178, 2_044, 10_357, 224 * 224 * 3, 463, 135, 10),
    Competition("ImageNet-sized", 1_231_167, 50_000, 100_000, 224 * 224 * 3, 463, 9, 30),
)


def waves(competition: Competition, n_workers: int) -> tuple[float, int]:
    """In how many turns the runs are trained, and how many workers each has."""
    each = max(1, n_workers // competition.n_runs)
    return math.ceil(competition.n_runs / (n_workers // each)) / each, each


def time(seconds: float) -> str:
    """A duration as people say it."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def line(own: Competition, n_workers: int, rate: float) -> str:
    """One row of the table."""
    turns, each = waves(own, n_workers)
    run_seconds = own.passes / rate
    n_open, n_nodes = min(n_workers, own.n_runs), math.ceil(n_workers / PER_NODE)
    epoch_seconds = run_seconds / own.n_epochs / each
    used = own.n_runs / (turns * n_workers)
    weights = 4 * N_PARAMETERS
    cells = [
        f"{own.name}, {n_workers}" + (f" ({each} a run)" if each > 1 else ""),
        time(turns * run_seconds),
        f"{used:.0%}",
        time(own.n_images / own.decoded_per_second),
        f"{own.n_images * own.stored_bytes / 1e9:.1f} GB × {n_nodes}",
        f"{own.n_runs * weights / 1e9:.1f} GB + {n_open * WORK_COPIES * weights / 1e9:.1f} GB",
        f"{n_open * STATE_COPIES * weights / 1e6 / epoch_seconds:.1f} MB/s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, required=True)
    rate = parser.parse_args().rate
    print(
        "| set, workers | training | workers busy | decoding, a core | pixels × disks | runs + open states | states |"
    )
    print("|---|---|---|---|---|---|---|")
    for own in COMPETITIONS:
        for n_workers in (1, 8, 64):
            print(line(own, n_workers, rate))


if __name__ == "__main__":
    main()
