"""Predict any images by a stored run or a whole blend, a block at a time: memory does not grow with their number."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.blending.mixture import Mixture
from ensemble.dataset.decode import UnreadableImage, decode_image
from ensemble.dataset.filenames import contents, is_sample
from ensemble.dataset.scan import image_files, is_image, passed_over_line, scan
from ensemble.dataset.tables import short_names
from ensemble.errors import DataError, SubmissionError
from ensemble.events import Emit, Note, Step
from ensemble.files import atomic_path
from ensemble.predictions import Array, Predictions, aligned, some
from ensemble.runs import Run, RunStore
from ensemble.submission.check import check
from ensemble.submission.manifest import members_of, read_manifest
from ensemble.submission.shape import Shape, cells, rows_for, shape_of_sample
from ensemble.submission.write import csv_writer

if TYPE_CHECKING:
    from ensemble.learn.stored import InputFormat, StoredNetwork

    Networks = dict[str, list[StoredNetwork]]  # by run id, one for each fold
    Decoded = (
        dict[InputFormat, Array] | UnreadableImage
    )  # one image, as each way of reading makes its pixels

BLOCK = 256  # images decoded at a time, while the block before them is predicted


@dataclass(frozen=True)
class Source:
    """What predicts: members by run id, and how they are mixed."""

    runs: dict[str, Run]
    mixture: Mixture

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(sorted(next(iter(self.runs.values())).classes))

    @property
    def positive(self) -> str | None:
        """The class that one column of probabilities is about."""
        return next(iter(self.runs.values())).data.positive


@dataclass(frozen=True)
class Predicted:
    """The written file: its columns, its number of rows, the networks behind it, and why images were unreadable."""

    path: Path
    columns: tuple[str, ...]
    n_images: int
    n_networks: int
    unreadable: dict[str, str]
    unreadable_path: Path | None


def of_run(run_id: str, store: RunStore, of_refit: bool = False) -> Source:
    """One run, or all its folds, by the networks behind its test.npz, or by its refit. Raises EnsembleError."""
    run = store.get(run_id)
    return Source({run.id: run}, Mixture({run.id: 1.0}, False, None, of_refit))


def of_blend(name: str, store: RunStore, folder: Path = Path("submissions")) -> Source:
    """The blend behind a submission: its name, or its CSV or manifest. Raises EnsembleError."""
    path = (
        Path(name).with_suffix(".json")
        if name.endswith((".json", ".csv"))
        else folder / f"{name}.json"
    )
    try:
        manifest = read_manifest(path)
    except FileNotFoundError:
        there = ", ".join(sorted(one.stem for one in folder.glob("*.json"))[:8]) or "no manifest"
        raise SubmissionError(
            f"{path}: no such manifest\n{folder} holds {there}; `ens blend` writes one"
        ) from None
    return Source(
        members_of(manifest, store, (manifest.network_file,), f"{path}: cannot predict"),
        manifest.mixture,
    )


def predict(
    given: Sequence[Path],
    source: Source,
    out: Path,
    emit: Emit,
    sample: Path | None = None,
    force: bool = False,
) -> Predicted:
    """Write one row per image: its id and the probability of every class, or what a sample submission asks for.

    An unreadable image gets what every member gives it, the class shares of its training images, and is listed in a
    file beside. Raises EnsembleError.
    """
    for path in (out, unreadable_list(out)):
        _check_output(path, [*given, *([sample] if sample else [])], force)
    ids, files = images_of(given)
    _check_output(out, [Path(file) for file in files] if out.exists() else [], force)
    shape = Shape(("id", *source.classes), tuple(ids), "probabilities")
    if sample is not None:
        shape = shape_of_sample(sample, source.classes, source.positive)
        files = [files[row] for row in rows_for(shape, ids)]
    networks, unmeasured = _networks(source), list[str]()
    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as stored:
        writer = csv_writer(stored, (*shape.columns, *shape.ids, *source.classes))
        told = partial(_tell, emit, out.name, len(files))
        unreadable = _write(writer, source, networks, shape, files, unmeasured, told)
    for line in _notes(given, unmeasured):
        emit(Note(out.name, line))
    if sample is not None:
        check(out, shape, source.classes)
    beside = _list_unreadable(out, unreadable)
    return Predicted(
        out, shape.columns, len(files), sum(map(len, networks.values())), unreadable, beside
    )


def _notes(given: Sequence[Path], unmeasured: Sequence[str]) -> Iterator[str]:
    """What should be known of a prediction, a line each."""
    if len(given) == 1 and given[0].is_dir() and (line := passed_over_line(scan(given[0]))):
        yield line
    if unmeasured:
        files = sorted(set(unmeasured))
        yield (
            f"{len(files):,} images have more than 8 bits a pixel, of a kind that no training image had, such as "
            f"{files[0]}: scaled by what their files can hold, they may come out dark"
        )


def unreadable_list(out: Path) -> Path:
    """The file beside `out` that lists unreadable images and why."""
    return out.with_suffix(".unreadable.csv")


def _check_output(path: Path, inputs: Sequence[Path], force: bool) -> None:
    """Whether this file may be written; the inputs never are. Raises SubmissionError."""
    why = ""
    if is_sample(path.name):
        why = "is called like a sample submission"
    elif path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        why = "is what the prediction is made from"
    elif path.exists() and not force:
        why = "exists; --force replaces it"
    if why:
        raise SubmissionError(f"{path}: {why}\nchoose another --out")


def _write(
    writer: Any,
    source: Source,
    networks: "Networks",
    shape: Shape,
    files: Sequence[str],
    unmeasured: list[str],
    told: Callable[[int], None],
) -> dict[str, str]:
    """The header and a row per file, in the order of the shape's ids; why which were unreadable."""
    readers = {network.input_format for member in networks.values() for network in member}
    unreadable: dict[str, str] = {}
    n_done = 0
    writer.writerow(shape.columns)
    for decoded in _decoded(files, readers, unmeasured):
        names = shape.ids[n_done : n_done + len(decoded)]
        unreadable |= {
            n: str(one)
            for n, one in zip(names, decoded, strict=True)
            if isinstance(one, UnreadableImage)
        }
        probs = _mixed(source.mixture, networks, np.array(names), decoded)
        rows = cells(shape, probs, range(len(names)))
        writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))
        n_done += len(decoded)
        told(n_done)
    return unreadable


