"""The first rows of a written CSV in words, read back from the file."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from ensemble.submission.choices import CLASS_NAME, LABELS, POSITIVE, PROBABILITIES, VALUES
from ensemble.submission.shape import Shape

N_EXAMPLES = 3


def rows_in_words(path: Path, shape: Shape, images: Sequence[str]) -> tuple[str, ...]:
    """The id of each of the first rows, its image where that is named otherwise, and its answer.

    images are the stored ids of the test images of these rows, in order.
    """
    return tuple(
        f"{_image(row[0], image)}: {cells_in_words(row[1:], shape)}"
        for row, image in zip(_rows(path, shape), images, strict=False)
    )


def _rows(path: Path, shape: Shape) -> Iterator[list[str]]:
    """The rows of a written file, the id first."""
    with path.open(encoding="utf-8", newline="") as stored:
        lines = csv.reader(stored, delimiter=shape.delimiter)
        yield from map(shape.as_written, islice(lines, len(shape.lines_before_rows), None))


def _image(sample_id: str, image: str) -> str:
    shown = sample_id[:60] if sample_id.isprintable() else repr(sample_id[:60])
    return shown if sample_id == image else f"{shown} (image {image[-60:]})"


def cells_in_words(cells: Sequence[str], shape: Shape) -> str:
    """What the cells after an id say: `class 'cat'`, or `0.93 that it is 'dog'`."""
    if shape.answer == VALUES:
        return cells[0]
    if shape.answer == LABELS:
        return _labels_in_words(cells, shape)
    if shape.listing:
        return f"classes {', '.join(cells)!r}, the most probable first"
    if shape.answer == PROBABILITIES:
        probs = list(map(float, cells))
        largest = max(probs)
        return f"most probable {shape.class_of_column[probs.index(largest)]!r} ({largest:.2f})"
    if shape.answer == POSITIVE:
        return f"{float(cells[0]):.2f} that it is {shape.positive!r}"
    name = next(name for name, text in shape.texts.items() if text == cells[0])
    if shape.answer == CLASS_NAME and name == cells[0]:
        return f"class {name!r}"
    return f"{cells[0]}, that is class {name!r}"


def _labels_in_words(cells: Sequence[str], shape: Shape) -> str:
    if shape.listing:
        return "no label" if cells[0] == shape.listing.nothing else f"labels {cells[0]!r}"
    names = [name for name, cell in zip(shape.class_of_column, cells, strict=True) if cell == "1"]
    return f"labels {', '.join(map(repr, names))}" if names else "no label"


def n_without_label(path: Path, shape: Shape) -> int:
    """The rows of a file of labels that are given none."""
    if shape.answer != LABELS:
        return 0
    return sum(_labels_in_words(row[1:], shape) == "no label" for row in _rows(path, shape))
