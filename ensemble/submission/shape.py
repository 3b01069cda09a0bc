"""What a competition expects: columns, ids and their order, and the meaning of the cells.

The sample decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.filenames import matcher, same_form
from ensemble.errors import SubmissionError
from ensemble.metrics import predicted
from ensemble.predictions import Array, Predictions

Kind = Literal["probabilities", "class name", "class id", "probability of the positive class"]
_WHOLE_NUMBER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Shape:
    """Columns and ids, in order and spelled as in the sample, and the meaning of the cells."""

    columns: tuple[str, ...]
    ids: tuple[str, ...]
    kind: Kind
    positive: str | None = None


def shape_of(sample: Path | None, predictions: Predictions, positive: str | None) -> Shape:
    """The shape of a sample submission; without one `id,label` for every test row.

    Raises SubmissionError.
    """
    if sample is None:
        return Shape(("id", "label"), tuple(predictions.ids.tolist()), "class name")
    return shape_of_sample(sample, predictions.classes, positive)


def shape_of_sample(sample: Path, classes: Sequence[str], positive: str | None) -> Shape:
    """The shape of a sample submission for these classes. Raises SubmissionError."""
    header, rows = read_csv(sample)
    ids = tuple(row[header[0]] for row in rows)
    repeated = _first_repeated(ids)
    if repeated:
        raise SubmissionError(f"{sample}: the id {repeated!r} appears more than once")
    if len(header) < 2:
        raise SubmissionError(
            f"{sample}: needs an id column and at least one more; it has only {header[0]!r}"
        )
    if len(header) > 2:
        _check_columns(sample, header[1:], classes)
        return Shape(tuple(header), ids, "probabilities")
    cells = {row[header[1]].strip() for row in rows}
    kind = _kind(cells, classes, positive)
    if kind == "probability of the positive class":
        _check_positive(sample, positive, classes)
    return Shape(tuple(header), ids, kind, positive)


def _check_columns(sample: Path, columns: Sequence[str], classes: Sequence[str]) -> None:
    class_names = {same_form(name) for name in classes}
    column_names = {same_form(name) for name in columns}
    missing, extra = sorted(class_names - column_names), sorted(column_names - class_names)
    if missing or extra:
        raise SubmissionError(
            f"{sample}: its columns are not the classes: "
            f"{len(missing)} classes have no column {missing[:3]}, "
            f"{len(extra)} columns are not classes {extra[:3]}"
        )


def _check_positive(sample: Path, positive: str | None, classes: Sequence[str]) -> None:
    if len(classes) != 2:
        raise SubmissionError(
            f"{sample}: one column of fractions needs two classes, the runs have {len(classes)}"
        )
    if positive not in classes:
        state = "is not set" if positive is None else f"is {positive!r}"
        raise SubmissionError(
            f"{sample}: one column of fractions: the probability of data.positive, which {state}\n"
            f"set data.positive in the recipe to one of {', '.join(classes)} and train again"
        )


def _kind(cells: set[str], classes: Sequence[str], positive: str | None) -> Kind:
    """Class names come first: where the classes are numbers, a number is a name, never a position.

    So a sample of zeros for the classes 1 to 12 asks for one of these.
    """
    if {same_form(cell) for cell in cells} <= {same_form(name) for name in classes}:
        return "class name"
    if all(_WHOLE_NUMBER.fullmatch(cell) for cell in cells):
        is_binary = len(classes) == 2 and positive in classes
        are_numbers = all(_is_number(name) for name in classes)
        return "class name" if are_numbers and not is_binary else "class id"
    return "probability of the positive class" if all(map(_is_number, cells)) else "class name"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def rows_for(shape: Shape, stored_ids: Sequence[str]) -> list[int]:
    """For each id of the shape the position of its stored id.

    Ids are matched as text: exactly, then without suffix, then without the folders before the file
    name. Raises SubmissionError naming the ids without exactly one prediction of their own.
    """
    by_path, by_file = matcher(stored_ids), matcher(map(_file_name, stored_ids))
    matches = [by_path(name) or by_file(_file_name(name)) for name in shape.ids]
    unmatched = [name for name, rows in zip(shape.ids, matches, strict=True) if len(rows) != 1]
    if unmatched:
        raise SubmissionError(
            f"{len(unmatched):,} of {len(shape.ids):,} ids of the sample match no test image, "
            f"the first: {unmatched[0][:100]!r}\n"
            f"test ids look like {stored_ids[0][:100]!r}; "
            "check data.test and data.sample_submission"
        )
    rows = [match[0] for match in matches]
    sample_ids: dict[int, str] = {}
    for name, row in zip(shape.ids, rows, strict=True):
        earlier = sample_ids.setdefault(row, name)
        if earlier != name:
            raise SubmissionError(
                f"{earlier[:100]!r} and {name[:100]!r} in the sample both match the test image "
                f"{stored_ids[row][:100]!r}\ncheck data.test and data.sample_submission"
            )
    return rows


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def cells(shape: Shape, predictions: Predictions, rows: Sequence[int]) -> list[list[str]]:
    """The text of every cell after the id, row by row."""
    probs, classes = predictions.probs[list(rows)], predictions.classes
    if shape.kind == "probabilities":
        positions = {same_form(name): i for i, name in enumerate(classes)}
        order = [positions[same_form(name)] for name in shape.columns[1:]]
        return [[_text(prob) for prob in row] for row in probs[:, order].tolist()]
    if shape.kind == "probability of the positive class":
        return [[_text(prob)] for prob in probs[:, classes.index(str(shape.positive))].tolist()]
    labels = best_class(probs, classes)
    if shape.kind == "class name":
        return [[classes[i]] for i in labels]
    return [[str(class_id(i, classes, shape.positive))] for i in labels]


def best_class(probs: Array, classes: Sequence[str]) -> list[int]:
    """Positions of the most probable classes; ties go to the first class name. probs is (images,
    classes).
    """
    by_name = sorted(range(len(classes)), key=lambda i: classes[i])
    return [by_name[i] for i in predicted(probs[:, by_name]).tolist()]


def class_id(position: int, classes: Sequence[str], positive: str | None) -> int:
    """The number of a class: its position among the sorted names; of two classes, 1 for the
    positive one.
    """
    if len(classes) == 2 and positive in classes:
        return int(classes[position] == positive)
    return sorted(classes).index(classes[position])


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
