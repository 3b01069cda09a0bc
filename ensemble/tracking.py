"""Trackers of `ens train --track`, without their packages: what they need, and which events they get."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

from ensemble.errors import EnsembleError
from ensemble.events import Emit, Event
from ensemble.runs import RunStore
from ensemble.runs.job import Job

NEEDED = {"tensorboard": "tensorboard>=2.20", "wandb": "wandb>=0.19.10"}


def check_installed(names: Sequence[str]) -> None:
    """Raises EnsembleError where a name is unknown, or a tracker's package or W&B's key is missing."""
    for name in names:
        if name not in NEEDED:
            raise EnsembleError(f"--track {name}: choose from {', '.join(NEEDED)}")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        pins = " ".join(f"'{NEEDED[name]}'" for name in missing)
        raise EnsembleError(
            f"--track {missing[0]} needs {missing[0]}, which is not installed\npip install {pins}"
        )
    if "wandb" in names:
        _check_login()


def viewers(names: Sequence[str], store: RunStore) -> list[str]:
    """The commands that show what trackers log on this machine: TensorBoard's beside the runs."""
    folder = shlex.quote(str(store.root.parent / "tensorboard"))
    return [f"tensorboard --logdir {folder}"] if "tensorboard" in names else []


def _check_login() -> None:
    import wandb

    try:
        if wandb.setup().settings.mode not in ("offline", "disabled"):
            wandb.login()
    except RuntimeError as error:  # a user without a home folder
        raise EnsembleError(
            f"--track wandb: {error}\nset HOME to a folder that this user may write in"
        ) from None
    except wandb.Error as error:
        raise EnsembleError(
            f"--track wandb: {error}\n"
            "or log on this machine alone: WANDB_MODE=offline; `wandb sync` sends it later"
        ) from None


@contextmanager
def tracked(
    names: Sequence[str], jobs: Sequence[Job], store: RunStore, emit: Emit
) -> Iterator[Emit]:
    """A listener that passes events on to emit, then to the trackers of these names."""
    if not names:
        yield emit
        return
    from ensemble.learn.trackers import Tracker

    with ExitStack() as ends:
        trackers = [Tracker(name, jobs, store) for name in dict.fromkeys(names)]
        for tracker in trackers:
            ends.callback(tracker.close)

        def listen(event: Event) -> None:
            emit(event)
            for tracker in trackers:
                tracker(event)

        yield listen
