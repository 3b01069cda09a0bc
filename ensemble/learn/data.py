"""fastai DataLoaders that cut whole uint8 batches out of the decoded pixels.

`DataBlock` describes, `DataLoaders` serve, `show_batch`, `test_dl` and `predict` work; an item is a row of the Catalog,
or (for pictures from elsewhere) a path. Nothing random happens per item but a random crop, seeded by epoch and item.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import fastai.vision.learner  # noqa: F401  (registers how fastai shows batches and results of images)
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import IndexSplitter, IntToFloatTensor, Normalize
from fastai.torch_core import TensorCategory, TensorImage
from fastcore.basics import chunked
from fasttransform import DisplayedTransform, Transform
from torch import Tensor

from ensemble.dataset.geometry import Geometry, RandomCrop
from ensemble.dataset.load import DataSet
from ensemble.dataset.pixel_store import PixelStore, Streamed
from ensemble.dataset.pixels import (
    cropped_pixels,
    decode_pixels,
    in_threads,
    must_stay_readable,
)
from ensemble.errors import DataError
from ensemble.learn.augment import batch_transforms
from ensemble.learn.device import device, seed_everything
from ensemble.recipe import Augment

Array = npt.NDArray[Any]
Made = TypeVar("Made")
RESIDENT_SHARE = 0.25  # of a GPU's free memory: stored pixels of up to so much live there
GROUP_BYTES = (
    64 << 20
)  # of float pixels that a GPU changes at random in one go: small batches are many
Stats = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Catalog:
    """Every image of a run, part after part: its place in the store and its class.

    rows is (images,) positions in the store, -1 for an unreadable one; codes is (images,) positions in classes, -1
    where the label is unknown; parts names the positions of train, valid and test; files is (images,) paths,
    hashes their content.
    """

    store: PixelStore
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    rows: Array
    codes: Array
    parts: dict[str, Array]
    unreadable: dict[str, dict[str, str]]
    hashes: dict[Path, str]

    def readable(self, part: str) -> Array:
        """The positions of a part's images that could be decoded."""
        positions = self.parts[part]
        return positions[self.rows[positions] >= 0]

    @property
    def train_counts(self) -> Array:
        """How many training images of each class could be decoded, (classes,)."""
        return np.bincount(self.codes[self.readable("train")], minlength=len(self.classes))

    @property
    def class_counts(self) -> dict[str, int]:
        """The same by class name."""
        return dict(zip(self.classes, self.train_counts.tolist(), strict=True))


def catalog(data: DataSet, store: PixelStore, skip_unreadable: bool) -> Catalog:
    """The images of a run in their store. Raises DataError for an unreadable validation image (unless skipped)."""
    index = {name: i for i, name in enumerate(data.classes)}
    files: list[Path] = []
    rows: list[int] = []
    codes: list[int] = []
    parts: dict[str, Array] = {}
    unreadable: dict[str, dict[str, str]] = {}
    for part, images in zip(("train", "valid", "test"), data.tables, strict=False):
        parts[part] = np.arange(len(rows), len(rows) + len(images))
        files += images.files
        contents = [data.hashes[file] for file in images.files]
        rows += [
            -1 if content in store.unreadable else store.row_of[content] for content in contents
        ]
        codes += (
            [-1] * len(images)
            if images.labels is None
            else [index[label] for label in images.labels]
        )
        unreadable[part] = {
            images.ids[i]: store.unreadable[content]
            for i, content in enumerate(contents)
            if content in store.unreadable
        }
    if unreadable["valid"] and not skip_unreadable:
        reason = next(iter(unreadable["valid"].values()))
        raise DataError(
            f"{len(unreadable['valid'])} unreadable validation images, the first: {reason}\n"
            "mend or remove them, or set data.skip_unreadable: true"
        )
    for part in ("train", "valid"):
        if len(unreadable[part]) == len(parts[part]):
            raise DataError(
                f"no {part} image is readable, the first: {next(iter(unreadable[part].values()))}"
            )
    return Catalog(
        store,
        tuple(files),
        data.classes,
        np.array(rows),
        np.array(codes),
        parts,
        unreadable,
        data.hashes,
    )


