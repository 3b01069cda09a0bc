"""The commands: parse, call one function, show. Heavy imports wait for the command that needs them."""

import shlex
import sys
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from ensemble.errors import DamagedError, EnsembleError, SelectionError, Stopped

app = typer.Typer(
    name="ens", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="From a YAML recipe to an honest ensemble and a checked submission.",
)  # fmt: skip

data = typer.Typer(no_args_is_help=True, help="Get image sets, and see which are here.")
app.add_typer(data, name="data")

Runs = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="where runs are stored (ENS_RUNS, else runs)")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="where submissions go")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a recipe key, dotted; repeatable")
]
Recipes = Annotated[list[Path], typer.Argument(metavar="RECIPE", help="recipe files")]
Patterns = Annotated[list[str] | None, typer.Argument(metavar="PATTERN", help="run ids or recipes, with * and ?")]
Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout")]


_SKIP = "`ens train RECIPE --force` makes it anew; --skip-damaged blends without damaged runs"


@app.command()
def quickstart(runs: Runs = None, out: Out = Path("submissions")) -> None:
    """Train a small ensemble on scikit-learn's digits, blend it, write a CSV: no download, no GPU."""
    from ensemble import display
    from ensemble.display import blends, live
    from ensemble.engines.stopping import stoppable
    from ensemble.quickstart import run_quickstart
    from ensemble.runs import RunStore

    with live.progress() as show, stoppable(show) as emit:
        made = run_quickstart(RunStore(runs), out, emit)
    display.show_runs(made.runs)
    blends.show_blend(made.blend)
    blends.show_submission(made.submission)
    seconds = sum(run.total_seconds for run in made.runs)
    display.say(f"training took {display.minutes(seconds)}, range tests included")
    assert made.blend.test is not None  # the digits' test set is labelled
    display.say(blends.sentence(made.blend.test, "test digits"))
    display.next_commands(
        f"ens verify {shlex.quote(str(made.submission.path))}{_same(runs)}",
        f"ens train recipes/digits_resnet.yaml --set fit.epochs=12 --set 'seeds=[1, 2]'{_same(runs)}",
        f"ens blend 'digits_*' --min-acc 0.95{_same(runs)}",
    )


@app.command("init")
def init_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="a folder of images or an archive")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="what the recipes are called (the folder)")] = None,
) -> None:
    """Look at a folder or archive, say what it found, and write recipes for it."""
    from ensemble import display
    from ensemble.display import starts
    from ensemble.init import start

    started = start(path, name, Path("recipes"))
    starts.show_start(started)
    stem = str(started.files[0]).removesuffix(".base.yaml")
    display.next_commands(f"ens inspect {started.files[2]}", f"ens train {stem}_*.yaml && ens blend")


@data.command("list")
def list_data(json: Json = False) -> None:
    """The sets that `ens data get` knows, and which of them are on this machine."""
    from ensemble import display
    from ensemble.dataset.download import datasets
    from ensemble.display import starts

    listed = datasets()
    if json:
        display.show_json([asdict(one) for one in listed])
        return
    starts.show_datasets(listed)
    missing = [one.name for one in listed if one.n_found < one.n_images]
    display.next_commands(f"ens data get {missing[0]}" if missing else "ens train RECIPE")


@data.command("get")
def get_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="cifar10, flowers102, hymenoptera or kaggle:<slug>")],
    given: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="an archive, or a folder of files, already here")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="where it goes (ENS_DATA, else here)")] = None,
) -> None:
    """Download a set, check it, and lay it out as the recipes expect; what is there stays as it is."""
    from ensemble import display
    from ensemble.dataset.download import get, source_named
    from ensemble.display import live
    from ensemble.engines.stopping import stoppable

    source = source_named(name)
    with live.progress() as show, stoppable(show) as emit:
        got = get(source, given, to, emit)
    display.say(f"{got.folder}: {got.n_images:,} images" + (", there already" if got.was_there else ""))
    elsewhere = f" --set {shlex.quote(f'data.path={got.folder}')}" if to else ""
    recipe = f"ens train {source.recipe}{elsewhere}" if source.recipe else f"ens init {shlex.quote(str(got.folder))}"
    display.next_commands(recipe)


