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

HEAD_ROOM = 0.9  # of a GPU's memory that a step of the probe may take
AUTO = 64  # images per step where the recipe says auto
# what cuDNN and cuBLAS write in a plain RuntimeError, in small letters; some of it has other causes too
OUT_OF_MEMORY = ("out of memory", "alloc_failed", "allocation_failed")
PERHAPS_OUT_OF_MEMORY = ("not_initialized", "unable to find an engine")
LITTLE_MEMORY = 0.1  # of a GPU's memory; with less free, the cause is memory

Result = TypeVar("Result")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU's memory ran out, in the words of torch, cuDNN or cuBLAS."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    if any(sign in text for sign in PERHAPS_OUT_OF_MEMORY) and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return free < LITTLE_MEMORY * total
    return any(sign in text for sign in OUT_OF_MEMORY)


def half(size: int) -> int | None:
    """Half as many, None where one cannot be halved."""
    return size // 2 or None


def at_a_size_that_fits(
    work: Callable[[int], Result],
    size: int,
    smaller: Callable[[int], int | None] = half,
) -> tuple[Result, int]:
    """work(size), and again at a smaller size whenever memory runs out; returns its result and the last size.

    Raises the error itself where `smaller` knows no smaller size.
    """
    while True:
        try:
            return work(size), size
        except RuntimeError as error:
            next_size = smaller(size) if is_out_of_memory(error) else None
            if next_size is None:
                raise
        free_memory()  # outside of except, whose traceback holds the tensors
        size = next_size


@contextmanager
def device_errors_explained(recipe: Recipe) -> Iterator[None]:
    """Turns errors of the device into errors of the recipe. Raises TrainingError."""
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
        details = ""
        if request := re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", text):
            details = f", which asked for {request[1]} more"
        elif not is_of_the_cpu and not isinstance(error, torch.OutOfMemoryError):
            details = f" ({text[:120]})"
        raise TrainingError(
            f"out of memory on {device_name()} at batch size {recipe.fit.batch_size}{details}\n"
            "set a smaller fit.batch_size or data.size"
        ) from None


class MicroBatch:
    """How many images a Learner takes at a time; its optimizer still steps on the recipe's batch."""

    def __init__(self, learn: Learner, notify: Callable[[str], None]) -> None:
        self.learn, self.notify = learn, notify
        self.batch = int(learn.dls.train.bs)

    @property
    def size(self) -> int:
        """Images at a time."""
        return int(self.learn.dls.train.bs)

    def shrink(self, size: int) -> None:
        """Take `size` images at a time from here on."""
        if self.size == self.batch and size < self.batch:
            self.learn.add_cb(GradientAccumulation(self.batch))
            self.learn.dls.train.images_per_step = self.batch
        self.learn.dls.train.bs, self.learn.dls.valid.bs = size, 2 * size

    def fit(self, work: Callable[[], Result], undo: Callable[[], None]) -> Result:
        """Do some work, at most half as many images at a time whenever memory runs out; undo reverts a failed try.

        Raises the error itself when the batch has no smaller divisor of at least two images.
        """

        def attempt(size: int) -> Result:
            if size != self.size:
                self.shrink(size)
                undo()
                self.notify(
                    f"out of memory: training continues with {size} images at a time, gradients "
                    f"accumulated over {self.batch}; batch norm uses {size}"
                )
            return work()

        return at_a_size_that_fits(attempt, self.size, self._smaller)[0]

    def _smaller(self, size: int) -> int | None:
        """The largest divisor of the batch that is at most half of size and at least 2."""
        return next((n for n in range(size // 2, 1, -1) if self.batch % n == 0), None)

    def probe(self, precision: str) -> None:
        """One real step forward and back before training, to see whether the batch is too large; on a GPU only."""
        if not torch.cuda.is_available():
            return
        free_memory()  # what an earlier run reserved would count as this step's
        network, loss = self.learn.model, self.learn.loss_func

        def step() -> None:
            torch.cuda.reset_peak_memory_stats()
            x, y = self.learn.dls.train.one_batch()
            network.train()
            with autocast(precision, x.device):
                loss_of_step = loss(network(x.contiguous(memory_format=torch.channels_last)), y)
            loss_of_step.backward()
            total = torch.cuda.get_device_properties(x.device).total_memory
            if torch.cuda.max_memory_reserved() > HEAD_ROOM * total:
                raise torch.OutOfMemoryError

        state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        try:
            self.fit(step, lambda: network.zero_grad(set_to_none=True))
        finally:
            network.zero_grad(set_to_none=True)
            network.load_state_dict(state)


def free_memory() -> None:
    """Give unused memory back to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
