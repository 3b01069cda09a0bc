"""Runs on classes whose names are numbers, such as grades, as runs on numbers.

The value of an image is its expected grade: the number of each class, times its probability.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from ensemble.errors import MismatchError
from ensemble.metrics.class_numbers import class_numbers, number
from ensemble.predictions import Predictions
from ensemble.runs.groups import by_validation_rows
from ensemble.runs.run import Run, StoredRun
from ensemble.runs.scores import Scores

_LARGEST = float(np.finfo(np.float32).max)  # of a value


class GradedRun(Run):
    """A run on classes whose values are expected grades; it is stored nowhere itself.

    Its classes are the name of the number alone, data is about numbers, and data.valid that of the
    runs on numbers that it joins.
    """

    of_classes: Run = Field(exclude=True, description="the run that predicts the classes")

    @property
    def folds(self) -> tuple[StoredRun, ...]:
        """The runs of the folds, which predict classes."""
        return self.of_classes.folds

    def valid(self) -> Predictions:
        """Expected grades of the validation rows. Raises DamagedError, MismatchError."""
        return self.graded(self.of_classes.valid())

    def test(self) -> Predictions:
        """Expected grades of the test rows. Raises DamagedError, MismatchError."""
        return self.graded(self.of_classes.test())

    def test_refit(self) -> Predictions:
        """Expected grades by the refit. Raises DamagedError, MismatchError."""
        return self.graded(self.of_classes.test_refit())

    def graded(self, predictions: Predictions) -> Predictions:
        """What its networks predict of any rows, as expected grades. Raises MismatchError."""
        return graded(predictions, self.classes[0])


def grades_of(classes: Sequence[str]) -> tuple[float, ...] | None:
    """The number that each class is named; None unless all are different numbers."""
    if class_numbers(classes) is None or any(number(name) is None for name in classes):
        return None
    grades = tuple(float(name) for name in classes)
    is_value = len(set(grades)) == len(grades) and max(map(abs, grades)) <= _LARGEST
    return grades if is_value else None


def graded(predictions: Predictions, name: str) -> Predictions:
    """Class probabilities as expected grades, rows by id; name is that of the number.

    Raises MismatchError where a class is not named a number.
    """
    rows = predictions.canonical()
    grades = grades_of(rows.classes)
    if grades is None:
        listed = ", ".join(map(repr, rows.classes[:5]))
        raise MismatchError(f"its classes are no grades: {listed[:200]}")
    values = np.zeros(len(rows.ids))
    for grade, probs in zip(grades, rows.probs.T, strict=True):  # the same sum on every machine
        values += grade * probs
    targets = None if rows.targets is None else np.array(grades)[rows.targets]
    return Predictions(rows.ids, (name,), values[:, None], targets, rows.groups, "number")


def rows_as(reference: Predictions, predictions: Predictions) -> Predictions:
    """Reference rows as other predictions are about them: grades as numbers, numbers as classes.

    Unchanged where they are about the same, or cannot be both. Only ids, targets and groups count.
    """
    wanted = (reference.target, predictions.target)
    if wanted == ("class", "number") and grades_of(reference.classes) is not None:
        return graded(reference, predictions.classes[0])
    grades = grades_of(predictions.classes)
    if wanted != ("number", "class") or grades is None:
        return reference
    targets, code_of = None, {grade: code for code, grade in enumerate(grades)}
    if reference.targets is not None:
        if not set(reference.targets.tolist()) <= code_of.keys():
            return reference
        targets = np.array([code_of[number] for number in reference.targets.tolist()])
    probs = np.full((len(reference.ids), len(grades)), 1 / len(grades))
    return Predictions(reference.ids, predictions.classes, probs, targets, reference.groups)


def as_graded(run: Run, name: str, valid: str | None = None) -> GradedRun:
    """A run on classes as one on numbers; name is that of the number.

    valid is the fingerprint of the validation rows among runs on numbers, by default its own.
    """
    fields = {field: getattr(run, field) for field in Run.model_fields}
    data = run.data.model_copy(
        update={
            "target": "number",
            "valid": valid or run.data.valid,
            "majority": None,
            "answer": None,
            "positive": None,
            "class_counts": {},
        }
    )
    scores = Scores(metric=data.metric, score=None, accuracy=None, log_loss=None)
    fields |= {"classes": (name,), "data": data, "scores": scores}
    return GradedRun(**fields, of_classes=run)


def with_grades(runs: Sequence[Run], first: Run) -> list[Run]:
    """The runs validated on the rows of `first`, all of them on numbers where any of those is.

    Runs on classes are then `GradedRun`s. Rows are the same where the data set, all ids and all
    true values are. Raises DamagedError, MismatchError.
    """
    numbers: Run | None = first if first.data.target == "number" else None
    for run in sorted(runs, key=lambda run: (run.created, run.id), reverse=True):
        if numbers is None and _joins(first, run):
            numbers = run
    joined = []
    for group in by_validation_rows(runs):
        if group[0].blend_key == (numbers or first).blend_key:
            joined += group
        elif numbers is not None and _joins(group[0], numbers):
            joined += [as_graded(run, numbers.classes[0], numbers.data.valid) for run in group]
    return joined


def _joins(run: Run, numbers: Run) -> bool:
    """Whether a run predicts as classes what another one predicts as numbers, of the same rows."""
    if (run.data.target, numbers.data.target) != ("class", "number"):
        return False
    is_alike = run.data.name == numbers.data.name and run.data.n_rows == numbers.data.n_rows
    if not is_alike or grades_of(run.classes) is None:
        return False
    a, b = graded(run.valid(), numbers.classes[0]), numbers.valid().canonical()
    same_groups = a.groups is None or b.groups is None or np.array_equal(a.groups, b.groups)
    same_targets = np.array_equal(a.known_targets, b.known_targets)
    return np.array_equal(a.ids, b.ids) and same_targets and same_groups