@app.command()
def train(
    recipes: Recipes,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="train again what is finished")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only reckon what it would cost")] = False,
    runs: Runs = None,
) -> None:
    """Train one run per recipe, seed and fold; finished runs are skipped, interrupted ones go on."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.local import costs_of, jobs_of, train_all
    from ensemble.engines.stopping import stoppable
    from ensemble.recipe import Recipe
    from ensemble.runs import RunStore

    paths = [path for path in recipes if not path.name.endswith(".base.yaml")]  # a glob finds the bases too
    if not paths:
        raise EnsembleError(f"{recipes[0]}: a base holds what several recipes share; train one that names it")
    jobs = jobs_of([Recipe.load(path, tuple(set_ or ())) for path in paths])
    store = RunStore(runs)
    if dry_run:
        with live.progress() as show, stoppable(show) as emit:
            costs, failures = costs_of(jobs, store, emit)
        if failures and not costs:
            raise EnsembleError(failures[0].reason)
        display.show_costs(costs)
        if failures:
            display.show_failures(failures)
        display.next_commands(
            f"ens train {' '.join(shlex.quote(str(path)) for path in recipes)}{_said('--set', set_)}{_same(runs)}"
        )
        return
    with live.progress() as show, stoppable(show) as emit:
        finished, failures = train_all(jobs, store, emit, force)
    display.show_runs(finished)
    if len(failures) == len(jobs) and len({failure.reason for failure in failures}) == 1:
        raise EnsembleError(failures[0].reason)
    if failures:
        display.show_failures(failures)
        raise EnsembleError(
            f"{len(failures)} of {len(jobs)} runs failed; the others are finished and stored in {store.root}"
        )
    display.next_commands(f"ens blend{_same(runs)}" if len(finished) > 1 else f"ens runs{_same(runs)}")


@app.command("lr-find")
def lr_find(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")],
    set_: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where PNG and CSV go (lr_find/NAME)")
    ] = None,
) -> None:
    """The range test alone: the curve, every rule's suggestion, the choice and why."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.local import find_rate
    from ensemble.engines.stopping import stoppable
    from ensemble.recipe import Recipe

    described = Recipe.load(recipe, tuple(set_ or ()))
    folder = out or Path("lr_find") / described.name
    with live.progress() as show, stoppable(show) as emit:
        found = find_rate(described, folder, emit)
    display.show_range_test(found)
    display.say(f"curve: {folder / 'lr_find.png'}, {folder / 'lr_find.csv'}")
    display.next_commands(f"ens train {shlex.quote(str(recipe))}{_said('--set', set_)} --set fit.lr={found.chosen:.2g}")


@app.command()
def tune(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")],
    trials: Annotated[int, typer.Option(min=1, help="how many trials the search shall have in all")] = 20,
    vary: Annotated[
        list[str] | None, typer.Option("--vary", metavar="KEY=VALUES", help="LOW..HIGH or A,B,C; repeatable")
    ] = None,
    set_: Set = None,
    runs: Runs = None,
) -> None:
    """Search hyper-parameters; every trial is a run, and the same command goes on after an interruption."""
    from ensemble import display
    from ensemble.display import live
    from ensemble.engines.stopping import stoppable
    from ensemble.engines.tune import tune as search_for
    from ensemble.runs import RunStore

    with live.progress() as show, stoppable(show) as emit:
        search = search_for(recipe, trials, vary or (), tuple(set_ or ()), RunStore(runs), emit)
    display.show_search(search)
    given = f"{_said('--set', set_)}{_same(runs)}"
    again = f"ens tune {shlex.quote(str(recipe))} --trials {2 * trials}{_said('--vary', vary)}{given}"
    if search.best is None:
        display.next_commands(again)
        return
    said = " ".join(f"--set {shlex.quote(f'{key}={dumps(value)}')}" for key, value in search.best.values.items())
    display.next_commands(
        f"ens blend {shlex.quote(recipe.stem)}{_same(runs)}",
        f"ens train {shlex.quote(str(recipe))}{given} {said}",
        again,
    )


