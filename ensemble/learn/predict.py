"""Probabilities of whole splits, row for row, plain or averaged over test-time augmentations (TTA)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from fastai.data.core import TfmdDL
from torch import Tensor, nn
from torch.nn import functional

from ensemble.events import Progress
from ensemble.learn.amp import autocast
from ensemble.learn.callbacks import nothing
from ensemble.learn.catalog import Catalog
from ensemble.learn.outputs import Outputs
from ensemble.targets import Array

CLASSES = Outputs()


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


def _dihedral(x: Tensor) -> Iterator[Tensor]:
    for turns in range(4):
        turned = x.rot90(turns, (-2, -1))
        if turns:
            yield turned
        yield turned.flip(-1)


# each name adds these views to the plain one: the mirror image, the other mirrorings and quarter
# turns, five windows of 7/8 of the side, two enlargements
TTA_VIEWS: dict[str, Callable[[Tensor], Iterator[Tensor]]] = {
    "flip": lambda x: iter([x.flip(-1)]),
    "dihedral": _dihedral,
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
    outputs: Outputs = CLASSES,
) -> Array:
    """(images, classes) float32 in the loader's order: the mean over the plain image and its TTA views.

    Probabilities of classes or labels, or values, as outputs says.
    """
    network.eval()
    batches: list[Array] = []
    waiting: list[Tensor] = []  # a GPU works on the next batch while the last one is fetched
    with torch.inference_mode():
        for x, *_ in loader:
            progress(len(batches) + len(waiting), len(loader))
            probs = [
                _predicted(network, view, precision, outputs)
                for view in all_views(x.as_subclass(Tensor), views)
            ]
            batches += [batch.cpu().numpy() for batch in waiting]
            waiting = [torch.stack(probs).mean(0).float()]
    return np.concatenate([*batches, *(batch.cpu().numpy() for batch in waiting)])


def _predicted(network: nn.Module, x: Tensor, precision: str, outputs: Outputs) -> Tensor:
    x = x.contiguous(memory_format=torch.channels_last)
    with autocast(precision, x.device):
        logits = network(x)
    return outputs.activation(logits.double())


def with_unreadable(probs: Array, catalog: Catalog) -> Array:
    """A row for every test image: an unreadable one gets the training images' shares, or mean."""
    readable = catalog.rows[catalog.splits["test"]] >= 0
    rows = np.tile(catalog.prior, (len(readable), 1))
    rows[readable] = probs
    return rows
