"""SIGINT and SIGTERM end a command after the current batch or image, not in the middle of it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ensemble.errors import Stopped
from ensemble.events import Emit, Event

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stoppable(emit: Emit) -> Iterator[Emit]:
    """A listener that raises Stopped at the first event (such as a batch) after a signal.

    A second signal raises at once, for work without events. Other threads than the main one keep
    their handlers.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number)
        received.append(number)

    def listen(event: Event) -> None:
        emit(event)
        if received:
            raise Stopped(received[0])

    try:
        before = {number: signal.signal(number, receive) for number in SIGNALS}
    except ValueError:  # not the main thread
        yield emit
        return
    try:
        yield listen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
