"""What a cell of the submission means, and the metric that decides it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ensemble.errors import DataError
from ensemble.layout.class_numbers import numbers_in_files
from ensemble.layout.column_labels import are_lists_of
from ensemble.layout.labeling import Labeling, Target
from ensemble.layout.questions import Inquiry, Question
from ensemble.layout.survey import Survey
from ensemble.layout.table import Table
from ensemble.metrics import metric_named, positive_class
from ensemble.metrics.class_numbers import named_positive, numbers_in_names
from ensemble.submission.answer import read_answer
from ensemble.submission.choices import (
    CLASS_NAME,
    LABELS,
    POSITIVE,
    PROBABILITIES,
    TOP_K,
    VALUES,
    AnswerReading,
    Choice,
)
from ensemble.submission.numbered import CLASS_INDEX, CLASS_NUMBER, listed_numbers
from ensemble.submission.shape import Meaning, shape_of_sample

DEFAULT_METRICS: dict[Target, str] = {"class": "accuracy", "labels": "f1_samples", "number": "rmse"}


@dataclass(frozen=True)
class Cells:
    """The meaning of the submission's cells, None without a test set or where it is open.

    is_default says that the metric was not given; reason says how the meaning was found.
    """

    answer: str | None
    positive: str | None
    metric: str
    is_default: bool
    reason: str = ""


def cells_of(
    surveyed: Survey, labeling: Labeling, sample: Table | None, has_test: bool, inquiry: Inquiry
) -> Cells:
    """The meaning of the cells, with a question where it is open. Raises DataError."""
    options = inquiry.options
    image_ids = () if sample is None or sample.has_header else sample.columns[0].cells
    if labeling.target == "class" and sample is not None and not _is_top_k(labeling, sample):
        reading = read_answer(
            surveyed.root / sample.file,
            labeling.classes,
            options.answer,
            options.metric,
            options.positive,
            image_ids=image_ids,
        )
        reading = _with_numbers_in_files(reading, surveyed, labeling, sample)
        answer, positive, reason = _settled(reading, sample, inquiry)
    else:
        answer, positive = _without_reading(labeling, sample) if has_test else None, None
        reason = ""
    probabilities = answer in (PROBABILITIES, POSITIVE)
    is_class = labeling.target == "class"
    default = "log_loss" if is_class and probabilities else DEFAULT_METRICS[labeling.target]
    if answer == TOP_K and sample is not None:
        is_column_each = len(sample.columns) > 2
        cells = sample.header[1:] if is_column_each else sample.columns[1].cells[0].split()
        default = f"map@{len(cells)}"
    metric = options.metric or default
    if answer in (TOP_K, LABELS) and sample is not None:
        meaning = Meaning(answer, metric, None, labeling.target, labeling.separator or None)
        shape_of_sample(surveyed.root / sample.file, labeling.label_names, meaning, image_ids)
    if is_class:
        positive = _checked(metric, labeling.classes, positive, inquiry)
    return Cells(answer, positive, metric, options.metric is None, reason)


def _checked(
    metric: str, classes: Sequence[str], positive: str | None, inquiry: Inquiry
) -> str | None:
    """The positive class, with a question where only the metric needs it. Raises MetricError."""
    if metric == "f1" and len(classes) == 2 and positive is None:
        positive = inquiry.options.positive or named_positive(classes)
        if positive is None:
            choices = tuple((f"--positive {shlex.quote(name)}", "") for name in classes)
            question = "f1 is about the positive class: which one is it?"
            inquiry.questions.append(Question(question, choices))
            return None
    if positive is None and inquiry.options.positive is not None and not inquiry.questions:
        positive = positive_class("--positive", tuple(classes), inquiry.options.positive)
    metric_named(metric, classes, positive)
    return positive


def _without_reading(labeling: Labeling, sample: Table | None) -> str:
    """The answer that the target alone decides."""
    if labeling.target == "number":
        return VALUES
    if labeling.target == "labels":
        return PROBABILITIES if sample is not None and len(sample.header) > 2 else LABELS
    return CLASS_NAME if sample is None else TOP_K


def _is_top_k(labeling: Labeling, sample: Table) -> bool:
    """Whether the sample's cells list several classes, where an image has one."""
    if len(sample.header) != 2:
        return False
    cells, classes = sample.columns[1].counts, set(labeling.classes)
    return are_lists_of(cells, classes) and classes.isdisjoint(cells)


def _with_numbers_in_files(
    reading: AnswerReading, surveyed: Survey, labeling: Labeling, sample: Table
) -> AnswerReading:
    """The reading with the numbers of the classes in a file as its first choice, or with a word that
    files have other numbers.
    """
    if not any(choice.options == f"--answer {CLASS_INDEX}" for choice in reading.choices):
        return reading
    files = numbers_in_files(surveyed, labeling.classes)
    if len(files) != 1 or numbers_in_names(labeling.classes) is not None:
        others = f"; other numbers are in {' and in '.join(files)}" if files else ""
        return replace(reading, reason=reading.reason + others)
    ((file, numbers),) = files.items()
    cells = sample.columns[1]
    if len(cells.counts) > 1 and not set(cells.numbers or ()) <= set(numbers.values()):
        return reading
    meaning = f"its number in {file}, {listed_numbers(numbers)}"
    choice = Choice(f"--answer {CLASS_NUMBER}", meaning)
    return replace(reading, choices=(choice, *reading.choices))


def _settled(
    reading: AnswerReading, sample: Table, inquiry: Inquiry
) -> tuple[str | None, str | None, str]:
    """Answer, positive class and reason; the first choice under --yes, else a question."""
    choices = tuple((choice.options, choice.meaning) for choice in reading.choices)
    if choices:
        needs_positive = any("--positive" in option for option, _ in choices)
        if inquiry.options.yes and not needs_positive:
            inquiry.taken.append(f"{choices[0][0]} (by --yes)")
            return choices[0][0].removeprefix("--answer "), None, reading.reason
        inquiry.questions.append(Question(reading.reason, choices))
        return reading.answer, None, reading.reason
    if reading.answer is None:
        raise DataError(f"{sample.file}: {reading.reason}")
    return reading.answer, reading.positive, reading.reason
