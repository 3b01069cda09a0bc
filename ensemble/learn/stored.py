"""The networks of finished runs, without the images that trained them: probabilities of any images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorImage
from PIL import Image
from torch import nn

from ensemble.dataset.depth import Ranges
from ensemble.dataset.geometry import Geometry
from ensemble.grouping import grouped
from ensemble.learn import models
from ensemble.learn.device import device
from ensemble.learn.load_weights import load_exactly
from ensemble.learn.micro_batch import at_a_size_that_fits
from ensemble.learn.outputs import Outputs
from ensemble.learn.predict import probabilities
from ensemble.learn.preprocess import Preprocess
from ensemble.learn.stored_image import ToSize
from ensemble.learn.weights import MODEL, check_has_weights
from ensemble.recipe import Recipe
from ensemble.runs import StoredRun
from ensemble.targets import Array


@dataclass(frozen=True)
class InputFormat:
    """The pixels that a network takes of an image.

    stored is the (height, width) of images that the device resizes, None if it resizes none;
    ranges are the training set's, of values of more than 8 bits.
    """

    geometry: Geometry
    stored: tuple[int, int] | None
    ranges: Ranges

    def pixels_of(self, image: Image.Image) -> Array:
        """(height, width, 3) uint8 of an image that was decoded for this geometry and these ranges."""
        is_stored = (image.height, image.width) == self.stored
        return np.asarray(image if is_stored else self.geometry.apply(image))


@dataclass(eq=False)
class StoredNetwork:
    """A run's network, ready to predict; fallback is its (classes,) probabilities of an unreadable image."""

    classes: tuple[str, ...]
    input_format: InputFormat
    fallback: Array
    network: nn.Module
    transforms: list[Callable[[TensorImage], TensorImage]]
    views: tuple[str, ...]
    outputs: Outputs
    precision: str
    batch_size: int

    def probabilities(self, images: Sequence[Array | None]) -> Array:
        """(images, classes) float32, as the run itself would store them; images are pixels, None if unreadable."""
        probs = np.tile(self.fallback, (len(images), 1))
        by_shape = grouped(
            (pixels.shape, (row, pixels)) for row, pixels in enumerate(images) if pixels is not None
        )
        for same_shape in by_shape.values():
            rows, of_rows = zip(*same_shape, strict=True)
            probs[list(rows)] = self._of_same_shape(of_rows)
        return probs

    def _of_same_shape(self, images: Sequence[Array]) -> Array:
        """Batch by batch; the batch size stays halved where memory ran out."""
        batches: list[Array] = []
        n_done = 0
        while n_done < len(images):
            waiting = images[n_done:]
            probs, self.batch_size = at_a_size_that_fits(
                partial(self._of_first, waiting), self.batch_size
            )
            batches.append(probs)
            n_done += len(probs)
        return np.concatenate(batches)

    def _of_first(self, images: Sequence[Array], n: int) -> Array:
        """(n, classes) of the first n images."""
        x = self.inputs(images[:n])
        return probabilities(self.network, [(x,)], self.views, self.precision, outputs=self.outputs)

    def inputs(self, images: Sequence[Array]) -> TensorImage:
        """(images, 3, size, size), what the network takes; images are pixels of one shape."""
        x = TensorImage(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)).to(device())
        for transform in self.transforms:
            x = transform(x)
        return x


def stored_network(run: StoredRun, of_refit: bool = False) -> StoredNetwork:
    """The network of a run, or of its refit. Raises RunError, DamagedError, TrainingError."""
    weights = "refit.safetensors" if of_refit else MODEL
    check_has_weights(run, weights)  # before the network is built
    run.check_file("recipe.yaml")
    record = run.record()
    recipe, preprocess = Recipe.load(run.folder / "recipe.yaml"), Preprocess.of(record)
    network = models.build(recipe.network, len(run.classes), preprocess.geometry.size).network
    load_exactly(network, run, weights)
    on_gpu = device().type == "cuda"
    normalize = Normalize.from_stats(preprocess.mean, preprocess.std, cuda=on_gpu)
    return StoredNetwork(
        classes=run.classes,
        input_format=InputFormat(preprocess.geometry, preprocess.stored, preprocess.ranges),
        fallback=run.prior(with_valid=of_refit),
        network=network.to(device()).to(memory_format=torch.channels_last).eval(),
        transforms=[IntToFloatTensor(), ToSize(preprocess.geometry), normalize],
        views=record.tta,
        outputs=Outputs(recipe.data.target, record.scale, recipe.data.clip),
        precision=record.precision if on_gpu else "fp32",
        batch_size=2 * (record.micro_batch or record.batch_size),
    )
