"""Download a known image set, check and unpack it: the folder appears complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble import __version__, events
from ensemble.dataset.known_sets import DownloadableSet, WebFile
from ensemble.dataset.scan import image_files
from ensemble.errors import DataError, KaggleError
from ensemble.events import Progress
from ensemble.files import locked, not_written, remove_unfinished, sha256, staged_folder
from ensemble.paths import cache_root, data_root

CHUNK = 1 << 18  # bytes between two progress events
N_RETRIES = 3
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class LocalSet:
    """A set on this machine; was_present where it was complete before."""

    folder: Path
    n_images: int
    was_present: bool


def get(
    dataset: DownloadableSet,
    local_files: Path | None = None,
    to: Path | None = None,
    emit: events.Emit = events.ignore,
) -> LocalSet:
    """Make a set's folder in `to`, else in ENS_DATA, else here.

    An existing folder is never changed. local_files is used instead of a download: the archive, or
    a folder with all files of the set. Raises DataError, KaggleError.
    """
    target = (to or data_root() or Path()) / dataset.folder
    if os.path.lexists(target):
        return LocalSet(target, _n_images_if_complete(target, dataset), was_present=True)
    downloads = cache_root() / "downloads" / dataset.folder
    with _lock(downloads, dataset):
        files = (
            _local_files(dataset, local_files)
            if local_files
            else _download_all(dataset, downloads, emit)
        )
        emit(events.Note(dataset.name, f"unpacking {dataset.name}"))
        with _staging(target) as folder:
            dataset.unpack(files, folder, events.steps(emit, dataset.name, "images"))
        if not local_files:
            shutil.rmtree(downloads, ignore_errors=True)
    return LocalSet(target, len(image_files(target)), was_present=False)


def _n_images_if_complete(target: Path, dataset: DownloadableSet) -> int:
    """The number of images in an existing folder. Raises DataError where the set has more."""
    n_images = len(image_files(target))
    if n_images < dataset.n_images:
        raise DataError(
            f"{target}: exists with {n_images:,} images, "
            f"but {dataset.name} has {dataset.n_images:,}\n"
            f"move it away, or use another folder: `ens data get {dataset.name} --to DIR`"
        )
    return n_images


def _local_files(dataset: DownloadableSet, path: Path) -> list[Path]:
    """The set's files in a folder, or its only file, with checked hashes.

    A competition's files have no known hash.
    """
    names = [file.name for file in dataset.files] or [f"{dataset.folder}.zip"]
    expects = f"--from takes {' and '.join(names)}{' in one folder' if len(names) > 1 else ''}"
    paths = [path / name for name in names] if path.is_dir() else [path]
    for file_path in paths:
        if not file_path.is_file():
            raise DataError(f"{file_path}: no such file\n{expects}")
    if len(paths) != len(names):
        raise DataError(f"{path}: one file, but {dataset.name} needs {len(names)}\n{expects}")
    for file_path, file in zip(paths, dataset.files, strict=False):
        _check_hash(file_path, file)
    return paths


def _check_hash(path: Path, file: WebFile) -> None:
    try:
        actual = sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if actual != file.sha256:
        raise DataError(
            f"{path}: differs from {file.url}\nits SHA-256 is {actual} instead of {file.sha256}"
        )


def _download_all(dataset: DownloadableSet, folder: Path, emit: events.Emit) -> list[Path]:
    """The set's files in `folder`, with checked hashes; complete ones are not downloaded again."""
    try:
        if dataset.is_competition:
            from ensemble import kaggle

            progress = _download_steps(dataset, f"{dataset.folder}.zip", emit)
            return [kaggle.download_competition(dataset.folder, folder, progress)]
        for leftover in folder.glob("tmp*"):  # pooch's, of a killed download
            leftover.unlink()
        return [
            _download(file, folder, _download_steps(dataset, file.name, emit))
            for file in dataset.files
        ]
    except (DataError, KaggleError) as error:
        argument = "FOLDER" if len(dataset.files) > 1 else "FILE"
        hint = f"or use files from elsewhere: `ens data get {dataset.name} --from {argument}`"
        lines = [*str(error).splitlines()[:2], hint]
        raise type(error)("\n".join(lines)) from None
    except OSError as error:
        raise DataError(not_written(folder, error)) from None


