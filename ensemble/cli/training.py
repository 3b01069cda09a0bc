"""Train, and what helps to train well."""

import shlex
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.options import (
    SUBMISSIONS,
    Address,
    Engine,
    Hours,
    Jobs,
    Json,
    OneRecipe,
    Out,
    Runs,
    Set,
    Track,
    engine_options,
    one_present_or_shipped,
    present_or_shipped,
    repeated,
    same,
)
from ensemble.cli.report import Page, write_page
from ensemble.errors import EnsembleError

if TYPE_CHECKING:
    from ensemble.engines.jobs import Failure
    from ensemble.recipe import Recipe
    from ensemble.runs import RunStore
    from ensemble.runs.job import Job

TIME_IS_UP = 124  # exit status, as that of `timeout`


def quickstart(runs: Runs = None, out: Out = SUBMISSIONS, page: Page = Path("report.html")) -> None:
    """Train a small ensemble on scikit-learn's digits, blend it, write a CSV and a report.

    Needs no download and no GPU.
    """
    from ensemble import display
    from ensemble.display import blends, live
    from ensemble.quickstart import run_quickstart
    from ensemble.reporting.page import check_page
    from ensemble.runs import RunStore

    check_page(page)
    with live.progress() as emit:
        quick = run_quickstart(RunStore(runs), out, emit)
    display.show_runs(quick.runs)
    blends.show_blend(quick.blend)
    blends.show_submission(quick.submission)
    seconds = sum(run.total_seconds for run in quick.runs)
    display.say(f"training took {display.minutes(seconds)}, including range tests")
    assert quick.blend.test is not None  # the digits' test set is labeled
    for note in write_page(page, out, runs, [run.id for run in quick.runs]):
        display.say(note)
    display.say(blends.sentence(quick.blend.test, "test digits"))
    display.say(f"report: {page}, open it in a browser")
    more = "--set fit.epochs=12 --set 'seeds=[1, 2]'"
    display.next_commands(
        f"ens verify {shlex.quote(str(quick.submission.path))}{same(runs)}",
        f"ens train recipes/digits_resnet.yaml {more}{same(runs)}",
        f"ens blend 'digits_*' --min-acc 0.95{same(runs)}",
    )


def train(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE", help="recipe files")],
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="train finished runs again")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only estimate time, memory and disk")
    ] = False,
    runs: Runs = None,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
    hours: Hours = None,
    track: Track = None,
    json: Json = False,
) -> None:
    """Train one run per recipe, seed and fold; skip finished runs, resume interrupted ones."""
    from ensemble import display
    from ensemble.display import live, results
    from ensemble.engines.choose import engine_of, n_unfinished
    from ensemble.engines.deadline import Deadline
    from ensemble.engines.local import train_all
    from ensemble.runs import RunStore
    from ensemble.runs.job import jobs_of
    from ensemble.signals import stoppable
    from ensemble.tracking import check_installed, tracked, viewers

    deadline = Deadline(hours) if hours is not None else None
    check_installed(track or ())
    loaded = _load(recipes, set_ or ())
    planned, store = jobs_of(loaded), RunStore(runs)
    n_tasks = n_unfinished(planned, store, force)
    chosen_engine = engine_of(loaded, n_tasks, engine, jobs, address)
    paths = " ".join(shlex.quote(str(path)) for path in recipes)
    options = repeated("--set", set_) + " --force" * force + same(runs) + repeated("--track", track)
    same_command = f"ens train {paths}{options}{engine_options(engine, jobs, address)}"
    if dry_run:
        _estimate(planned, store, force, json)
        if not json:
            display.next_commands(same_command)
        return
    with (
        live.listener() as show,
        tracked(track or (), planned, store, show) as listen,
        stoppable(listen) as emit,
    ):
        finished, failures = train_all(planned, store, emit, force, chosen_engine, deadline)
    left = list(deadline.left) if deadline else []
    if json:
        display.show_json(results.training_json(finished, failures, left))
    else:
        display.show_runs(finished)
        display.show_curves(finished)
    if left:
        display.show_left(left, len(planned), f"--hours {hours:g}")
    _check(failures, len(planned), store)
    if left:
        display.next_commands(f"{same_command} --hours {hours:g}")
        raise typer.Exit(TIME_IS_UP)
    if json:
        return
    next_command = "ens blend --weights best" if len(finished) > 1 else "ens runs"
    display.next_commands(f"{next_command}{same(runs)}", *viewers(track or (), store))


