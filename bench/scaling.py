"""The arithmetic of docs/scaling.md: time, memory, disk and network of three competitions.

    python bench/scaling.py --rate 33
    python bench/scaling.py --rate 1000

rate is the images a second that one worker (a GPU, a machine) trains on; `ens train RECIPE
--dry-run` measures yours.
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
        """Images of one training, each counted as the time of its training step."""
        per_epoch = self.n_train + FORWARD * self.n_valid
        return self.n_epochs * per_epoch + FORWARD * (self.n_valid + self.n_test)

    @property
    def n_images(self) -> int:
        """Training, validation and test images."""
        return self.n_train + self.n_valid + self.n_test


COMPETITIONS = (
    Competition("CIFAR-10", 40_000, 10_000, 10_000, 32 * 32 * 3, 5_020, 135, 4),
    Competition("dog breeds", 8_178, 2_044, 10_357, 224 * 224 * 3, 463, 135, 10),
    Competition("ImageNet-sized", 1_231_167, 50_000, 100_000, 224 * 224 * 3, 463, 9, 30),
)


def duration(seconds: float) -> str:
    """A duration in the largest unit of which there are two."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"


def table_row(competition: Competition, n_workers: int, rate: float) -> str:
    """One row of the table."""
    n_runs = competition.n_runs
    n_rounds = math.ceil(n_runs / n_workers)
    run_seconds = competition.passes / rate
    n_open, n_nodes = min(n_workers, n_runs), math.ceil(n_workers / PER_NODE)
    epoch_seconds = run_seconds / competition.n_epochs
    weight_bytes = 4 * N_PARAMETERS
    open_bytes = n_open * WORK_COPIES * weight_bytes
    cells = [
        f"{competition.name}, {n_workers}",
        duration(n_rounds * run_seconds),
        f"{n_runs / (n_rounds * n_workers):.0%}",
        duration(competition.n_images / competition.decoded_per_second),
        f"{competition.n_images * competition.stored_bytes / 1e9:.1f} GB × {n_nodes}",
        f"{n_runs * weight_bytes / 1e9:.1f} GB + {open_bytes / 1e9:.1f} GB",
        f"{n_open * STATE_COPIES * weight_bytes / 1e6 / epoch_seconds:.1f} MB/s",
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
    for competition in COMPETITIONS:
        for n_workers in (1, 8, 64):
            print(table_row(competition, n_workers, rate))


if __name__ == "__main__":
    main()
