"""Hyper-parameter search by Optuna: every trial is a run, bad trials are pruned.

The first trial is the unchanged recipe, so that the result shows what the search gained. An
interrupted search resumes.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ensemble.blending.run_scores import run_score
from ensemble.dataset.load import load
from ensemble.engines.jobs import Engine, Outcome, Pruned, Sweep, Task
from ensemble.engines.local import Here, finished_of
from ensemble.engines.search_space import (
    Space,
    default_space,
    parse_space,
    rates_around,
    recipe_values,
    rounded,
)
from ensemble.engines.study import (
    center_rate,
    finished_trials,
    open_study,
    queue_interrupted_trials,
    require_optuna,
    trial_lock,
)
from ensemble.errors import RecipeError, TrainingError
from ensemble.events import Emit, EpochEnded, Event, Note, RunStarted
from ensemble.metrics import DEFAULT_METRIC, Metric, metric_named
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore
from ensemble.runs.job import Job, jobs_of

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

# the keys of `data` that may vary: the validation rows stay the same
PIXEL_KEYS = ("data.size", "data.resize", "data.normalize")
STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class TrialSummary:
    """A trial: finished (note is its run), pruned, or failed (note is the reason)."""

    number: int
    state: str
    score: float | None
    values: dict[str, Any]
    note: str


@dataclass(frozen=True)
class Search:
    """All trials of a search in their order, and what their scores are."""

    name: str
    metric: str
    is_higher_better: bool
    trials: tuple[TrialSummary, ...]

    @property
    def best(self) -> TrialSummary | None:
        """The finished trial with the best score, the earlier on a tie."""
        sign = -1 if self.is_higher_better else 1
        finished = [trial for trial in self.trials if trial.score is not None]
        by_score = lambda trial: (sign * (trial.score or 0), trial.number)  # noqa: E731
        return min(finished, key=by_score, default=None)


def tune(
    recipe: Recipe,
    n_trials: int,
    varied: Sequence[str],
    store: RunStore,
    emit: Emit,
    engine: Engine | None = None,
) -> Search:
    """Train until the search has n_trials trials, pruned and failed ones included.

    Trials are trained in this process without an engine; the study stays on this machine with any.
    Raises EnsembleError.
    """
    require_optuna()
    space = parse_space(varied) or default_space(recipe)
    _check_space(recipe, space)
    objective = objective_of(recipe)
    name = search_name(recipe, space)
    # two processes that start at once would both create the tables
    with store.lock(f"{name}-open", wait=True):
        study = open_study(name, recipe, store, objective.is_higher_better)
        if not varied:
            space["fit.lr"] = rates_around(center_rate(study, recipe, store, emit))
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(_first_values(study, recipe, space))
        queue_interrupted_trials(study, store)
    trials = _Trials(study, recipe, space, n_trials, store, emit, objective)
    with trials.locks:
        (engine or Here()).carry_out(trials, store)
    summaries = tuple(_summary(trial) for trial in finished_trials(study))
    return Search(name, objective.name, objective.is_higher_better, summaries)


def objective_of(recipe: Recipe) -> Metric:
    """What trials are scored by: data.metric, without one what fit.monitor follows.

    Raises DataError, RecipeError, MetricError.
    """
    target = recipe.data.target
    name = "log_loss" if recipe.fit.monitor == "valid_loss" else "accuracy"
    name = recipe.data.metric or (name if target == "class" else DEFAULT_METRIC[target])
    return metric_named(name, load(recipe.data).classes, recipe.data.positive, target)


def _check_space(recipe: Recipe, space: Space) -> None:
    """Refuse keys and values that no recipe has before anything trains. Raises RecipeError."""
    for key, values in space.items():
        changes_rows = key.split(".")[0] in ("data", "seeds", "refit") and key not in PIXEL_KEYS
        if changes_rows or key == "fit.monitor":
            raise RecipeError(
                f"--vary {key}: the trials would be scored on different rows or by different rules"
            )
        for extreme in values.extremes:
            recipe.with_overrides([_override(key, extreme)])


def _override(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


def search_name(recipe: Recipe, space: Space) -> str:
    """The name of the search with this recipe, seed, space and set of images.

    The hashed text may not change: stored searches would start again.
    """
    fingerprint = load(recipe.data).fingerprint
    parts: tuple[object, ...]
    parts = (recipe.digest, recipe.seeds[0], recipe.refit, sorted(space.items()), fingerprint)
    parts += ("by metric",) if recipe.data.metric else ()
    return f"{recipe.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def _first_values(study: "Study", recipe: Recipe, space: Space) -> dict[str, Any]:
    """The recipe's own values, with the rate of the range test if the recipe has none."""
    rate = {"fit.lr": study.user_attrs["rate"]} if "rate" in study.user_attrs else {}
    return rate | recipe_values(recipe, space)


def _summary(trial: "FrozenTrial") -> TrialSummary:
    state = STATES[trial.state.name]
    score = trial.value if state == "finished" else None
    values = {key: rounded(setting) for key, setting in trial.params.items()}
    return TrialSummary(trial.number, state, score, values, str(trial.user_attrs.get("note", "")))


