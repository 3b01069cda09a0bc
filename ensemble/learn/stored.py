"""The networks of finished runs, without the images that they were trained on: probabilities of any pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorImage
from PIL import Image
from torch import nn

from ensemble.dataset.depth import Ranges
from ensemble.dataset.geometry import Geometry
from ensemble.learn import models
from ensemble.learn.data import Array, ToSize
from ensemble.learn.device import device
from ensemble.learn.micro_batch import is_out_of_memory
from ensemble.learn.predict import probabilities
from ensemble.learn.preprocess import Preprocess
from ensemble.learn.weights import MODEL, check_has_weights, load_exactly
from ensemble.recipe import Recipe
from ensemble.runs import StoredRun


@dataclass(frozen=True)
class Reader:
    """How a picture becomes uint8 pixels; stored is the (height, width) of those that the device resizes.

    ranges: the training set's, of values of more than 8 bits; the picture was decoded with them.
    """

    geometry: Geometry
    stored: tuple[int, int] | None
    ranges: Ranges

    def read(self, image: Image.Image) -> Array:
        """(height, width, 3) uint8 of a picture that was decoded for this geometry."""
        is_stored = (image.height, image.width) == self.stored
        return np.asarray(image if is_stored else self.geometry.apply(image))


@dataclass(eq=False)
class StoredNetwork:
    """A run's network, ready to predict; fallback (classes,) is what it says of an unreadable picture."""

    classes: tuple[str, ...]
    reader: Reader
    fallback: Array
    network: nn.Module
    transforms: list[object]
    views: tuple[str, ...]
    precision: str
    batch_size: int

    def probabilities(self, pixels: Sequence[Array | None]) -> Array:
        """(pictures, classes) float32, row for row what the run itself would store; None is an unreadable picture."""
        rows = np.tile(self.fallback, (len(pixels), 1))
        for shape in {one.shape for one in pixels if one is not None}:
            same = [i for i, one in enumerate(pixels) if one is not None and one.shape == shape]
            while same:
                batch, same = same[: self.batch_size], same[self.batch_size :]
                try:
                    rows[batch] = self._batch(np.stack([pixels[i] for i in batch]))
                except RuntimeError as error:
                    if self.batch_size == 1 or not is_out_of_memory(error):
                        raise
                    self.batch_size //= 2
                    same = [*batch, *same]
        return rows

    def _batch(self, pixels: Array) -> Array:
        x = TensorImage(torch.from_numpy(pixels).permute(0, 3, 1, 2)).to(device())
        for transform in self.transforms:
            x = transform(x)
        return probabilities(self.network, [(x,)], self.views, self.precision)


def stored_network(run: StoredRun, of_refit: bool = False) -> StoredNetwork:
    """The network of a run, or of its refit. Raises RunError, DamagedError, TrainingError."""
    weights = "refit.safetensors" if of_refit else MODEL
    check_has_weights(run, weights)  # before the network is built
    run.check_file("recipe.yaml")
    record = run.record()
    recipe, preprocess = Recipe.load(run.folder / "recipe.yaml"), Preprocess.of(record)
    network = models.build(recipe.model, len(run.classes), preprocess.geometry.size).network
    load_exactly(network, run, weights)
    on_gpu = device().type == "cuda"
    normalize = Normalize.from_stats(preprocess.mean, preprocess.std, cuda=on_gpu)
    return StoredNetwork(
        run.classes,
        Reader(preprocess.geometry, preprocess.stored, preprocess.ranges),
        run.class_shares(with_valid=of_refit),
        network.to(device(), memory_format=torch.channels_last).eval(),
        [IntToFloatTensor(), ToSize(preprocess.geometry), normalize],
        record.tta,
        record.precision if on_gpu else "fp32",
        2 * (record.micro_batch or record.batch_size),
    )
