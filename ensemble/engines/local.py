"""Train runs in this process: skip finished ones, report failures, publish what is complete."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.dataset.load import DataSet, load
from ensemble.engines.deadline import Deadline
from ensemble.engines.jobs import Engine, Failure, Outcome, Pruned, Sweep, Task, Work
from ensemble.engines.teachers import taught, teachers_of
from ensemble.errors import EnsembleError, RunError
from ensemble.events import Emit, Note, RunEnded, RunStarted
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore, StoredRun, Trained, writer
from ensemble.runs.job import Job

if TYPE_CHECKING:
    from ensemble.learn.cost import Cost
    from ensemble.learn.lr import RangeTest
    from ensemble.runs import LrFind


def train_all(
    jobs: Sequence[Job],
    store: RunStore,
    emit: Emit,
    force: bool = False,
    engine: Engine | None = None,
    deadline: Deadline | None = None,
) -> tuple[list[Run], list[Failure]]:
    """The finished runs of these jobs, complete sets of folds as one, and the failures.

    The default engine is this process. Runs that another process is training are waited for at the
    end. A deadline says afterwards which runs are left.
    """
    sweep = Sweep(jobs, emit, force, deadline)
    (engine or Here()).carry_out(sweep, store)
    return finished_of(sweep, jobs, store), sweep.failures


def finished_of(sweep: Sweep, jobs: Sequence[Job], store: RunStore) -> list[Run]:
    """The runs that a sweep finished, in the order of its jobs, without incomplete folds."""
    runs = []
    for run_id in dict.fromkeys(job.whole_id for job in jobs):
        if run_id in sweep.done:
            with suppress(RunError):
                runs.append(store.get(run_id))
    return runs


class Here:
    """This process, one task after the other."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def carry_out(self, work: Work, store: RunStore) -> None:
        """Work until no task is left."""
        data = DataSets()
        while task := work.take():
            work.end(task, perform(task, store, data, partial(work.hear, task), self.threads))


def perform(
    task: Task, store: RunStore, data: "DataSets", emit: Emit, threads: int | None = None
) -> Outcome:
    """Carry out a task in this process.

    threads is how many torch uses if the recipe's resources do not say; None leaves torch as it is.
    """
    try:
        if task.is_refit:
            _refit_locked(task.job, store, data, emit, threads)
            return Outcome("done")
        run = _train_locked(task, store, data, emit, threads)
        return Outcome("busy" if run is None else "done")
    except EnsembleError as error:
        return Outcome("failed", str(error))
    except Pruned:
        return Outcome("pruned")


class DataSets:
    """Data sets of this process, loaded once per data section and fold, labels of teachers per run."""

    def __init__(self) -> None:
        self.loaded: dict[str, DataSet] = {}

    def of(self, job: Job, store: RunStore) -> DataSet:
        """The images of a job, with what its teachers say. Raises EnsembleError."""
        key = f"{job.fold} {job.recipe.data.model_dump_json()}"
        if key not in self.loaded:
            self.loaded[key] = load(job.recipe.data, job.fold or 0)
        data = self.loaded[key]
        if job.recipe.fit.pseudo is None:
            return data
        if job.run_id not in self.loaded:
            self.loaded[job.run_id] = taught(data, job, store)
        return self.loaded[job.run_id]


def _train_locked(
    task: Task, store: RunStore, data: DataSets, emit: Emit, threads: int | None
) -> Run | None:
    job = task.job
    skipped = skipped_run(task, store, data)
    if skipped is not None:
        emit(ended(skipped, True))
        return skipped
    with store.lock(job.run_id, task.wait) as is_ours:
        if not is_ours:
            return None
        images = data.of(job, store)
        finished = finished_run(job, store, images, task.force)
        run = finished or train_one(job, store, images, emit, task.force, threads)
        emit(ended(run, run is finished))
        return run


def skipped_run(task: Task, store: RunStore, data: DataSets) -> Run | None:
    """The finished run of a task that needs no training.

    It takes no lock, so the folder may be read-only. Raises RunError, DataError, DamagedError.
    """
    if task.force or not (store.folder(task.job.run_id) / "run.json").exists():
        return None  # without loading the images
    return finished_run(task.job, store, data.of(task.job, store), task.force)


def ended(run: Run, skipped: bool) -> RunEnded:
    """The event of a finished run."""
    scores = run.scores
    both = scores.accuracy, scores.log_loss
    return RunEnded(run.id, *both, run.total_seconds, skipped, scores.metric or "", scores.score)


def finished_run(job: Job, store: RunStore, data: DataSet, force: bool) -> Run | None:
    """The finished run of a job, None if it is to be trained.

    Raises RunError where its images have changed, DamagedError.
    """
    if force or not (store.folder(job.run_id) / "run.json").exists():
        return None
    run = store.get(job.run_id)
    if run.data.fingerprint != data.fingerprint:
        raise RunError(
            f"{job.run_id} is finished, but its images have changed: {_change(run, data)}\n"
            "train it again with --force, or restore the old images"
        )
    if teachers_of(run.data.pseudo) != teachers_of(data.pseudo):
        raise RunError(
            f"{job.run_id} is finished, but its teachers (fit.pseudo.from) have changed since\n"
            "train it again with --force, or give it a name of its own to keep both"
        )
    return run


