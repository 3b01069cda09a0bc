"""What a cell meant before manifests stored `answer`: stored submissions are verified by that rule.

Names of classes came first; else whole numbers were positions among the sorted names, or 1 for
data.positive; other numbers were its probability.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.filenames import same_form
from ensemble.errors import SubmissionError
from ensemble.numbers import is_number
from ensemble.predictions import Predictions
from ensemble.submission.choices import CLASS_NAME, POSITIVE, PROBABILITIES
from ensemble.submission.numbered import CLASS_INDEX
from ensemble.submission.shape import Shape

_WHOLE_NUMBER = re.compile(r"[+-]?\d+")


def older_shape(sample: Path | None, predictions: Predictions, positive: str | None) -> Shape:
    """The shape that `ens blend` gave to this sample. Raises SubmissionError, DataError."""
    classes = predictions.classes
    names = {name: name for name in classes}
    if sample is None:
        return Shape(("id", "label"), tuple(predictions.ids.tolist()), CLASS_NAME, texts=names)
    header, rows = read_csv(sample)
    columns, ids = tuple(header), tuple(row[header[0]] for row in rows)
    if len(columns) > 2:
        by_form = {same_form(name): name for name in classes}
        class_of_column = tuple(by_form.get(same_form(column), "") for column in columns[1:])
        if set(class_of_column) != set(classes):
            raise SubmissionError(f"{sample}: its columns are not the classes")
        return Shape(columns, ids, PROBABILITIES, class_of_column=class_of_column)
    cells = {row[columns[1]].strip() for row in rows}
    answer = _answer(cells, classes, positive)
    if answer == POSITIVE:
        if positive not in classes:
            raise SubmissionError(f"{sample}: data.positive is {positive!r}, not a class")
        return Shape(columns, ids, POSITIVE, positive)
    numbers = {name: str(_class_id(name, classes, positive)) for name in classes}
    return Shape(columns, ids, answer, texts=names if answer == CLASS_NAME else numbers)


def _answer(cells: set[str], classes: Sequence[str], positive: str | None) -> str:
    if {same_form(cell) for cell in cells} <= {same_form(name) for name in classes}:
        return CLASS_NAME
    if all(_WHOLE_NUMBER.fullmatch(cell) for cell in cells):
        is_binary = len(classes) == 2 and positive in classes
        are_numbers = all(map(is_number, classes))
        return CLASS_NAME if are_numbers and not is_binary else CLASS_INDEX
    return POSITIVE if all(map(is_number, cells)) else CLASS_NAME


def _class_id(name: str, classes: Sequence[str], positive: str | None) -> int:
    if len(classes) == 2 and positive in classes:
        return int(name == positive)
    return sorted(classes).index(name)
