"""What training needs to go on after a kill: written after epochs, whole or not at all, read without pickle.

Storing takes at most a twentieth of the time: on a GPU, where an epoch lasts seconds, not every epoch is stored.

Every epoch draws from a random stream of its own (SeedEpochs), so neither generators nor the order of the images need
to be stored: weights, optimiser, averages, the kept epoch, the schedule's position and the rows of history are all.
"""

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from fastai.callback.core import Callback
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ensemble.errors import DamagedError
from ensemble.events import EpochEnded
from ensemble.learn import callbacks
from ensemble.learn.checkpoint import read_weights, save_weights
from ensemble.learn.lr import RangeTest

FILE = "state.safetensors"
STORING_SHARE = 0.05  # of the time of training that storing states may take


@dataclass(frozen=True, eq=False)
class Saved:
    """Where training stands: epochs of history are whole, n_epochs of the numbered phase among them.

    told is what training says about itself besides (rate, start, seconds); tensors holds "model.", "opt.", "ema." and
    "smooth" by name; kept the weights of the kept epoch.
    """

    phase: int
    n_epochs: int
    history: list[EpochEnded]
    keeper: dict[str, Any]
    told: dict[str, Any]
    range_test: RangeTest | None
    tensors: dict[str, Tensor]
    kept: callbacks.State

    @property
    def start(self) -> str:
        """Which weights the network began with."""
        return str(self.told["start"])

    def named(self, kind: str) -> dict[str, Tensor]:
        """The tensors of one kind, by what follows its name."""
        return {
            name.removeprefix(kind): own
            for name, own in self.tensors.items()
            if name.startswith(kind)
        }


class StateFolder:
    """The folder of one training's state; key says what it belongs to, a state with another key is not taken."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.seconds = 0.0  # that the last state took to store
        self.stored_at = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether so much time has passed since the last state that another one may be stored."""
        return time.monotonic() - self.stored_at >= self.seconds / STORING_SHARE

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Storing a state: how long this block takes decides when the next one is due."""
        started = time.monotonic()
        yield
        self.stored_at = time.monotonic()
        self.seconds = self.stored_at - started

    def write(self, saved: Saved) -> None:
        """Replace the state; the old one stays until the new one is whole. Raises EnsembleError."""
        kept = self.folder / f"kept-{saved.keeper['kept_epoch']}.safetensors"
        if saved.kept and not kept.exists():
            save_weights(saved.kept, kept)
        text = {
            "key": self.key,
            "phase": saved.phase,
            "n_epochs": saved.n_epochs,
            "keeper": saved.keeper,
            "history": [asdict(row) for row in saved.history],
            "told": saved.told,
            "range_test": asdict(saved.range_test) if saved.range_test else None,
        }
        save_weights(saved.tensors, self.folder / FILE, {"state": json.dumps(text)})
        for other in self.folder.glob("kept-*.safetensors"):
            if other != kept:
                other.unlink(missing_ok=True)

    def read(self) -> Saved | None:
        """The state, None where there is none, where it belongs to something else, or where it is damaged."""
        try:
            with safe_open(self.folder / FILE, "pt") as stored:
                text = json.loads(stored.metadata()["state"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if text["key"] != self.key:
                return None
            n_kept = text["keeper"]["kept_epoch"]
            kept = read_weights(self.folder / f"kept-{n_kept}.safetensors") if n_kept else {}
            found = text["range_test"]
            return Saved(
                text["phase"],
                text["n_epochs"],
                [EpochEnded(**row) for row in text["history"]],
                text["keeper"],
                text["told"],
                RangeTest(
                    **{**found, "rates": tuple(found["rates"]), "losses": tuple(found["losses"])}
                )
                if found
                else None,
                tensors,
                kept,
            )
        except (OSError, SafetensorError, DamagedError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Nothing is left to go on from."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Restore(Callback):
    """Puts back what `fit` sets to its beginning: the optimiser, the smoothed loss, patience, the gradients' scale."""

    order = 74  # after everything that starts afresh in before_fit

    def __init__(self, saved: Saved, keeper: callbacks.Keeper) -> None:
        self.saved, self.keeper = saved, keeper

    def before_fit(self) -> None:  # noqa: D102
        restore_optimiser(self.learn.opt, self.saved.named("opt."))
        smooth = self.learn.recorder.smooth_loss
        smooth.count, smooth.val = self.saved.told["smooth_count"], self.saved.tensors["smooth"]
        self.keeper.recall(self.saved.keeper, self.saved.kept)
        if "scaler" in self.saved.told:
            self.learn.scaler.load_state_dict(self.saved.told["scaler"])


def optimiser_tensors(opt: Any) -> dict[str, Tensor]:
    """The state of fastai's wrapped torch optimiser as `opt.<parameter>.<name>`."""
    state = opt.opt.state_dict()["state"]
    values = {f"opt.{i}.{name}": value for i, own in state.items() for name, value in own.items()}
    return {name: torch.as_tensor(value).detach().cpu() for name, value in values.items()}


def restore_optimiser(opt: Any, tensors: dict[str, Tensor]) -> None:
    """The inverse, on an optimiser of the same network and groups.

    Averages get their weight's order in memory: torch 2.15's fused AdamW pairs them by address, and those of a
    channels-last convolution came back in the plain order (docs/log.md).
    """
    weights = [weight for group in opt.param_lists for weight in group]
    state: dict[int, dict[str, Tensor]] = {}
    for name, own in tensors.items():
        i, _, what = name.partition(".")
        shaped = (
            torch.empty_like(weights[int(i)], device=own.device).copy_(own) if own.ndim else own
        )
        state.setdefault(int(i), {})[what] = shaped.detach()
    opt.opt.load_state_dict({"state": state, "param_groups": opt.opt.state_dict()["param_groups"]})