def _change(run: Run, data: DataSet) -> str:
    """What changed in the images of a run."""
    before = _counts(run.data.n_train, run.data.n_valid, run.data.n_test)
    now = _counts(len(data.train), len(data.valid), len(data.test or ()))
    if before == now:
        return "contents, labels or the split differ"
    return f"it was trained on {before}; now there are {now}"


def _counts(n_train: int, n_valid: int, n_test: int) -> str:
    return f"{n_train:,} train, {n_valid:,} valid, {n_test:,} test"


def train_one(
    job: Job,
    store: RunStore,
    data: DataSet,
    emit: Emit,
    force: bool = False,
    threads: int | None = None,
) -> StoredRun:
    """Train one run, or resume it, and publish it. Raises EnsembleError."""
    from ensemble.learn.device import threads_at_most
    from ensemble.learn.train import train

    with threads_at_most(job.recipe.resources.cpu or threads):
        trained = train(job, data, store, emit, force)
    folder = store.folder(job.run_id)
    writer.write_recipe(folder, job.recipe)
    _save_curves(folder, job, trained)
    writer.write_predictions(folder, trained.valid, trained.test)
    writer.write_sample(folder, data.sample.content if data.sample else None)
    return writer.finish(folder, job, data, trained)


def _save_curves(folder: Path, job: Job, trained: Trained) -> None:
    from ensemble.reporting.figures import draw_curves

    writer.write_history(folder, trained.history)
    draw_curves(trained.history, folder / "curves.png", job.run_id)
    if trained.record.lr_find is not None:
        _save_range_test(folder, trained.range_test, trained.record.lr_find)


def _save_range_test(
    folder: Path, points: Sequence[tuple[float, float]], test: "LrFind | RangeTest"
) -> None:
    from ensemble.reporting.figures import draw_range_test

    writer.write_range_test(folder, points)
    draw_range_test(points, test.suggestions, test.chosen, test.rule, folder / "lr_find.png")


def _refit_locked(
    job: Job, store: RunStore, data: DataSets, emit: Emit, threads: int | None
) -> None:
    """Add the refit that a recipe asks for to its finished run, with folds to the first of them."""
    due = refit_due(job, store)
    if due is None:
        return
    with store.lock(due[0].id, wait=True):
        is_due = store.get(due[0].id).refit_epochs is None  # another process may have added it
        if is_due:
            refit_one(job, *due, data.of(job, store), emit, threads)


def refit_due(job: Job, store: RunStore) -> tuple[StoredRun, dict[str, int]] | None:
    """The run that needs a refit, and its epochs by phase; None if no refit is due."""
    try:
        run = store.get(job.whole_id)
    except RunError:
        return None  # some folds are not finished yet
    return (run.folds[0], run.record().kept_by_phase) if run.refit_epochs is None else None


def refit_one(
    job: Job,
    run: StoredRun,
    by_phase: dict[str, int],
    data: DataSet,
    emit: Emit,
    threads: int | None = None,
) -> StoredRun:
    """Add the refit on train + valid to a finished run, which stays usable until then.

    Raises EnsembleError.
    """
    from ensemble.learn.device import threads_at_most
    from ensemble.learn.train import refit

    with threads_at_most(job.recipe.resources.cpu or threads):
        refitted = refit(replace(job, fold=run.fold), data, run, by_phase, emit)
    n_epochs = sum(by_phase.values())
    return writer.finish_refit(run, job.recipe, refitted.test, n_epochs, refitted.seconds)


def costs_of(
    jobs: Sequence[Job], store: RunStore, emit: Emit, force: bool = False
) -> "tuple[list[tuple[Job, Cost]], list[Failure]]":
    """The estimated cost of each unfinished job (force: of each job), and the failures."""
    from ensemble.learn.cost import cost_of

    data, costs, failures = DataSets(), [], []
    for number, job in enumerate(jobs, start=1):
        emit(RunStarted(job.run_id, number, len(jobs)))
        try:
            images = data.of(job, store)
            if finished_run(job, store, images, force):
                emit(Note(job.run_id, "already finished"))
                continue
            if images.pseudo:
                emit(Note(job.run_id, images.pseudo.line))
            costs.append((job, cost_of(job, images, store, emit)))
        except EnsembleError as error:
            failures.append(Failure(job.run_id, str(error)))
    return costs, failures


def find_rate(recipe: Recipe, folder: Path, emit: Emit) -> "RangeTest":
    """The range test of a recipe's first seed; stores its curve in folder. Raises EnsembleError."""
    from ensemble.learn.train import find_lr

    job = Job(recipe, recipe.seeds[0])
    data = DataSets().of(job, RunStore())
    emit(RunStarted(job.run_id, 1, 1))
    curve = find_lr(job, data, emit)
    points = list(zip(curve.rates, curve.losses, strict=True))
    _save_range_test(folder, points, curve)
    return curve
