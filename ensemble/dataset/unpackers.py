"""Downloaded files to the folders that recipes expect. The files' digests were checked: they are trusted here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ensemble.dataset.archives import unpack_into
from ensemble.dataset.fetch import Progress

Layout = Callable[
    [Sequence[Path], Path, Progress], None
]  # (the set's files, an empty folder, progress in images)

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
FLOWER_SPLITS = {
    "train": "trnid",
    "valid": "valid",
    "test": "tstid",
}  # our folder: the name in setid.mat


def cifar10(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train` and `test` with a folder per class, from the binary version: a label byte, then 3 × 32 × 32 pixels.

    A picture is called by its place in the official order: train/frog/00000.png is the first of data_batch_1.
    """
    from PIL import Image

    with TemporaryDirectory(dir=folder, prefix=".") as raw:
        unpack_into(files[0], Path(raw))
        batches = {
            "train": sorted(Path(raw).rglob("data_batch_*.bin")),
            "test": sorted(Path(raw).rglob("test_batch.bin")),
        }
        records = {
            split: np.concatenate([np.fromfile(path, np.uint8) for path in paths]).reshape(
                -1, 1 + 3 * 32 * 32
            )
            for split, paths in batches.items()
        }
    n_done, n_total = 0, sum(map(len, records.values()))
    for split, rows in records.items():
        for name in CIFAR10_CLASSES:
            (folder / split / name).mkdir(parents=True)
        for i, (label, pixels) in enumerate(
            zip(rows[:, 0], rows[:, 1:].reshape(-1, 3, 32, 32), strict=True)
        ):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(
                folder / split / CIFAR10_CLASSES[label] / f"{i:05d}.png"
            )
            n_done += 1
            progress(n_done, n_total)


def flowers102(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train`, `valid` and `test` as published, with a folder per class, called by its official number: 001 to 102."""
    from scipy.io import loadmat  # type: ignore[import-untyped]

    archive, labels, splits = files
    label_of = loadmat(labels)["labels"].ravel()
    images_in = loadmat(splits)
    with TemporaryDirectory(dir=folder, prefix=".") as raw:
        unpack_into(archive, Path(raw))
        n_done = 0
        for split, key in FLOWER_SPLITS.items():
            for number in images_in[key].ravel():
                path = Path(raw) / "jpg" / f"image_{number:05d}.jpg"
                home = folder / split / f"{label_of[number - 1]:03d}"
                home.mkdir(parents=True, exist_ok=True)
                path.rename(home / path.name)
                n_done += 1
                progress(n_done, len(label_of))


def hymenoptera(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """`train` and `val` with ants and bees, as they come."""
    with TemporaryDirectory(dir=folder, prefix=".") as raw:
        unpack_into(files[0], Path(raw))
        for child in (Path(raw) / "hymenoptera_data").iterdir():
            child.rename(folder / child.name)


def as_it_comes(files: Sequence[Path], folder: Path, progress: Progress) -> None:
    """An archive's own folders, as Kaggle's competitions have them."""
    unpack_into(files[0], folder)
