"""What travels between machines that share no disk: folders as bytes, images by the hash of their content."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ensemble.dataset.archives import cache_root
from ensemble.dataset.content import content_hash
from ensemble.dataset.load import DataSet, load
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, EnsembleError
from ensemble.files import atomic_path
from ensemble.runs.job import Job

Files = dict[str, bytes]
Read = Callable[[Sequence[Path]], list[bytes]]
AT_ONCE = 200  # images asked for in one piece


def packed(folder: Path, names: Iterable[str] | None = None) -> Files:
    """The files of a folder by their names, all of them where none are named; none where it is not there."""
    if not folder.is_dir():
        return {}
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    ]
    return {path.name: path.read_bytes() for path in files if names is None or path.name in names}


def put(files: Files, folder: Path) -> None:
    """Write files, each whole or not at all, run.json last. Raises EnsembleError."""
    for name in sorted(files, key=lambda name: (name == "run.json", name)):
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(files[name])


def images_here(job: Job, known: DataSet, read: Read) -> DataSet:
    """The images of a job on this machine: at the recipe's own path where the same ones are, else fetched once.

    Raises DataError.
    """
    with suppress(EnsembleError, OSError):
        own = load(job.recipe.data, job.fold or 0)
        if own.fingerprint == known.fingerprint:
            return replace(
                own, sample_submission=known.sample_submission, sample=known.sample
            )  # the command's
    return _fetched(known, read)


def _holds(path: Path, content: str | None) -> bool:
    try:
        return content_hash(path.read_bytes()) == content
    except OSError:
        return False


def _fetched(known: DataSet, read: Read) -> DataSet:
    folder = cache_root() / "received"
    place = {
        path: folder / digest[:2] / f"{digest}{path.suffix.lower()}"
        for path, digest in known.hashes.items()
    }
    with ThreadPoolExecutor(
        8
    ) as pool:  # the bytes themselves: the index could be somebody's who knew of them first
        is_here = dict(
            zip(place, pool.map(_holds, place.values(), map(known.hashes.get, place)), strict=True)
        )
    missing = sorted(path for path in place if not is_here[path])
    for start in range(0, len(missing), AT_ONCE):
        some = missing[start : start + AT_ONCE]
        for path, content in zip(some, read(some), strict=True):
            if content_hash(content) != known.hashes[path]:
                raise DataError(
                    f"{path}: was changed while this command was using it\nput it back, or run the command again"
                )
            put({place[path].name: content}, place[path].parent)
    hashes = {stored: known.hashes[path] for path, stored in place.items()}

    def moved(images: Images) -> Images:
        return replace(images, files=tuple(place[path] for path in images.files))

    test = known.test and moved(known.test)
    return replace(
        known, train=moved(known.train), valid=moved(known.valid), test=test, hashes=hashes
    )
