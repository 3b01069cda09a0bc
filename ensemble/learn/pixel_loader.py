"""A fastai DataLoader that reads whole uint8 batches from the pixel store.

`show_batch`, `test_dl` and `predict` work; an item is a position in the Catalog, or the path of any
image. Nothing random happens per item but a random crop, seeded by epoch and item.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from fastai.data.core import TfmdDL
from fastai.torch_core import TensorBase, TensorCategory, TensorImage, TensorMultiCategory
from fastcore.basics import chunked

from ensemble.dataset.geometry import RandomCrop
from ensemble.dataset.pixel_store import Streamed
from ensemble.learn.device import evaluation_batch
from ensemble.learn.sampling import balanced_order
from ensemble.learn.stored_image import StoredImage, to_device
from ensemble.targets import Array

Input = TypeVar("Input")
Output = TypeVar("Output")
TARGET_TENSORS = {"class": TensorCategory, "labels": TensorMultiCategory, "number": TensorBase}
GROUP_BYTES = 64 << 20  # float pixels that a GPU augments at once: small batches are too many calls


class PixelDL(TfmdDL):
    """A TfmdDL that reads whole batches from the store; workers would only slow it.

    images_per_step: where several batches make one step of the optimizer, an epoch is whole steps.
    crop: decode every image again in each epoch and take a random crop of it. Decoding runs one
    batch ahead. augments_per_image: augmentation draws for each image, so that a GPU may augment
    several small batches at once. labels: (images,), of which an epoch draws each equally often.
    soft_targets: what the loss compares with in place of classes, as the Catalog has them.
    """

    images_per_step: int | None = None
    crop: RandomCrop | None = None
    crop_seed = 0
    augments_per_image = True
    labels: Array | None = None
    soft_targets: Array | None = None

    def __init__(self, dataset: Any = None, **kwargs: Any) -> None:
        super().__init__(dataset, **{**kwargs, "num_workers": 0})

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> "PixelDL":
        """A loader with the same settings, of this dataset or another one."""
        loader: PixelDL = super().new(dataset, cls, **kwargs)
        loader.crop, loader.augments_per_image = self.crop, self.augments_per_image
        loader.labels = self.labels if dataset is None else None
        loader.soft_targets = self.soft_targets if dataset is None else None
        return loader

    def before_iter(self, *args: Any) -> None:
        """An epoch begins, and draws the seed of its crops."""
        super().before_iter(*args)
        if self.crop is not None:
            self.crop_seed = self.rng.getrandbits(32)

    def __len__(self) -> int:
        step = self.images_per_step
        return int(super().__len__()) if step is None else int(self.n // step * step // self.bs)

    def get_idxs(self) -> list[int]:
        """The positions of an epoch in their order."""
        positions: list[int] = super().get_idxs()
        if self.labels is not None and self.shuffle:
            positions = balanced_order(self.labels, self.rng)
        step = self.images_per_step
        return positions if step is None else positions[: len(positions) // step * step]

    def create_item(self, s: int | None) -> int:
        """A position is its own item; do_batch reads the pixels."""
        return s or 0

    def do_item(self, s: int | None) -> int:
        """No work per item."""
        return s or 0

    @property
    def stored_image(self) -> StoredImage:
        """The transform that reads the pixels."""
        return next(tfm for tfm in self.dataset.tls[0].tfms.fs if isinstance(tfm, StoredImage))

    @property
    def evaluation_bs(self) -> int:
        """The images at a time of a loader with these images that nothing learns from."""
        return evaluation_batch(self.bs, self.stored_image.images.store.geometry.size)

    @property
    def decodes_every_epoch(self) -> bool:
        """Whether every epoch decodes its images again."""
        return self.crop is not None or isinstance(self.stored_image.images.store.pixels, Streamed)

    @property
    def n_grouped(self) -> int:
        """How many batches are augmented at once: more than one of small batches on one GPU."""
        is_grouped = self.device.type == "cuda" and self.augments_per_image
        if not is_grouped or self.decodes_every_epoch:
            return 1
        float_bytes = 4 * 3 * self.stored_image.images.store.geometry.size**2 * self.bs
        return max(1, GROUP_BYTES // int(float_bytes))

    def chunkify(self, positions: Iterable[int]) -> Iterator[list[int]]:
        """The positions of each group of batches."""
        n_grouped = self.n_grouped
        drops_last = self.drop_last and n_grouped == 1
        groups: Iterator[list[int]] = chunked(positions, n_grouped * self.bs, drops_last)
        return groups

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """An epoch's batches."""
        n_grouped = self.n_grouped
        for group in super().__iter__():
            if n_grouped == 1:
                yield group
                continue
            for batch in zip(*(tensor.split(self.bs) for tensor in group), strict=True):
                if len(batch[0]) == self.bs or not self.drop_last:
                    yield batch

    def create_batches(self, samps: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """The batches of these positions; decoding and copying to a GPU run one batch ahead."""
        chunks = self.chunkify(samps)
        if self.decodes_every_epoch:
            return one_ahead(self.do_batch, chunks)
        return map(self.do_batch, chunks)

    def do_batch(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """(TensorImage uint8,) or (TensorImage, what the loss compares with) of these positions."""
        images, *labels = self.dataset.tls
        items = [images.items[i] for i in indices]
        stored_image = self.stored_image
        pixels = TensorImage(stored_image.read(items, self.crop, self.crop_seed))
        if not labels:
            return (pixels,)
        soft = self.soft_targets
        known = stored_image.images.encoded if soft is None else soft
        targets = known[np.array(items, dtype=np.int64)]
        kind = TARGET_TENSORS[stored_image.images.outputs.target]
        return pixels, kind(to_device(targets))


def one_ahead(work: Callable[[Input], Output], inputs: Iterable[Input]) -> Iterator[Output]:
    """The results of `work` in order; a thread computes the next one meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque[Future[Output]]()
        for argument in inputs:
            waiting.append(thread.submit(work, argument))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
