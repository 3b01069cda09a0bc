"""SIGINT and SIGTERM end a command after the piece of work in hand, not in the middle of it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ensemble.errors import Stopped
from ensemble.events import Emit, Event

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable(emit: Emit) -> Iterator[Emit]:
    """A listener that raises Stopped at the next event (a batch, an epoch, a decoded image) after a signal.

    A second signal ends at once what has no events. Needs the main thread; elsewhere signals stay as they are.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise Stopped(number)
        asked.append(number)

    def listen(event: Event) -> None:
        emit(event)
        if asked:
            raise Stopped(asked[0])

    try:
        before = {number: signal.signal(number, ask) for number in SIGNALS}
    except ValueError:  # not the main thread
        yield emit
        return
    try:
        yield listen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
