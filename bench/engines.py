"""What engines cost and save: the same runs in one process, in two, on two Ray nodes.

    python bench/engines.py --runs 6 --turns 3

Every run trains the same small network from scratch on scikit-learn's digits with one thread. The
overhead of a task is the time from its start to its end, less the run's own seconds.
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

from ensemble.engines.cluster import Cluster
from ensemble.engines.jobs import Engine
from ensemble.engines.local import Here, train_all
from ensemble.engines.processes import Processes
from ensemble.engines.worker import EventActor, Report, StateUpdate
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
    from ray.cluster_utils import Cluster as TestCluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    small = {"object_store_memory": 300 << 20}
    cluster = TestCluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
    )
    for _ in range(N_WORKERS):
        cluster.add_node(num_cpus=1, **small)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def sweep(engine: Engine, recipe: Path, n_runs: int) -> dict[str, Any]:
    """Seconds of a sweep: wall time, sum of the runs' own times, sorted overheads of the tasks."""
    began, ended = dict[str, float](), dict[str, float]()

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            began[event.run] = time.perf_counter()
        if isinstance(event, RunEnded):
            ended[event.run] = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_of([Recipe.load(recipe, (f"seeds={list(range(n_runs))}",))])
        started = time.perf_counter()
        runs, failures = train_all(jobs, RunStore(folder), listen, engine=engine)
        wall = time.perf_counter() - started
        assert not failures, failures
        gaps = [ended[run.id] - began[run.id] - run.total_seconds for run in runs]
        return {"wall": wall, "busy": sum(run.total_seconds for run in runs), "gaps": sorted(gaps)}


def send_states(event_actor: Any, n: int, n_bytes: int) -> float:
    """Seconds that sending n states of n_bytes takes, of n tasks, so that none replaces another."""
    import ray

    content = os.urandom(n_bytes)
    state = StateUpdate("run/state", {"state.safetensors": content}, ("state.safetensors",))
    started = time.perf_counter()
    for number in range(n):
        ray.get(event_actor.report.remote(Report(number, Note("run", ""), state)))
    return time.perf_counter() - started


def state_rates(n: int = 8, n_bytes: int = 100_000_000) -> tuple[float, float]:
    """MB/s at which a worker sends its states, and at which the driver fetches and stores them."""
    import ray

    event_actor = ray.remote(EventActor).options(num_cpus=0).remote()
    send_seconds = ray.get(ray.remote(send_states).remote(event_actor, n, n_bytes))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for report in ray.get(event_actor.fetch.remote()):
            report.state.store(Path(folder))
    store_seconds = time.perf_counter() - started
    megabytes = n * n_bytes / 1e6
    return megabytes / send_seconds, megabytes / store_seconds


def sweep_line(name: str, sweeps: list[dict[str, Any]], n_workers: int, alone: float) -> str:
    """One engine's medians and ranges; alone is the wall time of the runs one after the other."""
    walls = [sweep["wall"] for sweep in sweeps]
    wall = median(walls)
    first_tasks = [gap for sweep in sweeps for gap in sweep["gaps"][-n_workers:]]
    later_tasks = [gap for sweep in sweeps for gap in sweep["gaps"][:-n_workers]]
    return (
        f"{name}: {wall:.1f} s ({min(walls):.1f}-{max(walls):.1f}), speed-up {alone / wall:.2f}, "
        f"training {median(sweep['busy'] for sweep in sweeps):.1f} s; overhead of a task "
        f"{median(later_tasks):.2f} s ({min(later_tasks):.2f}-{max(later_tasks):.2f}), "
        f"of a worker's first one {median(first_tasks):.1f} s"
    )


def main() -> None:
    """Print one line per engine: medians over the turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cache = tempfile.mkdtemp(prefix="bench-engines-")
    os.environ["ENS_CACHE"] = cache
    path = Path(cache) / "bench.yaml"
    path.write_text(RECIPE)
    recipe = Recipe.load(path)
    engines: dict[str, tuple[int, Callable[[], Engine]]] = {
        "one after the other": (1, lambda: Here(1)),
        "one process of its own": (1, lambda: Processes(1, 1)),
        f"{N_WORKERS} processes": (N_WORKERS, lambda: Processes(N_WORKERS, 1)),
        f"{N_WORKERS} Ray nodes": (N_WORKERS, lambda: Cluster()),
    }
    train_all(jobs_of([recipe]), RunStore(Path(cache) / "warm"), ignore)
    sweeps: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    with ray_nodes():
        for _ in range(arguments.turns):
            for name, (_, make_engine) in engines.items():
                sweeps[name].append(sweep(make_engine(), path, arguments.runs))
        rates = [state_rates() for _ in range(arguments.turns)]
    sent, stored = (median(column) for column in zip(*rates, strict=True))
    print(f"states: sent at {sent:.0f} MB/s, fetched and stored at {stored:.0f} MB/s")
    alone = median(turn["wall"] for turn in sweeps["one after the other"])
    for name, (n_workers, _) in engines.items():
        print(sweep_line(name, sweeps[name], n_workers, alone))
    if arguments.out:
        arguments.out.write_text(json.dumps(sweeps, indent=1))


if __name__ == "__main__":
    main()
