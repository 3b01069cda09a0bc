"""What engines cost and what they save: the same runs one after the other, on two processes, on two Ray nodes.

    python bench/engines.py --runs 6 --turns 3

Every run trains the same small network from scratch on scikit-learn's digits with one thread. `busy` is what the runs
say they took; overhead per task is the workers' time that no run accounts for, start-up apart: a sweep of one run more.
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

from ensemble.engines.choose import Choice
from ensemble.engines.jobs import Engine, jobs_of
from ensemble.engines.local import Here, train_all
from ensemble.engines.processes import Processes
from ensemble.events import Event, RunEnded, ignore
from ensemble.recipe import Recipe
from ensemble.runs import RunStore

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
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
    for _ in range(N_WORKERS):
        made.add_node(num_cpus=1, **small)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()
        made.shutdown()


def sweep(engine: Engine, recipe: Path, n_runs: int) -> dict[str, float]:
    """Seconds of a sweep, until each run ended, and what the runs themselves took."""
    with tempfile.TemporaryDirectory() as folder:
        ends: list[float] = []

        def listen(event: Event) -> None:
            if isinstance(event, RunEnded):
                ends.append(time.perf_counter() - started)

        described = Recipe.load(recipe, (f"seeds={list(range(n_runs))}",))
        started = time.perf_counter()
        runs, failures = train_all(jobs_of([described]), RunStore(folder), listen, engine=engine)
        assert not failures, failures
        busy = sum(run.total_seconds for run in runs)
        return {"wall": time.perf_counter() - started, "first": ends[0], "busy": busy, "last": ends[-1]}


def main() -> None:
    """Print one line per engine: medians over the turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    took: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    with ray_nodes():
        for _ in range(given.turns):
            for name, make in engines.items():
                took[name].append(sweep(make(), recipe, given.runs))
    alone = median(turn["wall"] for turn in took["one after the other"])
    for name, turns in took.items():
        n = N_WORKERS if name.startswith(str(N_WORKERS)) else 1
        wall = median(turn["wall"] for turn in turns)
        per_task = median((n * turn["wall"] - turn["busy"]) / given.runs for turn in turns)
        warm = median((turn["last"] - turn["first"]) for turn in turns)
        print(
            f"{name}: {wall:.1f} s ({min(t['wall'] for t in turns):.1f}-{max(t['wall'] for t in turns):.1f}), "
            f"speed-up {alone / wall:.2f}, busy {median(t['busy'] for t in turns):.1f} s, "
            f"beside training {per_task:.2f} s a task; first run after {median(t['first'] for t in turns):.1f} s, "
            f"the others {warm:.1f} s"
        )
    if given.out:
        given.out.write_text(json.dumps(took, indent=1))


if __name__ == "__main__":
    main()
