"""Which engine the options of a command mean: this process, several processes, or a Ray cluster."""

import os
from collections.abc import Sequence
from typing import Literal

from ensemble.engines.jobs import Engine
from ensemble.engines.local import Here
from ensemble.engines.processes import Processes
from ensemble.errors import EnsembleError
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job


def engine_of(
    recipes: Sequence[Recipe],
    n_tasks: int,
    name: Literal["local", "ray"] = "local",
    n_jobs: int | None = None,
    address: str | None = None,
) -> Engine:
    """The engine for n_tasks tasks of these recipes by --engine, --jobs and --address.

    None of these changes what is computed. By default one process per GPU, more if resources.gpu is
    below 1, and one on a CPU. Raises EnsembleError.
    """
    if name == "ray":
        if n_jobs:
            raise EnsembleError(
                f"--jobs {n_jobs} is for local processes; Ray runs as many tasks as fit"
            )
        from ensemble.engines.cluster import Cluster

        return Cluster(address)
    if address:
        raise EnsembleError("--address names a Ray cluster; add --engine ray")
    gpu_share = max(recipe.resources.gpu for recipe in recipes) or 1
    n_processes = n_jobs or (int(_n_gpus() / gpu_share) if n_tasks > 1 else 1)
    # not by n_tasks: on a CPU the bytes of a run depend on the threads
    threads = max(1, n_cores() // n_processes) if n_processes > 1 else None
    if threads and min(n_processes, n_tasks) > 1:
        return Processes(min(n_processes, n_tasks), threads)
    return Here(threads)


def n_unfinished(jobs: Sequence[Job], store: RunStore, force: bool) -> int:
    """How many of the jobs are to be trained; with force all."""
    return sum(force or not (store.folder(job.run_id) / "run.json").exists() for job in jobs)


def _n_gpus() -> int:
    from ensemble.learn.device import visible_gpus

    return len(visible_gpus())


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