@app.command()
def inspect(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")],
    set_: Set = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="where the PNGs go (inspect/NAME)")] = None,
    json: Json = False,
) -> None:
    """The data: counts, sizes, odd and unreadable files, copies within and across the parts, a sample of each class."""
    from ensemble import display
    from ensemble.dataset.audit import audit
    from ensemble.dataset.load import load
    from ensemble.display import audits, live
    from ensemble.engines.stopping import stoppable
    from ensemble.events import Step
    from ensemble.recipe import Recipe
    from ensemble.report.inspect import save_counts, save_samples

    described = Recipe.load(recipe, tuple(set_ or ()))
    folder = out or Path("inspect") / described.name
    images = load(described.data)
    with live.progress() as show, stoppable(show) as emit:
        found = audit(images, lambda done, total: emit(Step(described.name, "decoding", done, total)))
    save_counts(found, folder / "classes.png")
    save_samples(images.train, folder / "samples.png")
    if json:
        display.show_json(audits.audit_json(found))
        return
    audits.show_audit(found)
    display.say(f"pictures: {folder / 'classes.png'}, {folder / 'samples.png'}")
    display.next_commands(f"ens train {shlex.quote(str(recipe))}{_said('--set', set_)}")


@app.command("runs")
def list_runs(
    patterns: Patterns = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="also precision, recall and F1 of each class")] = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """The leaderboard: one table per data set, with the majority-class line."""
    from ensemble import display
    from ensemble.runs import RunStore

    store = RunStore(runs)
    found = store.all(patterns or (), check=True)
    finished = found.runs
    if json:
        classes = [{"per_class": [asdict(one) for one in run.per_class()]} if per_class else {} for run in finished]
        display.show_json([run.model_dump(mode="json") | own for run, own in zip(finished, classes, strict=True)])
        return
    display.show_runs(finished, found.damaged, found.incomplete)
    for run in finished if per_class else ():
        display.show_per_class(run)
    if finished:
        display.next_commands(f"ens blend{_same(runs)}")
    else:
        display.say(f"no finished run in {store.root}" + (f" matches {' '.join(patterns)}" if patterns else ""))
        display.next_commands("ens quickstart", "ens train recipes/digits_resnet.yaml")


