"""Send tasks to a Ray cluster whose machines share no disk, and store the states and runs they return.

A task travels with the training state to resume from. After each epoch the worker sends its new
state, at the end the files of its run. Ray would restart a task from its beginning if its worker
dies; the driver sends it again with its last state.
"""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from ensemble import __version__
from ensemble.dataset.load import DataSet
from ensemble.engines.connection import check_address, check_ray, connected
from ensemble.engines.jobs import Outcome, Pruned, Task, Work
from ensemble.engines.local import DataSets, ended, finished_run, refit_due, skipped_run
from ensemble.engines.resources import Resources, fit_in_cluster, fit_on_a_machine, needed
from ensemble.engines.transfer import (
    Files,
    read_files,
    required_folders,
    with_paths,
)
from ensemble.engines.worker import EventActor, Payload, Report, run_task
from ensemble.errors import EnsembleError
from ensemble.events import Note
from ensemble.runs import RunStore, StoredRun, writer

POLL_SECONDS = 0.2
MAX_LOST = 3  # workers of one run in a row, without a new state between


class Cluster:
    """The Ray cluster at an address, else the one of this machine, else a new one on it."""

    def __init__(self, address: str | None = None) -> None:
        """Raises EnsembleError if Ray is missing or too old, or the address is not HOST:PORT."""
        check_ray()
        check_address(address)
        self.address = address

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until no task is left or running."""
        with connected(self.address), ExitStack() as locks:
            driver = _Driver(work, store, locks)
            try:
                while driver.send_tasks():
                    driver.collect()
            finally:
                driver.cancel_all()


@dataclass(eq=False)
class _Running:
    """A task on the cluster, the resources it uses and the lock of its run.

    number is new each time the task is sent: reports of a worker that counts as lost are ignored.
    n_lost counts lost workers in a row.
    """

    task: Task
    resources: Resources
    lock: ExitStack
    refit: tuple[StoredRun, dict[str, int]] | None = None
    number: int = 0
    n_lost: int = 0

    @property
    def run_id(self) -> str:
        """The run that the task writes: with folds, a refit is added to the first."""
        return self.refit[0].id if self.refit else self.task.job.run_id


class _Driver:
    """Sends tasks while the cluster has room, stores states, takes finished runs into the store."""

    def __init__(self, work: Work, store: RunStore, locks: ExitStack) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.work, self.store, self.locks = work, store, locks
        node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        on_this_node = {"num_cpus": 0, "scheduling_strategy": node}
        self.event_actor: Any = ray.remote(EventActor).options(**on_this_node).remote()
        self.file_reader = ray.remote(read_files).options(**on_this_node)
        self.data_sets = DataSets()
        self.data_references: dict[int, Any] = {}  # by the id() of a data set
        self.running: dict[Any, _Running] = {}  # by Ray's reference to what the task returns
        self.next_task: Task | None = None
        self.n_sent = 0

    def send_tasks(self) -> bool:
        """Send tasks while the cluster has room; returns whether any task is running."""
        while self._may_take():
            self.next_task = self.next_task or self.work.take()
            if self.next_task is None:
                return bool(self.running)
            if not self._has_room(needed(self.next_task.job)) or not self._start(self.next_task):
                return True
            self.next_task = None
        return True

    def _may_take(self) -> bool:
        """Whether another task like the last one has room: a search proposes its trials late."""
        if self.next_task or not self.running:
            return True
        last = list(self.running.values())[-1]
        return self._has_room(last.resources)

    def _has_room(self, resources: Resources) -> bool:
        """Whether a task fits beside the running ones; a task alone may wait for a new machine."""
        running = [task.resources for task in self.running.values()]
        return not running or fit_in_cluster([*running, resources])

    def _start(self, task: Task) -> bool:
        """Send a task, or end it; returns False if it waits for the lock of another process."""
        if self._end_without_lock(task):
            return True
        lock = ExitStack()
        may_block = task.wait and not self.running
        is_ours = lock.enter_context(self.store.lock(_locked_run(task, self.store), may_block))
        if not is_ours and task.wait:
            return False
        running = _Running(task, needed(task.job), self.locks.enter_context(lock))
        if is_ours:
            self._send_or_end(running)
        else:
            self._end(running, Outcome("busy"))
        return True

    def _end_without_lock(self, task: Task) -> bool:
        """End a task whose run is finished, or failed that check; the folder may be read-only."""
        try:
            run = None if task.is_refit else skipped_run(task, self.store, self.data_sets)
        except EnsembleError as error:
            self.work.end(task, Outcome("failed", str(error)))
            return True
        if run is None:
            return False
        self.work.hear(task, ended(run, skipped=True))
        self.work.end(task, Outcome("done"))
        return True

    def _send_or_end(self, running: _Running) -> None:
        """Send a task whose lock is held, or end it if it is done or cannot be sent."""
        try:
            is_sent = self._send_if_due(running)
        except EnsembleError as error:
            self._end(running, Outcome("failed", str(error)))
            return
        if not is_sent:
            self._end(running, Outcome("done"))

    def _send_if_due(self, running: _Running) -> bool:
        """Send a task, unless another process has finished its run; returns whether it was sent."""
        task = running.task
        data = self.data_sets.of(task.job, self.store)
        if task.is_refit:
            running.refit = refit_due(task.job, self.store)
            if running.refit is None:
                return False
        else:
            run = finished_run(task.job, self.store, data, task.force)
            if run is not None:
                self.work.hear(task, ended(run, skipped=True))
                return False
        self._send(running, data)
        return True

    def _send(self, running: _Running, data: DataSet) -> None:
        import ray

        self.n_sent += 1
        running.number = self.n_sent
        folders = required_folders(running.task.job, running.run_id, self.store)
        payload = Payload(running.number, __version__, running.task, folders, running.refit)
        self._note_if_too_large(running)
        cpu, gpu = running.resources["CPU"], running.resources["GPU"]
        task = ray.remote(run_task).options(num_cpus=cpu, num_gpus=gpu, max_retries=0)
        data_reference = self._data_reference(data)
        reference = task.remote(payload, data_reference, self.event_actor, self.file_reader)
        self.running[reference] = running

    def _data_reference(self, data: DataSet) -> Any:
        """Ray's reference to a data set, which is sent to each machine once."""
        import ray

        if id(data) not in self.data_references:
            self.data_references[id(data)] = ray.put(with_paths(data, lambda path: path.absolute()))
        return self.data_references[id(data)]

    def _note_if_too_large(self, running: _Running) -> None:
        """Say that a task waits, if no machine of the cluster is large enough for it."""
        resources = running.resources
        if not fit_on_a_machine(resources):
            needs = ", ".join(f"{amount:g} {name}" for name, amount in resources.items() if amount)
            text = f"waits: no machine of the cluster has {needs} (resources)"
            self.work.hear(running.task, Note(running.run_id, text))

    def collect(self) -> None:
        """Wait briefly, then pass on reports, store new states and end the tasks that returned."""
        import ray

        results = list(self.running)
        returned, _ = ray.wait(results, num_returns=len(results), timeout=POLL_SECONDS)
        by_number = {running.number: running for running in self.running.values()}
        for report in ray.get(self.event_actor.fetch.remote()):
            if report.number in by_number:  # not from a worker that counts as lost
                self._handle(by_number[report.number], report)
        for reference in returned:
            self._receive(self.running.pop(reference), reference)

    def _handle(self, running: _Running, report: Report) -> None:
        if report.state:
            running.n_lost = 0
            report.state.store(self.store.root)
        try:
            self.work.hear(running.task, report.event)
        except Pruned:
            self.event_actor.prune.remote(running.number)

    def _receive(self, running: _Running, reference: Any) -> None:
        """End a task that returned and store its run; send it again if its worker was lost."""
        import ray
        from ray import exceptions

        worker_lost = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        )
        try:
            outcome, files = ray.get(reference)
            if files:
                self._store_run(running, files)
        except worker_lost as error:
            self._send_again(running, type(error).__name__)
            return
        except exceptions.RayError as error:
            outcome = Outcome("failed", f"Ray: {' '.join(str(error).split())[-200:]}")
        except EnsembleError as error:
            outcome = Outcome("failed", str(error))
        self._end(running, outcome)

    def _store_run(self, running: _Running, files: Files) -> None:
        """Store the files of a run and remove its training state. Raises EnsembleError."""
        task = running.task
        writer.receive(self.store.folder(running.run_id), files, task.is_refit)
        if not task.is_refit:
            self.work.hear(task, ended(self.store.get(running.run_id), skipped=False))

    def _send_again(self, running: _Running, error: str) -> None:
        running.n_lost += 1
        if running.n_lost == MAX_LOST:
            reason = (
                f"{MAX_LOST} workers in a row were lost while training it ({error})\n"
                "the same command resumes from the last completed epoch"
            )
            self._end(running, Outcome("failed", reason))
            return
        text = f"its worker was lost ({error}); sent again with the last completed epoch"
        self.work.hear(running.task, Note(running.run_id, text))
        self._send_or_end(running)

    def _end(self, running: _Running, outcome: Outcome) -> None:
        with running.lock:
            self.work.end(running.task, outcome)

    def cancel_all(self) -> None:
        """End the tasks that are still running."""
        import ray

        with suppress(Exception):  # the cluster may be gone
            for reference in self.running:
                ray.cancel(reference, force=True)
            ray.kill(self.event_actor)


def _locked_run(task: Task, store: RunStore) -> str:
    """The run whose lock a task needs."""
    refit = None
    with suppress(EnsembleError):  # a damaged fold: reported when the refit is sent
        refit = refit_due(task.job, store) if task.is_refit else None
    return refit[0].id if refit else task.job.run_id
