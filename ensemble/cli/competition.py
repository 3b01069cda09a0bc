"""Commands for a competition: verify, submit, follow the scores, predict any images."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ensemble.cli.options import Answer, Json, Positive, Runs, if_elsewhere, same
from ensemble.errors import EnsembleError

if TYPE_CHECKING:
    from ensemble.kaggle import Quota
    from ensemble.submission.ledger import Entry, Ledger

SubmissionCsv = Annotated[
    Path, typer.Argument(metavar="SUBMISSION.csv", help="a CSV that `ens blend` wrote")
]
Competition = Annotated[
    str,
    typer.Option(
        "--competition", metavar="SLUG", help="the end of the competition's address on Kaggle"
    ),
]
Message = Annotated[
    str, typer.Option(metavar="TEXT", help="the description on Kaggle (default: members, score)")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="do everything but the upload")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask, even if something looks suspicious")]
Wait = Annotated[
    float, typer.Option("--wait", metavar="MINUTES", min=0, help="how long to wait for the score")
]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...", help="a folder, image files, or a .txt with a path per line"
    ),
]
OutputCsv = Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="the CSV to write")]
RunId = Annotated[
    str | None, typer.Option("--run", metavar="ID", help="use this run, with all its folds")
]
BlendName = Annotated[
    str | None,
    typer.Option("--blend", metavar="NAME", help="use the blend of this submission or manifest"),
]
Refit = Annotated[
    bool, typer.Option("--refit", help="with --run: use its refit on train + validation")
]
RowsFile = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        metavar="FILE",
        help="a table of images and the sample's ids, where these are about several images each",
    ),
]
SampleFile = Annotated[
    Path | None,
    typer.Option(
        "--sample", metavar="FILE", help="write the columns and rows of this sample submission"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="replace an existing file")]


def verify(submission: SubmissionCsv, json: Json = False, runs: Runs = None) -> None:
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


def submit(
    submission: SubmissionCsv,
    slug: Competition,
    message: Message = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    minutes: Wait = 10.0,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Check a submission again, show it, ask, send it to Kaggle, and wait for the score."""
    from ensemble import display, kaggle
    from ensemble.display import competition, results
    from ensemble.runs import RunStore
    from ensemble.submission import send
    from ensemble.submission.ledger import FAILED, PENDING, Ledger
    from ensemble.submission.verify import recheck

    verified, warnings = recheck(submission, RunStore(runs), slug)
    entry = send.new_entry(verified, slug, message)
    ledger = Ledger(submission.parent)
    api = kaggle.sign_in()
    uploads = ledger.uploads_of(entry.sha256, slug)
    quota = None
    if all(upload.status != PENDING for upload in uploads):
        quota, warnings = _quota_and_warnings(api, entry, ledger, warnings)
        competition.show_before_sending(verified, entry, quota, warnings)
        if dry_run:
            display.say("--dry-run: nothing was sent")
            if json:
                display.show_json(results.submit_json(verified, [], quota, warnings))
                return
            text = f" --message {shlex.quote(message)}" if message else ""
            path = shlex.quote(str(submission))
            display.next_commands(f"ens submit {path} --competition {slug}{text}{same(runs)}")
            return
        ledger.check_writable()
        if not yes and not display.ask(f"send it to {slug}?"):
            raise EnsembleError("nothing was sent\n--yes sends without asking")
        ledger.write(send.send(api, verified, entry))
        display.say("sent; waiting for the score" if minutes else "sent")
    entries = send.wait_for_scores(api, ledger, slug, minutes)
    if json:
        display.show_json(results.submit_json(verified, entries, quota, warnings))
    for scored in entries:
        competition.show_score(scored)
        if scored.status == FAILED and scored.sha256 == entry.sha256:
            raise EnsembleError(f"{slug}: Kaggle could not score {scored.message}")
    if not json:
        display.next_commands(f"ens runs --submissions{if_elsewhere('--out', submission.parent)}")


def _quota_and_warnings(
    api: Any, entry: "Entry", ledger: "Ledger", warnings: list[str]
) -> "tuple[Quota, list[str]]":
    """The quota and all warnings. Raises EnsembleError, also where the quota is used up."""
    from ensemble import kaggle
    from ensemble.submission.send import unrecorded_uploads

    quota = kaggle.submission_quota(api, entry.competition)
    if quota.n_left is not None:  # Kaggle lists nothing before a team's first submission
        warnings = [*warnings, *unrecorded_uploads(api, entry, ledger)]
    return quota, warnings


def list_submissions(folder: Path, runs: Path | None, json: bool) -> None:
    """`ens runs --submissions`: the ledger by competition, and two final picks for each."""
    from ensemble import display
    from ensemble.display import competition
    from ensemble.submission.ledger import Ledger
    from ensemble.submission.picks import final_picks

    ledger = Ledger(folder)
    by_slug = ledger.by_competition()
    picks = {slug: final_picks(ledger, entries) for slug, entries in by_slug.items()}
    if json:
        display.show_json(
            [
                competition.ledger_json(slug, entries, picks[slug])
                for slug, entries in by_slug.items()
            ]
        )
        return
    for slug, entries in by_slug.items():
        competition.show_ledger(slug, entries, picks[slug])
    if not by_slug:
        display.say(f"no submissions from {folder}: it has no {ledger.path.name}")
    display.next_commands(f"ens blend{if_elsewhere('--out', folder)}{same(runs)}")


def predict(
    images: Images,
    out: OutputCsv,
    run: RunId = None,
    blend: BlendName = None,
    refit: Refit = False,
    sample: SampleFile = None,
    rows: RowsFile = None,
    answer: Answer = None,
    positive: Positive = None,
    force: Force = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Predict any images with a stored run or a whole blend: an id and a column per class."""
    from ensemble import display, inference
    from ensemble.display import competition, live, results
    from ensemble.runs import RunStore
    from ensemble.submission.shape import unused_positive

    if (run is None) == (blend is None) or (refit and blend):
        raise EnsembleError(
            "choose what predicts: either --run ID (with or without --refit) or --blend NAME"
        )
    store = RunStore(runs)
    if run is not None:
        predictor = inference.Predictor.of_run(store.get(run), refit)
    else:
        predictor = inference.Predictor.of_submission(str(blend), store)
    if sample is None and (answer or positive or rows):
        raise EnsembleError("--rows, --answer and --positive are about --sample FILE: add it")
    meaning = predictor.meaning(answer, positive) if sample is not None else None
    with live.progress() as emit:
        predicted = inference.predict(images, predictor, out, emit, sample, force, meaning, rows)
    if json:
        display.show_json(results.predicted_json(predicted, list(predictor.runs)))
        return
    competition.show_predicted(predicted, list(predictor.runs))
    if unused := unused_positive(positive, predicted.answer):
        display.say(unused)
    compare = f"ens compare {' '.join(map(shlex.quote, predictor.runs))}"
    command = compare if len(predictor.runs) > 1 else "ens runs"
    display.next_commands(command + same(runs))
