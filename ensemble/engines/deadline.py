"""A time at which trainings end by themselves: each after the last epoch that still fits."""

import time
from collections.abc import Sequence

from ensemble.engines.jobs import Pruned
from ensemble.events import EpochEnded, Event, Step

REASON = "no time is left for another epoch; the same command resumes it"


class Deadline:
    """Ends runs in time; `left` is what remains to be trained, in order.

    A run's next epoch is expected to last as long as its last one. An epoch that lasts longer is
    given up when the time is over, and so is anything else.
    """

    def __init__(self, hours: float) -> None:
        self.end = time.monotonic() + 3600 * hours
        self.last_epoch: dict[str, EpochEnded] = {}  # by run, until its next step
        self.left: dict[str, None] = {}  # an ordered set of run ids

    @property
    def is_over(self) -> bool:
        """Whether no other run may begin: time is up, or a run had to end."""
        return bool(self.left) or time.monotonic() > self.end

    def leave(self, run_ids: Sequence[str]) -> None:
        """Runs, or refits of runs, that do not begin."""
        self.left |= dict.fromkeys(run_ids)

    def hear(self, event: Event) -> None:
        """An event of a training, which the epoch's end precedes. Raises Pruned to end it."""
        if isinstance(event, EpochEnded):
            self.last_epoch[event.run] = event
        if not isinstance(event, Step):
            return
        # the first step after an epoch, when its state is stored
        epoch = self.last_epoch.pop(event.run, None)
        is_training = epoch is not None and event.phase != "predicting"
        needed = epoch.seconds if epoch and is_training else 0.0
        if time.monotonic() + needed > self.end:
            self.leave([event.run])
            raise Pruned(REASON)
