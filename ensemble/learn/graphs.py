"""CUDA graphs: a network's passes recorded once and replayed, so that a small network does not wait for Python.

ResNet34 on 256 images of 32 px kept an H200 busy for 3 of the 13 ms that a step took (docs/gpu.md).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from fastai.learner import Learner
from torch import Tensor, nn

from ensemble.errors import TrainingError
from ensemble.learn.amp import AMP
from ensemble.learn.callbacks import freeze_statistics
from ensemble.learn.micro_batch import free_memory, is_out_of_memory


@contextmanager
def recorded(learn: Learner, precision: str) -> Iterator[None]:
    """In this block the network's training passes are replays; evaluation runs as usual.

    Every batch must have the same size (the loader drops the last one), and the same parameters must train.
    Raises TrainingError for a network that cannot be recorded.
    """
    network = learn.model
    x, _ = learn.dls.train.one_batch()
    images = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
    network.train()
    freeze_statistics(network)
    buffers = [buffer.clone() for buffer in network.buffers()]
    try:
        try:
            _record(network, images, precision)
        finally:
            # recording passes some batches, which move the batch norms' statistics
            for buffer, original in zip(network.buffers(), buffers, strict=True):
                buffer.copy_(original)
        yield
    finally:
        # torch.cuda.make_graphed_callables put its forward in front of the class's
        vars(network).pop("forward", None)


def _record(network: nn.Module, images: Tensor, precision: str) -> None:
    is_half = precision in AMP
    try:
        # cached cast weights would belong to the recording; torch warns of streams that it joins itself
        with (
            torch.autocast("cuda", AMP.get(precision), enabled=is_half, cache_enabled=False),
            warnings.catch_warnings(action="ignore"),
        ):
            torch.cuda.make_graphed_callables(network, (images,))
    except (RuntimeError, AssertionError) as error:
        free_memory()
        _record_nothing()
        if is_out_of_memory(error):
            raise
        raise TrainingError(
            f"fit.cuda_graphs: this network cannot be captured ({str(error).splitlines()[0][:120]})"
        ) from None


def _record_nothing() -> None:
    """A recording that succeeds: after one that failed, the GPU's random numbers wait for its end (torch 2.11)."""
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        torch.zeros(1, device="cuda").add_(1)
