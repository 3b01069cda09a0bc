"""Events of a running training as plain values: training does not depend on the terminal."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RunStarted:
    """A run begins: the number-th of all the runs of this command."""

    run: str
    number: int
    total: int


@dataclass(frozen=True)
class Note:
    """One line worth reading: a choice that ens made, or data that it left out."""

    run: str
    text: str


@dataclass(frozen=True)
class Step:
    """Progress of a phase: `done` of `total` units; loss is the smoothed training loss, if any."""

    run: str
    phase: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class EpochEnded:
    """One row of history.csv.

    metric names data.metric, "" without one, and score is its value on the validation images, None
    where predictions were not finite.
    """

    run: str
    phase: str
    epoch: int
    n_epochs: int
    train_loss: float
    valid_loss: float
    accuracy: float | None  # None where images do not have one class each
    seconds: float
    is_best: bool
    metric: str = ""
    score: float | None = None


@dataclass(frozen=True)
class RunEnded:
    """A run is finished, or already was (`skipped`); seconds is its total time.

    metric and score are those of its validation images, "" and None without data.metric.
    """

    run: str
    accuracy: float | None
    log_loss: float | None
    seconds: float
    skipped: bool = False
    metric: str = ""
    score: float | None = None


@dataclass(frozen=True)
class RunFailed:
    """A run failed; the other runs continue."""

    run: str
    reason: str


@dataclass(frozen=True)
class RunLeft:
    """A run is left unfinished: another process is training it, or a search has pruned it."""

    run: str
    reason: str


Event = RunStarted | Note | Step | EpochEnded | RunEnded | RunFailed | RunLeft
Emit = Callable[[Event], None]
Progress = Callable[[int, int], None]  # (units done, units in total)


def ignore(event: Event) -> None:
    """An Emit for callers that need no events."""


def steps(emit: Emit, run: str, phase: str) -> Progress:
    """Progress that is emitted as the steps of a phase."""
    return lambda done, total: emit(Step(run, phase, done, total))


def sparse(emit: Emit, seconds: float = 0.1) -> Emit:
    """A listener without steps that follow one within `seconds`; a phase's last step passes."""
    last = 0.0

    def listen(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if isinstance(event, Step) and event.done < event.total and now < last + seconds:
            return
        last = now if isinstance(event, Step) else last
        emit(event)

    return listen
