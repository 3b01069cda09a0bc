"""What a cell means where an image has several labels, or a number."""

from collections.abc import Sequence

from ensemble.dataset.class_columns import matched_columns
from ensemble.metrics import metric_named
from ensemble.submission.choices import (
    ANSWERS_OF,
    LABELS,
    PROBABILITIES,
    TOP_K,
    VALUES,
    AnswerReading,
    Choice,
    refused,
)
from ensemble.submission.class_names import columns_problem
from ensemble.submission.sample_table import SampleTable
from ensemble.targets import IN_WORDS, Target

_ZERO_ONE = {"0", "1", "0.0", "1.0"}


def problem_of_answer(answer: str | None, target: Target) -> str:
    """Why images of this target cannot have this answer, or ""."""
    allowed = ANSWERS_OF[target]
    if answer is None or answer in allowed:
        return ""
    about = "" if target == "class" else f", the answers for {IN_WORDS[target]}"
    return f"answer {answer[:100]!r} is not one of {', '.join(allowed)}{about}"


def answer_of_number(table: SampleTable, answer: str | None) -> AnswerReading:
    """One column of values."""
    problem = problem_of_answer(answer, "number")
    if not problem and len(table.columns) != 2:
        columns = ", ".join(map(repr, table.columns[:4]))
        problem = f"a number per image needs an id column and one of values; it has {columns}"
    return refused(problem) if problem else AnswerReading(VALUES, None, (), "a number per image")


def answer_of_labels(
    table: SampleTable, labels: Sequence[str], answer: str | None, metric: str | None
) -> AnswerReading:
    """Labels in one cell, or a column for each label."""
    problem = problem_of_answer(answer, "labels")
    if problem:
        return refused(problem)
    is_each = matched_columns(table.columns[1:], labels) is not None
    if not is_each and len(table.columns) != 2:
        return refused(columns_problem(table.columns, labels))
    impossible = TOP_K if is_each else PROBABILITIES
    if answer == impossible:
        columns = "one column for each label" if is_each else "a single column of labels"
        return refused(f"{columns}: its cells cannot be {answer}")
    if answer is not None:
        return AnswerReading(answer, None, (), f"the answer is set to {answer}")
    if not is_each:
        is_ranked = (metric or "").startswith("map@")
        reason = f"{metric} scores the best labels in order" if is_ranked else "a column of labels"
        return AnswerReading(TOP_K if is_ranked else LABELS, None, (), reason)
    return _of_columns(table, labels, metric)


def _of_columns(table: SampleTable, labels: Sequence[str], metric: str | None) -> AnswerReading:
    """Probabilities, or 0 and 1: by the metric where the cells are nothing but 0 and 1."""
    if not {cell.strip() for row in table.rows for cell in row[1:]} <= _ZERO_ONE:
        return AnswerReading(PROBABILITIES, None, (), "one column for each label")
    evidence = "one column for each label, its cells are 0 and 1"
    if metric is None:
        choices = (
            Choice(f"--answer {PROBABILITIES}", "the probability of each label"),
            Choice(f"--answer {LABELS}", "1 where an image is given a label, else 0"),
        )
        reason = f"{evidence}: the metric would decide, data.metric is not set"
        return AnswerReading(None, None, choices, reason)
    reads = metric_named(metric, labels, target="labels").reads
    answer = LABELS if reads == "decisions" else PROBABILITIES
    return AnswerReading(answer, None, (), f"{evidence}, and {metric} scores {reads}")
