"""Runs as tasks of a Ray cluster whose machines share no disk.

A task gets the images by their hashes and the state that its run goes on from; after each epoch it sends the new one,
at the end the run's folder. Ray itself starts a lost task from its beginning; here it is sent again with its state.
"""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from ensemble import __version__
from ensemble.dataset.load import DataSet
from ensemble.engines.jobs import Outcome, Pruned, Task, Work
from ensemble.engines.local import DataSets, ended, finished_run, refit_due, skipped_run
from ensemble.engines.machine import check_ray, cluster_here, new_cluster
from ensemble.engines.parcels import packed, put
from ensemble.engines.worker import Mailbox, Parcel, Told, read_files, work_on
from ensemble.errors import EnsembleError, RunError
from ensemble.events import Note
from ensemble.runs import Run, RunStore, StoredRun, writer
from ensemble.runs.job import Job

SECONDS = 0.2  # between two looks at what the tasks have told
MAX_LOST = 3  # workers of one run in a row, without an epoch between


@dataclass(eq=False)
class _Sent:
    """A task under way, its run's lock, and how often its worker was lost since the last whole epoch."""

    number: int
    task: Task
    share: dict[str, float]
    held: ExitStack
    n_lost: int = 0


class Cluster:
    """A Ray cluster: the one at an address, else the one this machine belongs to, else a new one here."""

    def __init__(self, address: str | None = None) -> None:
        """Raises EnsembleError where Ray is missing or too old, or the address is none that works."""
        check_ray()
        if address and "://" in address:
            raise EnsembleError(
                f"--address {address[:100]}: run ens on a machine of the cluster and name HOST:PORT, or leave it out"
            )
        self.address = address

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until there is nothing to take and nothing under way."""
        with _connected(self.address), ExitStack() as held:
            desk = _Desk(work, store, held)
            try:
                while desk.hand_out():
                    desk.listen()
            finally:
                desk.give_up()


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or cluster_here()
    with ExitStack() as held:
        more = {} if address else {"_temp_dir": held.enter_context(new_cluster())}
        with _initialized(address, **more):
            yield


@contextmanager
def _initialized(address: str | None, **more: Any) -> Iterator[None]:
    import ray

    options = {
        "log_to_driver": False,
        "include_dashboard": False,
        "logging_level": logging.ERROR,
        **more,
    }
    try:
        ray.init(address=address or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise EnsembleError(
            f"--engine ray: no Ray cluster answers at {address or 'this machine'} ({reason})\n"
            "it was named by --address, RAY_ADDRESS or `ray start` on this machine\n"
            "--address HOST:PORT names another one; RAY_ADDRESS=local begins a new one"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


class _Desk:
    """The command's side: hands out what the cluster has room for, keeps states, takes finished runs in."""

    def __init__(self, work: Work, store: RunStore, held: ExitStack) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.work, self.store, self.held = work, store, held
        here = {
            "num_cpus": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(
                ray.get_runtime_context().get_node_id(), soft=False
            ),
        }
        self.mailbox: Any = ray.remote(Mailbox).options(**here).remote()
        self.reader = ray.remote(read_files).options(**here)
        self.data, self.shipped = DataSets(), dict[int, Any]()
        self.sent: dict[Any, _Sent] = {}  # by what Ray will return for it
        self.next: Task | None = None
        self.n_sent = 0

    def hand_out(self) -> bool:
        """Send tasks while there is room; whether anything is under way or waits."""
        while True:
            others = [sent.share for sent in self.sent.values()]
            if others and not self.next and not _has_room(others[-1], others):
                return True  # room for another like the last one is awaited before one is taken
            self.next = self.next or self.work.take()
            if self.next is None:
                return bool(self.sent)
            share = _share(self.next.job)
            if others and not _has_room(share, others):
                return True
            task = self.next
            if self._is_skipped(task, share):
                self.next = None
                continue
            held = self.held.enter_context(ExitStack())
            if not held.enter_context(
                self.store.lock(_lock_of(task, self.store), wait=task.wait and not self.sent)
            ):
                if task.wait and self.sent:
                    return True  # asked again at the next look
                self._end(_Sent(0, task, share, held), Outcome("busy"))
            else:
                self._begin(_Sent(0, task, share, held))
            self.next = None

    def _is_skipped(self, task: Task, share: dict[str, float]) -> bool:
        """Whether a task is over without a lock, because its run is finished or cannot be skipped."""
        sent = _Sent(0, task, share, ExitStack())
        try:
            run = None if task.is_refit else skipped_run(task, self.store, self.data)
        except EnsembleError as error:
            self._end(sent, Outcome("failed", str(error)))
            return True
        if run is None:
            return False
        self.work.hear(task, ended(run, skipped=True))
        self._end(sent, Outcome("done"))
        return True

    def _begin(self, sent: _Sent) -> None:
        """Send a task, unless its run is finished or cannot be begun."""
        task = sent.task
        try:
            data = self.data.of(task.job)
            if task.is_refit:
                due = refit_due(task.job, self.store)
                if due is None:
                    self._end(sent, Outcome("done"))
                    return
                self._send(sent, data, *due)
                return
            run = finished_run(task.job, self.store, data, task.force)
            if run is not None:
                self.work.hear(task, ended(run, skipped=True))
                self._end(sent, Outcome("done"))
                return
            self._send(sent, data)
        except EnsembleError as error:
            self._end(sent, Outcome("failed", str(error)))

    def _send(
        self,
        sent: _Sent,
        data: DataSet,
        finished: StoredRun | None = None,
        by_phase: dict[str, int] | None = None,
    ) -> None:
        import ray

        if id(data) not in self.shipped:
            self.shipped[id(data)] = ray.put(_with_whole_paths(data))
        self.n_sent += 1
        sent.number = self.n_sent
        run_id = finished.id if finished else sent.task.job.run_id
        folders = {
            f"{run_id}/{name}": packed(self.store.folder(run_id) / name) for name in writer.STATES
        }
        folders |= {run.id: packed(run.folder) for run in _first_weights(sent.task.job, self.store)}
        parcel = Parcel(sent.number, sent.task, __version__, folders, finished, by_phase or {})
        options = {"num_cpus": sent.share["CPU"], "num_gpus": sent.share["GPU"], "max_retries": 0}
        if not any(
            all(node.get(name, 0) >= own for name, own in sent.share.items()) for node in _nodes()
        ):
            asked = ", ".join(f"{own:g} {name}" for name, own in sent.share.items() if own)
            self.work.hear(
                sent.task, Note(run_id, f"waits: no machine of the cluster has {asked} (resources)")
            )
        work = ray.remote(work_on).options(**options)
        self.sent[work.remote(parcel, self.shipped[id(data)], self.mailbox, self.reader)] = sent

    def listen(self) -> None:
        """Wait a moment; pass on what was told, keep new states, take in what has ended."""
        import ray

        ready, _ = (
            ray.wait(list(self.sent), num_returns=len(self.sent), timeout=SECONDS)
            if self.sent
            else ([], [])
        )
        by_number = {sent.number: sent for sent in self.sent.values()}
        for told in ray.get(self.mailbox.take.remote()):
            if told.number in by_number:  # else of a worker that was given up
                self._hear(by_number[told.number], told)
        for reference in ready:
            self._receive(self.sent.pop(reference), reference)

    def _hear(self, sent: _Sent, told: Told) -> None:
        for name, files in told.state.items():
            sent.n_lost = 0
            put(files, self.store.root / name)
            for path in (self.store.root / name).iterdir():
                if path.name not in told.names:
                    path.unlink()
        try:
            self.work.hear(sent.task, told.event)
        except Pruned:
            self.mailbox.cut_off.remote(sent.number)

    def _receive(self, sent: _Sent, reference: Any) -> None:
        """A task has ended: its run enters the store, or its worker was lost."""
        import ray
        from ray import exceptions

        lost = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.OutOfMemoryError,
            exceptions.ObjectLostError,
        )
        try:
            outcome, run_id, files = ray.get(reference)
            if files:
                writer.receive(self.store.folder(run_id), files, sent.task.is_refit)
                if not sent.task.is_refit:
                    self.work.hear(sent.task, ended(self.store.get(run_id), skipped=False))
        except lost as error:
            self._send_again(sent, type(error).__name__)
            return
        except exceptions.RayError as error:
            outcome = Outcome("failed", f"Ray: {' '.join(str(error).split())[-200:]}")
        except EnsembleError as error:
            outcome = Outcome("failed", str(error))
        self._end(sent, outcome)

    def _send_again(self, sent: _Sent, how: str) -> None:
        sent.n_lost += 1
        run_id = sent.task.job.run_id
        if sent.n_lost == MAX_LOST:
            reason = f"{MAX_LOST} workers in a row were lost while they trained it ({how})\nthe same command goes on"
            self._end(sent, Outcome("failed", reason))
            return
        self.work.hear(
            sent.task,
            Note(run_id, f"its worker was lost ({how}); sent again, with the last whole epoch"),
        )
        self._begin(sent)

    def _end(self, sent: _Sent, outcome: Outcome) -> None:
        with sent.held:
            self.work.end(sent.task, outcome)

    def give_up(self) -> None:
        """Whatever is still under way ends."""
        import ray

        with suppress(Exception):  # the cluster may be gone
            for reference in self.sent:
                ray.cancel(reference, force=True)
            ray.kill(self.mailbox)


