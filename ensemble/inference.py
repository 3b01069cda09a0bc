"""Predict any images with a stored run or a blend, block by block, in constant memory."""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ensemble.blending import Blend
from ensemble.blending.mixture import Answered, Mixture
from ensemble.dataset.decode import UnreadableImage, decode_image
from ensemble.dataset.filenames import is_sample
from ensemble.dataset.inputs import input_images
from ensemble.dataset.scan import passed_over_line, scan
from ensemble.errors import SubmissionError
from ensemble.events import Emit, Note, Step
from ensemble.files import atomic_path
from ensemble.metrics.decision import PLAIN
from ensemble.predictions import Array, Predictions, aligned
from ensemble.runs import GradedRun, Run, RunStore
from ensemble.submission.check import check
from ensemble.submission.choices import PROBABILITIES, VALUES
from ensemble.submission.given_images import images_of_rows
from ensemble.submission.manifest import members_of, read_manifest
from ensemble.submission.sample import meaning_of
from ensemble.submission.shape import Meaning, Shape, cells, shape_of_sample
from ensemble.submission.stored_blends import named_manifest
from ensemble.submission.write import csv_writer
from ensemble.targets import Target

if TYPE_CHECKING:
    from ensemble.learn.stored import InputFormat, StoredNetwork

    Networks = dict[str, list[StoredNetwork]]  # by run id, one for each fold
    Decoded = (
        dict[InputFormat, Array] | UnreadableImage
    )  # one image's pixels, as each reader makes them

BLOCK = 256  # images decoded at a time, while the block before them is predicted


