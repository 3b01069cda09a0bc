"""Commands on stored runs: list, blend, verify, import."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ensemble.cli import competition
from ensemble.cli.options import Answer, Json, Metric, Out, Patterns, Positive, Runs, same
from ensemble.errors import DamagedError, SelectionError

if TYPE_CHECKING:
    from ensemble.blending import Blend, Options
    from ensemble.runs import Run, RunStore
    from ensemble.submission import Submission

MinAcc = Annotated[
    float, typer.Option(min=0, max=1, help="validation accuracy that a run must reach")
]
PerArch = Annotated[
    int, typer.Option(min=0, help="also keep the best N runs of every architecture")
]
MaxMembers = Annotated[int, typer.Option(min=0, help="keep at most the best N of these; 0: all")]
Weights = Annotated[
    str, typer.Option(help="accuracy, equal, logodds, greedy, logloss, rmse (numbers) or best")
]
MinScore = Annotated[
    float | None,
    typer.Option(
        "--min-score", metavar="X", help="validation score that a run must reach, by the metric"
    ),
]
Decision = Annotated[
    str,
    typer.Option(
        help="learned: cut points, a threshold or gains of classes where the metric reads decisions; "
        "plain: the most probable class, labels above 0.5, values as they are"
    ),
]
Average = Annotated[
    str,
    typer.Option(help="arithmetic, geometric or rank: means of ranks, for roc_auc of two classes"),
]
Calibrate = Annotated[bool, typer.Option("--calibrate", help="apply the calibration that is shown")]
OnData = Annotated[
    str | None, typer.Option("--data", metavar="NAME", help="the data set, if runs use several")
]
SkipDamaged = Annotated[bool, typer.Option("--skip-damaged", help="blend without damaged runs")]
Sample = Annotated[
    Path | None,
    typer.Option(
        "--sample", metavar="FILE", help="the sample submission, instead of the runs' own"
    ),
]
SubmissionName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="file name of the submission")
]
Force = Annotated[bool, typer.Option("--force", help="replace a submission of the same name")]

N_RECIPES = 8  # that a message lists
_SKIP = "`ens train RECIPE --force` trains it again; --skip-damaged blends without damaged runs"


def list_runs(
    patterns: Patterns = None,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="also precision, recall and F1 of each class")
    ] = False,
    submissions: Annotated[
        bool,
        typer.Option(
            "--submissions", help="instead: uploaded submissions, their scores, and two final picks"
        ),
    ] = False,
    out: Out = Path("submissions"),
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Show the leaderboard: one table per data set, with the majority-class baseline."""
    from ensemble import display
    from ensemble.runs import RunStore

    if submissions:
        competition.list_submissions(out, json)
        return
    store = RunStore(runs)
    listing = store.all(patterns or (), check=True)
    if json:
        display.show_json([_run_json(run, per_class) for run in listing.runs])
        return
    display.show_runs(listing.runs, listing.damaged, listing.incomplete)
    if per_class:
        for run in listing.runs:
            display.show_per_class(run)
    if listing.runs:
        display.next_commands(f"ens blend{same(runs)}")
    else:
        display.say(f"no finished run in {store.root}{_matching(patterns or ())}")
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