def _tell(emit: Emit, name: str, total: int, done: int) -> None:
    emit(Step(name, "predicting", done, total))


def images_of(given: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Ids and files: everything in one folder sorted by id, or the images named, or those that a .txt names by line.

    The id of an image in a folder is its path there, else its path as it was given, without suffix where that stays
    unique. Raises DataError.
    """
    if len(given) == 1 and given[0].is_dir():
        paths = [str(path) for path in image_files(given[0])]
        if not paths:
            holds = passed_over_line(scan(given[0])) or contents(given[0])
            raise DataError(f"{given[0]}: no image in this folder\n{holds}")
        ids = short_names([Path(path).relative_to(given[0]).as_posix() for path in paths])
        order = sorted(range(len(ids)), key=lambda i: ids[i])
        return [ids[i] for i in order], [paths[i] for i in order]
    paths = [
        line for path in given for line in (_lines(path) if path.suffix == ".txt" else [str(path)])
    ]
    lost = [path for path in paths if not os.path.isfile(path)]
    if lost or not paths:
        raise DataError(
            f"{len(lost)} of {len(paths)} images are no files: {some(lost)}\n"
            "give one folder, image files, or a .txt with a path per line"
        )
    odd = next((path for path in paths if not is_image(Path(path))), None)
    twice = len(paths) - len(set(paths))
    if odd is not None or twice:
        raise DataError(
            f"{odd}: not named like an image, nor is its content one"
            if odd
            else f"{twice} images are given more than once"
        )
    return short_names([Path(path).as_posix() for path in paths]), paths


def _lines(path: Path) -> list[str]:
    try:
        return [
            line.strip()
            for line in path.read_text(encoding="utf-8-sig").splitlines()
            if line.strip()
        ]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable list ({getattr(error, 'strerror', None) or 'not UTF-8'})"
        ) from None


def _networks(source: Source) -> "Networks":
    """The networks of every member, one for each fold."""
    from ensemble.learn.stored import stored_network

    of_refits = source.mixture.of_refits
    found = {}
    for name, run in source.runs.items():
        parts = run.folds
        found[name] = [
            stored_network(part, of_refits) for part in (parts[:1] if of_refits else parts)
        ]
    return found


def _decoded(
    files: Sequence[str], readers: "set[InputFormat]", unmeasured: list[str]
) -> "Iterator[list[Decoded]]":
    """The pixels that each reader makes of the images, block by block; the next block is decoded meanwhile.

    unmeasured takes the files of more than 8 bits a pixel whose like was not among the training images.
    """

    def decode(file: str) -> "Decoded":
        try:
            images = {}
            for side, ranges in decodings:
                picture = decode_image(Path(file), side, ranges)
                images[side, ranges] = picture.image
                if not ranges.covers(picture.mode):
                    unmeasured.append(file)
        except UnreadableImage as error:
            return error
        return {
            reader: reader.pixels_of(images[reader.geometry.least_side, reader.ranges])
            for reader in readers
        }

    decodings = {(reader.geometry.least_side, reader.ranges) for reader in readers}
    waiting = iter(files)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        ahead = pool.map(decode, islice(waiting, BLOCK))
        while block := list(ahead):
            ahead = pool.map(decode, islice(waiting, BLOCK))
            yield block


def _mixed(
    mixture: Mixture, networks: "Networks", ids: Array, decoded: "Sequence[Decoded]"
) -> Predictions:
    """The blend's probabilities of one block, in the order of its ids."""

    def of(network: "StoredNetwork") -> Predictions:
        pixels = [
            None if isinstance(one, UnreadableImage) else one[network.input_format]
            for one in decoded
        ]
        return Predictions(ids, network.classes, network.probabilities(pixels))

    def member(name: str) -> Predictions:
        parts = list(
            aligned({str(i): partial(of, network) for i, network in enumerate(networks[name])})
        )
        return Predictions(
            parts[0].ids, parts[0].classes, np.mean([part.probs for part in parts], axis=0)
        )

    found = mixture.of({name: partial(member, name) for name in networks})
    rows = np.argsort(np.argsort(ids))  # members are aligned by sorted ids
    return Predictions(found.ids[rows], found.classes, found.probs[rows], is_checked=True)


def _list_unreadable(out: Path, unreadable: dict[str, str]) -> Path | None:
    """`NAME.unreadable.csv` beside the file, where there are any."""
    path = unreadable_list(out)
    if not unreadable:
        path.unlink(missing_ok=True)
        return None
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as stored,
    ):
        writer = csv_writer(stored, (*unreadable, *unreadable.values()))
        writer.writerows([("id", "reason"), *unreadable.items()])
    return path
