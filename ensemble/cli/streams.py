"""stdout and stderr in any condition: every encoding, a full disk, a closed pipe."""

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
# the errors of a pipe that its reader has closed
CLOSED = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)


class OutputLost(Exception):
    """stdout cannot be written; error is the system's reason."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class Stdout:
    """A stream whose failures are distinct from those of other files. Raises OutputLost."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, or raise OutputLost."""
        try:
            return self.stream.write(text)
        except OSError as error:
            raise OutputLost(error) from None

    def flush(self) -> None:
        """Write what is buffered, or raise OutputLost."""
        try:
            self.stream.flush()
        except OSError as error:
            raise OutputLost(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Stderr(Stdout):
    """A stream for progress and errors: drops what it cannot write, and the work continues."""

    def write(self, text: str) -> int:
        """Write what the stream accepts."""
        with suppress(OutputLost):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with suppress(OutputLost):
            super().flush()


@contextmanager
def any_output() -> Iterator[None]:
    """Run a command; a failing stdout becomes one line on stderr and exit status 1.

    A status above 1, such as that of a signal, stays.
    """
    codecs.register_error("ens.plain", _as_plain)
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
        if lost.error.errno not in CLOSED:  # a closed pipe has no reader to inform
            reason = lost.error.strerror or lost.error
            print(f"error: the output cannot be written ({reason})", file=sys.stderr)
        raise SystemExit(status) from None
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _drop_buffered(stream)


def _drop_buffered(stream: TextIO | None) -> None:
    """Discard a failing stream's buffer: Python would flush it on exit and end with status 120."""
    try:
        if stream:
            stream.flush()
    except OSError:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, cast(TextIO, stream).fileno())
            os.close(null)


def _as_plain(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that an encoding lacks: our own symbols by ASCII, others by escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, ascii(letter)[1:-1]) for letter in missing), error.end