def _load(recipes: Sequence[Path], overrides: Sequence[str]) -> "list[Recipe]":
    """The recipes of these paths, without bases, which a shell's pattern may match too."""
    from ensemble.recipe import Recipe
    from ensemble.recipe.shipped import BASE

    files = [file for path in recipes for file in present_or_shipped(path)]
    files = [file for file in files if not file.name.endswith(BASE)]
    if not files:
        raise EnsembleError(
            f"{recipes[0]}: a base file is shared by several recipes; train a recipe that uses it"
        )
    return [Recipe.load(file, overrides) for file in files]


def _check(failures: "Sequence[Failure]", n_jobs: int, store: "RunStore") -> None:
    """Show why runs failed. Raises EnsembleError if any did, with the reason if all share it."""
    from ensemble import display

    if not failures:
        return
    reasons = {failure.reason for failure in failures}
    if len(failures) == n_jobs and len(reasons) == 1:
        raise EnsembleError(failures[0].reason)
    display.show_failures(failures)
    if len(failures) == n_jobs:
        raise EnsembleError(f"all {n_jobs} runs failed, for the reasons above")
    raise EnsembleError(
        f"{len(failures)} of {n_jobs} runs failed; "
        f"the others are finished and stored in {store.root}"
    )


def _estimate(jobs: "list[Job]", store: "RunStore", force: bool, json: bool) -> None:
    """Show what the jobs would cost. Raises EnsembleError if an estimate fails."""
    from ensemble import display
    from ensemble.display import live, results
    from ensemble.engines.local import costs_of

    with live.progress() as emit:
        costs, failures = costs_of(jobs, store, emit, force)
    if json:
        display.show_json(results.costs_json(costs, failures))
    if failures and not costs:
        raise EnsembleError(failures[0].reason)
    if not json:
        display.show_costs(costs)
    if failures:
        display.show_failures(failures)
        raise EnsembleError(f"{len(failures)} of {len(jobs)} runs could not be estimated")


def lr_find(
    recipe: OneRecipe,
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="folder of the PNG and CSV (lr_find/NAME)"),
    ] = None,
    json: Json = False,
) -> None:
    """Run only the range test: its curve, every rule's suggestion, the chosen rate and why."""
    from ensemble import display
    from ensemble.display import live, results
    from ensemble.engines.local import find_rate
    from ensemble.files import PNG_MARK, check_replaceable
    from ensemble.recipe import Recipe

    loaded = Recipe.load(one_present_or_shipped(recipe), set_ or ())
    folder = out or Path("lr_find") / loaded.name
    if out:
        check_replaceable(folder / "lr_find.csv", b"rate,smoothed_loss\n")
        check_replaceable(folder / "lr_find.png", PNG_MARK)
    with live.progress() as emit:
        range_test = find_rate(loaded, folder, emit)
    if json:
        display.show_json(results.range_test_json(range_test, folder))
        return
    display.show_range_test(range_test)
    display.say(f"curve: {folder / 'lr_find.png'}, {folder / 'lr_find.csv'}")
    options = f"{repeated('--set', set_)} --set fit.lr={range_test.chosen:.2g}"
    display.next_commands(f"ens train {shlex.quote(str(recipe))}{options}")


def tune(
    recipe: OneRecipe,
    trials: Annotated[
        int, typer.Option(min=1, help="number of trials, those of earlier commands included")
    ] = 20,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary", metavar="KEY=VALUES", help="values to search: LOW..HIGH or A,B,C; repeatable"
        ),
    ] = None,
    set_: Set = None,
    runs: Runs = None,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Search hyperparameters; every trial is a run, and the same command resumes a search."""
    from ensemble import display
    from ensemble.display import live, results
    from ensemble.engines.choose import engine_of
    from ensemble.engines.tune import tune as run_search
    from ensemble.recipe import Recipe
    from ensemble.runs import RunStore

    loaded = Recipe.load(one_present_or_shipped(recipe), set_ or ())
    chosen_engine = engine_of([loaded], trials, engine, jobs, address)
    with live.progress() as emit:
        search = run_search(loaded, trials, vary or (), RunStore(runs), emit, chosen_engine)
    if json:
        display.show_json(results.search_json(search))
        return
    display.show_search(search)
    path, options = shlex.quote(str(recipe)), f"{repeated('--set', set_)}{same(runs)}"
    more_trials = f"--trials {2 * trials}{repeated('--vary', vary)}{options}"
    resume = f"ens tune {path} {more_trials}{engine_options(engine, jobs, address)}"
    if search.best is None:
        display.next_commands(resume)
        return
    best = repeated(
        "--set", [f"{key}={dumps(setting)}" for key, setting in search.best.values.items()]
    )
    display.next_commands(
        f"ens blend {shlex.quote(recipe.stem)}{same(runs)}",
        f"ens train {path}{options}{best}",
        resume,
    )
