"""The work behind the commands as plain functions for notebooks; `import ensemble` offers them.

Nothing is printed. Functions that take a while pass their progress to `emit`, as values of
ensemble/events.py. `runs` is the folder of runs, by default ENS_RUNS or `runs`.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.argument_types import types_checked
from ensemble.errors import DamagedError, EnsembleError, SelectionError, TrainingError
from ensemble.events import Emit, Step, ignore
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import recipe_files
from ensemble.runs import Listing, Run, RunStore
from ensemble.torch_env import prepare_torch

if TYPE_CHECKING:
    from fastai.learner import Learner

    from ensemble.blending import Blend
    from ensemble.blending.compare import Difference
    from ensemble.inference import Predicted
    from ensemble.reporting.values import Report
    from ensemble.submission import Submission

__all__ = [
    "Predictions",
    "Recipe",
    "Run",
    "RunStore",
    "blend",
    "compare",
    "learner",
    "load_learner",
    "predict",
    "train",
    "report",
    "write_submission",
]


NONE_TO_REPORT = "`ens runs` lists finished and unfinished runs; `ens quickstart` trains four"
_VARIADIC = ("train", "blend", "compare", "report")  # take any number of values


@types_checked
def train(
    *recipes: Recipe | Path | str,
    overrides: Sequence[str] = (),
    runs: Path | str | None = None,
    force: bool = False,
    emit: Emit = ignore,
) -> list[Run]:
    """Train one run per recipe, seed and fold in this process; finished runs are skipped.

    A recipe is a file, a shipped one such as "recipes/digits_resnet.yaml", or a Recipe; overrides,
    such as "fit.epochs=5", apply to each. force trains finished runs again. Returns the runs, all
    folds of a seed as one. Raises EnsembleError, also where one run fails; the others are then
    finished and stored.
    """
    from ensemble.engines.local import train_all
    from ensemble.runs.job import jobs_of

    prepare_torch()
    _check_types("train", recipes, (Recipe, Path, str))
    loaded = [_load(recipe, overrides) for recipe in recipes]
    jobs = jobs_of(list(chain.from_iterable(loaded)))
    finished, failures = train_all(jobs, RunStore(runs), emit, force)
    if failures:
        raise TrainingError(f"{failures[0].run_id}: {failures[0].reason}")
    return finished


@types_checked
def learner(recipe: Recipe | Path | str, seed: int | None = None) -> "Learner":
    """The plain, untrained fastai Learner of a recipe, with everything that `ens train` would use.

    seed: the first of the recipe's seeds if None. Images are decoded on the first call. Raises
    EnsembleError.
    """
    from ensemble import learn

    return learn.learner(_load(recipe)[0], seed)


@types_checked
def load_learner(run: Run | str, *, runs: Path | str | None = None) -> "Learner":
    """The trained fastai Learner of a finished run, a Run or its id; needs the recipe's images.

    Raises EnsembleError.
    """
    from ensemble import learn

    return learn.load_learner(Run.load(run, runs) if isinstance(run, str) else run)


@types_checked
def blend(
    *members: Run | str,
    weights: str = "accuracy",
    metric: str | None = None,
    average: str = "arithmetic",
    min_acc: float = 0.0,
    per_arch: int = 0,
    max_members: int = 0,
    min_score: float | None = None,
    calibrate: bool = False,
    decision: str = "learned",
    positive: str | None = None,
    data: str | None = None,
    runs: Path | str | None = None,
) -> "Blend":
    """Choose, weigh and score members for a blend, as `ens blend` does, without writing anything.

    members are runs, or patterns of run ids and recipes such as "digits_*"; without any, all
    finished runs. The other arguments are the options of `ens blend`. Raises SelectionError,
    MetricError, MismatchError, DamagedError.
    """
    from ensemble.blending import Options, make_blend

    _check_types("blend", members, (Run, str))
    options = Options(
        min_acc, per_arch, max_members, weights, metric, average, calibrate, min_score, decision
    )
    return make_blend(_finished_runs(members, RunStore(runs)), options, data, positive)


@types_checked
def write_submission(
    blend: "Blend",
    name: str | None = None,
    *,
    folder: Path | str = "submissions",
    sample: Path | str | None = None,
    answer: str | None = None,
    positive: str | None = None,
    force: bool = False,
) -> "Submission":
    """Write a blend's test predictions as a checked CSV, and the manifest for `ens verify`.

    name: without suffix, by default the data set and a digest. sample: a sample submission in place
    of the runs' own. answer and positive: what a cell means, in place of the runs' data.answer and
    data.positive. force replaces a submission of that name. Raises SubmissionError.
    """
    from ensemble.blending import Blend
    from ensemble.submission import write_submission as write

    _check_types("write_submission", [blend], (Blend,))
    chosen = Path(sample) if sample is not None else None
    command = ["ensemble.write_submission"]
    return write(blend, Path(folder), name, force, command, chosen, answer, positive)


@types_checked
def compare(
    *sides: Run | str,
    runs: Path | str | None = None,
    metric: str | None = None,
    positive: str | None = None,
) -> "list[Difference]":
    """Paired tests between runs or recipes on the same rows, by a metric, accuracy and log loss.

    A side is a run, a run id, or a recipe: all its seeds together. Sides given by name are in the
    same folder. metric is by default the runs' data.metric, else accuracy; positive the class that
    f1 is about. Raises SelectionError, MismatchError, DamagedError, MetricError.
    """
    from ensemble.blending import compare as comparing

    _check_types("compare", sides, (Run, str))
    if not sides:
        raise SelectionError(
            "ensemble.compare: no side is given\nname two runs, recipes or patterns"
        )
    names = []
    for side in sides:
        names.append(side.id if isinstance(side, Run) else side)
        if runs is None and isinstance(side, Run):
            runs = side.folder.parent
    compared = comparing.sides(RunStore(runs), names)
    scoring, _ = comparing.scoring_of_sides(compared, metric, positive)
    return comparing.compare(compared, scoring)


@types_checked
def predict(
    images: Path | str | Sequence[Path | str],
    by: "Run | Blend | Path | str",
    out: Path | str,
    *,
    sample: Path | str | None = None,
    rows: Path | str | None = None,
    answer: str | None = None,
    positive: str | None = None,
    force: bool = False,
    runs: Path | str | None = None,
    emit: Emit = ignore,
) -> "Predicted":
    """Predict any images with a run or a blend; the CSV has an id and a column for every class.

    images: a folder, image files, or a .txt that lists them. by: a Run, a Blend, or a stored blend
    by its name, its CSV or its manifest. sample: write what this sample submission asks for instead;
    rows: a table of images and the sample's ids, where these are about several images each; answer
    and positive: what its cells mean. force replaces the CSV. Raises EnsembleError.
    """
    from ensemble import inference
    from ensemble.blending import Blend

    prepare_torch()
    _check_types("predict", [by], (Run, Blend, Path, str))
    if sample is None and (answer or positive or rows):
        raise EnsembleError("rows, answer and positive are about a sample: add sample")
    paths = [images] if isinstance(images, str | Path) else images
    if isinstance(by, Run):
        predictor = inference.Predictor.of_run(by)
    elif isinstance(by, str | Path):
        predictor = inference.Predictor.of_submission(Path(by), RunStore(runs))
    else:
        predictor = inference.Predictor.of_blend(by)
    sample = Path(sample) if sample is not None else None
    meaning = predictor.meaning(answer, positive) if sample is not None else None
    inputs = list(map(Path, paths))
    of_rows = Path(rows) if rows is not None else None
    return inference.predict(inputs, predictor, Path(out), emit, sample, force, meaning, of_rows)


@types_checked
def report(
    path: Path | str = "report.html",
    *patterns: str,
    runs: Path | str | None = None,
    submissions: Path | str = "submissions",
    explain: bool = False,
    emit: Emit = ignore,
) -> Path:
    """Write one HTML page about the runs: scores with intervals, the blend, mistakes, images.

    patterns limit it to runs of these ids or recipes; the newest submission says how to blend.
    explain shows where a network looks in the most confident mistakes. Raises EnsembleError.
    """
    from ensemble.reporting.page import check_page

    _check_types("report", patterns, (str,))
    path = Path(path)
    check_page(path)
    store = RunStore(runs)
    listing = store.all(patterns, check=True)
    if not listing.runs:
        raise SelectionError(f"{store.none_found(patterns)}\n{NONE_TO_REPORT}")
    write_page(path, listing, Path(submissions), explain, emit)
    return path


def write_page(
    path: Path, listing: Listing, submissions: Path, explain: bool, emit: Emit
) -> "Report":
    """Write the page about listed runs, and return what it shows. Raises EnsembleError."""
    from ensemble.heat_maps import RunHeatMaps
    from ensemble.reporting.collect import collect
    from ensemble.reporting.page import write_report
    from ensemble.submission.stored_blends import newest_blends

    def progress(name: str, done: int, total: int) -> None:
        emit(Step(name, "reading images", done, total))

    heat_maps = RunHeatMaps if explain else None
    collected = collect(listing, newest_blends(submissions), progress, heat_maps)
    write_report(collected, path)
    return collected


def _check_types(function: str, values: Sequence[object], allowed: tuple[type, ...]) -> None:
    """Raises EnsembleError for the first value of another type, and says how to give a list."""
    for value in values:
        if isinstance(value, allowed):
            continue
        names = ", ".join(kind.__name__ for kind in allowed)
        advice = f"ensemble.{function} takes {names}"
        if function in _VARIADIC and isinstance(value, list | tuple | set):
            advice += f"; each value of a list: ensemble.{function}(*values)"
        raise EnsembleError(f"ensemble.{function}: {type(value).__name__} is given\n{advice}")


def _load(recipe: Recipe | Path | str, overrides: Sequence[str] = ()) -> list[Recipe]:
    """The recipe, or all that a name with `*` or `?` matches. Raises RecipeError."""
    if isinstance(recipe, Recipe):
        return [recipe.with_overrides(overrides)]
    return [Recipe.load(path, overrides) for path in recipe_files(Path(recipe))]


def _finished_runs(members: Sequence[Run | str], store: RunStore) -> list[Run]:
    """Each run that is a member or matches a pattern. Raises SelectionError, DamagedError."""
    runs = {member.id: member for member in members if isinstance(member, Run)}
    patterns = [member for member in members if isinstance(member, str)]
    if patterns or not members:
        listing = store.all(patterns)
        if listing.damaged:
            raise DamagedError(listing.damaged[0].reason)
        runs |= {run.id: run for run in listing.runs}
    if not runs:
        raise SelectionError(store.none_found(patterns))
    return list(runs.values())
