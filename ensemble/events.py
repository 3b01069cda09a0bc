"""What a running training tells whoever listens: plain values, so that training knows nothing of the terminal."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RunStarted:
    """A run begins; total counts the runs of this command."""

    run: str
    number: int
    total: int


@dataclass(frozen=True)
class Note:
    """One line worth reading: a choice that was made, or something that was dropped."""

    run: str
    text: str


@dataclass(frozen=True)
class Step:
    """A piece of work advanced: `done` of `total` units; loss is the smoothed training loss where there is one."""

    run: str
    phase: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class EpochEnded:
    """One row of history.csv."""

    run: str
    phase: str
    epoch: int
    n_epochs: int
    train_loss: float
    valid_loss: float
    accuracy: float
    seconds: float
    is_best: bool


@dataclass(frozen=True)
class RunEnded:
    """A run is finished, or was finished before (`skipped`)."""

    run: str
    accuracy: float
    log_loss: float
    seconds: float
    skipped: bool = False


@dataclass(frozen=True)
class RunFailed:
    """A run could not be trained; the others go on."""

    run: str
    reason: str


@dataclass(frozen=True)
class RunLeft:
    """A run is left unfinished on purpose: another process trains it, or a search has given it up."""

    run: str
    reason: str


Event = RunStarted | Note | Step | EpochEnded | RunEnded | RunFailed | RunLeft
Emit = Callable[[Event], None]
Progress = Callable[[int, int], None]  # (units done, units in total)


def ignore(event: Event) -> None:
    """An Emit for callers that do not watch."""


def sparse(emit: Emit, seconds: float = 0.1) -> Emit:
    """A listener that passes on everything but steps within so many seconds of another; a phase's last one always."""
    last = 0.0

    def listen(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if isinstance(event, Step) and event.done < event.total and now < last + seconds:
            return
        last = now if isinstance(event, Step) else last
        emit(event)

    return listen