@dataclass(eq=False)
class _OpenTrial:
    """A trial in training: its jobs as a sweep, and the lock that shows other processes so."""

    optuna_trial: "Trial"
    recipe: Recipe
    jobs: list[Job]
    sweep: Sweep
    is_first: bool
    lock: ExitStack

    @property
    def n_epochs(self) -> int:
        """The epochs of both phases."""
        fit = self.recipe.fit
        has_frozen_phase = fit.strategy in ("fine_tune", "gradual")
        return fit.epochs + (fit.frozen_epochs if has_frozen_phase else 0)


class _Trials:
    """The trials of a search as work for an engine, each proposed when the engine has room."""

    def __init__(
        self,
        study: "Study",
        recipe: Recipe,
        space: Space,
        n_trials: int,
        store: RunStore,
        emit: Emit,
        objective: Metric,
    ) -> None:
        self.study, self.recipe, self.space, self.n_trials = study, recipe, space, n_trials
        self.objective = objective
        self.store, self.emit = store, emit
        self.open: list[_OpenTrial] = []
        self.trial_of: dict[int, _OpenTrial] = {}  # by the id() of a task
        self.locks = ExitStack()

    def take(self) -> Task | None:
        """The next fold of an open trial, else the first of a new one."""
        for trial in self.open:
            task = trial.sweep.take()
            if task is not None:
                self.trial_of[id(task)] = trial
                return task
        if len(finished_trials(self.study)) + len(self.open) >= self.n_trials:
            return None
        self._open_trial()
        return self.take()

    def hear(self, task: Task, event: Event) -> None:
        """An event of a running task. Raises Pruned if its trial is pruned."""
        self.trial_of[id(task)].sweep.hear(task, event)

    def end(self, task: Task, outcome: Outcome) -> None:
        """A fold has ended, and perhaps its trial. Raises TrainingError if the recipe failed."""
        trial = self.trial_of.pop(id(task))
        trial.sweep.end(task, outcome)
        if trial.sweep.is_over:
            self.open.remove(trial)
            with trial.lock:
                self._record(trial)

    def _open_trial(self) -> None:
        lock = self.locks.enter_context(ExitStack())
        # between the proposal and its own lock the trial would look interrupted to other processes
        with self.store.lock(f"{self.study.study_name}-open", wait=True):
            proposed = self.study.ask()
            lock.enter_context(self.store.lock(trial_lock(self.study, proposed.number), wait=True))
        values = {key: values.draw(proposed, key) for key, values in self.space.items()}
        recipe = self.recipe.with_overrides(
            [_override(key, setting) for key, setting in values.items()]
        )
        one_seed = recipe.model_copy(update={"seeds": recipe.seeds[:1]})
        jobs = jobs_of([one_seed], self.study.study_name)
        is_first = not self.open and not finished_trials(self.study)
        sweep = Sweep(jobs, lambda event: self._watch(trial, event))
        trial = _OpenTrial(proposed, recipe, jobs, sweep, is_first, lock)
        self.open.append(trial)

    def _watch(self, trial: _OpenTrial, event: Event) -> None:
        """Pass on an event of a trial's run. Raises Pruned if an epoch is worse than the median."""
        if isinstance(event, RunStarted):
            number = len(finished_trials(self.study)) + self.open.index(trial) + 1
            self.emit(replace(event, number=number, total=self.n_trials))
            values = [f"{key} {rounded(trial.optuna_trial.params[key])}" for key in self.space]
            self.emit(Note(event.run, ", ".join(values)))
            return
        self.emit(event)
        if isinstance(event, EpochEnded) and len(trial.jobs) == 1:
            scores = {"log_loss": event.valid_loss, "accuracy": event.accuracy}
            score = event.score if event.metric else scores.get(self.objective.name)
            if score is None:
                return
            trial.optuna_trial.report(score, event.epoch)
            if event.epoch < trial.n_epochs and trial.optuna_trial.should_prune():
                raise Pruned(f"pruned: worse than the median trial after epoch {event.epoch}")

    def _record(self, trial: _OpenTrial) -> None:
        """Store in the study how a trial ended. Raises TrainingError."""
        from optuna.trial import TrialState

        sweep = trial.sweep
        if sweep.failures:
            reason = sweep.failures[0].reason
            trial.optuna_trial.set_user_attr("note", reason)
            self.study.tell(trial.optuna_trial, state=TrialState.FAIL)
            if trial.is_first:
                name = self.recipe.name
                raise TrainingError(f"{name}: the first trial, the recipe itself, failed: {reason}")
        elif sweep.pruned_reason:
            self.study.tell(trial.optuna_trial, state=TrialState.PRUNED)
        else:
            runs = finished_of(sweep, trial.jobs, self.store)
            scores = [_score(run, self.objective) for run in runs]
            trial.optuna_trial.set_user_attr("note", runs[0].id)
            self.study.tell(trial.optuna_trial, sum(scores) / len(scores))


def _score(run: Run, metric: Metric) -> float:
    """The score of a trial's run, NaN, a failed trial, where its rows do not define the metric."""
    stored = run.scores.score if run.data.metric else getattr(run.scores, metric.name, None)
    return run_score(run, metric).value if stored is None else float(stored)