def blend(
    patterns: Patterns = None,
    min_acc: MinAcc = 0.0,
    min_score: MinScore = None,
    per_arch: PerArch = 0,
    max_members: MaxMembers = 0,
    weights: Weights = "accuracy",
    metric: Metric = None,
    average: Average = "arithmetic",
    calibrate: Calibrate = False,
    decision: Decision = "learned",
    data: OnData = None,
    skip_damaged: SkipDamaged = False,
    sample: Sample = None,
    answer: Answer = None,
    positive: Positive = None,
    name: SubmissionName = None,
    out: Out = Path("submissions"),
    force: Force = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Blend finished runs, score the blend honestly, and write a checked submission."""
    from ensemble.blending import Options
    from ensemble.runs import RunStore
    from ensemble.submission import keep_blend, write_submission

    options = Options(
        min_acc, per_arch, max_members, weights, metric, average, calibrate, min_score, decision
    )
    candidates = _candidates(RunStore(runs), patterns or [], skip_damaged)
    blended = _blended(candidates, options, data, positive)
    command = ["ens", *sys.argv[1:]]
    if blended.predictions is None:
        kept = keep_blend(blended, out, name, force, command, positive)
        _show_kept(blended, kept, json, runs, out)
        return
    submission = write_submission(blended, out, name, force, command, sample, answer, positive)
    _show(blended, submission, json, runs, out)


def _blended(
    candidates: "list[Run]", options: "Options", data: str | None, positive: str | None
) -> "Blend":
    from ensemble.blending import make_blend

    try:
        return make_blend(candidates, options, data, positive)
    except DamagedError as error:
        raise DamagedError(f"{error}\n{_SKIP}") from None


def _show_kept(blended: "Blend", kept: Path, json: bool, runs: Path | None, out: Path) -> None:
    """The blend without test images and its manifest, as text with the next commands, or as JSON."""
    from ensemble import display
    from ensemble.display import blends

    if json:
        display.show_json(blends.blend_json(blended, None, kept))
        return
    blends.show_blend(blended)
    display.say(
        f"{kept} keeps the blend for new images; no submission, because the runs have no test set: "
        "set data.test in the recipes"
    )
    folder = _submissions(out)
    display.next_commands(
        f"ens predict IMAGES --blend {shlex.quote(kept.stem)}{folder}{same(runs)}",
        f"ens report{folder}{same(runs)}",
        *_favored(blended),
    )


def _submissions(out: Path) -> str:
    return "" if out == Path("submissions") else f" --submissions {shlex.quote(str(out))}"


def _show(
    blended: "Blend", submission: "Submission", json: bool, runs: Path | None, out: Path
) -> None:
    """The blend and its submission, as text with the next commands, or as JSON."""
    from ensemble import display
    from ensemble.display import blends

    if json:
        display.show_json(blends.blend_json(blended, submission))
        return
    blends.show_blend(blended)
    blends.show_submission(submission)
    if blended.test is not None:
        display.say(blends.sentence(blended.test, "test images"))
    display.next_commands(
        f"ens verify {shlex.quote(str(submission.path))}{same(runs)}",
        f"ens report{_submissions(out)}{same(runs)}",
        *_favored(blended),
    )


def _favored(blended: "Blend") -> list[str]:
    """The same command with the weights that the table favors, under a name of its own."""
    if not blended.favored:
        return []
    arguments: list[str] = []
    for argument in sys.argv[1:]:
        if arguments and arguments[-1] in ("--weights", "--name"):
            arguments.pop()
        elif not argument.startswith(("--weights=", "--name=")):
            arguments.append(argument)
    return [shlex.join(["ens", *arguments, "--weights", blended.favored])]


def _candidates(store: "RunStore", patterns: list[str], skip_damaged: bool) -> "list[Run]":
    """The finished runs that match these patterns.

    Damaged ones are left out with a warning if skip_damaged. Raises DamagedError, SelectionError.
    """
    from ensemble import display

    listing = store.all(patterns, check=skip_damaged)
    if listing.damaged and not skip_damaged:
        raise DamagedError(f"{listing.damaged[0].reason}\n{_SKIP}")
    display.warn_left_out(listing)
    if not listing.runs:
        raise SelectionError(
            f"no finished run in {store.root}{_matching(patterns)}\n"
            "`ens runs` lists them; `ens train RECIPE` makes one"
        )
    return list(listing.runs)


def _matching(patterns: Sequence[str]) -> str:
    return f" matches {' '.join(patterns)}" if patterns else ""


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

    run = imported.import_run(name, arch, valid, test, RunStore(runs), data, target)
    if json:
        display.show_json(run.as_row())
        return
    display.show_runs([run])
    display.next_commands(f"ens blend{same(runs)}")


def verify(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION.csv", help="a CSV that `ens blend` wrote")
    ],
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Compute a submission again from the stored predictions and compare the bytes."""
    from ensemble import display
    from ensemble.display import results
    from ensemble.runs import RunStore
    from ensemble.submission.verify import verified

    checked = verified(submission, RunStore(runs))
    if json:
        display.show_json(results.verified_json(checked))
        return
    n_members = len(checked.runs)
    display.say(f"{submission}: same bytes when computed again from {n_members} members")
    display.next_commands(
        f"ens runs{same(runs)}",
        f"ens submit {shlex.quote(str(submission))} --competition SLUG{same(runs)}",
    )
