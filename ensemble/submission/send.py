"""Send a checked submission to Kaggle and bring its score into the ledger."""

import time
from datetime import UTC, datetime
from typing import Any

from ensemble import kaggle
from ensemble.errors import KaggleError, SubmissionError
from ensemble.kaggle import KaggleSubmission
from ensemble.numbers import metric_in_words
from ensemble.submission.ledger import COMPLETE, FAILED, PENDING, Entry, Ledger
from ensemble.submission.verify import Verified

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds between two requests for the score
STATUSES = {"COMPLETE": COMPLETE, "ERROR": FAILED}
BOUNDS = {"": "value", "_low": "low", "_high": "high"}  # suffix in the ledger: key in the manifest


def new_entry(verified: Verified, slug: str, message: str) -> Entry:
    """The ledger's row of a submission before it is sent; without a message, one is made.

    Raises SubmissionError.
    """
    manifest, n_members = verified.manifest, len(verified.runs)
    content = manifest.content
    try:
        scores = dict(content["scores"]["cross_fitted"])
        if content["calibration"]:
            scores["log_loss"] = content["scores"]["calibrated"]["log_loss"]
        metric = content["options"]["metric"]
        members = f"{n_members} member{'' if n_members == 1 else 's'}"
        by_metric = scores.get(metric) or scores["score"]
        score = f"{metric_in_words(metric)} {by_metric['value']:.4f}"
        summary = f"{members}, {content['weighting']} weights, cross-fitted {score}"
        return Entry(
            submitted=datetime.now(UTC).isoformat(timespec="seconds"),
            competition=slug,
            ref=0,
            file=verified.path.name,
            sha256=manifest.csv_sha256,
            manifest=manifest.path.name,
            data=content["data"]["name"],
            members=n_members,
            metric=metric,
            message=message or f"{verified.path.stem}: {summary}",
            **_score_columns("accuracy", scores["accuracy"]),
            **_score_columns("log_loss", scores["log_loss"]),
            **({} if scores.get(metric) else _score_columns("score", by_metric)),
        )
    except (KeyError, TypeError, ValueError):
        raise SubmissionError(f"{manifest.path}: has no scores; run `ens blend` again") from None


def _score_columns(metric: str, score: Any) -> dict[str, Any]:
    return {metric + suffix: score[key] for suffix, key in BOUNDS.items()} if score else {}


def unrecorded_uploads(api: Any, entry: Entry, ledger: Ledger) -> list[str]:
    """A warning for each upload of this file and message that Kaggle lists and the ledger lacks.

    That happens where the connection broke after an upload. Raises KaggleError.
    """
    recorded = {row.ref for row in ledger.entries()}
    return [
        f"Kaggle already has {upload.file} with this message, sent on {upload.date}"
        for upload in kaggle.list_submissions(api, entry.competition).values()
        if upload.ref not in recorded
        and (upload.file, upload.message) == (entry.file, entry.message)
    ]


def send(api: Any, verified: Verified, entry: Entry) -> Entry:
    """Upload; returns the entry with Kaggle's number of it. Raises KaggleError."""
    ref = kaggle.upload_submission(api, entry.competition, verified.path, entry.message)
    return entry.model_copy(update={"ref": ref})


def wait_for_scores(api: Any, ledger: Ledger, slug: str, minutes: float) -> list[Entry]:
    """Fill in the ledger's scores until all public ones are known or the time is over.

    Returns the entries whose score was pending. Raises EnsembleError.
    """
    deadline, pause = time.monotonic() + 60 * minutes, FIRST_PAUSE
    entries = [
        entry for entry in ledger.entries() if entry.competition == slug and entry.status != FAILED
    ]
    pending = {entry.ref for entry in entries if entry.status == PENDING}
    while True:
        seconds_left = deadline - time.monotonic()
        try:
            uploads = kaggle.list_submissions(api, slug)
        except KaggleError:
            if seconds_left <= 0:
                raise
            uploads = {}  # the file is sent and in the ledger: ask again later
        entries = [_scored(entry, uploads.get(entry.ref)) for entry in entries]
        ledger.write(*entries)
        if seconds_left <= 0 or all(entry.status != PENDING for entry in entries):
            return [entry for entry in entries if entry.ref in pending]
        time.sleep(min(pause, seconds_left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _scored(entry: Entry, upload: KaggleSubmission | None) -> Entry:
    """The entry with the status and the scores that Kaggle lists."""
    if upload is None:
        return entry
    status = STATUSES.get(upload.status, PENDING)
    update = {
        "status": status,
        "public": upload.public_score or entry.public,
        "private": upload.private_score or entry.private,
    }
    if status == FAILED != entry.status:
        problem = upload.problem or "no reason given"
        update["message"] = f"{entry.message}: {problem}"[:300]
    return entry.model_copy(update=update)