def _share(job: Job) -> dict[str, float]:
    """What a run takes of the cluster; no GPU where there is none."""
    own = job.recipe.resources
    return {"CPU": own.cpu or 1, "GPU": own.gpu if _whole().get("GPU") else 0}


def _whole() -> dict[str, float]:
    """What the cluster has, busy or not."""
    import ray

    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _nodes() -> list[dict[str, float]]:
    """What each machine that is there has, busy or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _has_room(share: dict[str, float], others: Sequence[dict[str, float]]) -> bool:
    whole = _whole()
    return all(
        sum(other[name] for other in others) + own <= whole.get(name, 0)
        for name, own in share.items()
    )


def _lock_of(task: Task, store: RunStore) -> str:
    """The run whose lock a task holds: with folds, a refit is added to the first."""
    with suppress(EnsembleError):  # of a damaged fold: told when the refit is begun
        due = refit_due(task.job, store) if task.is_refit else None
        return due[0].id if due else task.job.run_id
    return task.job.run_id


def _with_whole_paths(data: DataSet) -> DataSet:
    def whole(images: Any) -> Any:
        return images and replace(images, files=tuple(path.absolute() for path in images.files))

    hashes = {path.absolute(): digest for path, digest in data.hashes.items()}
    return replace(
        data, train=whole(data.train), valid=whole(data.valid), test=whole(data.test), hashes=hashes
    )


def _first_weights(job: Job, store: RunStore) -> list[Run]:
    """The runs that `pretrained: run:<id or recipe>` may mean."""
    wanted = str(job.recipe.model.pretrained)
    if not wanted.startswith("run:"):
        return []
    name = wanted.removeprefix("run:")
    with suppress(RunError):
        return [run for run in store.finished() if run.recipe == name] or [store.get(name)]
    return []
