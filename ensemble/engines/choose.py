"""Which engine a command means: this process, several, or a cluster."""

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

Name = Literal["local", "ray"]


@dataclass(frozen=True)
class Choice:
    """What a command line says about the engine; nothing of it changes what is computed."""

    name: Name = "local"
    n_jobs: int | None = None
    address: str | None = None

    def engine(self, recipes: Sequence[Recipe], n_tasks: int) -> Engine:
        """The engine for so many tasks of these recipes. Raises EnsembleError.

        Locally there are by default as many processes as GPUs, more where the recipes' resources share one; one on a
        CPU. A process has its share of the cores, however few tasks there are: their bytes do not change.
        """
        if self.name == "ray":
            if self.n_jobs:
                raise EnsembleError(
                    f"--jobs {self.n_jobs} is for local processes; Ray runs as many as it has room for"
                )
            from ensemble.engines.cluster import Cluster

            return Cluster(self.address)
        if self.address:
            raise EnsembleError("--address names a Ray cluster; add --engine ray")
        share = max(recipe.resources.gpu for recipe in recipes) or 1
        n = self.n_jobs or (int(_n_gpus() / share) if n_tasks > 1 else 1)
        threads = max(1, n_cores() // n) if n > 1 else None
        return Processes(min(n, n_tasks), threads or 1) if min(n, n_tasks) > 1 else Here(threads)


def n_open(jobs: Sequence[Job], store: RunStore, force: bool) -> int:
    """How many of the jobs are not finished."""
    return sum(force or not (store.folder(job.run_id) / "run.json").exists() for job in jobs)


def _n_gpus() -> int:
    from ensemble.learn.device import visible_gpus

    return len(visible_gpus())


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
