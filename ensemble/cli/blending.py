"""`ens blend`: finished runs become one blend and a checked submission."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble.cli.options import (
    SUBMISSIONS,
    Answer,
    Json,
    Metric,
    Out,
    Patterns,
    Positive,
    Runs,
    blend_name,
    if_elsewhere,
    same,
)
from ensemble.errors import DamagedError, SelectionError, SubmissionError

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

_SKIP = "`ens train RECIPE --force` trains it again; --skip-damaged blends without damaged runs"


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
    out: Out = SUBMISSIONS,
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
    submission = None
    if blended.predictions is None:
        if sample or answer:
            raise SubmissionError(
                "--sample and --answer describe the CSV, and these runs have no test set to write "
                "one for\nset data.test in the recipes and train again"
            )
        manifest = keep_blend(blended, out, name, force, command, positive)
    else:
        submission = write_submission(blended, out, name, force, command, sample, answer, positive)
        manifest = submission.manifest
    _show(blended, manifest, submission, json, runs)


def _blended(
    candidates: "list[Run]", options: "Options", data: str | None, positive: str | None
) -> "Blend":
    from ensemble.blending import make_blend

    try:
        return make_blend(candidates, options, data, positive)
    except DamagedError as error:
        raise DamagedError(f"{error}\n{_SKIP}") from None


def _show(
    blended: "Blend",
    manifest: Path,
    submission: "Submission | None",
    json: bool,
    runs: Path | None,
) -> None:
    """The blend and what was written, as text with the next commands, or as JSON."""
    from ensemble import display
    from ensemble.display import blends, results

    if json:
        display.show_json(results.blend_json(blended, submission, manifest))
        return
    blends.show_blend(blended)
    if submission:
        blends.show_submission(submission)
        if blended.test is not None:
            display.say(blends.sentence(blended.test, "test images"))
        use = f"ens verify {shlex.quote(str(submission.path))}"
    else:
        blends.show_kept(manifest)
        use = f"ens predict IMAGES --blend {blend_name(manifest)} --out new.csv"
    report = f"ens report{if_elsewhere('--submissions', manifest.parent)}"
    display.next_commands(use + same(runs), report + same(runs), *_favored(blended))


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
            f"{store.none_found(patterns)}\n`ens runs` lists them; `ens train RECIPE` makes one"
        )
    return list(listing.runs)
