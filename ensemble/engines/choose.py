"""Which engine the options of a command mean: this process, several processes, or a Ray cluster."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ensemble.engines.jobs import Engine
from ensemble.engines.local import Here
from ensemble.engines.processes import Processes
from ensemble.errors import EnsembleError
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class EngineOptions:
    """The options --engine, --jobs and --address; none of them changes what is computed."""

    name: EngineName = "local"
    n_jobs: int | None = None
    address: str | None = None

    def engine(self, recipes: Sequence[Recipe], n_tasks: int) -> Engine:
        """The engine for n_tasks tasks of these recipes. Raises EnsembleError."""
        if self.name == "ray":
            return self._cluster()
        if self.address:
            raise EnsembleError("--address names a Ray cluster; add --engine ray")
        return self._local(recipes, n_tasks)

    def _cluster(self) -> Engine:
        if self.n_jobs:
            raise EnsembleError(
                f"--jobs {self.n_jobs} is for local processes; Ray runs as many tasks as fit"
            )
        from ensemble.engines.cluster import Cluster

        return Cluster(self.address)

    def _local(self, recipes: Sequence[Recipe], n_tasks: int) -> Engine:
        """By default one process per GPU, more if resources.gpu is below 1, and one on a CPU.

        The threads of a process do not depend on n_tasks, since a CPU's bytes depend on them.
        """
        gpu_share = max(recipe.resources.gpu for recipe in recipes) or 1
        default = int(_n_gpus() / gpu_share) if n_tasks > 1 else 1
        n_processes = self.n_jobs or default
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
