"""The stored trials of a hyper-parameter search: one Optuna study in one SQLite file per search."""

import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ensemble.engines.local import DataSets
from ensemble.errors import EnsembleError
from ensemble.events import Emit
from ensemble.files import make_folder
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FOLDER = ".searches"
Direction = Literal["minimize", "maximize"]


def require_optuna() -> None:
    """Raise EnsembleError if Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise EnsembleError(
            "`ens tune` needs Optuna, which is not installed\npip install 'optuna>=4.0'"
        ) from None


def open_study(name: str, recipe: Recipe, store: RunStore, is_higher_better: bool) -> "Study":
    """The stored study of this name, or a new one. Raises EnsembleError."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction: Direction = "maximize" if is_higher_better else "minimize"
    study = open_database(make_folder(store.root / FOLDER) / f"{name}.db", name, direction)
    # a resumed sampler with the first one's seed would propose the same values again
    seed = recipe.seeds[0] + len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return study


def open_database(database: Path, name: str, direction: Direction) -> "Study":
    """The study in a file, or a new one; reads every stored trial once. Raises EnsembleError."""
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
    """Raise EnsembleError if SQLite finds a stored study damaged."""
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
        "move the file away and run the same command to start the search again\n"
        "its finished trials stay, as runs (`ens runs`)"
    )


def center_rate(study: "Study", recipe: Recipe, store: RunStore, emit: Emit) -> float:
    """The rate that a search varies: the recipe's, else that of one range test per search.

    Raises EnsembleError.
    """
    if isinstance(recipe.fit.lr, float):
        return recipe.fit.lr
    rate = study.user_attrs.get("rate")
    if rate is None:
        from ensemble.learn.train import find_lr

        job = Job(recipe, recipe.seeds[0])
        rate = find_lr(job, DataSets().of(job, store), emit).chosen
        study.set_user_attr("rate", rate)
    if not (isinstance(rate, float) and rate > 0 and math.isfinite(rate)):
        database = Path(FOLDER) / f"{study.study_name}.db"
        raise EnsembleError(_damaged_text(database, f"its rate is {str(rate)[:40]!r}"))
    return rate


def queue_interrupted_trials(study: "Study", store: RunStore) -> None:
    """Queue the values of trials whose process has ended, as their free locks show."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        with store.lock(trial_lock(study, trial.number), wait=False) as is_free:
            if is_free:
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def trial_lock(study: "Study", number: int) -> str:
    """The name of the lock that a process holds while it trains this trial."""
    return f"{study.study_name}-t{number}"


def finished_trials(study: "Study") -> "list[FrozenTrial]":
    """Trials that have ended, without the interrupted ones that were queued again."""
    trials = study.get_trials(deepcopy=False)
    interrupted = {trial.user_attrs["again"] for trial in trials if "again" in trial.user_attrs}
    return [
        trial for trial in trials if trial.state.is_finished() and trial.number not in interrupted
    ]
