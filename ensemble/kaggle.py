"""Kaggle through its own client: sign in, download, submit. Tried with kaggle 2.2.4.

The functions return plain values and raise KaggleError. No message holds a credential: what the
client prints is dropped, and an error is described by its status; only the server's reason for a
bad request (400) is shown, unless it holds a credential.
"""

import io
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ensemble.errors import KaggleError
from ensemble.events import Progress

SITE = "https://www.kaggle.com"
CREDENTIALS = (
    f"create a token at {SITE}/settings/api and save it as ~/.kaggle/access_token,"
    " or set KAGGLE_API_TOKEN"
)
PAGE_SIZE = 100
POLL_SECONDS = 0.2  # between two looks at how large a download has become


@dataclass(frozen=True)
class Quota:
    """How many submissions a team made today, and how many are left.

    n_left counts for today, or where is_total for the whole competition; it is None before the
    team's first submission.
    """

    n_today: int
    n_left: int | None
    is_total: bool


@dataclass(frozen=True)
class KaggleSubmission:
    """A submission as Kaggle lists it.

    status is PENDING, COMPLETE or ERROR; scores are text, empty while unknown.
    """

    ref: int
    file: str
    message: str
    date: str
    status: str
    public_score: str
    private_score: str
    problem: str


def sign_in() -> Any:
    """Kaggle's client with the user's credentials. Raises KaggleError."""
    with redirect_stdout(io.StringIO()):  # the client prints help, already on import
        try:
            module = import_module("kaggle.api.kaggle_api_extended")  # optional, without types
            api = module.KaggleApi()
            api.authenticate()
        except ImportError as error:
            raise KaggleError(
                f"Kaggle's client is not installed ({error.name})\npip install kaggle six"
            ) from None
        except (SystemExit, OSError, ValueError, KeyError) as error:
            if _is_network_error(error):
                raise KaggleError(f"{SITE} cannot be reached") from None
            raise KaggleError(f"Kaggle's client has no valid credentials\n{CREDENTIALS}") from None
    return api


def download_competition(slug: str, folder: Path, progress: Progress) -> Path:
    """The archive of a competition's files, in `folder`; the client resumes a broken download.

    Raises KaggleError.
    """
    api = sign_in()
    _report_download(api, progress)
    next_step = "run the command again: it resumes the download"
    with _plain_errors(api, slug, next_step):
        api.competition_download_files(slug, path=str(folder), quiet=True)
    archive = folder / f"{slug}.zip"
    if not zipfile.is_zipfile(archive):
        archive.unlink(missing_ok=True)  # the client would take it for a finished download
        raise KaggleError(
            f"{slug}: Kaggle did not send a complete zip archive\nrun the command again"
        )
    return archive


def submission_quota(api: Any, slug: str) -> Quota:
    """Submissions made today and left. Raises KaggleError, also where none is left."""
    with _plain_errors(api, slug, _see_submissions(slug)):
        limits = api.competition_get_submission_limits(slug)
    if not limits.num_today and not limits.num_total and not limits.num_allowed_now:
        return Quota(0, None, False)  # not in a team yet
    if limits.num_allowed_now <= 0:
        when = "in this competition" if limits.limited_by_total else "today; more after 00:00 UTC"
        raise KaggleError(f"{slug}: no submissions left {when} ({limits.num_today} made today)")
    return Quota(limits.num_today, limits.num_allowed_now, limits.limited_by_total)


def list_submissions(api: Any, slug: str) -> dict[int, KaggleSubmission]:
    """The newest hundred submissions by Kaggle's number. Raises KaggleError."""
    with _plain_errors(api, slug, _see_submissions(slug)):
        listed = api.competition_submissions(slug, page_size=PAGE_SIZE) or ()
    submissions = [_submission(submission) for submission in listed if submission]
    return {submission.ref: submission for submission in submissions}


def _submission(listed: Any) -> KaggleSubmission:
    return KaggleSubmission(
        ref=listed.ref,
        file=listed.file_name,
        message=listed.description,
        date=f"{listed.date:%Y-%m-%d}" if listed.date else "",
        status=listed.status.name,
        public_score=listed.public_score or "",
        private_score=listed.private_score or "",
        problem=listed.error_description or "",
    )


def upload_submission(api: Any, slug: str, path: Path, message: str) -> int:
    """Upload a CSV; returns Kaggle's number of the submission. Raises KaggleError."""
    with _plain_errors(api, slug, _see_submissions(slug)):
        response = api.competition_submit(str(path), message, slug, quiet=True)
    if not response.ref:  # the client returns a message where the upload failed
        raise KaggleError(
            f"{slug}: Kaggle did not accept {path}: {response.message[:200]}\nrun the command again"
        )
    return int(response.ref)


def _report_download(api: Any, progress: Progress) -> None:
    """Make the client report how many bytes it has; its own progress bar would draw over ours."""
    download_file = api.download_file

    def reporting(response: Any, path: str, *args: Any, **kwargs: Any) -> None:
        n_bytes = int(response.headers.get("Content-Length") or 0)
        with _size_reported(Path(path), n_bytes, progress):
            download_file(response, path, *args, **kwargs)

    api.download_file = reporting


@contextmanager
def _size_reported(path: Path, n_bytes: int, progress: Progress) -> Iterator[None]:
    """Report the size of a growing file until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if path.exists():
                progress(path.stat().st_size, n_bytes)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


@contextmanager
def _plain_errors(api: Any, slug: str, next_step: str) -> Iterator[None]:
    """The client's exceptions as KaggleError; what it prints is dropped."""
    import requests

    try:
        with redirect_stdout(io.StringIO()):
            yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        text = " ".join(str(error).split())[:300]
        if status == 400 and not any(secret in text for secret in _secrets(api)):
            raise KaggleError(f"Kaggle refuses the request about {slug} (400): {text}") from None
        raise KaggleError(_refusal(slug, status)) from None
    except OSError as error:
        if _is_network_error(error):
            problem = f"{SITE} cannot be reached, or the connection was cut"
            raise KaggleError(f"{problem}\n{next_step}") from None
        reason = error.strerror or type(error).__name__
        raise KaggleError(f"{slug}: a file cannot be read or written ({reason})") from None
    except ValueError:  # the client received fewer bytes than announced
        raise KaggleError(f"{slug}: Kaggle's answer was incomplete\n{next_step}") from None


def _refusal(slug: str, status: int) -> str:
    """What an HTTP status means for a participant."""
    rules = f"{SITE}/competitions/{slug}/rules"
    texts = {
        401: f"Kaggle refuses the credentials (401)\n{CREDENTIALS}",
        403: f"Kaggle refuses {slug} (403): you have not accepted its rules, or it does not exist\n"
        f"sign in and accept them at {rules}, then run the command again",
        404: f"Kaggle has no competition {slug} (404)\nthe slug is the end of its address: {rules}",
        429: "Kaggle received too many requests (429)\nwait a few minutes, then run the command again",
    }
    return texts.get(status, f"Kaggle answers {status} for {slug}\ntry again later, or see {rules}")


def _see_submissions(slug: str) -> str:
    return f"{SITE}/competitions/{slug}/submissions shows whether it arrived"


def _is_network_error(error: BaseException) -> bool:
    """Whether the server was not reached, or the connection broke."""
    import requests

    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _secrets(api: Any) -> list[str]:
    """Texts that no message may hold: credentials of the environment and of the client."""
    environment = [os.environ.get(name) for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN")]
    configuration = getattr(api, "config_values", {}).values()
    return [str(secret) for secret in (*environment, *configuration) if secret]
