"""A checked submission goes to Kaggle by its own client, and its score comes back. Tried with kaggle 2.2.4."""

import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ensemble.dataset.kaggle import is_network, refusal
from ensemble.errors import SubmissionError
from ensemble.submission.ledger import COMPLETE, FAILED, PENDING, Entry, Ledger
from ensemble.submission.verify import Verified

LONGEST_PAUSE = 15.0  # seconds between two questions for the score


@dataclass(frozen=True)
class Quota:
    """How many submissions a team made today, and how many it may still make; None before its first."""

    n_today: int
    n_left: int | None
    of_total: bool

    @classmethod
    def of(cls, api: Any, slug: str) -> "Quota":
        """What Kaggle says. Raises SubmissionError, also where none is left."""
        with _errors_in_words(api, slug):
            said = api.competition_get_submission_limits(slug)
        if not said.num_today and not said.num_total and not said.num_allowed_now:
            return cls(0, None, False)  # all zero: not on a team yet
        if said.num_allowed_now <= 0:
            until = (
                "in this competition"
                if said.limited_by_total
                else "today; there will be more after 00:00 UTC"
            )
            raise SubmissionError(
                f"{slug}: no submission is left {until} ({said.num_today} were made today)"
            )
        return cls(said.num_today, said.num_allowed_now, said.limited_by_total)


def entry_of(checked: Verified, slug: str, message: str) -> Entry:
    """The ledger's row of a submission before it is sent. Raises SubmissionError."""
    said = checked.manifest.said
    try:
        scores = dict(said["scores"]["cross_fitted"])
        if said["calibration"]:
            scores["log_loss"] = said["scores"]["calibrated"]["log_loss"]
        metric, count = said["options"]["metric"], len(checked.runs)
        about = (
            f"{checked.path.stem}: {count} member{'' if count == 1 else 's'}, {said['weighting']} weights, "
            f"cross-fitted {metric.replace('_', ' ')} {scores[metric]['value']:.4f}"
        )
        return Entry(
            submitted=datetime.now(UTC).isoformat(timespec="seconds"),
            competition=slug,
            ref=0,
            file=checked.path.name,
            sha256=checked.manifest.csv_sha256,
            manifest=checked.manifest.path.name,
            data=said["data"]["name"],
            members=count,
            metric=metric,
            message=message or about,
            **{
                name + end: scores[name][key]
                for name in ("accuracy", "log_loss")
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        )
    except (KeyError, TypeError, ValueError):
        raise SubmissionError(
            f"{checked.manifest.path}: does not say how good the blend is; blend again"
        ) from None


def sent_unseen(api: Any, entry: Entry, ledger: Ledger) -> list[str]:
    """A warning where Kaggle lists this file and message and the ledger does not: the answer to an upload was lost."""
    known = {one.ref for one in ledger.entries()}
    lost = [
        one
        for one in _listed(api, entry.competition).values()
        if one.ref not in known and (one.file_name, one.description) == (entry.file, entry.message)
    ]
    return [
        f"Kaggle has {one.file_name} with this message already, sent on {one.date:%Y-%m-%d}"
        for one in lost
    ]


def _listed(api: Any, slug: str) -> dict[int, Any]:
    """The newest hundred submissions that Kaggle knows, by its numbers. Raises SubmissionError."""
    with _errors_in_words(api, slug):
        return {
            one.ref: one for one in api.competition_submissions(slug, page_size=100) or () if one
        }


def send(api: Any, checked: Verified, entry: Entry) -> Entry:
    """Upload; returns the entry with Kaggle's number of it. Raises SubmissionError."""
    slug = entry.competition
    with _errors_in_words(api, slug):
        answer = api.competition_submit(str(checked.path), entry.message, slug, quiet=True)
    if not answer.ref:  # the client does not raise where the upload failed
        raise SubmissionError(
            f"{slug}: {checked.path} was not taken: {answer.message[:200]}\nrun the command again"
        )
    return entry.model_copy(update={"ref": answer.ref})


def wait(api: Any, ledger: Ledger, slug: str, minutes: float) -> list[Entry]:
    """Ask for the scores that the ledger lacks until all public ones are there or the time is over; write them down.

    Returns the entries that were waited for. Raises EnsembleError.
    """
    deadline, pause = time.monotonic() + 60 * minutes, 0.5
    entries = [one for one in ledger.entries() if one.competition == slug and one.status != FAILED]
    waited_for = {one.ref for one in entries if one.status == PENDING}
    while True:
        left = deadline - time.monotonic()
        try:
            listed = _listed(api, slug)
        except SubmissionError:
            if left <= 0:
                raise
            listed = {}  # the file is sent and in the ledger: a moment without an answer does no harm
        entries = [_scored(one, listed[one.ref]) if one.ref in listed else one for one in entries]
        ledger.write(*entries)
        if left <= 0 or all(one.status != PENDING for one in entries):
            return [one for one in entries if one.ref in waited_for]
        time.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST_PAUSE)


def _scored(entry: Entry, said: Any) -> Entry:
    status = {"COMPLETE": COMPLETE, "ERROR": FAILED}.get(said.status.name, PENDING)
    more = {
        "status": status,
        "public": said.public_score or entry.public,
        "private": said.private_score or entry.private,
    }
    if status == FAILED != entry.status:
        more["message"] = f"{entry.message}: {said.error_description or 'no reason given'}"[:300]
    return entry.model_copy(update=more)


@contextmanager
def _errors_in_words(api: Any, slug: str) -> Iterator[None]:
    """The client's exceptions as SubmissionError; what it prints is swallowed."""
    import requests

    try:
        with redirect_stdout(io.StringIO()):
            yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        said = " ".join(str(error).split())[:300]
        if status == 400 and not any(secret in said for secret in _secrets(api)):
            raise SubmissionError(f"Kaggle refuses the submission to {slug}: {said}") from None
        raise SubmissionError(refusal(slug, status)) from None
    except OSError as error:
        if is_network(error):
            sent = (
                f"https://www.kaggle.com/competitions/{slug}/submissions shows whether it arrived"
            )
            raise SubmissionError(
                f"https://www.kaggle.com cannot be reached, or the connection was cut\n{sent}"
            ) from None
        raise SubmissionError(
            f"{slug}: cannot be sent ({error.strerror or type(error).__name__})"
        ) from None


def _secrets(api: Any) -> Sequence[str]:
    found = [os.environ.get(name) for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN")]
    return [
        str(secret) for secret in (*found, *getattr(api, "config_values", {}).values()) if secret
    ]
