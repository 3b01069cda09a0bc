"""The tasks of engines: what is to be done, how it ended, and which task comes next."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from ensemble.events import Emit, Event, RunFailed, RunLeft, RunStarted
from ensemble.runs import RunStore
from ensemble.runs.job import Job

if TYPE_CHECKING:
    from ensemble.engines.deadline import Deadline


@dataclass(frozen=True)
class Failure:
    """A run that could not be trained, and why."""

    run_id: str
    reason: str


@dataclass(frozen=True)
class Task:
    """A job to train, or the refit of its finished run; wait: until another process releases it."""

    job: Job
    is_refit: bool = False
    force: bool = False
    wait: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a task ended; busy: another process is training that run."""

    state: Literal["done", "busy", "pruned", "failed"]
    reason: str = ""


class Pruned(BaseException):
    """Raised by a listener to end one training; its text is the reason.

    It is not an Exception: fastai would put its own words before the text.
    """


class Work(Protocol):
    """Where an engine gets its tasks and reports events and outcomes; all in one thread."""

    def take(self) -> Task | None:
        """The next task, None if there is none now. A task that ends may bring up another."""

    def hear(self, task: Task, event: Event) -> None:
        """An event of a running task. Raises Pruned to end the task, Stopped to end everything."""

    def end(self, task: Task, outcome: Outcome) -> None:
        """A task is over."""


class Engine(Protocol):
    """Where tasks run: this process, several processes, a cluster."""

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until no task is left or running; finished runs are in the store."""


class Sweep:
    """Jobs in their order, and the refit of a run after the last of its folds.

    A run that another process is training comes again at the end. A job that begins with the
    weights of another job's run, or is taught by it, waits for that one. Once a deadline is over,
    no task begins.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        emit: Emit,
        force: bool = False,
        deadline: "Deadline | None" = None,
    ) -> None:
        self.waiting = deque(Task(job, force=force) for job in jobs)
        self.busy: deque[Task] = deque()
        self.number = {job.run_id: number for number, job in enumerate(jobs, start=1)}
        self.unfinished = {job.run_id: job for job in jobs}
        # a refit joins the images of the last fold, in its order
        self.last_fold = {job.whole_id: job for job in jobs}
        self.n_running = 0
        self.done: set[str] = set()
        self.failures: list[Failure] = []
        self.pruned_reason = ""
        self.emit, self.deadline = emit, deadline

    def take(self) -> Task | None:
        """The next task, None if there is none now."""
        if not self.waiting:
            self.waiting, self.busy = self.busy, self.waiting
        if self.deadline and self.deadline.is_over:
            self.deadline.leave([task.job.run_id for task in (*self.waiting, *self.busy)])
            self.waiting.clear()
            self.busy.clear()
        ready = [task for task in self.waiting if not self._waits_for_others(task.job)]
        if not ready and (self.n_running or not self.waiting):
            return None
        task = (ready or self.waiting)[0]
        self.waiting.remove(task)
        self.n_running += 1
        if not task.is_refit:
            self.emit(RunStarted(task.job.run_id, self.number[task.job.run_id], len(self.number)))
        return task

    def _waits_for_others(self, job: Job) -> bool:
        """Whether a job's first weights, or its teachers, are still to be trained by another job."""
        kind, _, start = str(job.recipe.model.pretrained).partition(":")
        needed = {start} if kind == "run" else set()
        if job.recipe.fit.pseudo:
            needed.add(job.recipe.fit.pseudo.from_)
        return any(
            not needed.isdisjoint({other.recipe.name, other.run_id, other.whole_id})
            for other in self.unfinished.values()
        )

    def hear(self, task: Task, event: Event) -> None:
        """An event of a running task. Raises Pruned."""
        try:
            self.emit(event)
            if self.deadline:
                self.deadline.hear(event)
        except Pruned as pruned:
            self.pruned_reason = str(pruned)
            raise

    def end(self, task: Task, outcome: Outcome) -> None:
        """A task is over."""
        run_id, whole_id = task.job.run_id, task.job.whole_id
        self.n_running -= 1
        if outcome.state == "busy":
            self.busy.append(replace(task, force=False, wait=True))
            self.emit(
                RunLeft(run_id, "another process is training it; continuing with the other runs")
            )
            return
        if outcome.state == "failed":
            self.done.discard(whole_id)
            self.failures.append(Failure(run_id, outcome.reason))
            self.emit(RunFailed(run_id, outcome.reason))
        if outcome.state == "pruned":
            self.emit(RunLeft(run_id, self.pruned_reason))
        if task.is_refit:
            return
        del self.unfinished[run_id]
        if outcome.state == "done":
            self.done.add(whole_id)
            self._queue_refit(task.job)

    def _queue_refit(self, job: Job) -> None:
        """Queue the refit that a recipe asks for once its last fold is finished."""
        is_last = all(waiting.whole_id != job.whole_id for waiting in self.unfinished.values())
        if job.recipe.refit and is_last:
            self.waiting.appendleft(Task(self.last_fold[job.whole_id], is_refit=True))

    @property
    def is_over(self) -> bool:
        """Whether no task is left."""
        return not (self.waiting or self.busy or self.n_running)
