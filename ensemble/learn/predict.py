"""Probabilities of whole splits, row for row, plain or averaged over test-time augmentations (TTA)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from fastai.data.core import TfmdDL
from torch import Tensor, nn
from torch.nn import functional

from ensemble.dataset.tables import Images
from ensemble.events import Progress
from ensemble.learn.amp import autocast
from ensemble.learn.callbacks import nothing
from ensemble.learn.catalog import Array, Catalog


def _window(x: Tensor, top: float, left: float, share: float) -> Tensor:
    """A window of each image, enlarged to the image's size.

    share is its side, of the image's; top and left are its position, from 0 to 1 of the free space.
    """
    size = x.shape[-1]
    side = round(size * share)
    y, z = round((size - side) * top), round((size - side) * left)
    window = x[..., y : y + side, z : z + side]
    return functional.interpolate(window, (size, size), mode="bilinear", antialias=True)


def _crops(x: Tensor) -> Iterator[Tensor]:
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)):
        yield _window(x, top, left, 7 / 8)


def _scales(x: Tensor) -> Iterator[Tensor]:
    for share in (15 / 16, 7 / 8):
        yield _window(x, 0.5, 0.5, share)


# each name adds these views to the plain one: the mirror image, five windows of 7/8 of the side, two enlargements
TTA_VIEWS: dict[str, Callable[[Tensor], Iterator[Tensor]]] = {
    "flip": lambda x: iter([x.flip(-1)]),
    "crops": _crops,
    "scales": _scales,
}


def all_views(x: Tensor, names: tuple[str, ...]) -> Iterator[Tensor]:
    """The plain batch, then the views of each name. x is (batch, 3, size, size)."""
    yield x
    for name in names:
        yield from TTA_VIEWS[name](x)


def probabilities(
    network: nn.Module,
    loader: TfmdDL | Sequence[tuple[Tensor, ...]],
    views: tuple[str, ...],
    precision: str,
    progress: Progress = nothing,
) -> Array:
    """(images, classes) float32 in the loader's order: the mean over the plain image and its TTA views."""
    network.eval()
    batches: list[Array] = []
    waiting: list[Tensor] = []  # a GPU works on the next batch while the last one is fetched
    with torch.inference_mode():
        for x, *_ in loader:
            progress(len(batches) + len(waiting), len(loader))
            probs = [
                _softmax(network, view, precision)
                for view in all_views(x.as_subclass(Tensor), views)
            ]
            batches += [batch.cpu().numpy() for batch in waiting]
            waiting = [torch.stack(probs).mean(0).float()]
    return np.concatenate([*batches, *(batch.cpu().numpy() for batch in waiting)])


def _softmax(network: nn.Module, x: Tensor, precision: str) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    with autocast(precision, x.device):
        logits = network(x)
    probs: Tensor = logits.double().softmax(1)
    return probs


def with_unreadable(probs: Array, images: Images, catalog: Catalog, split: str) -> Array:
    """A row for every image of a split: an unreadable one gets the class shares of the training images."""
    readable = catalog.rows[catalog.splits[split]] >= 0
    counts = catalog.train_counts
    rows = np.tile((counts / counts.sum()).astype(np.float32), (len(images), 1))
    rows[readable] = probs
    return rows
