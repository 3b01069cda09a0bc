"""What engines cost and what they save: the same runs one after the other, on two processes, on two Ray nodes.

    python bench/engines.py --runs 6 --turns 3

Every run trains the same small network from scratch on scikit-learn's digits with one thread. A task's overhead is the
time between its hand-out and its end that the run does not account for.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from ensemble.engines.choose import Choice
from ensemble.engines.jobs import Engine
from ensemble.engines.local import Here, train_all
from ensemble.engines.parcels import put
from ensemble.engines.processes import Processes
from ensemble.engines.worker import Mailbox, Told
from ensemble.events import Event, Note, RunEnded, RunStarted, ignore
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of

RECIPE = """
data: {source: digits, path: null, valid: 0.2, size: 32}
augment: light
model: {arch: resnet10t, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 3, lr: 0.003, batch_size: 64}
resources: {cpu: 1}
"""
N_WORKERS = 2


@contextmanager
def ray_nodes() -> Iterator[None]:
    """Two Ray nodes of one core on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    small = {"object_store_memory": 300 << 20}
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
    )
    for _ in range(N_WORKERS):
        made.add_node(num_cpus=1, **small)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def sweep(engine: Engine, recipe: Path, n_runs: int) -> dict[str, Any]:
    """Seconds of a sweep, and of each run what passed between hand-out and end beyond what the run says it took."""
    began, ended = dict[str, float](), dict[str, float]()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            began[event.run] = time.perf_counter()
        if isinstance(event, RunEnded):
            ended[event.run] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        described = Recipe.load(recipe, (f"seeds={list(range(n_runs))}",))
        started = time.perf_counter()
        runs, failures = train_all(jobs_of([described]), RunStore(folder), listen, engine=engine)
        wall = time.perf_counter() - started
        assert not failures, failures
        gaps = [ended[run.id] - began[run.id] - run.total_seconds for run in runs]
        return {"wall": wall, "busy": sum(run.total_seconds for run in runs), "gaps": sorted(gaps)}


def send_states(mailbox: Any, n: int, n_bytes: int) -> float:
    """Seconds that a task waits while it sends so many states."""
    import ray

    state = os.urandom(n_bytes)
    started = time.perf_counter()
    for i in range(n):
        told = Told(
            0,
            Note("run", str(i)),
            {"run/state": {"state.safetensors": state}},
            ("state.safetensors",),
        )
        ray.get(mailbox.tell.remote(told))
    return time.perf_counter() - started


def state_rates(n: int = 8, n_bytes: int = 100_000_000) -> tuple[float, float]:
    """MB/s that a worker sends its states with, and that the command takes them in and stores them with."""
    import ray

    mailbox = ray.remote(Mailbox).options(num_cpus=0).remote()
    sent = ray.remote(send_states).remote(mailbox, n, n_bytes)
    seconds = ray.get(sent)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for told in ray.get(mailbox.take.remote()):
            for name, files in told.state.items():
                put(files, Path(folder) / name)
    return n * n_bytes / 1e6 / seconds, n * n_bytes / 1e6 / (time.perf_counter() - started)


def main() -> None:
    """Print one line per engine: medians over the turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cache = tempfile.mkdtemp(prefix="bench-engines-")
    os.environ["ENS_CACHE"] = cache
    recipe = Path(cache) / "bench.yaml"
    recipe.write_text(RECIPE)
    engines: dict[str, Callable[[], Engine]] = {
        "one after the other": lambda: Here(1),
        "one process of its own": lambda: Processes(1, 1),
        f"{N_WORKERS} processes": lambda: Processes(N_WORKERS, 1),
        f"{N_WORKERS} Ray nodes": lambda: Choice("ray").engine([Recipe.load(recipe)], given.runs),
    }
    train_all(jobs_of([Recipe.load(recipe)]), RunStore(Path(cache) / "warm"), ignore)
    took: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    with ray_nodes():
        for _ in range(given.turns):
            for name, make in engines.items():
                took[name].append(sweep(make(), recipe, given.runs))
        sent, stored = zip(*(state_rates() for _ in range(given.turns)), strict=True)
    print(
        f"states: sent with {median(sent):.0f} MB/s, taken in and stored with {median(stored):.0f} MB/s"
    )
    alone = median(turn["wall"] for turn in took["one after the other"])
    for name, turns in took.items():
        n = N_WORKERS if name.startswith(str(N_WORKERS)) else 1
        walls, busy = [turn["wall"] for turn in turns], median(turn["busy"] for turn in turns)
        starts = [gap for turn in turns for gap in turn["gaps"][-n:]]
        others = [gap for turn in turns for gap in turn["gaps"][:-n]]
        print(
            f"{name}: {median(walls):.1f} s ({min(walls):.1f}-{max(walls):.1f}), speed-up {alone / median(walls):.2f}, "
            f"the runs say {busy:.1f} s; beside training {median(others):.2f} s a task ({min(others):.2f}-"
            f"{max(others):.2f}), with a worker's start {median(starts):.1f} s"
        )
    if given.out:
        given.out.write_text(json.dumps(took, indent=1))


if __name__ == "__main__":
    main()
