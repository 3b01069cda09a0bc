"""From stored pixels to a batch on the device: read, copied, resized."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastai.torch_core import TensorImage
from fasttransform import DisplayedTransform, Transform
from torch import Tensor

from ensemble.dataset.geometry import Geometry, RandomCrop
from ensemble.dataset.pixel_store import PixelStore, Streamed
from ensemble.dataset.pixels import cropped_pixels, decode_pixels, in_threads, must_stay_readable
from ensemble.learn.catalog import Catalog
from ensemble.learn.device import device
from ensemble.targets import Array

RESIDENT_SHARE = 0.25  # of a GPU's free memory that stored pixels may take


class StoredImage(Transform):
    """An item (a position in the catalog, or a path) to its uint8 pixels, channels first."""

    def __init__(self, images: Catalog) -> None:
        self.images = images
        self.resident = resident(images.store)

    def encodes(self, item: Any) -> TensorImage:  # noqa: D102
        return TensorImage(self.read([item])[0])

    def read(
        self, items: Sequence[Any], crop: RandomCrop | None = None, crop_seed: int = 0
    ) -> Tensor:
        """(items, 3, height, width) uint8, on its way to the device; crop_seed and item draw each crop.

        Raises UnreadableImage for a path, DataError for an image whose file has changed.
        """
        store = self.images.store
        if any(isinstance(item, str | Path) for item in items):
            return _pixels_to_device(
                in_threads(
                    lambda item: decode_pixels(Path(item), store.geometry, store.ranges), items
                )
            )
        if crop is not None:

            def cropped(item: int) -> Array:
                path = self.images.files[item]
                rng = random.Random(f"{crop_seed} {item}")
                content = self.images.hashes[path]
                return cropped_pixels(path, content, store.geometry, crop, rng, store.ranges)

            return _pixels_to_device(in_threads(must_stay_readable(cropped), items))
        rows = self.images.rows[np.array(items, dtype=np.int64)]
        if self.resident is not None:
            return self.resident[to_device(rows)].permute(0, 3, 1, 2)
        return _pixels_to_device(store.pixels[rows])


def resident(store: PixelStore, share: float = RESIDENT_SHARE) -> Tensor | None:
    """All stored pixels on the GPU if they take no more than this share of its free memory; None on the CPU."""
    if device().type != "cuda" or isinstance(store.pixels, Streamed):
        return None
    if store.pixels.nbytes > share * torch.cuda.mem_get_info(device())[0]:
        return None
    pixels = torch.empty(store.pixels.shape, dtype=torch.uint8, device=device())
    for start in range(0, len(pixels), 4096):
        block = slice(start, start + 4096)
        pixels[block] = torch.from_numpy(np.array(store.pixels[block]))
    return pixels


def _pixels_to_device(pixels: Array) -> Tensor:
    """(images, height, width, 3) uint8 as (images, 3, height, width) on its way to the device."""
    return to_device(pixels).permute(0, 3, 1, 2)


def to_device(array: Array) -> Tensor:
    """A tensor of the array, copied to the device while other work continues.

    Nothing waits: without pinned memory a copy waits for all work before it.
    """
    tensor = torch.from_numpy(array)
    if device().type == "cuda":
        tensor = tensor.pin_memory().to(device(), non_blocking=True)
    return tensor


class ToSize(DisplayedTransform):
    """Resizes images stored at their own size on the device, as Geometry would have done."""

    order = 15  # after IntToFloatTensor (10), before augmentation (30)

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        size = self.geometry.size
        if x.shape[-2:] == (size, size):
            return x
        width, height = self.geometry.scaled(x.shape[-1], x.shape[-2])
        scaled = F.interpolate(
            x, (height, width), mode=self.geometry.interpolation, antialias=True
        ).clamp(0, 1)
        top, left = round((height - size) / 2), round((width - size) / 2)
        if min(height, width) < size:  # pad: black bars
            scaled = F.pad(scaled, (-left, size - width + left, -top, size - height + top))
            top = left = 0
        window = scaled[..., top : top + size, left : left + size]
        return window.contiguous(memory_format=torch.channels_last)
