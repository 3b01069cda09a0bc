"""stdout and stderr as they are: any encoding, a full disk, a reader that has gone."""

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

PLAIN = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
    "·": ".",
    "±": "+-",
}
CLOSED = (
    (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
)  # what a pipe without a reader gives


class OutputLost(Exception):
    """stdout cannot take what the command says; error is the system's reason."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Stdout:
    """A stream whose failures can be told from those of other files. Raises OutputLost."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or raise OutputLost."""
        try:
            return self.stream.write(text)
        except OSError as error:
            raise OutputLost(error) from None

    def flush(self) -> None:
        """Pass on what waits, or raise OutputLost."""
        try:
            self.stream.flush()
        except OSError as error:
            raise OutputLost(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Stderr(Stdout):
    """A stream for progress and errors: what it cannot take is lost, and the work goes on."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OutputLost):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Pass on what waits."""
        with suppress(OutputLost):
            super().flush()


@contextmanager
def any_output() -> Iterator[None]:
    """A command whose output may go anywhere; what stdout cannot take is one line on stderr and exit status 1.

    A status above 1, such as that of a signal, stays.
    """
    status = 1
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ens.plain")
    if sys.stdout:  # None under pythonw
        sys.stdout = cast(TextIO, Stdout(sys.stdout))
    if sys.stderr:
        sys.stderr = cast(TextIO, Stderr(sys.stderr))
    try:
        try:
            yield
        except SystemExit as ended:
            status = max(1, ended.code) if isinstance(ended.code, int) else 1
            raise
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except OutputLost as lost:
        if lost.error.errno not in CLOSED:  # nobody reads a closed pipe: nothing to say
            reason = lost.error.strerror or lost.error
            print(f"error: the output cannot be written ({reason})", file=sys.stderr)
        raise SystemExit(status) from None
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _drop_what_waits(stream)


def _drop_what_waits(stream: TextIO | None) -> None:
    """Where a stream cannot be written: Python would fail at its own end, with status 120."""
    try:
        if stream:
            stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, cast(TextIO, stream).fileno())
            os.close(nowhere)


def _as_plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that an encoding lacks: our own signs in ASCII, others as their escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, ascii(letter)[1:-1]) for letter in lacking), error.end


codecs.register_error("ens.plain", _as_plain)
