"""Files from the web, resumed where they broke off, and used only when their digest is the expected one."""

import hashlib
import http.client
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

from ensemble import __version__
from ensemble.errors import DataError

TIMEOUT = 30.0  # seconds without a byte
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each further attempt
BLOCK = 1 << 18  # bytes

Progress = Callable[[int, int], None]  # (done, in all)


@dataclass(frozen=True)
class File:
    """One file on the web: its size in bytes and its digest, `sha256:…` or `md5:…`; 0 and empty where not known."""

    url: str
    n_bytes: int
    digest: str

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.url.rpartition("/")[2]


class _Broken(Exception):
    """The connection broke, or the server is busy: another attempt may succeed."""


def download(file: File, folder: Path, progress: Progress) -> Path:
    """A file in `folder`, named by its digest and name; bytes that are there already are not sent again.

    progress is told bytes; a file with another digest is removed. Raises DataError in at most two lines.
    """
    whole = folder / f"{file.digest.partition(':')[2][:12]}-{file.name}"
    part = whole.with_name(f"{whole.name}.part")
    if not whole.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _complete(file, part, progress)
            part.replace(whole)
        except OSError as error:
            raise DataError(f"{part}: cannot be written ({error.strerror or error})") from None
    try:
        check(whole, file)
    except DataError:
        whole.unlink(missing_ok=True)
        raise
    return whole


def check(path: Path, file: File) -> None:
    """Raises DataError where a file's bytes are not those that `file` promises."""
    algorithm, _, expected = file.digest.partition(":")
    if not expected:
        return
    try:
        with path.open("rb") as stored:
            found = hashlib.file_digest(stored, algorithm).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if found != expected:
        raise DataError(
            f"{path}: not the bytes expected of {file.url}\n{algorithm} {found} instead of {expected}; get it again"
        )


def _complete(file: File, part: Path, progress: Progress) -> None:
    """Add to `part` what it lacks, in several attempts. Raises DataError, OSError."""
    for pause in (*PAUSES, None):
        try:
            _attempt(file, part, progress)
            return
        except URLError as error:
            raise DataError(f"{file.url}: cannot be reached ({error.reason})") from None
        except _Broken as broken:
            if pause is None:
                n_bytes = part.stat().st_size if part.exists() else 0
                raise DataError(
                    f"{file.url}: {broken}, {len(PAUSES) + 1} times\n"
                    f"run the command again: it goes on after {n_bytes:,} of {file.n_bytes:,} bytes"
                ) from None
            time.sleep(pause)


def _attempt(file: File, part: Path, progress: Progress) -> None:
    """Ask once for the bytes that `part` lacks, or for all where the server cannot resume."""
    n_have = part.stat().st_size if part.exists() else 0
    reply = _asked(file.url, n_have)
    if reply is None:
        return
    with reply:
        resumed = reply.headers.get("Content-Range", "").startswith(f"bytes {n_have}-")
        n_done = n_have if resumed else 0
        n_total = n_done + int(reply.headers.get("Content-Length") or file.n_bytes - n_done)
        with part.open("ab" if resumed else "wb") as out:
            for block in _blocks(reply):
                out.write(block)
                n_done += len(block)
                progress(n_done, n_total)
        if n_done < n_total:
            raise _Broken("the connection was cut")


def _asked(url: str, n_have: int) -> http.client.HTTPResponse | None:
    """The answer, from byte n_have on where the server can; None where it has nothing beyond: the digest will judge."""
    headers = {"User-Agent": f"ens-images/{__version__}"} | (
        {"Range": f"bytes={n_have}-"} if n_have else {}
    )
    try:
        reply: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except HTTPError as error:
        error.close()
        if error.code == 416 and n_have:
            return None
        if error.code == 429 or error.code >= 500:
            raise _Broken(f"the server answers {error.code} {error.reason}") from None
        raise DataError(f"{url}: the server answers {error.code} {error.reason}") from None
    except URLError as error:
        if n_have:
            raise _Broken(f"cannot be reached ({error.reason})") from None
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection was cut ({type(error).__name__})") from None
    return reply


def _blocks(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body, piece by piece, so that an error of the network is told from one of the disk."""
    try:
        while block := reply.read(BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection was cut ({type(error).__name__})") from None
