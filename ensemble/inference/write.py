"""The CSV of a prediction: a row per image or per row of a sample, and what could not be read."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.dataset.decode import UnreadableImage
from ensemble.dataset.filenames import is_sample
from ensemble.dataset.scan import passed_over_line, scan
from ensemble.errors import SubmissionError
from ensemble.events import Emit, Note, Progress, steps
from ensemble.files import atomic_path
from ensemble.inference.blocks import Blocks
from ensemble.inference.inputs import input_images
from ensemble.inference.predictor import Predictor
from ensemble.submission.check import check
from ensemble.submission.choices import PROBABILITIES, VALUES
from ensemble.submission.given_images import images_of_rows
from ensemble.submission.shape import Meaning, Shape, cells, shape_of_sample
from ensemble.submission.write import csv_writer


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
    if out.is_dir():
        raise SubmissionError(f"{out}: is a folder\nname a file by --out, such as predicted.csv")
    for path in (out, unreadable_list(out)):
        _check_output(path, sources, force)
    ids, files = input_images(inputs)
    _check_output(out, [Path(file) for file in files] if out.exists() else [], force)
    shape, images = _shape_of(predictor, ids), [[i] for i in range(len(ids))]
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
    blocks = Blocks(predictor)
    unreadable = _write(out, blocks, shape, given, steps(emit, out.name, "predicting"))
    for line in _notes(inputs, blocks.unscaled):
        emit(Note(out.name, line))
    if sample is not None:
        check(out, shape)
    listed = unreadable_list(out) if unreadable else None
    return Predicted(
        out, shape.answer, shape.columns, len(given), blocks.n_networks, unreadable, listed
    )


def _shape_of(predictor: Predictor, ids: Sequence[str]) -> Shape:
    """A row per image: its id, and every class's probability or the number."""
    return Shape(
        columns=("id", *predictor.classes),
        ids=tuple(ids),
        answer=VALUES if predictor.target == "number" else PROBABILITIES,
        class_of_column=predictor.classes,
        target=predictor.target,
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
    out: Path,
    blocks: Blocks,
    shape: Shape,
    given: Sequence[tuple[str, str, str]],
    progress: Progress,
) -> dict[str, str]:
    """Write the header and a row per id of the shape, once the list of unreadable images is written.

    Returns the reasons of unreadable images, by id.

    given are the row, the id and the file of each image, row after row.
    """
    unreadable: dict[str, str] = {}
    rows = [row for row, _, _ in given]
    n_done = 0
    texts = (*shape.columns, *shape.ids, *shape.texts.values())
    with _new_csv(out, texts, shape.delimiter) as writer:
        writer.writerows(shape.lines_before_rows)
        for decoded in blocks.decoded_rows([file for _, _, file in given], rows):
            end = n_done + len(decoded)
            for (_, image_id, _), image in zip(given[n_done:end], decoded, strict=True):
                if isinstance(image, UnreadableImage):
                    unreadable[image_id] = str(image)
            answered = blocks.answered(np.array(rows[n_done:end]), decoded)
            ids = answered.predictions.ids.tolist()
            named = zip(ids, cells(shape, answered, range(len(ids))), strict=True)
            writer.writerows(shape.as_written([row_id, *row]) for row_id, row in named)
            n_done = end
            progress(n_done, len(given))
        _list_unreadable(out, unreadable)
    return unreadable


def _list_unreadable(out: Path, unreadable: dict[str, str]) -> None:
    """Write `NAME.unreadable.csv` beside the CSV, or remove an old one if nothing is unreadable."""
    path = unreadable_list(out)
    if not unreadable:
        path.unlink(missing_ok=True)
        return
    with _new_csv(path, (*unreadable, *unreadable.values())) as writer:
        writer.writerows([("id", "reason"), *unreadable.items()])


@contextmanager
def _new_csv(path: Path, texts: Iterable[str], delimiter: str = ",") -> Iterator[Any]:
    """A writer into a file that is in place once all is written."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        yield csv_writer(out, texts, delimiter)
