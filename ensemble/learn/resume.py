"""What a killed training needs to resume: written after epochs, complete or not at all, read without pickle.

Storing takes at most a twentieth of the time: on a GPU, where an epoch lasts seconds, not every
epoch is stored.

Every epoch draws from its own random stream (SeedEpochs), so a state needs neither generators nor
the order of the images: weights, optimizer, averages, the kept epoch, the schedule's position and
the rows of history are enough.
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

from ensemble.errors import DamagedError, EnsembleError
from ensemble.events import EpochEnded
from ensemble.learn.checkpoint import read_weights, save_weights
from ensemble.learn.keepers import Keeper, State
from ensemble.learn.lr import RangeTest

FILE = "state.safetensors"
STORING_SHARE = 0.05  # of the training time that storing states may take


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Where training stands: all epochs of history are complete, n_epochs of them belong to the numbered phase.

    keeper is the keeper's state_dict, kept the weights of the kept epoch; info has plain values
    such as the rate, the start and the seconds of each phase; tensors have names that begin with
    "model.", "opt." or "ema.", or are "smooth".
    """

    phase: int
    n_epochs: int
    history: list[EpochEnded]
    keeper: dict[str, Any]
    info: dict[str, Any]
    range_test: RangeTest | None
    tensors: State
    kept: State

    @property
    def start(self) -> str:
        """Which weights the network began with."""
        return str(self.info["start"])

    def tensors_of(self, prefix: str) -> State:
        """The tensors whose names begin with the prefix, by the rest of their names."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }


class StateFolder:
    """The folder of one training's state; a state with another key belongs to another training and is not read."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.seconds = 0.0  # that storing the last state took
        self.stored_at = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether enough time has passed since the last state to store another one."""
        return time.monotonic() - self.stored_at >= self.seconds / STORING_SHARE

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Storing a state: how long this block takes decides when the next one is due."""
        started = time.monotonic()
        yield
        self.stored_at = time.monotonic()
        self.seconds = self.stored_at - started

    def write(self, state: TrainingState) -> None:
        """Replace the state; the old one stays until the new one is complete. Raises EnsembleError."""
        kept = self._kept_file(state.keeper["kept_epoch"])
        is_new = bool(state.kept) and not kept.exists()
        if is_new:
            save_weights(state.kept, kept)
        text = {
            "key": self.key,
            "phase": state.phase,
            "n_epochs": state.n_epochs,
            "keeper": state.keeper,
            "history": [asdict(row) for row in state.history],
            "info": state.info,
            "range_test": asdict(state.range_test) if state.range_test else None,
        }
        try:
            save_weights(state.tensors, self.folder / FILE, {"state": json.dumps(text)})
        except EnsembleError:
            if is_new:  # weights that no state names only fill the disk
                kept.unlink(missing_ok=True)
            raise
        for older in self.folder.glob("kept-*.safetensors"):
            if older != kept:
                older.unlink(missing_ok=True)

    def read(self) -> TrainingState | None:
        """The state; None where nothing is stored, or it is damaged or belongs to another training."""
        try:
            with safe_open(self.folder / FILE, "pt") as stored:
                text = json.loads(stored.metadata()["state"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if text["key"] != self.key:
                return None
            kept_epoch = text["keeper"]["kept_epoch"]
            return TrainingState(
                text["phase"],
                text["n_epochs"],
                [EpochEnded(**row) for row in text["history"]],
                text["keeper"],
                text["info"],
                _range_test(text["range_test"]),
                tensors,
                read_weights(self._kept_file(kept_epoch)) if kept_epoch else {},
            )
        except (OSError, SafetensorError, DamagedError, ValueError, KeyError, TypeError):
            return None

    def _kept_file(self, epoch: int) -> Path:
        return self.folder / f"kept-{epoch}.safetensors"

    def remove(self) -> None:
        """Forget the state: its training is finished or starts again."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _range_test(stored: dict[str, Any] | None) -> RangeTest | None:
    if stored is None:
        return None
    curve = {name: tuple(stored[name]) for name in ("rates", "losses")}
    return RangeTest(**{**stored, **curve})


class Restore(Callback):
    """Restores what `fit` resets: the optimizer, the smoothed loss, patience, the gradients' scale."""

    order = 74  # after everything that starts afresh in before_fit

    def __init__(self, state: TrainingState, keeper: Keeper) -> None:
        self.state, self.keeper = state, keeper

    def before_fit(self) -> None:  # noqa: D102
        state = self.state
        load_optimizer_tensors(self.learn.opt, state.tensors_of("opt."))
        smooth = self.learn.recorder.smooth_loss
        smooth.count, smooth.val = state.info["smooth_count"], state.tensors["smooth"]
        self.keeper.load_state_dict(state.keeper, state.kept)
        if "scaler" in state.info:
            self.learn.scaler.load_state_dict(state.info["scaler"])


def optimizer_tensors(opt: Any) -> State:
    """The state of fastai's wrapped torch optimizer as `opt.<parameter>.<name>`."""
    return {
        f"opt.{i}.{name}": torch.as_tensor(number).detach().cpu()
        for i, of_parameter in opt.opt.state_dict()["state"].items()
        for name, number in of_parameter.items()
    }


def load_optimizer_tensors(opt: Any, tensors: State) -> None:
    """The inverse, on an optimizer of the same network and groups; names come without `opt.`.

    Averages get the memory order of their weight: torch 2.15's fused AdamW pairs them by address,
    and those of a channels-last convolution came back in the plain order (docs/log.md).
    """
    weights = [weight for group in opt.param_lists for weight in group]
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        i, _, name = path.partition(".")
        if tensor.ndim:
            tensor = torch.empty_like(weights[int(i)], device=tensor.device).copy_(tensor)
        state.setdefault(int(i), {})[name] = tensor.detach()
    opt.opt.load_state_dict({"state": state, "param_groups": opt.opt.state_dict()["param_groups"]})
