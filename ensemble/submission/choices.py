"""The answers that a sample may ask for, and the choice between them in words."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.metrics.class_numbers import named_positive
from ensemble.submission.numbered import (
    CLASS_INDEX,
    CLASS_NUMBER,
    NUMBERED,
    listed,
    number_in_words,
)
from ensemble.targets import Target

PROBABILITIES, POSITIVE = "probabilities", "positive_probability"
CLASS_NAME = "class_name"
LABELS, TOP_K, VALUES = "labels", "top_k", "values"
ANSWERS_OF: dict[Target, tuple[str, ...]] = {
    "class": (PROBABILITIES, POSITIVE, CLASS_NAME, CLASS_INDEX, CLASS_NUMBER, TOP_K),
    "labels": (LABELS, PROBABILITIES, TOP_K),
    "number": (VALUES,),
}


@dataclass(frozen=True)
class Choice:
    """One of several readings: the options that choose it, and what a cell then means."""

    options: str
    meaning: str


@dataclass(frozen=True)
class AnswerReading:
    """What a cell means, and why; positive is the class of a probability.

    Choices are left where it can mean several things, or where the class of a probability is not
    known. Without an answer and without choices the sample does not fit the classes.
    """

    answer: str | None
    positive: str | None
    choices: tuple[Choice, ...]
    reason: str

    @property
    def is_open(self) -> bool:
        """Whether something is left to choose or to change."""
        return self.answer is None or bool(self.choices)


def refused(problem: str) -> AnswerReading:
    """The reading of a sample that does not fit."""
    return AnswerReading(None, None, (), problem)


def choices_of(
    answers: Sequence[str], classes: Sequence[str], positive: str | None
) -> tuple[Choice, ...]:
    """A choice for each answer; for a probability one for each class that it may be of."""
    choices: list[Choice] = []
    for answer in answers:
        if answer == POSITIVE:
            choices += _of_probability(classes, positive)
        elif answer in NUMBERED:
            choices.append(Choice(f"--answer {answer}", number_in_words(answer, classes)))
        elif answer == TOP_K:
            meaning = "the most probable classes, best first"
            choices.append(Choice(f"--answer {answer}", meaning))
        else:
            choices.append(Choice(f"--answer {answer}", f"the most probable of {listed(classes)}"))
    return tuple(choices)


def _of_probability(classes: Sequence[str], positive: str | None) -> list[Choice]:
    positive_class = positive if positive in classes else named_positive(classes)
    if positive_class is not None:
        return [Choice(f"--answer {POSITIVE}", f"the probability of {positive_class[:40]!r}")]
    return [
        Choice(f"--answer {POSITIVE} {choice.options}", choice.meaning)
        for choice in positive_choices(classes)
    ]


def positive_choices(classes: Sequence[str]) -> tuple[Choice, ...]:
    """Which class a probability is of."""
    return tuple(
        Choice(f"--positive {shlex.quote(name)}", f"the probability of {name[:40]!r}")
        for name in classes
    )