def _download(file: WebFile, folder: Path, progress: Progress) -> Path:
    """A file in `folder` with the expected SHA-256.

    Raises DataError in one line, and OSError of the disk.
    """
    import pooch  # type: ignore[import-untyped]
    import requests

    def downloader(url: str, output_file: str, cache: Any) -> None:
        headers = {"User-Agent": f"ens-images/{__version__}", "Accept-Encoding": "identity"}
        counter = _ByteCounter(file.n_bytes, progress)
        request = pooch.HTTPDownloader(progressbar=counter, chunk_size=CHUNK, headers=headers)
        try:
            request(url, output_file, cache)
        except requests.HTTPError as error:
            response: Any = error.response
            response.close()  # pooch leaves the connection open
            if response.status_code < 500 and response.status_code != TOO_MANY_REQUESTS:
                raise DataError(_refusal(url, error)) from None  # another try would not help
            raise

    pooch.get_logger().setLevel("ERROR")
    cache = pooch.create(
        path=folder,
        base_url="",
        registry={file.name: file.sha256},
        urls={file.name: file.url},
        retry_if_failed=N_RETRIES,
    )
    try:
        return Path(cache.fetch(file.name, downloader=downloader))
    except requests.HTTPError as error:
        raise DataError(_refusal(file.url, error)) from None
    except requests.RequestException as error:
        reason = "timeout" if isinstance(error, requests.Timeout) else "connection failed"
        raise DataError(f"{file.url}: cannot be downloaded ({reason})") from None
    except ValueError as error:  # pooch names the expected and the actual hash
        raise DataError(f"{file.url}: {str(error).partition('. ')[0]}") from None


def _refusal(url: str, http_error: Any) -> str:
    response = http_error.response
    return f"{url}: the server answers {response.status_code} {response.reason}"


class _ByteCounter:
    """A progress bar as pooch expects one, which reports (bytes done, bytes in total)."""

    def __init__(self, n_bytes: int, progress: Progress) -> None:
        self.total = n_bytes  # pooch replaces it by what the server announces
        self._n_bytes = n_bytes
        self._n_done = 0
        self._progress = progress

    def update(self, n_bytes: int) -> None:
        """Count a chunk; pooch counts the last one as a whole one."""
        self._n_done = min(self._n_done + n_bytes, self._n_bytes)
        self._progress(self._n_done, self._n_bytes)

    def reset(self) -> None:
        """Count from the start again."""
        self._n_done = 0

    def close(self) -> None:
        """Nothing is open."""


def _download_steps(dataset: DownloadableSet, file: str, emit: events.Emit) -> Progress:
    """Bytes as events in whole megabytes (2^20 bytes), rounded up."""

    def report(n_done: int, n_bytes: int) -> None:
        emit(events.Step(dataset.name, f"{file}, MB", -(-n_done >> 20), -(-n_bytes >> 20)))

    return report


@contextmanager
def _lock(downloads: Path, dataset: DownloadableSet) -> Iterator[None]:
    """Hold the set's lock: two processes would write the same files. Raises DataError."""
    with ExitStack() as held:
        try:
            lock = locked(downloads.with_name(f"{dataset.folder}.lock"), wait=False)
            is_held = held.enter_context(lock)
            downloads.mkdir(parents=True, exist_ok=True)
        except (OSError, NotImplementedError) as error:
            raise DataError(
                f"{downloads}: cannot be used ({getattr(error, 'strerror', None) or error})\n"
                "set ENS_CACHE to a folder on a local disk"
            ) from None
        if not is_held:
            raise DataError(
                f"another process is downloading {dataset.name}\n"
                "wait for it, then run the command again"
            )
        yield


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` when the block ends well; the set's lock is held. Raises DataError."""
    remove_unfinished(target)
    try:
        with staged_folder(target) as staging:
            yield staging
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{target}: cannot be written ({reason})\n`--to DIR` writes into another folder"
        ) from None
