"""The image sets that `ens data get` can download: addresses, hashes, and how to unpack them.

At least two other projects pin the same SHA-256 of each file, among them TensorFlow Datasets
(CIFAR-10, Flowers-102) and the publisher's own tutorials (hymenoptera).
"""

import re
from dataclasses import dataclass

from ensemble.dataset import unpackers
from ensemble.dataset.scan import image_files
from ensemble.errors import DataError
from ensemble.paths import candidates

COMPETITION = "kaggle:"


@dataclass(frozen=True)
class WebFile:
    """A file on the web: its address, its size in bytes and its SHA-256."""

    url: str
    n_bytes: int
    sha256: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class DownloadableSet:
    """A set that `ens data get` knows.

    folder is what recipes call it; a complete set holds at least n_images. A competition on Kaggle
    has no files: Kaggle's client knows them.
    """

    name: str
    folder: str
    title: str
    n_images: int
    licence: str
    files: tuple[WebFile, ...]
    unpack: unpackers.Unpacker
    recipe: str = ""

    @property
    def n_bytes(self) -> int:
        """Bytes to download."""
        return sum(file.n_bytes for file in self.files)

    @property
    def is_competition(self) -> bool:
        """Whether Kaggle's client downloads it."""
        return self.name.startswith(COMPETITION)


@dataclass(frozen=True)
class SetStatus:
    """A row of `ens data list`: the folder `here` (or "") holds n_found images of the set."""

    name: str
    title: str
    n_images: int
    n_bytes: int
    licence: str
    url: str
    here: str
    n_found: int


_CIFAR10 = "https://www.cs.toronto.edu/~kriz/"
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_TUTORIAL = "https://download.pytorch.org/tutorial/"

_SETS = (
    DownloadableSet(
        name="cifar10",
        folder="cifar10",
        recipe="recipes/cifar10_lite.yaml",
        title="images of 32×32 in 10 classes",
        n_images=60_000,
        licence="none stated; cite Krizhevsky (2009)",
        files=(
            WebFile(
                _CIFAR10 + "cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        unpack=unpackers.cifar10,
    ),
    DownloadableSet(
        name="flowers102",
        folder="flowers102",
        recipe="recipes/flowers102_features.yaml",
        title="photos of 102 kinds of flowers",
        n_images=8_189,
        licence="none stated; cite Nilsback and Zisserman (2008)",
        files=(
            WebFile(
                _FLOWERS + "102flowers.tgz",
                344_862_509,
                "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
            ),
            WebFile(
                _FLOWERS + "imagelabels.mat",
                502,
                "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
            ),
            WebFile(
                _FLOWERS + "setid.mat",
                14_989,
                "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
            ),
        ),
        unpack=unpackers.flowers102,
    ),
    DownloadableSet(
        name="hymenoptera",
        folder="hymenoptera_data",
        recipe="recipes/hymenoptera_lite.yaml",
        title="photos of ants and bees",
        n_images=397,  # and a placeholder, train/ants/imageNotFound.gif
        licence="photos from ImageNet, for research; PyTorch's tutorial",
        files=(
            WebFile(
                _TUTORIAL + "hymenoptera_data.zip",
                47_286_322,
                "fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
            ),
        ),
        unpack=unpackers.hymenoptera,
    ),
)
SETS = {dataset.name: dataset for dataset in _SETS}


def set_named(name: str) -> DownloadableSet:
    """A set of the table, or the competition that `kaggle:<slug>` names. Raises DataError."""
    if name.startswith(COMPETITION):
        return _competition(name)
    try:
        return SETS[name]
    except KeyError:
        raise DataError(
            f"{name!r} is not one of {', '.join(SETS)}, kaggle:<slug>\n"
            "`ens data list` describes them"
        ) from None


def _competition(name: str) -> DownloadableSet:
    slug = name.removeprefix(COMPETITION)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", slug):
        raise DataError(
            f"{name[:100]}: not the name of a competition\n"
            "the name is the end of its address: kaggle.com/competitions/NAME"
        )
    rules = "the competition's rules"
    return DownloadableSet(name, slug, "a competition", 0, rules, (), unpackers.plain_archive)


def list_sets() -> tuple[SetStatus, ...]:
    """Every set of the table, and how many of its images are where recipes look for them."""
    return tuple(map(_status, SETS.values()))


def _status(dataset: DownloadableSet) -> SetStatus:
    existing = next((folder for folder in candidates(dataset.folder) if folder.is_dir()), None)
    return SetStatus(
        name=dataset.name,
        title=dataset.title,
        n_images=dataset.n_images,
        n_bytes=dataset.n_bytes,
        licence=dataset.licence,
        url=dataset.files[0].url.rpartition("/")[0],
        here=str(existing or ""),
        n_found=len(image_files(existing)) if existing else 0,
    )
