"""What a cell of a submission means, read off the sample where it can mean one thing only.

Where it can mean several, the reading is open: it holds the choices, as options to paste.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ensemble.dataset.class_columns import matched_with_unknown
from ensemble.dataset.filenames import same_form
from ensemble.metrics.class_numbers import (
    are_zero_and_one,
    class_numbers,
    named_positive,
    number,
)
from ensemble.submission.cell_texts import (
    are_names,
    has_fraction,
    has_more_words,
    is_word,
    lists_classes,
    lists_only_classes,
    names_any,
)
from ensemble.submission.choices import (
    CLASS_NAME,
    LABELS,
    POSITIVE,
    PROBABILITIES,
    TOP_K,
    VALUES,
    AnswerReading,
    choices_of,
    positive_choices,
    refused,
)
from ensemble.submission.class_names import (
    columns_problem,
    is_other_number,
    named_by_column,
    spelled_names,
)
from ensemble.submission.listing import are_ranks
from ensemble.submission.numbered import (
    CLASS_INDEX,
    CLASS_NUMBER,
    NUMBERED,
    listed,
    possible_numbers,
    problem_of_numbers,
)
from ensemble.submission.sample_table import SampleTable, read_sample
from ensemble.submission.target_answers import (
    answer_of_labels,
    answer_of_number,
    problem_of_answer,
)
from ensemble.targets import Target

PROBABILITY_METRICS = {"roc_auc", "log_loss"}
NAME_METRICS = {
    *("accuracy", "balanced_accuracy", "quadratic_kappa", "map", "top_k_accuracy"),
    *("f1", "f1_macro", "f1_micro", "f1_weighted", "f1_min"),
}
_LIST = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)  # of Python or JSON
_NUMBERS_ARE_NAMES = "the classes are numbers, so a number is a class name"
_NAME_OR_PROBABILITY = (CLASS_NAME, POSITIVE)


@dataclass(frozen=True)
class _Candidates:
    """The answers that the cells can be: one is decided, several are a choice, none fits."""

    answers: tuple[str, ...]
    reason: str


def read_answer(
    sample: Path,
    classes: Sequence[str],
    answer: str | None,
    metric: str | None,
    positive: str | None,
    target: Target = "class",
    image_ids: Sequence[str] = (),
) -> AnswerReading:
    """What a cell of this sample submission means; answer to target are the recipe's keys.

    image_ids are the images it may name. Raises DataError for a file that is not a table.
    """
    table = read_sample(sample).of_images(image_ids)
    return answer_of(table, classes, answer, metric, positive, target)


def answer_of(
    table: SampleTable,
    classes: Sequence[str],
    answer: str | None = None,
    metric: str | None = None,
    positive: str | None = None,
    target: Target = "class",
) -> AnswerReading:
    """What a cell of this table means: as `answer` says, else as the cells show it."""
    if len(table.columns) < 2:
        return refused(
            f"needs an id column and at least one more; it has only {table.columns[0]!r}"
        )
    lists = sorted(filter(_LIST.fullmatch, table.cells - set(classes)))
    if answer is None and len(table.columns) == 2 and lists:
        return refused(
            f"its cells are lists, such as {lists[0][:60]!r}, which ens does not write\n"
            f"add `--answer {LABELS if target == 'labels' else CLASS_NAME}`, and write the lists yourself"
        )
    may_be_ranked = target == "class" and answer in (None, TOP_K)
    if may_be_ranked and are_ranks(table.columns, table.rows, classes):
        k = len(table.columns) - 1
        return AnswerReading(TOP_K, None, (), f"a column for each of the {k} most probable classes")
    if target == "labels":
        return answer_of_labels(table, classes, answer, metric)
    if target == "number":
        return answer_of_number(table, answer)
    problem = _problem(table, classes, answer)
    if problem:
        return refused(problem)
    if len(table.columns) > 2:
        return AnswerReading(PROBABILITIES, None, (), "one column for each class")
    positive = positive or named_by_column(table.columns[1], classes)
    if answer is not None:
        return _with_positive(answer, f"the answer is set to {answer}", classes, positive)
    candidates = _inferred(table.cells, classes, metric)
    if len(candidates.answers) == 1:
        return _with_positive(candidates.answers[0], candidates.reason, classes, positive)
    choices = choices_of(candidates.answers, classes, positive)
    return AnswerReading(None, None, choices, candidates.reason)


def answer_without_sample(
    classes: Sequence[str],
    answer: str | None,
    positive: str | None,
    target: Target = "class",
) -> AnswerReading:
    """What the cells mean where no sample shows it: class names, labels or values, unless `answer`
    says otherwise.
    """
    problem = problem_of_answer(answer, target)
    if problem:
        return refused(problem)
    default = {"class": CLASS_NAME, "labels": LABELS, "number": VALUES}[target]
    words = default.replace("class_name", "class names")
    reason = f"the answer is set to {answer}" if answer else f"no sample submission: {words}"
    return _with_positive(answer or default, reason, classes, positive)


def _with_positive(
    answer: str, reason: str, classes: Sequence[str], positive: str | None
) -> AnswerReading:
    """A decided answer with the class of a probability, or with the question which class it is."""
    problem = problem_of_numbers(answer, classes, positive) if answer in NUMBERED else ""
    if problem:
        return refused(problem)
    if answer != POSITIVE:
        return AnswerReading(answer, None, (), reason)
    if len(classes) != 2:
        return refused(_not_two(reason, classes))
    if positive is None and are_zero_and_one(classes):
        return AnswerReading(POSITIVE, named_positive(classes), (), reason)
    for name in classes:
        if positive is not None and same_form(name) == same_form(positive):
            return AnswerReading(POSITIVE, name, (), reason)
    state = "is not set" if positive is None else f"is {positive[:100]!r}, which is no class"
    question = f"{reason}: the probability of data.positive, which {state}"
    return AnswerReading(POSITIVE, None, positive_choices(classes), question)


def _problem(table: SampleTable, classes: Sequence[str], answer: str | None) -> str:
    """Why this table cannot have this answer, or ""."""
    columns, problem = table.columns, problem_of_answer(answer, "class")
    if problem:
        return problem
    cells = {*table.rows[0][1:], *(table.cells if len(columns) == 2 else ())} - set(classes)
    odd = next((cell for cell in sorted(cells) if is_other_number(cell)), None)
    if odd is not None:
        return f"its cell {odd!r} is not a plain number: save it with decimal points, such as 0.5"
    if len(columns) == 2:
        return _problem_of_cells(table.cells, classes, answer)
    if matched_with_unknown(columns[1:], classes) is None:
        return columns_problem(columns, classes)
    if answer not in (None, PROBABILITIES):
        return f"one column for each class: its cells are probabilities, not {answer}"
    return ""


def _not_two(reason: str, classes: Sequence[str]) -> str:
    return f"{reason}: one column of fractions needs two classes, the runs have {len(classes)}"


def _problem_of_cells(cells: set[str], classes: Sequence[str], answer: str | None) -> str:
    """Why a single column cannot have this answer, or ""."""
    if answer == PROBABILITIES:
        return "a single column of answers: probabilities need one column for each class"
    are_texts = all(number(cell) is None for cell in cells)
    if answer in (POSITIVE, *NUMBERED) and are_texts and are_names(cells, classes):
        return f"its cells are class names, such as {min(cells)!r}, not {answer}"
    return ""


def _inferred(cells: set[str], classes: Sequence[str], metric: str | None) -> _Candidates:
    """What a single column means by its cells, and by the metric where only that decides."""
    texts = {cell for cell in cells if number(cell) is None}
    numbers = {cell_number for cell in cells - texts if (cell_number := number(cell)) is not None}
    if not texts:
        return _of_numbers(numbers, classes, metric)
    if numbers and not are_names(cells, classes):
        examples = f"{min(cells - texts)!r} and {min(texts)!r}"
        return _open(f"its cells are numbers and texts, such as {examples}", classes)
    return _of_texts(cells, classes, metric)


def _of_texts(cells: set[str], classes: Sequence[str], metric: str | None) -> _Candidates:
    """A column of texts: class names, or what stands for them."""
    several = next(
        (
            cell
            for cell in sorted(cells)
            if lists_classes(cell, classes)
            or (cell not in classes and lists_only_classes(cell, classes))
        ),
        None,
    )
    if several is not None and has_fraction(several, classes):
        return _Candidates(
            (),
            f"its cells hold a class and a number, such as {several[:60]!r}: a confidence beside a "
            "class is not written\nsave it with class names alone, and give that file by --sample",
        )
    if several is not None:
        reason = f"its cells list several classes, such as {several[:60]!r}"
        is_clear = all(lists_only_classes(cell, classes) for cell in cells if cell)
        return _Candidates((TOP_K,) if is_clear else (TOP_K, CLASS_NAME), reason)
    if len(cells) > 1 and not names_any(cells, classes):
        examples = " and ".join(repr(cell[:40]) for cell in sorted(cells)[:2])
        return _open(f"its cells, such as {examples}, are none of the classes", classes)
    is_spelled = cells <= set(spelled_names(cells, classes).values())
    is_filler = len(cells) == 1 and not (is_spelled or are_names(cells, classes))
    if is_filler and has_more_words(min(cells), classes):
        reason = f"its cells are all {min(cells)[:60]!r}, several words, which no class is"
        return _Candidates((TOP_K, CLASS_NAME), reason)
    if is_filler and len(classes) == 2 and metric in PROBABILITY_METRICS:
        reason = f"its cells are all {min(cells)[:60]!r}, and {metric} scores probabilities"
        return _Candidates(_NAME_OR_PROBABILITY, reason)
    if is_filler and is_word(min(cells)) and class_numbers(classes):
        return _Candidates(
            (),
            f"its cells are {min(cells)[:40]!r}, the classes numbers: {listed(classes)}\n"
            f"label the images by such words, or add `--answer {CLASS_NAME}` to write the numbers",
        )
    return _Candidates((CLASS_NAME,), "a column of texts: class names")


def _of_numbers(numbers: set[Decimal], classes: Sequence[str], metric: str | None) -> _Candidates:
    """A column of numbers: of names, of probabilities, or a choice."""
    by_class = class_numbers(classes)
    is_fraction = any(0 < share < 1 for share in numbers)
    if are_zero_and_one(classes) and len(numbers) == 1 and not is_fraction:
        return _by_metric(min(numbers), classes, metric)
    if are_zero_and_one(classes) and numbers == {0, 1} and metric in PROBABILITY_METRICS:
        reason = f"its cells are 0 and 1, and {metric} scores probabilities"
        return _Candidates(_NAME_OR_PROBABILITY, reason)
    if by_class and numbers <= set(by_class.values()):
        return _Candidates((CLASS_NAME,), _NUMBERS_ARE_NAMES)
    if is_fraction and all(0 <= share <= 1 for share in numbers):
        if len(classes) != 2:
            return _Candidates((), _not_two("its cells are fractions", classes))
        return _Candidates((POSITIVE,), "one column of fractions")
    is_filler = len(numbers) == 1 and len(classes) == 2 and metric in PROBABILITY_METRICS
    are_whole = all(amount == int(amount) for amount in numbers)
    is_shifted = len(numbers) == len(classes)  # as many other numbers: 1 to 5 for 0 to 4
    if by_class and are_whole and not (are_zero_and_one(classes) or is_filler or is_shifted):
        return _Candidates((CLASS_NAME,), _NUMBERS_ARE_NAMES)
    shown = ", ".join(map(str, sorted(numbers)[:3]))
    reason = f"its cells are numbers ({shown}), the classes {listed(classes)}"
    return _open(reason, classes, possible_numbers(numbers, classes))


def _by_metric(cell: Decimal, classes: Sequence[str], metric: str | None) -> _Candidates:
    """Classes 0 and 1 under a sample of one number: only the metric says what a cell means."""
    evidence = f"its cells are all {cell}, the classes {listed(classes)}"
    if metric in PROBABILITY_METRICS:
        return _Candidates((POSITIVE,), f"{evidence}, and {metric} scores probabilities")
    if metric is not None and metric.partition("@")[0] in NAME_METRICS:
        return _Candidates((CLASS_NAME,), f"{evidence}, and {metric} scores class names")
    state = "is not set" if metric is None else f"is {metric[:40]!r}"
    return _Candidates(
        _NAME_OR_PROBABILITY, f"{evidence}: the metric would decide, data.metric {state}"
    )


def _open(
    reason: str, classes: Sequence[str], numbered: tuple[str, ...] = (CLASS_INDEX,)
) -> _Candidates:
    """A choice of everything that one column can be."""
    by_name = (*numbered, CLASS_NAME) if CLASS_NUMBER in numbered else (CLASS_NAME, *numbered)
    return _Candidates((*by_name, POSITIVE) if len(classes) == 2 else by_name, reason)