class StoredImage(Transform):
    """An item (a position in the catalog, or a path) to its uint8 pixels, channels first."""

    def __init__(self, images: Catalog) -> None:
        self.images = images
        self.resident = resident(images.store)

    def encodes(self, item: Any) -> TensorImage:  # noqa: D102
        return TensorImage(self.read([item])[0])

    def read(self, items: Sequence[Any], crop: RandomCrop | None = None, draw: int = 0) -> Tensor:
        """(items, 3, height, width) uint8, on its way to the device; crops are drawn by `draw` and item.

        Raises UnreadableImage for a path, DataError for a picture that is not what it was.
        """
        geometry, ranges = self.images.store.geometry, self.images.store.ranges
        if any(isinstance(item, str | Path) for item in items):
            return _pixels_sent(
                in_threads(lambda item: decode_pixels(Path(item), geometry, ranges), items)
            )
        if crop is not None:

            def cropped(item: int) -> Array:
                path = self.images.files[item]
                rng = random.Random(f"{draw} {item}")
                return cropped_pixels(path, self.images.hashes[path], geometry, crop, rng, ranges)

            return _pixels_sent(in_threads(must_stay_readable(cropped), items))
        rows = self.images.rows[np.array(items, dtype=np.int64)]
        if self.resident is not None:
            return self.resident[_sent(rows)].permute(0, 3, 1, 2)
        return _pixels_sent(self.images.store.pixels[rows])


def resident(store: PixelStore, share: float = RESIDENT_SHARE) -> Tensor | None:
    """All stored pixels on the GPU, where they take no more than this share of its free memory; None on the CPU."""
    if device().type != "cuda" or isinstance(store.pixels, Streamed):
        return None
    if store.pixels.nbytes > share * torch.cuda.mem_get_info(device())[0]:
        return None
    whole = torch.empty(store.pixels.shape, dtype=torch.uint8, device=device())
    for start in range(0, len(whole), 4096):
        whole[start : start + 4096] = torch.from_numpy(np.array(store.pixels[start : start + 4096]))
    return whole


def _pixels_sent(pixels: Array) -> Tensor:
    """(images, height, width, 3) uint8 as (images, 3, height, width) on its way to the device."""
    return _sent(pixels).permute(0, 3, 1, 2)


def _sent(array: Array) -> Tensor:
    """An array on its way to the device. Nothing waits: without pinned memory a copy waits for all work before it."""
    tensor = torch.from_numpy(array)
    if device().type == "cuda":
        tensor = tensor.pin_memory().to(device(), non_blocking=True)
    return tensor


class ToSize(DisplayedTransform):
    """Pictures stored at their own size become the network's, on the device, as Geometry would have made them."""

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
        return scaled[..., top : top + size, left : left + size].contiguous(
            memory_format=torch.channels_last
        )


