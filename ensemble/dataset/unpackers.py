"""Unpack downloaded files into the folders that recipes expect.

The hashes of the files were checked before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ensemble.dataset.archives.cached import unpack_into
from ensemble.events import Progress

# (the set's files, an empty folder to fill, progress in images)
Unpacker = Callable[[Sequence[Path], Path, Progress], None]

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_IMAGE = (3, 32, 32)  # channels, rows, columns
FLOWER_SPLITS = {"train": "trnid", "valid": "valid", "test": "tstid"}  # folder: key in setid.mat


def cifar10(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train` and `test` with a folder per class, from the binary version of the set.

    The file name is the position in the official order: train/frog/00000.png is the first of
    data_batch_1.
    """
    from PIL import Image

    with _unpacked(files[0], folder) as raw:
        records = {
            "train": _cifar10_records(sorted(raw.rglob("data_batch_*.bin"))),
            "test": _cifar10_records(sorted(raw.rglob("test_batch.bin"))),
        }
    n_done, n_images = 0, sum(map(len, records.values()))
    for split, rows in records.items():
        for name in CIFAR10_CLASSES:
            (folder / split / name).mkdir(parents=True)
        for i, row in enumerate(rows):
            pixels = row[1:].reshape(CIFAR10_IMAGE).transpose(1, 2, 0)
            path = folder / split / CIFAR10_CLASSES[row[0]] / f"{i:05d}.png"
            Image.fromarray(pixels).save(path)
            n_done += 1
            progress(n_done, n_images)


def _cifar10_records(batches: Sequence[Path]) -> np.ndarray:
    """(images, 1 + 3 · 32 · 32) bytes: the label, then the pixels channel by channel."""
    content = np.concatenate([np.fromfile(path, np.uint8) for path in batches])
    return content.reshape(-1, 1 + np.prod(CIFAR10_IMAGE))


def flowers102(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train`, `valid` and `test` as published, with a folder per class number: 001 to 102."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    archive, labels_file, splits_file = files
    labels = loadmat(labels_file)["labels"].ravel()
    splits = loadmat(splits_file)
    with _unpacked(archive, folder) as raw:
        n_done = 0
        for split, key in FLOWER_SPLITS.items():
            for number in splits[key].ravel():
                path = raw / "jpg" / f"image_{number:05d}.jpg"
                class_folder = folder / split / f"{labels[number - 1]:03d}"
                class_folder.mkdir(parents=True, exist_ok=True)
                path.rename(class_folder / path.name)
                n_done += 1
                progress(n_done, len(labels))


def hymenoptera(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train` and `val` with ants and bees, as in the archive, without its outer folder."""
    with _unpacked(files[0], folder) as raw:
        for child in (raw / "hymenoptera_data").iterdir():
            child.rename(folder / child.name)


def plain_archive(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """The archive's own folders, as Kaggle's competitions have them."""
    unpack_into(files[0], folder)


@contextmanager
def _unpacked(archive: Path, folder: Path) -> Iterator[Path]:
    """The content of an archive in a temporary folder inside `folder`."""
    with TemporaryDirectory(dir=folder, prefix=".") as raw:
        unpack_into(archive, Path(raw))
        yield Path(raw)
