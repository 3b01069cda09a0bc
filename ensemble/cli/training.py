"""Train, and what helps to train well."""

import shlex
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.options import (
    Address,
    Engine,
    Jobs,
    OneRecipe,
    Out,
    Runs,
    Set,
    one_present_or_shipped,
    placed,
    present_or_shipped,
    said,
    same,
)
from ensemble.cli.report import Page, check_page, write_page
from ensemble.errors import EnsembleError

if TYPE_CHECKING:
    from ensemble.runs import RunStore
    from ensemble.runs.job import Job


def quickstart(
    runs: Runs = None, out: Out = Path("submissions"), page: Page = Path("report.html")
) -> None:
    """Train a small ensemble on scikit-learn's digits, blend it, write a CSV and a report: no download, no GPU."""
    from ensemble import display
    from ensemble.display import blends, live
    from ensemble.quickstart import run_quickstart
    from ensemble.runs import RunStore
    from ensemble.signals import stoppable

    check_page(page)
    with live.progress() as show, stoppable(show) as emit:
        made = run_quickstart(RunStore(runs), out, emit)
    display.show_runs(made.runs)
    blends.show_blend(made.blend)
    blends.show_submission(made.submission)
    seconds = sum(run.total_seconds for run in made.runs)
    display.say(f"training took {display.minutes(seconds)}, range tests included")
    assert made.blend.test is not None  # the digits' test set is labelled
    write_page(page, out, runs, [run.id for run in made.runs])
    display.say(blends.sentence(made.blend.test, "test digits"))
    display.say(f"report: {page}, open it in a browser")
    display.next_commands(
        f"ens verify {shlex.quote(str(made.submission.path))}{same(runs)}",
        f"ens train recipes/digits_resnet.yaml --set fit.epochs=12 --set 'seeds=[1, 2]'{same(runs)}",
        f"ens blend 'digits_*' --min-acc 0.95{same(runs)}",
    )


def train(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE", help="recipe files")],
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="train again what is finished")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only reckon what it would cost")
    ] = False,
    runs: Runs = None,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
) -> None:
    """Train one run per recipe, seed and fold; finished runs are skipped, interrupted ones go on."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.choose import EngineOptions, n_unfinished
    from ensemble.engines.local import train_all
    from ensemble.recipe import Recipe
    from ensemble.runs import RunStore
    from ensemble.runs.job import jobs_of
    from ensemble.signals import stoppable

    files = [file for path in recipes for file in present_or_shipped(path)]
    paths = [
        path for path in files if not path.name.endswith(".base.yaml")
    ]  # a glob finds the bases too
    if not paths:
        raise EnsembleError(
            f"{recipes[0]}: a base holds what several recipes share; train one that names it"
        )
    described = [Recipe.load(path, tuple(set_ or ())) for path in paths]
    wanted, store = jobs_of(described), RunStore(runs)
    chosen = EngineOptions(engine, jobs, address).engine(
        described, n_unfinished(wanted, store, force)
    )
    if dry_run:
        _reckon(wanted, store, force)
        named = " ".join(shlex.quote(str(path)) for path in recipes)
        again = " --force" * force + same(runs) + placed(engine, jobs, address)
        display.next_commands(f"ens train {named}{said('--set', set_)}{again}")
        return
    with live.progress() as show, stoppable(show) as emit:
        finished, failures = train_all(wanted, store, emit, force, chosen)
    display.show_runs(finished)
    display.show_curves(finished)
    if len(failures) == len(wanted) and len({failure.reason for failure in failures}) == 1:
        raise EnsembleError(failures[0].reason)
    if failures:
        display.show_failures(failures)
        raise EnsembleError(
            f"{len(failures)} of {len(wanted)} runs failed; the others are finished and stored in {store.root}"
        )
    display.next_commands(
        f"ens blend --weights best{same(runs)}" if len(finished) > 1 else f"ens runs{same(runs)}"
    )


def _reckon(wanted: "list[Job]", store: "RunStore", force: bool) -> None:
    """What the jobs would cost. Raises EnsembleError where some cannot be reckoned."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.local import costs_of
    from ensemble.signals import stoppable

    with live.progress() as show, stoppable(show) as emit:
        costs, failures = costs_of(wanted, store, emit, force)
    if failures and not costs:
        raise EnsembleError(failures[0].reason)
    display.show_costs(costs)
    if failures:
        display.show_failures(failures)
        raise EnsembleError(f"{len(failures)} of {len(wanted)} runs could not be reckoned")


def lr_find(
    recipe: OneRecipe,
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="where PNG and CSV go (lr_find/NAME)"),
    ] = None,
) -> None:
    """The range test alone: the curve, every rule's suggestion, the choice and why."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.local import find_rate
    from ensemble.files import PNG_MARK, check_replaceable
    from ensemble.recipe import Recipe
    from ensemble.signals import stoppable

    file = one_present_or_shipped(recipe)
    described = Recipe.load(file, tuple(set_ or ()))
    folder = out or Path("lr_find") / described.name
    if out:
        check_replaceable(folder / "lr_find.csv", b"rate,smoothed_loss\n")
        check_replaceable(folder / "lr_find.png", PNG_MARK)
    with live.progress() as show, stoppable(show) as emit:
        found = find_rate(described, folder, emit)
    display.show_range_test(found)
    display.say(f"curve: {folder / 'lr_find.png'}, {folder / 'lr_find.csv'}")
    display.next_commands(
        f"ens train {shlex.quote(str(recipe))}{said('--set', set_)} --set fit.lr={found.chosen:.2g}"
    )


def tune(
    recipe: OneRecipe,
    trials: Annotated[
        int, typer.Option(min=1, help="how many trials the search shall have in all")
    ] = 20,
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="KEY=VALUES", help="LOW..HIGH or A,B,C; repeatable"),
    ] = None,
    set_: Set = None,
    runs: Runs = None,
    engine: Engine = "local",
    jobs: Jobs = None,
    address: Address = None,
) -> None:
    """Search hyper-parameters; every trial is a run, and the same command goes on after an interruption."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.choose import EngineOptions
    from ensemble.engines.tune import tune as search_for
    from ensemble.recipe import Recipe
    from ensemble.runs import RunStore
    from ensemble.signals import stoppable

    file = one_present_or_shipped(recipe)
    described = Recipe.load(file, tuple(set_ or ()))
    chosen = EngineOptions(engine, jobs, address).engine([described], trials)
    with live.progress() as show, stoppable(show) as emit:
        search = search_for(described, trials, vary or (), RunStore(runs), emit, chosen)
    display.show_search(search)
    given = f"{said('--set', set_)}{same(runs)}"
    more = f"--trials {2 * trials}{said('--vary', vary)}{given}{placed(engine, jobs, address)}"
    again = f"ens tune {shlex.quote(str(recipe))} {more}"
    if search.best is None:
        display.next_commands(again)
        return
    best = " ".join(
        f"--set {shlex.quote(f'{key}={dumps(value)}')}" for key, value in search.best.values.items()
    )
    display.next_commands(
        f"ens blend {shlex.quote(recipe.stem)}{same(runs)}",
        f"ens train {shlex.quote(str(recipe))}{given} {best}",
        again,
    )
