"""What a competition expects: columns, ids and their order, and the meaning of the cells.

The sample decides.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ensemble.blending.mixture import Answered
from ensemble.dataset.class_columns import matched_columns, matched_with_unknown
from ensemble.dataset.filenames import same_form
from ensemble.dataset.match import Names
from ensemble.errors import SubmissionError
from ensemble.metrics import ranked
from ensemble.predictions import Array, Predictions
from ensemble.submission.answer import answer_of, answer_without_sample
from ensemble.submission.choices import (
    CLASS_NAME,
    LABELS,
    POSITIVE,
    PROBABILITIES,
    TOP_K,
    VALUES,
    AnswerReading,
)
from ensemble.submission.class_names import spelled_names, unknown_cell
from ensemble.submission.listing import Listing, listing_in_columns, listing_of
from ensemble.submission.numbered import CLASS_INDEX, NUMBERED, numbers_of
from ensemble.submission.sample_table import SampleTable, read_sample
from ensemble.targets import Target

_OF_TEST_IMAGES = "check data.test and data.sample_submission"


@dataclass(frozen=True)
class Meaning:
    """What is set about the cells: data.answer, data.metric and data.positive, or the options.

    target is what the runs predict; separator is between labels where they were read.
    """

    answer: str | None = None
    metric: str | None = None
    positive: str | None = None
    target: Target = "class"
    separator: str | None = None


@dataclass(frozen=True)
class Shape:
    """Columns and ids, in order and spelled as in the sample, and the meaning of the cells.

    The id is the first column here; is_id_last: in the file it is the last of two. Without has_header
    the file begins with its first row.
    class_of_column: the class of each column after the id, for probabilities and for 0 and 1, ""
    for unknown ones, whose cells are 0;
    texts: what is written for each class, for its name or its number; listing: how a cell lists
    several of them, for labels and top_k; spelling: where the sample spells a class in another way
    than the runs, in words.
    """

    columns: tuple[str, ...]
    ids: tuple[str, ...]
    answer: str
    positive: str | None = None
    class_of_column: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    spelling: str = ""
    target: Target = "class"
    listing: Listing | None = None
    is_id_last: bool = False
    has_header: bool = True

    def as_written(self, row: Sequence[str]) -> list[str]:
        """A row or the header with the id in its place in the file; of one read there, the reverse."""
        return list(row[::-1] if self.is_id_last else row)

    @property
    def lines_before_rows(self) -> list[list[str]]:
        """The header as the file has it, in a list that is empty where it has none."""
        return [self.as_written(self.columns)] if self.has_header else []


def shape_of(sample: Path | None, predictions: Predictions, meaning: Meaning) -> Shape:
    """The shape of a sample submission; without one `id,label` for every test row.

    Raises SubmissionError, DataError.
    """
    meaning = replace(meaning, target=predictions.target)
    if sample is not None:
        return shape_of_sample(sample, predictions.classes, meaning, predictions.ids.tolist())
    classes = sorted(predictions.classes)
    reading = answer_without_sample(classes, meaning.answer, meaning.positive, meaning.target)
    _check_decided("without a sample submission", reading)
    is_column_each = reading.answer in (PROBABILITIES, VALUES)
    names = classes if is_column_each else ["labels" if reading.answer == LABELS else "label"]
    ids = tuple(predictions.ids.tolist())
    return _shape(SampleTable(Path(), ("id", *names), [], ","), ids, reading, classes, meaning)


def shape_of_sample(
    sample: Path,
    classes: Sequence[str],
    meaning: Meaning | None = None,
    image_ids: Sequence[str] = (),
) -> Shape:
    """The shape of a sample submission for these classes; image_ids are the images it may name.

    Raises SubmissionError, DataError.
    """
    meaning = meaning or Meaning()
    table = read_sample(sample).of_images(image_ids)
    repeated = _first_repeated(table.ids)
    if repeated is not None:
        raise SubmissionError(f"{sample}: the id {repeated!r} appears more than once")
    settings = (meaning.answer, meaning.metric, meaning.positive, meaning.target)
    reading = answer_of(table, classes, *settings)
    _check_decided(str(sample), reading)
    return _shape(table, table.ids, reading, classes, meaning)


def _shape(
    table: SampleTable,
    ids: tuple[str, ...],
    reading: AnswerReading,
    classes: Sequence[str],
    meaning: Meaning,
) -> Shape:
    assert reading.answer is not None
    class_of_column: tuple[str, ...] = ()
    texts: Mapping[str, str] = {}
    listing: Listing | None = None
    if reading.answer == PROBABILITIES and meaning.target == "class":
        class_of_column = matched_with_unknown(table.columns[1:], classes) or ()
    elif reading.answer in (PROBABILITIES, LABELS):
        class_of_column = matched_columns(table.columns[1:], classes) or ()
    if reading.answer == TOP_K and len(table.columns) > 2:
        listing = listing_in_columns(table.rows, classes)
        texts = listing.texts
    elif reading.answer in (LABELS, TOP_K) and not class_of_column:
        settings = (reading.answer, meaning.separator, meaning.metric)
        listing = listing_of(table.cells, classes, *settings)
        texts = listing.texts
    elif reading.answer == CLASS_NAME:
        texts = spelled_names(table.cells, classes)
    elif reading.answer in NUMBERED:
        texts = _texts_of_numbers(table, reading.answer, classes)
    written = zip(class_of_column, table.columns[1:], strict=True) if class_of_column else ()
    return Shape(
        columns=table.columns,
        ids=ids,
        answer=reading.answer,
        positive=reading.positive,
        class_of_column=class_of_column,
        texts=texts,
        delimiter=table.delimiter,
        spelling=_spelling(dict(written) if class_of_column else texts, reading.answer)
        or unknown_cell(_names_in(table.cells, listing), texts, reading.answer),
        target=meaning.target,
        listing=listing,
        is_id_last=table.is_id_last,
        has_header=table.has_header,
    )


def _texts_of_numbers(table: SampleTable, answer: str, classes: Sequence[str]) -> dict[str, str]:
    """The number of each class; one in its name is written as the sample writes its numbers."""
    texts = {name: str(n) for name, n in (numbers_of(answer, classes) or {}).items()}
    if answer == CLASS_INDEX or not table.rows:
        return texts
    spelled = spelled_names(table.cells, list(texts.values()))
    return {name: spelled[text] for name, text in texts.items()}


def _spelling(texts: Mapping[str, str], answer: str) -> str:
    """The first class that is written in another way than the runs spell it, or ""."""
    if answer in NUMBERED:
        return ""
    for name, text in sorted(texts.items()):
        if not name:
            return f"the column {text[:60]!r} is no class of the runs: its cells are 0"
        if same_form(name) != same_form(text):
            return f"the class {name[:60]!r} is written {text[:60]!r}, as the sample spells it"
    return ""


def _names_in(cells: AbstractSet[str], listing: Listing | None) -> set[str]:
    """The cells, or the names that they list."""
    if listing is None:
        return {*cells}
    return {name for cell in cells - {listing.nothing} for name in listing.names_in([cell])}


def _check_decided(source: str, reading: AnswerReading) -> None:
    """Refuse an open reading, with its choices. Raises SubmissionError."""
    if not reading.is_open:
        return
    options = [f"`{choice.options}`: {choice.meaning}" for choice in reading.choices]
    lines = [f"{source}: {reading.reason}"]
    if options:
        lines.append(f"add {options[0]}")
        lines.append("or " + "; or ".join(options[1:]) if options[1:] else "")
    raise SubmissionError("\n".join(line for line in lines if line))


def unused_positive(positive: str | None, answer: str, metric: str | None = None) -> str:
    """What to say where a given positive class changes neither cells nor the metric, or ""."""
    if positive is None or answer == POSITIVE or metric == "f1":
        return ""
    scored = f", and {metric} does not depend on it" if metric else ""
    return f"the positive class {positive!r} changes nothing: the cells are {answer}{scored}"


def matched_rows(
    shape: Shape, stored_ids: Sequence[str], next_step: str = _OF_TEST_IMAGES
) -> tuple[list[int], str]:
    """For each id of the shape the position of its stored id, and the loose rule that fits, or "".

    Ids are matched as in ensemble/dataset/match.py. Raises SubmissionError naming the ids without
    exactly one prediction of their own, and the next step.
    """
    names = Names(stored_ids)
    may_be_row = shape.has_header and shape.columns[0] not in shape.ids
    if may_be_row and names.full_positions(shape.columns[0]):
        raise SubmissionError(
            f"the first line of the sample, {', '.join(shape.columns)[:100]!r}, is a row, not a "
            "header\nwrite the competition's header into a line before it"
        )
    match = names.match(
        [name if names.full_positions(name) else name.strip() for name in shape.ids]
    )
    by_id = list(zip(shape.ids, match.positions, strict=True))
    missing = [name for name, positions in by_id if not positions]
    unmatched = missing or [name for name, positions in by_id if len(positions) > 1]
    if unmatched:
        raise SubmissionError(
            f"{len(unmatched):,} of {len(shape.ids):,} ids of the sample match "
            f"{'no image' if missing else 'several images'}, the first: {unmatched[0][:100]!r}\n"
            f"ids of the images look like {stored_ids[0][:100]!r}; {next_step}"
        )
    rows = [positions[0] for positions in match.positions]
    sample_ids: dict[int, str] = {}
    for name, row in zip(shape.ids, rows, strict=True):
        earlier = sample_ids.setdefault(row, name)
        if earlier != name:
            raise SubmissionError(
                f"{earlier[:100]!r} and {name[:100]!r} in the sample both match the image "
                f"{stored_ids[row][:100]!r}\n{next_step}"
            )
    return rows, match.rule


def cells(shape: Shape, answered: Answered, rows: Sequence[int]) -> list[list[str]]:
    """The text of every cell after the id, row by row."""
    predictions = answered.predictions
    probs, classes = predictions.probs[list(rows)], predictions.classes
    if shape.answer == VALUES:
        return [[_text(amount)] for amount in answered.answers[list(rows), 0].tolist()]
    if shape.answer == LABELS:
        return label_cells(shape, classes, answered.answers[list(rows)])
    if shape.listing:
        by_name = _by_name(classes)
        best = ranked(probs[:, by_name])[:, : shape.listing.k].tolist()
        names = [classes[i] for i in by_name]
        return [shape.listing.cells_of([names[i] for i in row]) for row in best]
    if shape.answer == PROBABILITIES:
        whole = np.column_stack([probs, np.zeros(len(probs), probs.dtype)])  # the last: no class
        order = [(*classes, "").index(name) for name in shape.class_of_column]
        return [[_text(prob) for prob in row] for row in whole[:, order].tolist()]
    if shape.answer == POSITIVE:
        return [[_text(prob)] for prob in probs[:, classes.index(str(shape.positive))].tolist()]
    return [[shape.texts[classes[i]]] for i in answered.answers[list(rows)].tolist()]


def label_cells(shape: Shape, classes: Sequence[str], is_given: Array) -> list[list[str]]:
    """The cells that give each row these labels, in the order of their names.

    is_given is (images, classes), True or 1 where a label is given.
    """
    if shape.listing is None:
        order = [classes.index(name) for name in shape.class_of_column]
        return [[str(int(is_one)) for is_one in row] for row in is_given[:, order].tolist()]
    rows = []
    for row in is_given.tolist():
        names = sorted(name for name, is_one in zip(classes, row, strict=True) if is_one)
        rows.append(shape.listing.cells_of(names))
    return rows


def _by_name(classes: Sequence[str]) -> list[int]:
    """The positions of the classes in the order of their names."""
    return sorted(range(len(classes)), key=lambda i: classes[i])


def _text(probability: float) -> str:
    """Nine significant digits: a float32 survives, and rows still sum to 1 within 1e-8."""
    return f"{probability:.9g}"


def _first_repeated(ids: Sequence[str]) -> str | None:
    earlier: set[str] = set()
    for name in ids:
        if name in earlier:
            return name
        earlier.add(name)
    return None