@dataclass(frozen=True)
class Predictor:
    """What predicts: members by run id, and how their probabilities are mixed."""

    runs: dict[str, Run]
    mixture: Mixture

    @classmethod
    def of_run(cls, run: Run, of_refit: bool = False) -> "Predictor":
        """One run, all its folds together; of_refit: by its refit on train + validation."""
        return cls(
            {run.id: run},
            Mixture({run.id: 1.0}, False, None, of_refit, decision=PLAIN[run.data.target]),
        )

    @classmethod
    def of_blend(cls, blend: Blend) -> "Predictor":
        """The members of a blend with their weights and its calibration."""
        return cls({member.run.id: member.run for member in blend.members}, blend.mixture)

    @classmethod
    def of_submission(
        cls, name: Path | str, store: RunStore, folder: Path = Path("submissions")
    ) -> "Predictor":
        """The blend of a submission, given by name, CSV or manifest. Raises SubmissionError."""
        path = named_manifest(name, folder)
        manifest = read_manifest(path)
        problem = f"{path}: cannot predict"
        return cls(
            members_of(manifest, store, manifest.files_to_predict, problem), manifest.mixture
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        return tuple(sorted(next(iter(self.runs.values())).classes))

    @property
    def target(self) -> Target:
        """What its members predict."""
        return next(iter(self.runs.values())).data.target

    def meaning(self, answer: str | None = None, positive: str | None = None) -> Meaning:
        """What the runs hold about the cells of a submission; the arguments override it.

        Raises SubmissionError where runs disagree.
        """
        return meaning_of(list(self.runs.values()), answer, positive)


@dataclass(frozen=True)
class Predicted:
    """The written CSV; answer is what its cells are, unreadable the reasons of unreadable images, by id."""

    path: Path
    answer: str
    columns: tuple[str, ...]
    n_images: int
    n_networks: int
    unreadable: dict[str, str]
    unreadable_path: Path | None


def predict(
    inputs: Sequence[Path],
    predictor: Predictor,
    out: Path,
    emit: Emit,
    sample: Path | None = None,
    force: bool = False,
    meaning: Meaning | None = None,
    rows: Path | None = None,
) -> Predicted:
    """Write one row per image: its id and the probability of every class, or as a sample asks.

    meaning is what the sample's cells mean, by default what the runs hold. Of a sample's row about
    several images, in its folder, by their names or by the table `rows`, the mean is predicted.

    An unreadable image gets every member's fallback, the class shares of its training images, and
    is listed in a second file beside the CSV. Raises EnsembleError.
    """
    sources = [*inputs, *(table for table in (sample, rows) if table is not None)]
    for path in (out, unreadable_list(out)):
        _check_output(path, sources, force)
    ids, files = input_images(inputs)
    _check_output(out, [Path(file) for file in files] if out.exists() else [], force)
    target = predictor.target
    shape = Shape(
        columns=("id", *predictor.classes),
        ids=tuple(ids),
        answer=VALUES if target == "number" else PROBABILITIES,
        class_of_column=predictor.classes,
        target=target,
    )
    images = [[position] for position in range(len(files))]
    if sample is not None:
        shape = shape_of_sample(sample, predictor.classes, meaning or predictor.meaning(), ids)
        images, line = images_of_rows(shape, ids, rows)
        if line:
            emit(Note(out.name, line))
    given = [
        (row, ids[position], files[position])
        for row, positions in zip(shape.ids, images, strict=True)
        for position in positions
    ]
    batches = Batches(predictor, networks_of(predictor))

    def progress(n_done: int) -> None:
        emit(Step(out.name, "predicting", n_done, len(given)))

    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as stored:
        texts = (*shape.columns, *shape.ids, *shape.texts.values())
        writer = csv_writer(stored, texts, shape.delimiter)
        unreadable = _write(writer, batches, shape, given, progress)
    for line in _notes(inputs, batches.unscaled):
        emit(Note(out.name, line))
    if sample is not None:
        check(out, shape)
    listed = _list_unreadable(out, unreadable)
    return Predicted(
        out, shape.answer, shape.columns, len(given), batches.n_networks, unreadable, listed
    )


def _notes(inputs: Sequence[Path], unscaled: Collection[str]) -> Iterator[str]:
    """What a user should know about a prediction, one line each."""
    if len(inputs) == 1 and inputs[0].is_dir() and (line := passed_over_line(scan(inputs[0]))):
        yield line
    if unscaled:
        yield (
            f"{len(unscaled):,} images have more than 8 bits per pixel, "
            f"in a format that no training image had, such as {min(unscaled)}: "
            "they are scaled by the range of their format and may be too dark"
        )


def unreadable_list(out: Path) -> Path:
    """The file beside `out` that lists unreadable images and why."""
    return out.with_suffix(".unreadable.csv")


def _check_output(path: Path, inputs: Sequence[Path], force: bool) -> None:
    """Whether this file may be written; inputs never are. Raises SubmissionError."""
    problem = ""
    if is_sample(path.name):
        problem = "has the name of a sample submission"
    elif path.exists() and any(file.exists() and path.samefile(file) for file in inputs):
        problem = "is an input of this prediction"
    elif path.exists() and not force:
        problem = "exists; --force replaces it"
    if problem:
        raise SubmissionError(f"{path}: {problem}\nchoose another --out")


def _write(
    writer: Any,
    batches: "Batches",
    shape: Shape,
    given: Sequence[tuple[str, str, str]],
    progress: Callable[[int], None],
) -> dict[str, str]:
    """Write the header and a row per id of the shape; the reasons of unreadable images, by id.

    given are the row, the id and the file of each image, row after row.
    """
    unreadable: dict[str, str] = {}
    rows = [row for row, _, _ in given]
    n_done = 0
    writer.writerow(shape.as_written(shape.columns))
    for decoded in _whole_rows(batches.decoded([file for _, _, file in given]), rows):
        end = n_done + len(decoded)
        for (_, image_id, _), image in zip(given[n_done:end], decoded, strict=True):
            if isinstance(image, UnreadableImage):
                unreadable[image_id] = str(image)
        answered = batches.answered(np.array(rows[n_done:end]), decoded)
        ids = answered.predictions.ids.tolist()
        named = zip(ids, cells(shape, answered, range(len(ids))), strict=True)
        writer.writerows(shape.as_written([row_id, *row]) for row_id, row in named)
        n_done = end
        progress(n_done)
    return unreadable


def _whole_rows(
    blocks: "Iterator[list[Decoded]]", rows: Sequence[str]
) -> "Iterator[list[Decoded]]":
    """The same images in blocks that part no row; rows has the row of each."""
    waiting: list[Decoded] = []
    n_read = 0
    for block in blocks:
        waiting += block
        n_read += len(block)
        n_whole = len(waiting)
        while (
            n_whole
            and n_read < len(rows)
            and rows[n_read - len(waiting) + n_whole - 1] == rows[n_read]
        ):
            n_whole -= 1
        if n_whole:
            yield waiting[:n_whole]
        waiting = waiting[n_whole:]


def networks_of(predictor: Predictor) -> "Networks":
    """The networks of every member, one for each fold; a refit is a single network."""
    from ensemble.learn.stored import stored_network

    of_refits = predictor.mixture.of_refits
    networks = {}
    for run_id, run in predictor.runs.items():
        folds = run.folds[:1] if of_refits else run.folds
        networks[run_id] = [stored_network(fold, of_refits) for fold in folds]
    return networks


class Batches:
    """Predicts blocks of images; unscaled: files whose bit depth no training image had."""

    def __init__(self, predictor: Predictor, networks: "Networks") -> None:
        self.mixture = predictor.mixture
        self.references = predictor.mixture.references(predictor.runs)
        self.runs, self.networks = predictor.runs, networks
        self.readers = {network.input_format for member in networks.values() for network in member}
        self.decodings = {(reader.geometry.least_side, reader.ranges) for reader in self.readers}
        self.unscaled: set[str] = set()

    @property
    def n_networks(self) -> int:
        """The networks of all members and folds."""
        return sum(map(len, self.networks.values()))

    def decoded(self, files: Sequence[str]) -> "Iterator[list[Decoded]]":
        """The images as each reader decodes them, by block; the next block is decoded meanwhile."""
        remaining = iter(files)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            ahead = pool.map(self._decode, islice(remaining, BLOCK))
            while block := list(ahead):
                ahead = pool.map(self._decode, islice(remaining, BLOCK))
                yield block

    def _decode(self, file: str) -> "Decoded":
        """One image as each reader needs it, decoded once per least side and ranges."""
        images = {}
        try:
            for least_side, ranges in self.decodings:
                decoded = decode_image(Path(file), least_side, ranges)
                images[least_side, ranges] = decoded.image
                if not ranges.covers(decoded.mode):
                    self.unscaled.add(file)
        except UnreadableImage as error:
            return error
        return {
            reader: reader.pixels_of(images[reader.geometry.least_side, reader.ranges])
            for reader in self.readers
        }

    def answered(self, ids: Array, decoded: "Sequence[Decoded]") -> Answered:
        """The predictions and answers of one block, in the order of its ids.

        An id of several images has the mean of their predictions.
        """
        members = {run_id: partial(self.member, run_id, ids, decoded) for run_id in self.networks}
        answered = self.mixture.of(members, self.references)
        mixed, in_order = answered.predictions, np.array(list(dict.fromkeys(ids.tolist())))
        rows = np.argsort(np.argsort(in_order))  # members are aligned by sorted ids
        ordered = replace(mixed, ids=in_order, probs=mixed.probs[rows], is_checked=True)
        return Answered(ordered, answered.answers[rows])

    def member(self, run_id: str, ids: Array, decoded: "Sequence[Decoded]") -> Predictions:
        """The mean of a member's folds, as expected grades where it predicts those of classes."""
        is_read = np.array([not isinstance(image, UnreadableImage) for image in decoded])
        has_several = len(set(ids.tolist())) < len(ids)

        def of_fold(network: "StoredNetwork") -> Predictions:
            pixels = [
                None if isinstance(image, UnreadableImage) else image[network.input_format]
                for image in decoded
            ]
            probs, target = network.probabilities(pixels), network.outputs.target
            if not has_several:
                return Predictions(ids, network.classes, probs, target=target)
            images = np.arange(len(ids)).astype(str)
            by_image = Predictions(images, network.classes, probs, None, ids, target)
            return by_image.by_group(is_read)

        networks = enumerate(self.networks[run_id])
        folds = list(aligned({str(i): partial(of_fold, network) for i, network in networks}))
        probs = np.mean([fold.probs for fold in folds], axis=0)
        mean, run = replace(folds[0], probs=probs, is_checked=True), self.runs[run_id]
        return run.graded(mean) if isinstance(run, GradedRun) else mean


def _list_unreadable(out: Path, unreadable: dict[str, str]) -> Path | None:
    """Write `NAME.unreadable.csv` beside the CSV, or remove an old one if nothing is unreadable."""
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
