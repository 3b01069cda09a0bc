"""Into a competition and out again: predict any images, submit, read the score."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Runs, same
from ensemble.errors import EnsembleError


def submit(
    submission: Annotated[
        Path, typer.Argument(metavar="SUBMISSION.csv", help="a CSV that `ens blend` wrote")
    ],
    slug: Annotated[
        str,
        typer.Option(
            "--competition", metavar="SLUG", help="the end of the competition's address on Kaggle"
        ),
    ],
    message: Annotated[
        str, typer.Option(metavar="TEXT", help="what Kaggle shows beside it (members and score)")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="do everything but the upload")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="do not ask, also where something smells wrong")
    ] = False,
    minutes: Annotated[
        float,
        typer.Option("--wait", metavar="MINUTES", min=0, help="how long to wait for the score"),
    ] = 10.0,
    runs: Runs = None,
) -> None:
    """Check a submission once more, show it, ask, send it to Kaggle, and wait for the score."""
    from ensemble import display
    from ensemble.dataset.kaggle import client
    from ensemble.display import competition
    from ensemble.runs import RunStore
    from ensemble.submission import ledger, send
    from ensemble.submission.verify import recheck

    checked, warnings = recheck(submission, RunStore(runs), slug)
    entry, book = send.entry_of(checked, slug, message), ledger.Ledger(submission.parent)
    api = client()
    if not any(one.is_waiting_with(entry) for one in book.entries()):
        quota = send.Quota.of(api, slug)
        if quota.n_left is not None:  # a team's first has no list to look at
            warnings += send.sent_unseen(api, entry, book)
        competition.show_before(checked, entry, quota, warnings)
        if dry_run:
            display.say("--dry-run: nothing was sent")
            said = f" --message {shlex.quote(message)}" if message else ""
            display.next_commands(
                f"ens submit {shlex.quote(str(submission))} --competition {slug}{said}{same(runs)}"
            )
            return
        book.write()  # what cannot be written down is not sent
        if not yes and not display.ask(f"send it to {slug}?"):
            raise EnsembleError("nothing was sent\n--yes sends without asking")
        book.write(send.send(api, checked, entry))
        display.say("sent; waiting for the score" if minutes else "sent")
    for one in send.wait(api, book, slug, minutes):
        competition.show_score(one)
        if one.status == ledger.FAILED and one.sha256 == entry.sha256:
            raise EnsembleError(f"{slug}: Kaggle could not score {one.message}")
    display.next_commands(f"ens runs --submissions{in_folder(submission.parent)}")


def list_submissions(folder: Path, json: bool) -> None:
    """`ens runs --submissions`: the ledger, competition by competition, and two final picks for each."""
    from ensemble import display
    from ensemble.display import competition
    from ensemble.submission.ledger import Ledger, final_picks

    book = Ledger(folder)
    by_slug = book.by_competition()
    picks = {slug: final_picks(book, entries) for slug, entries in by_slug.items()}
    if json:
        display.show_json(
            [
                {
                    "competition": slug,
                    "submissions": [one.model_dump() for one in entries],
                    "picks": [
                        {"file": pick.entry.file, "ref": pick.entry.ref, "reason": pick.reason}
                        for pick in picks[slug]
                    ],
                }
                for slug, entries in by_slug.items()
            ]
        )
        return
    for slug, entries in by_slug.items():
        competition.show_ledger(slug, entries, picks[slug])
    if not by_slug:
        display.say(f"nothing was submitted from {folder}: no {book.path.name} there")
    display.next_commands("ens blend")


def in_folder(folder: Path) -> str:
    """` --out DIR` where the submissions are not in the usual folder."""
    return "" if folder == Path("submissions") else f" --out {shlex.quote(str(folder))}"


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...", help="a folder, image files, or a .txt with a path per line"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="the CSV to write")],
    run: Annotated[
        str | None, typer.Option("--run", metavar="ID", help="by this run, all its folds together")
    ] = None,
    blend: Annotated[
        str | None,
        typer.Option("--blend", metavar="NAME", help="by the blend of this submission or manifest"),
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="with --run: by its refit on train + validation")
    ] = False,
    sample: Annotated[
        Path | None,
        typer.Option("--sample", metavar="FILE", help="write what this sample submission asks for"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
    runs: Runs = None,
) -> None:
    """Predict a folder or list of images by a stored run or a whole blend: an id and a column for every class."""
    from ensemble import display
    from ensemble import inference as predicting
    from ensemble.display import competition, live
    from ensemble.runs import RunStore
    from ensemble.signals import stoppable

    if (run is None) == (blend is None) or (refit and blend):
        raise EnsembleError(
            "say who predicts: either --run ID (with --refit or without) or --blend NAME"
        )
    store = RunStore(runs)
    source = (
        predicting.of_run(run, store, refit)
        if run is not None
        else predicting.of_blend(str(blend), store)
    )
    with live.progress() as show, stoppable(show) as emit:
        predicted = predicting.predict(images, source, out, emit, sample, force)
    competition.show_predicted(predicted, list(source.runs))
    display.next_commands(
        f"ens compare {' '.join(map(shlex.quote, source.runs))}{same(runs)}"
        if len(source.runs) > 1
        else f"ens runs{same(runs)}"
    )
