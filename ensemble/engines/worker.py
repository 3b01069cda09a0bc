"""The worker's side of a cluster, and what is said between it and the command: parcels, events, states."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ensemble import __version__
from ensemble.dataset.load import DataSet
from ensemble.engines.jobs import Outcome, Pruned, Task
from ensemble.engines.local import refit_one, train_one
from ensemble.engines.machine import worker_cache
from ensemble.engines.parcels import Files, images_here, packed, put
from ensemble.errors import EnsembleError
from ensemble.events import Emit, Event, Note, sparse
from ensemble.runs import RunStore, StoredRun
from ensemble.runs.writer import STATES


@dataclass(frozen=True, eq=False)
class Parcel:
    """A task as it travels: files by the folder of runs/ they belong to, and the run that a refit is added to."""

    number: int
    task: Task
    version: str
    folders: dict[str, Files]
    finished: StoredRun | None = None
    by_phase: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Told:
    """What a task says while it works: an event, the files of its run's state that are new, the names of all."""

    number: int
    event: Event
    state: dict[str, Files] = field(default_factory=dict)
    names: tuple[str, ...] = ()


class Mailbox:
    """An actor beside the command that tasks write to and the command empties; it holds one state of a run at most."""

    def __init__(self) -> None:
        self.messages: list[Told] = []
        self.cut: set[int] = set()

    def tell(self, told: Told) -> bool:
        """Leave a message; whether the task has been cut off."""
        for i, older in enumerate(self.messages):
            if told.state and older.state and older.number == told.number:
                self.messages[i] = replace(older, state={})
                told = replace(told, state=_newest(older, told))
        self.messages.append(told)
        return told.number in self.cut

    def take(self) -> list[Told]:
        """All messages since the last time."""
        messages, self.messages = self.messages, []
        return messages

    def cut_off(self, number: int) -> None:
        """Tell a task to end when it next says something."""
        self.cut.add(number)


def _newest(older: Told, newer: Told) -> dict[str, Files]:
    """The files of a newer state, with those of the older one that still belong to it."""
    whole = {name: older.state.get(name, {}) | files for name, files in newer.state.items()}
    return {
        name: {file: content for file, content in files.items() if file in newer.names}
        for name, files in whole.items()
    }


def read_files(paths: Sequence[Path]) -> list[bytes]:
    """The content of files of the machine that the command runs on."""
    return [path.read_bytes() for path in paths]


def work_on(parcel: Parcel, data: DataSet, mailbox: Any, reader: Any) -> tuple[Outcome, str, Files]:
    """A task on its worker: the outcome, and the files of the run where it is finished."""
    import ray

    task = parcel.task
    job, run_id = task.job, parcel.finished.id if parcel.finished else task.job.run_id
    node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if parcel.version != __version__:
        return (
            Outcome("failed", f"{node} has ens {__version__}, this machine {parcel.version}"),
            run_id,
            {},
        )
    with tempfile.TemporaryDirectory(prefix="ens-") as folder:
        store = RunStore(folder)
        for name, files in parcel.folders.items():
            put(files, store.root / name)
        told = _teller(parcel.number, store, run_id, mailbox)
        try:
            if not os.environ.get("ENS_CACHE"):
                os.environ["ENS_CACHE"] = str(worker_cache())
            told(Note(run_id, f"on {node}"))
            images = images_here(job, data, lambda paths: ray.get(reader.remote(paths)))
            if parcel.finished is None:
                train_one(job, store, images, told, task.force, threads=1)
            else:
                finished = parcel.finished.model_copy(update={"folder": store.folder(run_id)})
                refit_one(job, finished, parcel.by_phase, images, told, threads=1)
        except EnsembleError as error:
            return Outcome("failed", str(error)), run_id, {}
        except Pruned:
            return Outcome("pruned"), run_id, {}
        return Outcome("done"), run_id, packed(store.folder(run_id))


def _teller(number: int, store: RunStore, run_id: str, mailbox: Any) -> Emit:
    """A listener that sends events to the mailbox, and each state of the run once. Raises Pruned."""
    import ray

    def files_of(name: str) -> dict[str, int]:
        folder = store.folder(run_id) / name
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}

    seen = {name: files_of(name) for name in STATES}

    def tell(event: Event) -> None:
        state: dict[str, Files] = {}
        names: tuple[str, ...] = ()
        for name in STATES:
            now = files_of(name)
            if now and now != seen[name]:
                changed = [file for file, time in now.items() if seen[name].get(file) != time]
                state[f"{run_id}/{name}"], names = (
                    packed(store.folder(run_id) / name, changed),
                    tuple(now),
                )
                seen[name] = now
        if ray.get(mailbox.tell.remote(Told(number, event, state, names))):
            raise Pruned

    return sparse(tell, 0.5)