@app.command()
def blend(
    patterns: Patterns = None,
    min_acc: Annotated[float, typer.Option(min=0, max=1, help="validation accuracy that a run must reach")] = 0.0,
    per_arch: Annotated[int, typer.Option(min=0, help="also keep the best N runs of every architecture")] = 0,
    max_members: Annotated[int, typer.Option(min=0, help="at most the best N of these; 0 for all")] = 0,
    weights: Annotated[str, typer.Option(help="accuracy, equal, logodds, greedy, logloss or best")] = "accuracy",
    metric: Annotated[str, typer.Option(help="what is searched for and judged: accuracy or log_loss")] = "accuracy",
    average: Annotated[str, typer.Option(help="arithmetic or geometric means")] = "arithmetic",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="apply the temperature and floor that are shown")
    ] = False,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="which data set, where runs are on several")] = None,
    skip_damaged: Annotated[bool, typer.Option("--skip-damaged", help="blend without damaged runs")] = False,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="file name of the submission")] = None,
    out: Out = Path("submissions"),
    force: Annotated[bool, typer.Option("--force", help="replace a submission of the same name")] = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Blend finished runs, say honestly how good the blend is, and write a checked submission."""
    from ensemble import display
    from ensemble.blending import Options, make_blend
    from ensemble.display import blends
    from ensemble.runs import RunStore
    from ensemble.submission import write_submission

    store = RunStore(runs)
    found = store.all(patterns or (), check=skip_damaged)
    finished = found.runs
    if found.damaged and not skip_damaged:
        raise DamagedError(f"{found.damaged[0].reason}\n{_SKIP}")
    display.warn_left_out(found)
    if not finished:
        asked = f" matches {' '.join(patterns)}" if patterns else ""
        raise SelectionError(
            f"no finished run in {store.root}{asked}\n`ens runs` lists them; `ens train RECIPE` makes one"
        )
    try:
        made = make_blend(finished, Options(min_acc, per_arch, max_members, weights, metric, average, calibrate), data)
    except DamagedError as error:
        raise DamagedError(f"{error}\n{_SKIP}") from None
    command = ["ens", *sys.argv[1:]]
    submission = write_submission(made, out, name, force, command) if made.predictions is not None else None
    if json:
        display.show_json(blends.blend_json(made, submission))
        return
    blends.show_blend(made)
    if submission is None:
        display.say("no test set, so no submission: set data.test in the recipes to get one")
        display.next_commands(f"ens runs{_same(runs)}")
        return
    blends.show_submission(submission)
    if made.test is not None:
        display.say(blends.sentence(made.test, "test images"))
    display.next_commands(f"ens verify {shlex.quote(str(submission.path))}{_same(runs)}")


@app.command()
def compare(
    sides: Annotated[list[str], typer.Argument(metavar="A B...", help="run ids, recipes, or patterns of them")],
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Paired tests between runs or recipes: better, worse, or not distinguishable."""
    from ensemble import display
    from ensemble.blending import compare as comparing
    from ensemble.display import blends
    from ensemble.runs import RunStore

    compared = comparing.sides(RunStore(runs), sides)
    found = comparing.compare(compared)
    if json:
        display.show_json([difference.as_dict() for difference in found])
        return
    blends.show_differences(found)
    display.next_commands(f"ens blend{_same(runs)}")


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(metavar="NAME", help="what the run is called, in place of a recipe")],
    arch: Annotated[str, typer.Option(help="the architecture, for --per-arch and the tables")],
    valid: Annotated[Path, typer.Option(metavar="FILE", help="CSV (id, one column per class, perhaps label) or .npz")],
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="the same for the test images")] = None,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="the data set, where rows are not known yet")] = None,
    runs: Runs = None,
) -> None:
    """Make a run of predictions from elsewhere, so that they can join a blend."""
    from ensemble import display
    from ensemble.engines.outside import import_run
    from ensemble.runs import RunStore

    display.show_runs([import_run(name, arch, valid, test, RunStore(runs), data)])
    display.next_commands(f"ens blend{_same(runs)}")


@app.command()
def verify(
    submission: Annotated[Path, typer.Argument(metavar="SUBMISSION.csv", help="a CSV that `ens blend` wrote")],
    runs: Runs = None,
) -> None:
    """Derive a submission again from the stored predictions and compare the bytes."""
    from ensemble import display
    from ensemble.runs import RunStore
    from ensemble.submission import verify as verify_submission

    n_members = verify_submission(submission, RunStore(runs))
    display.say(f"{submission}: the same bytes again from {n_members} members")
    display.next_commands(f"ens runs{_same(runs)}")


def _said(option: str, values: list[str] | None) -> str:
    """` --set KEY=VALUE` for each that was given: the next command must mean the same."""
    return "".join(f" {option} {shlex.quote(value)}" for value in values or ())


def _same(runs: Path | None) -> str:
    """` --runs DIR` where it was given: the next command must find the same runs."""
    return f" --runs {shlex.quote(str(runs))}" if runs else ""


def main() -> None:
    """Run a command; a problem the user can mend is told in at most three lines and exits with 1."""
    try:
        app(prog_name="ens")
    except EnsembleError as error:
        from ensemble.display import show_error

        show_error(error)
        raise SystemExit(1) from None
    except Stopped as stopped:
        from ensemble.display import show_stopped

        show_stopped(stopped.signal)
        raise SystemExit(128 + stopped.signal) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
