"""Train a task on a worker of a Ray cluster, and report events and training states to the driver."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ensemble import __version__
from ensemble.dataset.load import DataSet
from ensemble.engines.jobs import Outcome, Pruned, Task
from ensemble.engines.local import refit_one, train_one
from ensemble.engines.transfer import (
    Files,
    ReadFiles,
    local_images,
    private_cache,
    read_folder,
)
from ensemble.errors import EnsembleError
from ensemble.events import Emit, Event, Note, sparse
from ensemble.runs import RunStore, StoredRun
from ensemble.runs.writer import STATES, write_files
from ensemble.torch_env import prepare_torch

STEP_SECONDS = 0.5  # at least, between two reports of training steps


@dataclass(frozen=True)
class Payload:
    """What a worker gets: a task, the files it needs by their folder in runs/, the driver's version.

    A refit also names the run that it is added to, and for how many epochs each phase trains.
    """

    number: int
    version: str
    task: Task
    folders: dict[str, Files]
    refit: tuple[StoredRun, dict[str, int]] | None = None

    @property
    def run_id(self) -> str:
        """The run that the task writes."""
        return self.refit[0].id if self.refit else self.task.job.run_id


@dataclass(frozen=True)
class StateUpdate:
    """A changed training state: its folder in runs/, the changed files, the names of all its files."""

    folder: str
    files: Files
    names: tuple[str, ...]

    def store(self, root: Path) -> None:
        """Bring the folder under this root up to date. Raises EnsembleError."""
        write_files(root / self.folder, self.files)
        for path in (root / self.folder).iterdir():
            if path.name not in self.names:
                path.unlink()

    def on_top_of(self, older: "StateUpdate") -> "StateUpdate":
        """This update with the files of an older, unfetched one that the state still has."""
        if older.folder != self.folder:
            return self
        files = {**older.files, **self.files}
        return replace(self, files={name: files[name] for name in files if name in self.names})


@dataclass(frozen=True)
class Report:
    """What task `number` reports: an event, and its training state if that has changed."""

    number: int
    event: Event
    state: StateUpdate | None = None


class EventActor:
    """A Ray actor that tasks report to and the driver fetches from.

    It runs on the driver's machine and holds at most one state per task.
    """

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.pruned: set[int] = set()

    def report(self, report: Report) -> bool:
        """Keep a report until the driver fetches it; returns whether the task has been pruned."""
        state = report.state
        for i, older in enumerate(self.reports):
            if state and older.state and older.number == report.number:
                state = state.on_top_of(older.state)
                self.reports[i] = replace(older, state=None)
        self.reports.append(replace(report, state=state))
        return report.number in self.pruned

    def fetch(self) -> list[Report]:
        """All reports since the last call."""
        reports, self.reports = self.reports, []
        return reports

    def prune(self, number: int) -> None:
        """End a task at its next report."""
        self.pruned.add(number)


def run_task(
    payload: Payload, data: DataSet, event_actor: Any, file_reader: Any
) -> tuple[Outcome, Files]:
    """Carry out a task in a temporary folder; returns its outcome and, if done, its run's files."""
    import ray

    prepare_torch()
    node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if payload.version != __version__:
        reason = f"{node} has ens {__version__}, this machine has {payload.version}"
        return Outcome("failed", reason), {}
    with tempfile.TemporaryDirectory(prefix="ens-") as folder:
        store = RunStore(folder)
        run_folder = store.folder(payload.run_id)
        try:
            for name, files in payload.folders.items():
                write_files(store.root / name, files)
            emit = _reporter(payload.number, run_folder, event_actor)
            emit(Note(payload.run_id, f"on {node}"))
            _train(payload, data, store, emit, lambda paths: ray.get(file_reader.remote(paths)))
        except EnsembleError as error:
            return Outcome("failed", str(error)), {}
        except Pruned:
            return Outcome("pruned"), {}
        return Outcome("done"), read_folder(run_folder)


def _train(
    payload: Payload, data: DataSet, store: RunStore, emit: Emit, read_files: ReadFiles
) -> None:
    task = payload.task
    if not os.environ.get("ENS_CACHE"):
        os.environ["ENS_CACHE"] = str(private_cache())
    images = local_images(task.job, data, read_files)
    if payload.refit is None:
        train_one(task.job, store, images, emit, task.force, threads=1)
        return
    run, epochs_by_phase = payload.refit
    run = run.model_copy(update={"folder": store.folder(run.id)})
    refit_one(task.job, run, epochs_by_phase, images, emit, threads=1)


def _reporter(number: int, run_folder: Path, event_actor: Any) -> Emit:
    """An Emit that reports events, and each new state once. It raises Pruned if the task was pruned."""
    import ray

    watch = _StateWatch(run_folder)

    def report(event: Event) -> None:
        if ray.get(event_actor.report.remote(Report(number, event, watch.update()))):
            raise Pruned

    return sparse(report, STEP_SECONDS)


class _StateWatch:
    """Notices changes of a run's training state by the modification times of its files."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.times = {name: self._modified(name) for name in STATES}

    def _modified(self, name: str) -> dict[str, int]:
        files = (self.run_folder / name).glob("*.safetensors")
        return {file.name: file.stat().st_mtime_ns for file in files}

    def update(self) -> StateUpdate | None:
        """What has changed since the last call, None if nothing has."""
        for name in STATES:
            before, now = self.times[name], self._modified(name)
            if now and now != before:
                self.times[name] = now
                changed = [file for file, time in now.items() if before.get(file) != time]
                files = read_folder(self.run_folder / name, changed)
                return StateUpdate(f"{self.run_folder.name}/{name}", files, tuple(now))
        return None
