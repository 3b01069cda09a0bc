"""Known image sets: where they lie, the digest of every file, and how to get one whole or not at all.

Every SHA-256 is pinned by at least two other projects, among them TensorFlow Datasets (CIFAR-10, Flowers-102) and the
publisher's own tutorials (hymenoptera).
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ensemble import events
from ensemble.dataset import unpackers
from ensemble.dataset.archives import cache_root
from ensemble.dataset.fetch import File, Progress, check, download
from ensemble.dataset.scan import image_files
from ensemble.errors import DataError
from ensemble.files import publish_folder

COMPETITION = "kaggle:"


@dataclass(frozen=True)
class Source:
    """A set that `ens data get` knows; folder is what recipes call it, n_images the least it holds when complete."""

    name: str
    folder: str
    title: str
    n_images: int
    licence: str
    files: tuple[File, ...]
    lay_out: unpackers.Layout
    recipe: str = ""

    @property
    def n_bytes(self) -> int:
        """Bytes to download."""
        return sum(file.n_bytes for file in self.files)


@dataclass(frozen=True)
class Fetched:
    """A set on this machine; was_there where nothing had to be done."""

    folder: Path
    n_images: int
    was_there: bool


@dataclass(frozen=True)
class Listed:
    """A line of `ens data list`: n_found images of it are in `here`, which is empty where no such folder is."""

    name: str
    title: str
    n_images: int
    n_bytes: int
    licence: str
    url: str
    here: str
    n_found: int


_CIFAR10, _FLOWERS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
)
SOURCES = {
    source.name: source
    for source in (
        Source(
            name="cifar10",
            folder="cifar10",
            recipe="recipes/cifar10_lite.yaml",
            title="pictures of 32×32 in 10 classes",
            n_images=60_000,
            licence="none stated; cite Krizhevsky (2009)",
            files=(
                File(
                    _CIFAR10 + "cifar-10-binary.tar.gz",
                    170_052_171,
                    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                ),
            ),
            lay_out=unpackers.cifar10,
        ),
        Source(
            name="flowers102",
            folder="flowers102",
            recipe="recipes/flowers102_features.yaml",
            title="photos of 102 kinds of flowers",
            n_images=8_189,
            licence="none stated; cite Nilsback and Zisserman (2008)",
            files=(
                File(
                    _FLOWERS + "102flowers.tgz",
                    344_862_509,
                    "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                ),
                File(
                    _FLOWERS + "imagelabels.mat",
                    502,
                    "sha256:4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                ),
                File(
                    _FLOWERS + "setid.mat",
                    14_989,
                    "sha256:46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
                ),
            ),
            lay_out=unpackers.flowers102,
        ),
        Source(
            name="hymenoptera",
            folder="hymenoptera_data",
            recipe="recipes/hymenoptera_lite.yaml",
            title="photos of ants and bees",
            n_images=397,  # and a placeholder, train/ants/imageNotFound.gif
            licence="photos from ImageNet, for research; PyTorch's tutorial",
            files=(
                File(
                    "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
                    47_286_322,
                    "sha256:fbc41b31d544714d18dd1230b1e2b455e1557766e13e67f9f5a7a23af7c02209",
                ),
            ),
            lay_out=unpackers.hymenoptera,
        ),
    )
}


def source_named(name: str) -> Source:
    """A set of the table, or the competition that `kaggle:<slug>` names. Raises DataError."""
    if name.startswith(COMPETITION):
        slug = name.removeprefix(COMPETITION)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", slug):
            raise DataError(
                f"{name[:100]}: no competition's name\nit ends the address: kaggle.com/competitions/NAME"
            )
        return Source(
            name, slug, "a competition", 0, "the competition's rules", (), unpackers.as_it_comes
        )
    try:
        return SOURCES[name]
    except KeyError:
        raise DataError(
            f"{name!r} is not one of {', '.join(SOURCES)}, kaggle:<slug>\n`ens data list` says more"
        ) from None


def datasets() -> tuple[Listed, ...]:
    """What the table knows, and how much of it is on this machine; places as recipes look for them."""
    return tuple(map(_listed, SOURCES.values()))


def _listed(source: Source) -> Listed:
    places = [
        place / source.folder
        for place in (_data_root(None), Path())
        if (place / source.folder).is_dir()
    ]
    here, n_found = (str(places[0]), len(image_files(places[0]))) if places else ("", 0)
    url = source.files[0].url.rpartition("/")[0]
    return Listed(
        source.name,
        source.title,
        source.n_images,
        source.n_bytes,
        source.licence,
        url,
        here,
        n_found,
    )


def get(
    source: Source,
    given: Path | None = None,
    to: Path | None = None,
    emit: events.Emit = events.ignore,
) -> Fetched:
    """Make a set's folder under `to`, else ENS_DATA, else here: whole or not at all, and never over what is there.

    given: the archive, or a folder with all files of the set, instead of a download. Raises DataError.
    """
    target = _data_root(to) / source.folder
    if os.path.lexists(target):
        return Fetched(target, _complete(target, source), was_there=True)
    with _alone(source):
        files = _given(source, given) if given else _downloaded(source, emit)
        emit(events.Note(source.name, f"unpacking {source.name}"))
        with _staging(target) as folder:
            source.lay_out(
                files,
                folder,
                lambda done, total: emit(events.Step(source.name, "images", done, total)),
            )
        if not given:
            for file in files:
                file.unlink()
    return Fetched(target, len(image_files(target)), was_there=False)


def _data_root(to: Path | None) -> Path:
    return to or Path(os.environ.get("ENS_DATA") or "")


def _complete(target: Path, source: Source) -> int:
    """How many images a folder holds that is there already. Raises DataError where the set has more."""
    n_images = len(image_files(target))
    if n_images < source.n_images:
        raise DataError(
            f"{target}: is there, with {n_images:,} images where {source.name} has {source.n_images:,}; left as it is\n"
            f"move it away, or `ens data get {source.name} --to DIR`"
        )
    return n_images


def _given(source: Source, given: Path) -> list[Path]:
    """The set's files as they lie on this machine, checked; of a competition nothing is known to check."""
    names = [file.name for file in source.files] or [f"{source.folder}.zip"]
    paths = [given / name for name in names] if given.is_dir() else [given]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing or len(paths) != len(names):
        what = (
            f"{missing}: no such file"
            if missing
            else f"{given}: one file, where {source.name} needs {len(names)}"
        )
        raise DataError(
            f"{what}\n--from takes {' and '.join(names)}{' in one folder' if len(names) > 1 else ''}"
        )
    for path, file in zip(paths, source.files, strict=False):
        check(path, file)
    return paths


