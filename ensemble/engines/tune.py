"""Hyper-parameter search by Optuna: every trial is a run, bad ones are cut off early, an interrupted search goes on.

The first trial is the recipe as it stands, so that the search says what it gained.
"""

import hashlib
import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ensemble.dataset.load import load
from ensemble.engines.jobs import Engine, Outcome, Pruned, Sweep, Task
from ensemble.engines.local import Here, finished_of
from ensemble.engines.search_space import (
    Space,
    around,
    own_values,
    parse_varied,
    rounded,
    usual_space,
)
from ensemble.errors import EnsembleError, RecipeError, TrainingError
from ensemble.events import Emit, EpochEnded, Event, Note, RunStarted
from ensemble.files import make_folder
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job, jobs_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FOLDER = ".searches"
Direction = Literal["minimize", "maximize"]
PIXELS = (
    "data.size",
    "data.resize",
    "data.normalize",
)  # what may vary of data: the rows stay the same
METRICS = {"valid_loss": "log_loss", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Tried:
    """One trial: finished (with its score and run), pruned, or failed (with the reason)."""

    number: int
    state: str
    score: float | None
    values: dict[str, Any]
    note: str


@dataclass(frozen=True)
class Search:
    """All trials of a search in their order, by the metric that the recipe's fit.monitor means."""

    name: str
    metric: str
    trials: tuple[Tried, ...]

    @property
    def best(self) -> Tried | None:
        """The finished trial with the best score, the earlier on a tie."""
        sign = 1 if self.metric == "log_loss" else -1
        done = [trial for trial in self.trials if trial.score is not None]
        return min(done, key=lambda trial: (sign * (trial.score or 0), trial.number), default=None)


def tune(
    path: Path,
    n_trials: int,
    varied: Sequence[str],
    overrides: tuple[str, ...],
    store: RunStore,
    emit: Emit,
    engine: Engine | None = None,
) -> Search:
    """Go on until the search has so many trials, pruned and failed ones included; without an engine: in this process.

    The study stays with this process, however far away its trials are trained. Raises EnsembleError.
    """
    _require_optuna()
    recipe = Recipe.load(path, overrides)
    space = parse_varied(varied) or usual_space(recipe)
    _check(path, overrides, space)
    name = _name(recipe, space)
    with store.lock(
        f"{name}-open", wait=True
    ):  # two processes that begin at once would both make the tables
        study = _open_study(name, recipe, store)
        if not varied:
            space["fit.lr"] = around(_rate(study, recipe, emit))
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(_first(study, recipe, space))
        _start_lost_again(study, name, store)
    trials = _Trials(study, _Plan(path, overrides, space, name, n_trials), store, emit)
    with trials.held:
        (engine or Here()).carry_out(trials, store)
    return Search(
        name, METRICS[recipe.fit.monitor], tuple(_told(trial) for trial in _finished(study))
    )


@dataclass(frozen=True)
class _Plan:
    """What all trials of a search share."""

    path: Path
    overrides: tuple[str, ...]
    space: Space
    name: str
    n_trials: int


def _check(path: Path, overrides: tuple[str, ...], space: Space) -> None:
    """A key or value that no recipe has is told before anything trains. Raises RecipeError."""
    for key, values in space.items():
        if (
            key.split(".")[0] in ("data", "seeds", "refit")
            and key not in PIXELS
            or key == "fit.monitor"
        ):
            raise RecipeError(
                f"--vary {key}: the trials would be scored on other rows or by other rules"
            )
        ends = getattr(values, "values", None) or (values.low, values.high)  # type: ignore[union-attr]
        for value in ends:
            Recipe.load(path, (*overrides, _said(key, value)))


def _said(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def _name(recipe: Recipe, space: Space) -> str:
    """A search is about one recipe, one space and one set of images."""
    said = repr(
        (
            recipe.digest,
            recipe.seeds[0],
            recipe.refit,
            sorted(space.items()),
            load(recipe.data).fingerprint,
        )
    )
    return f"{recipe.name}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise EnsembleError(
            "`ens tune` needs Optuna, which is not installed\npip install 'optuna>=4.0'"
        ) from None


def _open_study(name: str, recipe: Recipe, store: RunStore) -> "Study":
    """The stored search of this name, or a new one. Raises EnsembleError."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction: Direction = "minimize" if recipe.fit.monitor == "valid_loss" else "maximize"
    study = open_database(make_folder(store.root / FOLDER) / f"{name}.db", name, direction)
    # a sampler that began anew with the same seed would propose the same again
    study.sampler = optuna.samplers.TPESampler(
        seed=recipe.seeds[0] + len(study.get_trials(deepcopy=False)), constant_liar=True
    )
    return study


def open_database(database: Path, name: str, direction: Direction) -> "Study":
    """The study in a file, or a new one, all trials read once. Raises EnsembleError."""
    import optuna

    _check_database(database)
    try:
        study = optuna.create_study(
            study_name=name,
            storage=f"sqlite:///{database}",
            direction=direction,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            load_if_exists=True,
        )
        study.get_trials()
    except Exception as error:  # whatever Optuna, SQLAlchemy and json raise on a damaged table
        raise EnsembleError(_damaged_text(database, error)) from None
    return study


def _check_database(database: Path) -> None:
    """Whether SQLite calls a stored search whole. Raises EnsembleError."""
    if not database.exists():
        return
    try:
        with closing(sqlite3.connect(database, timeout=30)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.Error, UnicodeDecodeError) as error:  # sqlite3 may quote a damaged name
        raise EnsembleError(_damaged_text(database, error)) from None
    if verdict != "ok":
        raise EnsembleError(_damaged_text(database, verdict))


def _damaged_text(database: Path, reason: object) -> str:
    return (
        f"{database}: this search cannot be read ({' '.join(str(reason).split())[:150]})\n"
        "move the file away and run the same command: the search begins again\n"
        "its finished trials stay, as runs (`ens runs`)"
    )


def _rate(study: "Study", recipe: Recipe, emit: Emit) -> float:
    """The rate around which the search looks: the recipe's, else that of a range test, made once per search."""
    if isinstance(recipe.fit.lr, float):
        return recipe.fit.lr
    found = study.user_attrs.get("rate")
    if found is None:
        from ensemble.learn.train import find_lr

        found = find_lr(Job(recipe, recipe.seeds[0]), load(recipe.data), emit).chosen
        study.set_user_attr("rate", found)
    if not (isinstance(found, float) and found > 0 and math.isfinite(found)):
        raise EnsembleError(
            _damaged_text(
                Path(FOLDER) / f"{study.study_name}.db", f"its rate is {str(found)[:40]!r}"
            )
        )
    return found


def _first(study: "Study", recipe: Recipe, space: Space) -> dict[str, Any]:
    found = {"fit.lr": study.user_attrs["rate"]} if "rate" in study.user_attrs else {}
    return found | own_values(recipe, space)


def _start_lost_again(study: "Study", name: str, store: RunStore) -> None:
    """Trials whose process is gone (its lock is free) are queued again with the same values."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with store.lock(f"{name}-t{trial.number}", wait=False) as is_free:
            if is_free:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _finished(study: "Study") -> "list[FrozenTrial]":
    """Trials that are over, without those that were lost and queued again."""
    trials = study.get_trials(deepcopy=False)
    lost = {trial.user_attrs["again"] for trial in trials if "again" in trial.user_attrs}
    return [trial for trial in trials if trial.state.is_finished() and trial.number not in lost]


@dataclass(eq=False)
class _Open:
    """A trial under way: its jobs as a sweep, and the lock that says so to other processes."""

    trial: "Trial"
    recipe: Recipe
    jobs: list[Job]
    sweep: Sweep
    is_first: bool
    held: ExitStack


class _Trials:
    """The trials of a search as work for an engine; each is asked for when there is room for it."""

    def __init__(self, study: "Study", plan: _Plan, store: RunStore, emit: Emit) -> None:
        self.study, self.plan, self.store, self.emit = study, plan, store, emit
        self.open: list[_Open] = []
        self.owner: dict[int, _Open] = {}  # by the identity of a task
        self.held = ExitStack()

    def take(self) -> Task | None:
        """The next fold of an open trial, else the first of a new one."""
        for own in self.open:
            if (task := own.sweep.take()) is not None:
                self.owner[id(task)] = own
                return task
        if len(_finished(self.study)) + len(self.open) >= self.plan.n_trials:
            return None
        self._begin()
        return self.take()

    def hear(self, task: Task, event: Event) -> None:
        """An event of a trial under way. Raises Pruned where it is pruned."""
        self.owner[id(task)].sweep.hear(task, event)

    def end(self, task: Task, outcome: Outcome) -> None:
        """A fold is over, and perhaps its trial. Raises TrainingError where that is the first one and has failed."""
        own = self.owner.pop(id(task))
        own.sweep.end(task, outcome)
        if own.sweep.is_over:
            self.open.remove(own)
            with own.held:
                self._tell(own)

    def _begin(self) -> None:
        held = self.held.enter_context(ExitStack())
        with self.store.lock(
            f"{self.plan.name}-open", wait=True
        ):  # without its lock it would look lost to others
            trial = self.study.ask()
            held.enter_context(self.store.lock(f"{self.plan.name}-t{trial.number}", wait=True))
        values = {key: values.draw(trial, key) for key, values in self.plan.space.items()}
        recipe = Recipe.load(
            self.plan.path,
            (*self.plan.overrides, *(_said(key, own) for key, own in values.items())),
        )
        jobs = jobs_of([recipe.model_copy(update={"seeds": recipe.seeds[:1]})], self.plan.name)
        is_first = not self.open and not _finished(self.study)
        sweep = Sweep(jobs, lambda event: self._watch(own, event))
        own = _Open(trial, recipe, jobs, sweep, is_first, held)
        self.open.append(own)

    def _watch(self, own: _Open, event: Event) -> None:
        if isinstance(event, RunStarted):
            number = len(_finished(self.study)) + self.open.index(own) + 1
            self.emit(replace(event, number=number, total=self.plan.n_trials))
            values = {key: own.trial.params[key] for key in self.plan.space}
            self.emit(
                Note(
                    event.run, ", ".join(f"{key} {rounded(value)}" for key, value in values.items())
                )
            )
            return
        self.emit(event)
        if isinstance(event, EpochEnded) and len(own.jobs) == 1:
            fit = own.recipe.fit
            own.trial.report(
                event.valid_loss if fit.monitor == "valid_loss" else event.accuracy, event.epoch
            )
            is_phased = fit.strategy in ("fine_tune", "gradual")
            n_epochs = fit.epochs + (fit.frozen_epochs if is_phased else 0)
            if event.epoch < n_epochs and own.trial.should_prune():
                raise Pruned(
                    f"pruned: worse than the median of the others after epoch {event.epoch}"
                )

    def _tell(self, own: _Open) -> None:
        """The study learns how a trial ended. Raises TrainingError."""
        from optuna.trial import TrialState

        if own.sweep.failures:
            reason = own.sweep.failures[0].reason
            own.trial.set_user_attr("note", reason)
            self.study.tell(own.trial, state=TrialState.FAIL)
            if own.is_first:
                raise TrainingError(
                    f"{self.plan.path}: its first trial, the recipe as it is, failed: {reason}"
                )
        elif own.sweep.pruned_reason:
            self.study.tell(own.trial, state=TrialState.PRUNED)
        else:
            runs = finished_of(own.sweep, own.jobs, self.store)
            scores = [getattr(run.scores, METRICS[own.recipe.fit.monitor]) for run in runs]
            own.trial.set_user_attr("note", runs[0].id)
            self.study.tell(own.trial, sum(scores) / len(scores))


def _told(trial: "FrozenTrial") -> Tried:
    state = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}[trial.state.name]
    score = trial.value if state == "finished" else None
    values = {key: rounded(value) for key, value in trial.params.items()}
    return Tried(trial.number, state, score, values, str(trial.user_attrs.get("note", "")))
