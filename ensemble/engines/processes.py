"""Train tasks in several processes of this machine, each with one GPU or a share of the cores."""

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
from ensemble.torch_env import prepare_torch

STOP_SECONDS = 30.0  # that a stopped worker has to finish its batch


@dataclass
class _Worker:
    """A process, the parent's end of its pipe, and the task it is training."""

    process: SpawnProcess
    pipe: Any  # a Connection, on Windows a PipeConnection
    task: Task | None = None

    def assign(self, task: Task, store: RunStore) -> None:
        """Send the worker a task."""
        self.task = task
        with suppress(OSError):  # a dead worker is noticed when its pipe is read
            self.pipe.send((task, store))

    def death_reason(self) -> str:
        """Why the process ended before its task."""
        self.process.join()
        status = self.process.exitcode or 0
        end = f"ended with status {status}"
        if status < 0:
            end = f"was killed ({signal.Signals(-status).name})"
        return (
            f"the process that trained it {end}\n"
            "the same command resumes from the last stored epoch"
        )


class Processes:
    """Up to n_workers processes with `threads` torch threads each, started when tasks need them."""

    def __init__(self, n_workers: int, threads: int) -> None:
        self.n_workers, self.threads = n_workers, threads

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until no task is left or running."""
        workers: dict[int, _Worker] = {}  # by index, which decides the GPU
        try:
            while True:
                self._assign_tasks(work, store, workers)
                busy = {worker.pipe: i for i, worker in workers.items() if worker.task}
                if not busy:
                    return
                for pipe in wait(list(busy)):
                    is_alive = _receive(workers[busy[pipe]], work)
                    if not is_alive:
                        del workers[busy[pipe]]
        finally:
            _stop(list(workers.values()))

    def _assign_tasks(self, work: Work, store: RunStore, workers: dict[int, _Worker]) -> None:
        """Give every idle worker a task, while there are tasks."""
        for i in range(self.n_workers):
            if i in workers and workers[i].task:
                continue
            task = work.take()
            if task is None:
                return
            if i not in workers or not workers[i].process.is_alive():
                workers[i] = self._start(i)
            workers[i].assign(task, store)

    def _start(self, index: int) -> _Worker:
        # a fork would share what CUDA and OpenMP have started
        context = multiprocessing.get_context("spawn")
        parent_end, worker_end = context.Pipe()
        arguments = (worker_end, index, self.threads)
        process = context.Process(target=_worker_main, args=arguments, daemon=True)
        process.start()
        worker_end.close()
        return _Worker(process, parent_end)


def _receive(worker: _Worker, work: Work) -> bool:
    """Pass on one message of a worker; returns False if the worker has died."""
    task = worker.task
    assert task is not None  # only busy workers are waited for
    try:
        message: Event | Outcome = worker.pipe.recv()
    except (EOFError, OSError):
        worker.task = None
        work.end(task, Outcome("failed", worker.death_reason()))
        return False
    if isinstance(message, Outcome):
        worker.task = None
        work.end(task, message)
        return True
    try:
        work.hear(task, message)
    except Pruned:
        with suppress(OSError):
            worker.pipe.send(None)
    return True


def _stop(workers: Sequence[_Worker]) -> None:
    """End idle workers by closing their pipes, busy ones by SIGTERM after their batch."""
    for worker in workers:
        if worker.task:
            worker.process.terminate()
        worker.pipe.close()
    for worker in workers:
        worker.process.join(STOP_SECONDS)
        worker.process.kill()


def _worker_main(pipe: Connection, index: int, threads: int) -> None:
    """Train one task after another until the pipe closes or SIGTERM comes; ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_torch()
    from ensemble.learn.device import take_gpu

    def send(event: Event) -> None:
        try:
            pipe.send(event)
            if pipe.poll() and pipe.recv() is None:
                raise Pruned
        except (OSError, EOFError):  # the parent has ended
            raise Stopped(signal.SIGTERM) from None

    take_gpu(index)
    data_sets = DataSets()
    try:
        with stoppable(sparse(send)) as emit:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # again, as stoppable handles it
            while True:
                message = pipe.recv()
                if message is not None:  # None prunes a task that has ended meanwhile
                    task, store = message
                    pipe.send(perform(task, store, data_sets, emit, threads))
    except EOFError:
        return
    except Stopped as stopped:
        raise SystemExit(128 + stopped.signal) from None
