"""Batches that fit: half as many images at a time when memory runs out, gradients added up to the recipe's batch."""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from fastai.callback.training import GradientAccumulation
from fastai.learner import Learner

from ensemble.errors import TrainingError
from ensemble.learn.amp import autocast
from ensemble.learn.device import device_name
from ensemble.recipe import Recipe

HEAD_ROOM = 0.9  # of a GPU's memory may be taken by a step of the probe
AUTO = 64  # images per step where the recipe says auto
# how cuDNN and cuBLAS say it in a plain RuntimeError, in small letters; some say it of other troubles too
OUT_OF_MEMORY = ("out of memory", "alloc_failed", "allocation_failed")
PERHAPS_OUT_OF_MEMORY = ("not_initialized", "unable to find an engine")
LITTLE_MEMORY = 0.1  # of a GPU's memory, under which they mean it

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory ran out, as torch says it or as cuDNN and cuBLAS do."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    if any(sign in text for sign in PERHAPS_OUT_OF_MEMORY) and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return free < LITTLE_MEMORY * total
    return any(sign in text for sign in OUT_OF_MEMORY)


@contextmanager
def device_errors_explained(recipe: Recipe) -> Iterator[None]:
    """What a device cannot do is told as an error of the recipe. Raises TrainingError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if "does not have a deterministic implementation" in text:
            raise TrainingError(
                f"fit.deterministic: {text.split()[0]} has no deterministic version on a GPU\n"
                "set fit.deterministic: false, or take another network or head"
            ) from None
        is_of_the_cpu = "DefaultCPUAllocator" in text or isinstance(error, MemoryError)
        if not is_of_the_cpu and not is_out_of_memory(error):
            raise
        asked_for = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", text)
        is_of_torch = is_of_the_cpu or isinstance(error, torch.OutOfMemoryError)
        details = (
            f", which asked for {asked_for[1]} more"
            if asked_for
            else ""
            if is_of_torch
            else f" ({text[:120]})"
        )
        raise TrainingError(
            f"out of memory on {device_name()} at batch size {recipe.fit.batch_size}{details}\n"
            "set a smaller fit.batch_size or data.size"
        ) from None


class MicroBatch:
    """How many images a Learner takes at a time; what its optimiser steps on stays the recipe's batch."""

    def __init__(self, learn: Learner, tell: Callable[[str], None]) -> None:
        self.learn, self.tell = learn, tell
        self.batch = learn.dls.train.bs

    @property
    def size(self) -> int:
        """Images at a time."""
        return int(self.learn.dls.train.bs)

    def shrink(self, size: int) -> None:
        """Take so many at a time from here on."""
        if self.size == self.batch and size < self.batch:
            self.learn.add_cb(GradientAccumulation(self.batch))
            self.learn.dls.train.step = self.batch
        self.learn.dls.train.bs, self.learn.dls.valid.bs = size, 2 * size

    def fit(self, work: Callable[[], Result], put_back: Callable[[], None]) -> Result:
        """Do some work, at most half as many images at a time whenever memory runs out; put_back undoes what was begun.

        Raises the error itself when no smaller part of at least two images makes up the batch.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                parts = [n for n in range(2, self.size // 2 + 1) if self.batch % n == 0]
                if not parts:
                    raise
            self.shrink(parts[-1])  # outside of except, whose traceback holds the tensors
            free_memory()
            put_back()
            self.tell(
                f"out of memory: {self.size} images at a time from here, the gradients of {self.batch} added up; "
                f"batch norm sees {self.size}"
            )

    def probe(self, precision: str) -> None:
        """One real step forth and back, so that a batch that is too large is known before training; on a GPU only."""
        if not torch.cuda.is_available():
            return
        free_memory()  # what a run before this one reserved would count as this step's
        network, loss = self.learn.model, self.learn.loss_func

        def step() -> None:
            torch.cuda.reset_peak_memory_stats()
            x, y = self.learn.dls.train.one_batch()
            network.train()
            with autocast(precision, x.device):
                shown = loss(network(x.contiguous(memory_format=torch.channels_last)), y)
            shown.backward()
            if (
                torch.cuda.max_memory_reserved()
                > HEAD_ROOM * torch.cuda.get_device_properties(x.device).total_memory
            ):
                raise torch.OutOfMemoryError

        state = {name: own.clone() for name, own in network.state_dict().items()}
        try:
            self.fit(step, lambda: network.zero_grad(set_to_none=True))
        finally:
            network.zero_grad(set_to_none=True)
            network.load_state_dict(state)


def free_memory() -> None:
    """Give back to the GPU what is not in use any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
