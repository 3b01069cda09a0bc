"""The DataLoaders of a run, described by fastai's `DataBlock`, with its transforms on the device."""

from pathlib import Path
from typing import Literal

import fastai.vision.learner  # noqa: F401  (registers how fastai shows batches and results of images)
import numpy as np
import torch
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, TransformBlock
from fastai.data.core import DataLoaders
from fastai.data.transforms import IndexSplitter, IntToFloatTensor, Normalize, RegressionSetup
from fastai.torch_core import TitledFloat
from torch import Tensor

from ensemble.dataset.geometry import RandomCrop
from ensemble.learn.augment import batch_transforms
from ensemble.learn.catalog import Catalog
from ensemble.learn.device import device, evaluation_batch, seed_everything
from ensemble.learn.pixel_loader import PixelDL
from ensemble.learn.stored_image import StoredImage, ToSize
from ensemble.recipe import Augment
from ensemble.runs.record import NumberScale

Stats = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation per channel
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def loaders(
    images: Catalog,
    batch_size: int,
    augment: Augment,
    normalize: Stats,
    seed: int,
    is_balanced: bool = False,
) -> DataLoaders:
    """fastai's DataLoaders of the images that are learned and of the readable valid images.

    is_balanced: an epoch draws every class equally often.
    """
    seed_everything(seed, "loaders")
    train, valid = images.learned, images.readable("valid")
    to_size = ToSize(images.store.geometry)
    to_normal = Normalize.from_stats(*normalize, cuda=device().type == "cuda")
    pixels = TransformBlock(StoredImage(images), batch_tfms=[IntToFloatTensor(), to_size])
    block = DataBlock(
        blocks=(pixels, _target_block(images)),
        dl_type=PixelDL,
        get_y=lambda item: _label(images, item),
        splitter=IndexSplitter(list(range(len(train), len(train) + len(valid)))),
        batch_tfms=[*batch_transforms(augment), to_normal],
    )
    items = np.concatenate([train, valid]).tolist()
    sizes = {
        "bs": min(batch_size, len(train)),
        "val_bs": evaluation_batch(batch_size, images.store.geometry.size),
    }
    dls = block.dataloaders(items, device=device(), **sizes)
    dls.train.crop = RandomCrop(augment.crop) if augment.crop else None
    dls.train.augments_per_image = not augment.randaug
    dls.train.labels = images.targets[train] if is_balanced else None
    dls.train.soft_targets = images.soft_targets
    # else test_dl and predict refuse paths
    dls.valid_ds.tls[0].types[0] = (int, str, Path)
    return dls


def _target_block(images: Catalog) -> TransformBlock:
    """fastai's block of what is true of an image; numbers are standardized."""
    target, vocab = images.outputs.target, list(images.classes)
    if target == "class":
        return CategoryBlock(vocab=vocab, sort=False)
    if target == "labels":
        return MultiCategoryBlock(vocab=vocab)
    assert images.outputs.scale is not None
    return TransformBlock(type_tfms=Standardized(images.outputs.scale))


class Standardized(RegressionSetup):
    """fastai's transform of a number, which is shown in its own unit."""

    def __init__(self, scale: NumberScale) -> None:
        super().__init__(c=1)
        self.scale = scale

    def encodes(self, x: float) -> Tensor:  # noqa: D102
        return torch.tensor((x - self.scale.mean) / self.scale.deviation)

    def decodes(self, x: Tensor) -> TitledFloat:  # noqa: D102
        return TitledFloat(float(x) * self.scale.deviation + self.scale.mean)


def _label(images: Catalog, item: int) -> str | list[str] | float:
    """What is true of an image, as fastai's blocks take it."""
    truth = images.targets[item]
    if images.outputs.target == "number":
        return float(truth)
    if images.outputs.target == "labels":
        return [images.classes[code] for code in np.flatnonzero(truth)]
    return images.classes[int(truth)]


def split_loader(dls: DataLoaders, images: Catalog, split: str, batch_size: int) -> PixelDL:
    """The readable images of a split in order, as evaluation sees them."""
    loader: PixelDL = dls.test_dl(images.readable(split).tolist(), bs=batch_size)
    return loader


def normalization(
    choice: Literal["auto", "imagenet", "dataset"] | Stats, of_weights: Stats, images: Catalog
) -> Stats:
    """The mean and standard deviation per channel (of pixels from 0 to 1) that `data.normalize` names."""
    if choice == "auto":
        return of_weights
    if choice == "imagenet":
        return IMAGENET
    if choice != "dataset":
        return choice
    rows = np.unique(images.rows[images.readable("train")])
    total, squares, n = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(rows), 256):
        pixels = images.store.pixels[rows[start : start + 256]].reshape(-1, 3) / 255
        total, squares, n = total + pixels.sum(0), squares + (pixels**2).sum(0), n + len(pixels)
    mean = total / n
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 1e-12))
    return tuple(mean.tolist()), tuple(deviation.tolist())