def _downloaded(source: Source, emit: events.Emit) -> list[Path]:
    """The set's files in the cache, checked; what a broken download left there is used."""
    folder = cache_root() / "downloads"
    try:
        if source.name.startswith(COMPETITION):
            from ensemble.dataset.kaggle import fetch_competition

            return [
                fetch_competition(
                    source.folder, folder, _megabytes(source, f"{source.folder}.zip", emit)
                )
            ]
        return [
            download(file, folder, _megabytes(source, file.name, emit)) for file in source.files
        ]
    except DataError as error:
        what = "FOLDER" if len(source.files) > 1 else "FILE"
        hint = f"or bring a copy from elsewhere: `ens data get {source.name} --from {what}`"
        raise DataError("\n".join([*str(error).splitlines()[:2], hint])) from None


def _megabytes(source: Source, file: str, emit: events.Emit) -> Progress:
    """Bytes as events in whole megabytes (2^20 bytes), rounded up."""
    return lambda done, total: emit(
        events.Step(source.name, f"{file}, MB", -(-done >> 20), -(-total >> 20))
    )


@contextmanager
def _alone(source: Source) -> Iterator[None]:
    """Hold the set's lock: two processes would write the same files. Raises DataError."""
    from filelock import FileLock, Timeout

    folder = cache_root() / "downloads"
    lock = FileLock(folder / f"{source.folder}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise DataError(
            f"another process is getting {source.name}\nwait for it, then run the command again"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise DataError(
            f"{folder}: cannot be used ({error})\nset ENS_CACHE to a folder on a local disk"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its name when the block ends well, else is gone. Raises DataError."""
    staging = target.parent / f".{target.name}.unfinished"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # a killed process left it
        staging.mkdir(parents=True)
        yield staging
        publish_folder(staging, target)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{target}: cannot be written ({reason})\n--to DIR names another folder"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
