"""What a run needs of a Ray cluster, and what the cluster has, busy or not."""

from collections.abc import Sequence
from typing import Any

from ensemble.runs.job import Job

Resources = dict[str, float]  # by Ray's names: CPU, GPU


def needed(job: Job) -> Resources:
    """What a run needs; no GPU if the cluster has none."""
    resources = job.recipe.resources
    has_gpus = _cluster_resources().get("GPU")
    return {"CPU": resources.cpu or 1, "GPU": resources.gpu if has_gpus else 0}


def fit_in_cluster(tasks: Sequence[Resources]) -> bool:
    """Whether the cluster as a whole has what these tasks need at once."""
    available = _cluster_resources()
    names = {name for task in tasks for name in task}
    return all(sum(task[name] for task in tasks) <= available.get(name, 0) for name in names)


def fit_on_a_machine(task: Resources) -> bool:
    """Whether one machine of the cluster has what a task needs."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    return any(
        all(machine.get(name, 0) >= amount for name, amount in task.items()) for machine in machines
    )


def _cluster_resources() -> Resources:
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]
