"""Several processes of this machine, each with its own GPU or its share of the cores; each takes task after task."""

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ensemble.engines.jobs import Outcome, Pruned, Task, Work
from ensemble.engines.local import DataSets, perform
from ensemble.errors import Stopped
from ensemble.events import Event, sparse
from ensemble.runs import RunStore
from ensemble.signals import stoppable

END_SECONDS = 30.0  # for a worker that was asked to stop to end the batch in hand


@dataclass
class _Worker:
    """A process, our end of its pipe, and what it works on."""

    process: SpawnProcess
    pipe: Any  # a Connection, on Windows a PipeConnection
    task: Task | None = None

    def give(self, task: Task, store: RunStore) -> None:
        """A task to work on."""
        self.task = task
        with suppress(OSError):  # it has just died: its pipe says so when it is listened to
            self.pipe.send((task, store))

    @property
    def last_words(self) -> str:
        """Why a task has no outcome."""
        self.process.join()
        code = self.process.exitcode or 0
        how = (
            f"was killed ({signal.Signals(-code).name})"
            if code < 0
            else f"ended with status {code}"
        )
        return f"the process that trained it {how}\nthe same command goes on after the last whole epoch"


class Processes:
    """So many processes, started as tasks come up; threads are torch's in each of them."""

    def __init__(self, n: int, threads: int) -> None:
        self.n, self.threads = n, threads

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until there is nothing to take and nothing under way."""
        workers: dict[int, _Worker] = {}  # by place: the GPUs go by it
        try:
            while True:
                self._hand_out(work, store, workers)
                busy = {worker.pipe: place for place, worker in workers.items() if worker.task}
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    place = busy[pipe]
                    if not _heard(workers[place], work):
                        del workers[place]
        finally:
            _end(list(workers.values()))

    def _hand_out(self, work: Work, store: RunStore, workers: dict[int, _Worker]) -> None:
        for place in range(self.n):
            if place in workers and workers[place].task:
                continue
            task = work.take()
            if task is None:
                return
            if place not in workers or not workers[place].process.is_alive():
                workers[place] = self._started(place)
            workers[place].give(task, store)

    def _started(self, place: int) -> _Worker:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would share what CUDA and OpenMP have begun
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, place, self.threads), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)


def _heard(worker: _Worker, work: Work) -> bool:
    """Pass on what a worker says; False where it says nothing any more."""
    task = worker.task
    assert task is not None  # only those with a task are listened to
    try:
        said: Event | Outcome = worker.pipe.recv()
    except (EOFError, OSError):
        worker.task = None
        work.end(task, Outcome("failed", worker.last_words))
        return False
    if isinstance(said, Outcome):
        worker.task = None
        work.end(task, said)
        return True
    try:
        work.hear(task, said)
    except Pruned:
        with suppress(OSError):
            worker.pipe.send(None)
    return True


def _end(workers: Sequence[_Worker]) -> None:
    """Idle workers leave when their pipe closes; those at work end the batch in hand."""
    for worker in workers:
        if worker.task:
            worker.process.terminate()
        worker.pipe.close()
    for worker in workers:
        worker.process.join(END_SECONDS)
        worker.process.kill()


def _serve(pipe: Connection, place: int, threads: int) -> None:
    """The life of a worker: one task after the other until the pipe closes or SIGTERM comes; SIGINT is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from ensemble.learn.device import take_gpu

    def tell(event: Event) -> None:
        try:
            pipe.send(event)
            if pipe.poll() and pipe.recv() is None:
                raise Pruned
        except (OSError, EOFError):  # nobody listens any more
            raise Stopped(signal.SIGTERM) from None

    take_gpu(place)
    data = DataSets()
    try:
        with stoppable(sparse(tell)) as emit:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            while True:
                given = pipe.recv()
                if given is not None:  # else a cut that came too late
                    task, store = given
                    pipe.send(perform(task, store, data, emit, threads))
    except EOFError:
        return
    except Stopped as stopped:
        raise SystemExit(128 + stopped.signal) from None
