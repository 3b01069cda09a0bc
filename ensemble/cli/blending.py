"""What stored runs are worth: list, compare, blend, verify, import."""

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli import competition
from ensemble.cli.options import Json, Out, Patterns, Runs, same
from ensemble.errors import DamagedError, SelectionError

if TYPE_CHECKING:
    from ensemble.runs import Run, RunStore

_SKIP = "`ens train RECIPE --force` makes it anew; --skip-damaged blends without damaged runs"


def list_runs(
    patterns: Patterns = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="also precision, recall and F1 of each class")
    ] = False,
    submissions: Annotated[
        bool,
        typer.Option(
            "--submissions", help="instead: what was submitted, its scores, and two final picks"
        ),
    ] = False,
    out: Out = Path("submissions"),
    json: Json = False,
    runs: Runs = None,
) -> None:
    """The leaderboard: one table per data set, with the majority-class line."""
    from ensemble import display
    from ensemble.runs import RunStore

    if submissions:
        competition.list_submissions(out, json)
        return
    store = RunStore(runs)
    found = store.all(patterns or (), check=True)
    finished = found.runs
    if json:
        classes = [
            {"per_class": [asdict(one) for one in run.per_class()]} if per_class else {}
            for run in finished
        ]
        display.show_json([run.as_row() | own for run, own in zip(finished, classes, strict=True)])
        return
    display.show_runs(finished, found.damaged, found.incomplete)
    for run in finished if per_class else ():
        display.show_per_class(run)
    if finished:
        display.next_commands(f"ens blend{same(runs)}")
    else:
        display.say(
            f"no finished run in {store.root}"
            + (f" matches {' '.join(patterns)}" if patterns else "")
        )
        display.next_commands("ens quickstart", "ens train recipes/digits_resnet.yaml")


def blend(
    patterns: Patterns = None,
    min_acc: Annotated[
        float, typer.Option(min=0, max=1, help="validation accuracy that a run must reach")
    ] = 0.0,
    per_arch: Annotated[
        int, typer.Option(min=0, help="also keep the best N runs of every architecture")
    ] = 0,
    max_members: Annotated[
        int, typer.Option(min=0, help="at most the best N of these; 0 for all")
    ] = 0,
    weights: Annotated[
        str, typer.Option(help="accuracy, equal, logodds, greedy, logloss or best")
    ] = "accuracy",
    metric: Annotated[
        str, typer.Option(help="what is searched for and judged: accuracy or log_loss")
    ] = "accuracy",
    average: Annotated[str, typer.Option(help="arithmetic or geometric means")] = "arithmetic",
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="apply the temperature and floor that are shown")
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="which data set, where runs are on several")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="blend without damaged runs")
    ] = False,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample", metavar="FILE", help="the sample submission, in place of the runs' own"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="file name of the submission")
    ] = None,
    out: Out = Path("submissions"),
    force: Annotated[
        bool, typer.Option("--force", help="replace a submission of the same name")
    ] = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Blend finished runs, say honestly how good the blend is, and write a checked submission."""
    from ensemble import display
    from ensemble.blending import Options, make_blend
    from ensemble.display import blends
    from ensemble.runs import RunStore
    from ensemble.submission import write_submission

    candidates = _candidates(RunStore(runs), patterns or [], skip_damaged)
    try:
        made = make_blend(
            candidates,
            Options(min_acc, per_arch, max_members, weights, metric, average, calibrate),
            data,
        )
    except DamagedError as error:
        raise DamagedError(f"{error}\n{_SKIP}") from None
    command = ["ens", *sys.argv[1:]]
    submission = None
    if made.predictions is not None:
        submission = write_submission(made, out, name, force, command, sample)
    if json:
        display.show_json(blends.blend_json(made, submission))
        return
    blends.show_blend(made)
    if submission is None:
        display.say("no test set, so no submission: set data.test in the recipes to get one")
        display.next_commands(f"ens report{same(runs)}")
        return
    blends.show_submission(submission)
    if made.test is not None:
        display.say(blends.sentence(made.test, "test images"))
    there = "" if out == Path("submissions") else f" --submissions {shlex.quote(str(out))}"
    display.next_commands(
        f"ens verify {shlex.quote(str(submission.path))}{same(runs)}",
        f"ens report{there}{same(runs)}",
    )


def _candidates(store: "RunStore", patterns: list[str], skip_damaged: bool) -> "list[Run]":
    """The finished runs of these patterns; damaged ones are refused, or left out and told. Raises EnsembleError."""
    from ensemble import display

    found = store.all(patterns, check=skip_damaged)
    if found.damaged and not skip_damaged:
        raise DamagedError(f"{found.damaged[0].reason}\n{_SKIP}")
    display.warn_left_out(found)
    if not found.runs:
        asked = f" matches {' '.join(patterns)}" if patterns else ""
        raise SelectionError(
            f"no finished run in {store.root}{asked}\n`ens runs` lists them; `ens train RECIPE` makes one"
        )
    return list(found.runs)


def compare(
    sides: Annotated[
        list[str], typer.Argument(metavar="A B...", help="run ids, recipes, or patterns of them")
    ],
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
    display.next_commands(f"ens blend{same(runs)}")


def import_run(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="what the run is called, in place of a recipe")
    ],
    arch: Annotated[str, typer.Option(help="the architecture, for --per-arch and the tables")],
    valid: Annotated[
        Path,
        typer.Option(metavar="FILE", help="CSV (id, one column per class, perhaps label) or .npz"),
    ],
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="the same for the test images")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="the data set, where rows are not known yet")
    ] = None,
    runs: Runs = None,
) -> None:
    """Make a run of predictions from elsewhere, so that they can join a blend."""
    from ensemble import display
    from ensemble.runs import RunStore, imported

    display.show_runs([imported.import_run(name, arch, valid, test, RunStore(runs), data)])
    display.next_commands(f"ens blend{same(runs)}")


def verify(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION.csv", help="a CSV that `ens blend` wrote")
    ],
    runs: Runs = None,
) -> None:
    """Derive a submission again from the stored predictions and compare the bytes."""
    from ensemble import display
    from ensemble.runs import RunStore
    from ensemble.submission import verify as verify_submission

    n_members = verify_submission(submission, RunStore(runs))
    display.say(f"{submission}: the same bytes again from {n_members} members")
    display.next_commands(
        f"ens runs{same(runs)}",
        f"ens submit {shlex.quote(str(submission))} --competition SLUG{same(runs)}",
    )
