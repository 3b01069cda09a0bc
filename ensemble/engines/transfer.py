"""Files between machines that share no disk: folders travel as bytes, images by content hash."""

import os
import stat
import tempfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ensemble.dataset.content import content_hash
from ensemble.dataset.load import DataSet, load
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, EnsembleError, RunError
from ensemble.paths import cache_root
from ensemble.runs import Run, RunStore
from ensemble.runs.job import Job
from ensemble.runs.writer import STATES, write_files

Files = dict[str, bytes]  # contents by file name
ReadFiles = Callable[[Sequence[Path]], list[bytes]]
IMAGES_PER_REQUEST = 200


def required_folders(job: Job, run_id: str, store: RunStore) -> dict[str, Files]:
    """What a worker needs of runs/: the state to resume from, the run with the initial weights."""
    folders = {f"{run_id}/{name}": read_folder(store.folder(run_id) / name) for name in STATES}
    for run in _initial_weights(job, store):
        folders[run.id] = read_folder(run.folder)
    return folders


def _initial_weights(job: Job, store: RunStore) -> list[Run]:
    """The runs that `pretrained: run:<id or recipe>` can name."""
    kind, _, name = str(job.recipe.model.pretrained).partition(":")
    if kind != "run":
        return []
    with suppress(RunError):
        return [run for run in store.finished() if run.recipe == name] or [store.get(name)]
    return []


def read_folder(folder: Path, names: Collection[str] | None = None) -> Files:
    """The files of a folder (all, or the named ones); none if the folder does not exist."""
    if not folder.is_dir():
        return {}
    paths = [path for path in sorted(folder.iterdir()) if names is None or path.name in names]
    return {
        path.name: path.read_bytes()
        for path in paths
        if path.is_file() and not path.name.startswith(".")
    }


def read_files(paths: Sequence[Path]) -> list[bytes]:
    """The contents of files; runs on the driver's machine."""
    return [path.read_bytes() for path in paths]


def local_images(job: Job, data: DataSet, read_files: ReadFiles) -> DataSet:
    """The driver's data set with files of this machine. Raises DataError.

    The images at the recipe's path are used if they are the same; otherwise copies are fetched
    once, by hash, into the cache.
    """
    with suppress(EnsembleError, OSError):
        local = load(job.recipe.data, job.fold or 0)
        if local.fingerprint == data.fingerprint:
            return replace(
                local,
                sample_submission=data.sample_submission,
                sample=data.sample,
                pseudo=data.pseudo,
            )
    copies = _copies(data.hashes)
    _fetch(_missing(copies, data.hashes), copies, data.hashes, read_files)
    return with_paths(data, copies.__getitem__)


def _copies(hashes: dict[Path, str]) -> dict[Path, Path]:
    """Where the cache keeps the copy of each image."""
    folder = cache_root() / "received"
    return {
        path: folder / content[:2] / f"{content}{path.suffix.lower()}"
        for path, content in hashes.items()
    }


def _missing(copies: dict[Path, Path], hashes: dict[Path, str]) -> list[Path]:
    """The images whose copies are absent or changed.

    Their bytes are hashed again: whoever can write in the cache could also write its index.
    """

    def is_intact(path: Path) -> bool:
        try:
            return content_hash(copies[path].read_bytes()) == hashes[path]
        except OSError:
            return False

    paths = sorted(copies)
    with ThreadPoolExecutor(8) as pool:
        intact = pool.map(is_intact, paths)
        return [path for path, is_kept in zip(paths, intact, strict=True) if not is_kept]


def _fetch(
    paths: Sequence[Path],
    copies: dict[Path, Path],
    hashes: dict[Path, str],
    read_files: ReadFiles,
) -> None:
    for start in range(0, len(paths), IMAGES_PER_REQUEST):
        requested = paths[start : start + IMAGES_PER_REQUEST]
        for path, content in zip(requested, read_files(requested), strict=True):
            if content_hash(content) != hashes[path]:
                raise DataError(
                    f"{path}: was changed while this command was using it\n"
                    "restore the file, or run the command again"
                )
            write_files(copies[path].parent, {copies[path].name: content})


def with_paths(data: DataSet, new_path: Callable[[Path], Path]) -> DataSet:
    """The same data set with its files at other paths."""

    def relocated(images: Images) -> Images:
        return replace(images, files=tuple(new_path(path) for path in images.files))

    return replace(
        data,
        train=relocated(data.train),
        valid=relocated(data.valid),
        test=data.test and relocated(data.test),
        hashes={new_path(path): content for path, content in data.hashes.items()},
    )


def private_cache() -> Path:
    """The cache of a worker without ENS_CACHE: a folder of this user alone. Raises EnsembleError."""
    if not hasattr(os, "getuid"):  # Windows: the temporary folder belongs to the user
        return Path(tempfile.gettempdir()) / "ens-cache"
    folder = Path(tempfile.gettempdir()) / f"ens-cache-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        is_private = (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.getuid()
            and not status.st_mode & 0o022
        )
        if is_private:
            folder.chmod(0o700)
    except OSError as error:
        raise EnsembleError(
            f"{folder}: cannot be used as a cache ({error.strerror})\n"
            "set ENS_CACHE where the worker runs"
        ) from None
    if not is_private:
        raise EnsembleError(
            f"{folder}: belongs to another user, or others can write to it and replace its images\n"
            "remove it, or set ENS_CACHE to your own folder where the worker runs"
        )
    return folder
