"""What only the user can decide: questions with their choices, as options to paste."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ensemble.errors import EnsembleError


@dataclass(frozen=True)
class Options:
    """What the user decided on the command line; yes takes the first choice of what is open."""

    label: str | None = None
    id: str | None = None
    train: str | None = None
    test: str | None = None
    sample: str | None = None
    answer: str | None = None
    positive: str | None = None
    metric: str | None = None
    yes: bool = False


@dataclass(frozen=True)
class Question:
    """A decision that is open: its text, and each choice as an option to paste with its meaning."""

    text: str
    choices: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        width = max(len(option) for option, _ in self.choices)
        lines = [f"  {option:<{width}}  {meaning}".rstrip() for option, meaning in self.choices]
        return "\n".join([self.text, *lines])


@dataclass
class Inquiry:
    """The decisions of one understanding: those that the user made, and the questions left open."""

    options: Options
    questions: list[Question] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def choose(
        self,
        option: str,
        text: str,
        choices: Mapping[str, str],
        allowed: Sequence[str] = (),
        may_take_first: bool = True,
    ) -> str:
        """The user's choice, the only one, or the first, with a question left open.

        choices are texts for the option with their meanings; allowed are others that the user may
        give. Raises EnsembleError for a text that is neither.
        """
        chosen = getattr(self.options, option)
        if chosen is not None:
            return _checked(option, chosen, [*choices, *allowed])
        first = next(iter(choices))
        if len(choices) == 1 and may_take_first:
            return first
        if self.options.yes and may_take_first:
            self.taken.append(f"--{option} {shlex.quote(first)} (by --yes)")
            return first
        pasted = {f"--{option} {shlex.quote(choice)}": choices[choice] for choice in choices}
        question = Question(text, tuple(pasted.items()))
        self.questions += [question] if question not in self.questions else []
        return first


def _checked(option: str, chosen: str, allowed: Sequence[str]) -> str:
    """The chosen text as it is spelled among those allowed. Raises EnsembleError."""
    if chosen in allowed:
        return chosen
    same = [text for text in allowed if text.casefold() == chosen.casefold()]
    if len(same) == 1:
        return same[0]
    listed = ", ".join(dict.fromkeys(allowed)) or "nothing"
    raise EnsembleError(f"--{option} {chosen[:100]!r}: does not fit here\nallowed: {listed[:300]}")
