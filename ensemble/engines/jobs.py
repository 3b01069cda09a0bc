"""What is to be trained: jobs, the tasks that engines carry out, and which task comes next."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from ensemble.events import Emit, Event, RunFailed, RunLeft, RunStarted
from ensemble.runs import RunStore
from ensemble.runs.job import Job


@dataclass(frozen=True)
class Failure:
    """A run that could not be trained, and why."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class Task:
    """A job to train, or the refit of its finished run; wait: for another process that is training it."""

    job: Job
    is_refit: bool = False
    force: bool = False
    wait: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a task ended; busy: another process is training that run; cut: whoever listened had heard enough."""

    state: Literal["done", "busy", "cut", "failed"]
    reason: str = ""


class Cut(BaseException):
    """Ends a training that whoever listens has given up; the text says why. No error: fastai would add its words."""


class Work(Protocol):
    """Where an engine gets its tasks, and whom it tells how they go; all in one thread."""

    def take(self) -> Task | None:
        """The next task; None while there is none. One that ends may bring up another."""

    def hear(self, task: Task, event: Event) -> None:
        """An event of a task under way. Raises Cut to end the task, Stopped to end everything."""

    def end(self, task: Task, outcome: Outcome) -> None:
        """A task is over."""


class Engine(Protocol):
    """Where tasks run: this process, several processes, a cluster."""

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until there is nothing to take and nothing under way; finished runs are in the store."""


class Sweep:
    """Jobs in their order, those that another process trains again at the end, a refit after the last of its folds.

    A job whose first weights are another job's run waits for that one.
    """

    def __init__(self, jobs: Sequence[Job], emit: Emit, force: bool = False) -> None:
        self.waiting = deque(Task(job, force=force) for job in jobs)
        self.busy: deque[Task] = deque()
        self.number = {job.run_id: number for number, job in enumerate(jobs, start=1)}
        self.open = {job.run_id: job for job in jobs}
        self.last_fold = {
            job.whole_id: job for job in jobs
        }  # a refit joins its images, in its order
        self.n_under_way = 0
        self.done: set[str] = set()
        self.failures: list[Failure] = []
        self.cut = ""  # why
        self.emit = emit

    def take(self) -> Task | None:
        """The next task, None while there is none."""
        if not self.waiting:
            self.waiting, self.busy = self.busy, self.waiting
        ready = [task for task in self.waiting if not self._needs_another(task.job)]
        if not ready and (self.n_under_way or not self.waiting):
            return None
        task = (ready or self.waiting)[0]
        self.waiting.remove(task)
        self.n_under_way += 1
        if not task.is_refit:
            self.emit(RunStarted(task.job.run_id, self.number[task.job.run_id], len(self.number)))
        return task

    def _needs_another(self, job: Job) -> bool:
        said = str(job.recipe.model.pretrained)
        wanted = said.removeprefix("run:")
        return said != wanted and any(
            wanted in (other.recipe.name, other.run_id, other.whole_id)
            for other in self.open.values()
        )

    def hear(self, task: Task, event: Event) -> None:
        """An event of a task under way. Raises Cut."""
        try:
            self.emit(event)
        except Cut as cut:
            self.cut = str(cut)
            raise

    def end(self, task: Task, outcome: Outcome) -> None:
        """A task is over."""
        job = task.job
        self.n_under_way -= 1
        if outcome.state == "busy":
            self.busy.append(replace(task, force=False, wait=True))
            self.emit(
                RunLeft(job.run_id, "another process is training it; going on with the others")
            )
            return
        if outcome.state == "failed":
            self.done.discard(job.whole_id)
            self.failures.append(Failure(job.run_id, outcome.reason))
            self.emit(RunFailed(job.run_id, outcome.reason))
        if outcome.state == "cut":
            self.emit(RunLeft(job.run_id, self.cut))
        if task.is_refit:
            return
        del self.open[job.run_id]
        if outcome.state == "done":
            self.done.add(job.whole_id)
            is_last = all(other.whole_id != job.whole_id for other in self.open.values())
            if job.recipe.refit and is_last:
                self.waiting.appendleft(Task(self.last_fold[job.whole_id], is_refit=True))

    @property
    def is_over(self) -> bool:
        """Whether no task is left."""
        return not (self.waiting or self.busy or self.n_under_way)
