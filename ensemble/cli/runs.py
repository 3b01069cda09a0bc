"""Commands on the list of runs: show it, and import another tool's predictions into it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ensemble.cli import competition
from ensemble.cli.options import SUBMISSIONS, Json, Out, Patterns, Runs, same

if TYPE_CHECKING:
    from ensemble.runs import Run

N_RECIPES = 8  # that a message lists
RESUMES = "is in training, or was stopped: the command that began it resumes it"


def list_runs(
    patterns: Patterns = None,
    per_class: Annotated[
        bool,
        typer.Option("--per-class", help="also precision, recall and F1 of each class or label"),
    ] = False,
    submissions: Annotated[
        bool,
        typer.Option(
            "--submissions", help="instead: uploaded submissions, their scores, and two final picks"
        ),
    ] = False,
    out: Out = SUBMISSIONS,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Show the leaderboard: one table per data set, with the majority-class baseline."""
    from ensemble import display
    from ensemble.runs import RunStore

    if submissions:
        if patterns or per_class:
            raise typer.BadParameter("--submissions lists uploads: without PATTERN and --per-class")
        competition.list_submissions(out, runs, json)
        return
    store = RunStore(runs)
    listing = store.all(patterns or (), check=True)
    if json:
        display.show_json([_run_json(run, per_class) for run in listing.runs])
        return
    unfinished = [f"{name}: {RESUMES}" for name in store.unfinished(patterns or ())]
    display.show_runs(listing.runs, listing.damaged, [*listing.incomplete, *unfinished])
    if per_class:
        for run in listing.runs:
            display.show_per_class(run)
    if listing.runs:
        display.next_commands(f"ens blend{same(runs)}")
    else:
        display.say(store.none_found(patterns or ()))
        if not unfinished:
            _show_what_there_is(store.finished() if patterns else [], runs)


def _show_what_there_is(others: "list[Run]", runs: Path | None) -> None:
    """Below no matching run: the recipes of the others, and the next commands."""
    from ensemble import display

    if not others:
        display.next_commands("ens quickstart", "ens train recipes/digits_resnet.yaml")
        return
    recipes = sorted({run.recipe for run in others})
    more = ", …" if len(recipes) > N_RECIPES else ""
    listed = ", ".join(recipes[:N_RECIPES]) + more
    display.say(f"finished there: {len(others)}, of the recipes {listed}")
    display.next_commands(f"ens runs{same(runs)}")


def _run_json(run: "Run", per_class: bool) -> dict[str, Any]:
    fields = run.as_row()
    if per_class:
        fields["per_class"] = [asdict(score) for score in run.per_class()]
    return fields


def import_run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the name of the run")],
    arch: Annotated[str, typer.Option(help="the architecture, for --per-arch and the tables")],
    valid: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="CSV (id, one column per class, optionally label) or .npz: docs/blending.md",
        ),
    ],
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the same for the test images")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="name of the new data set, if no run has these rows yet"),
    ] = None,
    target: Annotated[
        Literal["class", "labels", "number"] | None,
        typer.Option(
            metavar="NAME",
            help="class, labels (several per image) or number; by default as the file says, "
            "else class",
        ),
    ] = None,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Import another tool's predictions as a run, so that they can join a blend."""
    from ensemble import display
    from ensemble.runs import RunStore, imported

    run = imported.import_run(name, arch, valid, test, RunStore(runs), data, target, display.note)
    if json:
        display.show_json(run.as_row())
        return
    display.show_runs([run])
    display.next_commands(f"ens blend{same(runs)}")
