"""A training that is killed, within one process."""

from ensemble.events import EpochEnded


class CutOff(BaseException):
    """What a kill is to the code: nothing may catch it."""


def cut_off_after(n_epochs):
    """A listener that ends everything at the first event after so many epochs, whose states are stored by then."""
    n_seen = 0

    def listen(event):
        nonlocal n_seen
        if n_seen == n_epochs:
            raise CutOff
        n_seen += isinstance(event, EpochEnded)

    return listen
