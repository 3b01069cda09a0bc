"""Kaggle through its own client: credentials, a competition's files, and its errors in words. Tried with 2.2.4.

No message holds a credential: of what the client and the server say, only the status is passed on.
"""

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from ensemble.dataset.fetch import Progress
from ensemble.errors import DataError

CREDENTIALS = (
    "make a token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token,"
    " or set KAGGLE_API_TOKEN"
)


def client() -> Any:
    """Kaggle's client, signed in. Raises DataError where it is not installed or finds no credentials."""
    with redirect_stdout(io.StringIO()):  # it prints how to sign in, already while it is imported
        try:
            api = import_module(
                "kaggle.api.kaggle_api_extended"
            ).KaggleApi()  # an extra, without types
            api.authenticate()
        except ImportError as error:
            raise DataError(
                f"Kaggle's client is not installed ({error.name})\npip install kaggle six"
            ) from None
        except (SystemExit, OSError, ValueError, KeyError) as error:
            if is_network(error):
                raise DataError("https://www.kaggle.com cannot be reached") from None
            raise DataError(f"Kaggle's client finds no valid credentials\n{CREDENTIALS}") from None
    return api


def fetch_competition(slug: str, folder: Path, progress: Progress) -> Path:
    """The archive of a competition's files, in `folder`; the client resumes what broke off. Raises DataError."""
    own = folder / f"kaggle-{slug}"
    api = client()
    _report(api, progress)
    with redirect_stdout(io.StringIO()), _errors_in_words(slug):
        api.competition_download_files(slug, path=str(own), quiet=True)
    archive = own / f"{slug}.zip"
    if not zipfile.is_zipfile(
        archive
    ):  # else the client would take it for a finished download for ever
        archive.unlink(missing_ok=True)
        raise DataError(f"{slug}: what Kaggle sent is no whole zip archive\nrun the command again")
    return archive


def _report(api: Any, progress: Progress) -> None:
    """Tell how far the client is; its own bar would draw over ours."""
    download_file = api.download_file

    def reporting(response: Any, outfile: str, *args: Any, **kwargs: Any) -> None:
        n_bytes = int(response.headers.get("Content-Length") or 0)
        with _watched(Path(outfile), n_bytes, progress):
            download_file(response, outfile, *args, **kwargs)

    api.download_file = reporting


@contextmanager
def _watched(path: Path, n_bytes: int, progress: Progress) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
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
def _errors_in_words(slug: str) -> Iterator[None]:
    """The client's exceptions as DataError."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        raise DataError(
            refusal(slug, error.response.status_code if error.response is not None else 0)
        ) from None
    except OSError as error:
        if is_network(error):
            raise DataError(
                "https://www.kaggle.com cannot be reached, or the connection was cut\n"
                "run the command again: it goes on where it stopped"
            ) from None
        raise DataError(
            f"{slug}: cannot be stored ({error.strerror or type(error).__name__})"
        ) from None
    except ValueError:  # the size is not the one announced
        raise DataError(
            f"{slug}: Kaggle's archive came incomplete\nrun the command again"
        ) from None


def refusal(slug: str, status: int) -> str:
    """What an HTTP status means for who takes part in a competition."""
    rules = f"https://www.kaggle.com/competitions/{slug}/rules"
    return {
        401: f"Kaggle refuses the credentials (401)\n{CREDENTIALS}",
        403: f"Kaggle refuses {slug} (403): its rules are not accepted, or there is no such competition\n"
        f"accept them at {rules}, signed in, then run the command again",
        404: f"Kaggle knows no competition {slug} (404)\nthe slug is the end of its address: {rules}",
        429: "Kaggle asks for fewer requests (429)\nwait some minutes, then run the command again",
    }.get(status, f"Kaggle answers {status} for {slug}\ntry again later, or see {rules}")


def is_network(error: BaseException) -> bool:
    """Whether the server was not reached, or the connection broke."""
    import requests

    return isinstance(error, requests.ConnectionError | requests.Timeout)