class PixelDL(TfmdDL):
    """A TfmdDL whose batches are cut whole from the store; workers would only slow it.

    Where several batches make one step of the optimiser, step counts its images, and an epoch is whole steps. With a
    crop, pictures are decoded afresh and a random part of each is taken. What is decoded runs one batch ahead. On a
    GPU several small batches are changed at random in one go, where changes are drawn for each image.
    """

    step: int | None = None
    crop: RandomCrop | None = None
    draw = 0
    is_drawn_per_image = True

    def __init__(self, dataset: Any = None, **kwargs: Any) -> None:
        super().__init__(dataset, **{**kwargs, "num_workers": 0})

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> "PixelDL":
        """A loader like this one over other items."""
        made = super().new(dataset, cls, **kwargs)
        made.crop, made.is_drawn_per_image = self.crop, self.is_drawn_per_image
        return made

    def before_iter(self, *args: Any) -> None:
        """An epoch begins, and draws its own crops."""
        super().before_iter(*args)
        if self.crop is not None:
            self.draw = self.rng.getrandbits(32)

    def __len__(self) -> int:
        return (
            super().__len__() if self.step is None else self.n // self.step * self.step // self.bs
        )

    def get_idxs(self) -> list[int]:
        """The positions of an epoch in their order."""
        indices = super().get_idxs()
        return indices if self.step is None else indices[: len(indices) // self.step * self.step]

    def create_item(self, s: int | None) -> int:
        """An index is the item; the batch is cut in do_batch."""
        return s or 0

    def do_item(self, s: int | None) -> int:
        """No work per item."""
        return s or 0

    @property
    def stored(self) -> StoredImage:
        """Where the pixels come from."""
        return next(tfm for tfm in self.dataset.tls[0].tfms.fs if isinstance(tfm, StoredImage))

    @property
    def is_decoded_afresh(self) -> bool:
        """Whether every epoch decodes its images again."""
        return self.crop is not None or isinstance(self.stored.images.store.pixels, Streamed)

    @property
    def n_together(self) -> int:
        """How many batches are transformed in one go: more than one of small batches on one GPU."""
        is_grouped = self.device.type == "cuda" and self.is_drawn_per_image
        if not is_grouped or self.is_decoded_afresh:
            return 1
        float_bytes = 4 * 3 * self.stored.images.store.geometry.size**2 * self.bs
        return max(1, GROUP_BYTES // float_bytes)

    def chunkify(self, positions: Iterable[int]) -> Iterator[list[int]]:
        """Positions by so many batches as are transformed in one go."""
        n_together = self.n_together
        return chunked(positions, n_together * self.bs, self.drop_last and n_together == 1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """An epoch's batches."""
        n_together = self.n_together
        for group in super().__iter__():
            if n_together == 1:
                yield group
                continue
            for batch in zip(*(part.split(self.bs) for part in group), strict=True):
                if len(batch[0]) == self.bs or not self.drop_last:
                    yield batch

    def create_batches(self, samps: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        """The batches of these positions; decoding and copying to a GPU happen while the one before is worked on."""
        cut = self.chunkify(samps)
        return one_ahead(self.do_batch, cut) if self.is_decoded_afresh else map(self.do_batch, cut)

    def do_batch(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """(TensorImage uint8,) or (TensorImage, TensorCategory) of these positions."""
        image, *labels = self.dataset.tls
        items = [image.items[i] for i in indices]
        pixels = TensorImage(self.stored.read(items, self.crop, self.draw))
        if not labels:
            return (pixels,)
        return pixels, TensorCategory(
            _sent(self.stored.images.codes[np.array(items, dtype=np.int64)])
        )


def one_ahead(make: Callable[[Any], Made], wanted: Iterable[Any]) -> Iterator[Made]:
    """What `make` gives for each that is wanted, in order, the next one made in a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque[Future[Made]]()
        for one in wanted:
            waiting.append(thread.submit(make, one))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def loaders(
    images: Catalog, batch_size: int, augment: Augment, normalize: Stats, seed: int
) -> DataLoaders:
    """fastai's DataLoaders over the readable train and valid images, transforms on the device."""
    seed_everything(seed, "loaders")
    train, valid = images.readable("train"), images.readable("valid")
    block = DataBlock(
        blocks=(
            TransformBlock(
                StoredImage(images), batch_tfms=[IntToFloatTensor(), ToSize(images.store.geometry)]
            ),
            CategoryBlock(vocab=list(images.classes), sort=False),
        ),
        dl_type=PixelDL,
        get_y=lambda item: images.classes[images.codes[item]],
        splitter=IndexSplitter(list(range(len(train), len(train) + len(valid)))),
        batch_tfms=[
            *batch_transforms(augment),
            Normalize.from_stats(*normalize, cuda=device().type == "cuda"),
        ],
    )
    n, items = min(batch_size, len(train)), np.concatenate([train, valid]).tolist()
    dls = block.dataloaders(items, bs=n, val_bs=2 * batch_size, device=device())
    dls.train.crop = RandomCrop(augment.crop) if augment.crop else None
    dls.train.is_drawn_per_image = not augment.randaug
    dls.valid_ds.tls[0].types[0] = (
        int,
        str,
        Path,
    )  # else test_dl and predict refuse pictures from elsewhere
    return dls


def part_loader(dls: DataLoaders, images: Catalog, part: str, batch_size: int) -> PixelDL:
    """The readable images of a part in order, as evaluation sees them."""
    return dls.test_dl(images.readable(part).tolist(), bs=batch_size)


def normalisation(wanted: Any, config: Stats, images: Catalog) -> Stats:
    """The mean and standard deviation per channel (of pixels from 0 to 1) that `data.normalize` means."""
    if wanted == "auto":
        return config
    if wanted == "imagenet":
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if wanted != "dataset":
        return wanted
    rows = np.unique(images.rows[images.readable("train")])
    total, squares, n = np.zeros(3), np.zeros(3), 0
    for start in range(0, len(rows), 256):
        pixels = images.store.pixels[rows[start : start + 256]].reshape(-1, 3) / 255
        total, squares, n = total + pixels.sum(0), squares + (pixels**2).sum(0), n + len(pixels)
    mean = total / n
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 1e-12))
    return tuple(mean.tolist()), tuple(deviation.tolist())
