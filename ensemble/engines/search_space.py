"""What a hyper-parameter search varies: recipe keys with a range or choices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ensemble.errors import RecipeError
from ensemble.recipe import Head, Recipe
from ensemble.recipe.yamlfile import parse_scalar

if TYPE_CHECKING:
    from optuna import Trial

DIGITS = 3  # of a drawn number: a recipe stays readable, and a third digit never mattered


def rounded(value: Any) -> Any:
    """A drawn value as a recipe says it."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; whole ones where both ends are; logarithmic where they span tenfold."""

    low: float
    high: float

    @property
    def is_log(self) -> bool:
        """Whether each power of ten is as likely as the next."""
        return self.low > 0 and self.high >= 10 * self.low

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, trial: "Trial", key: str) -> Any:
        """The trial's number, as it stands in a recipe."""
        if self.is_whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.is_log)
        return rounded(trial.suggest_float(key, self.low, self.high, log=self.is_log))

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@dataclass(frozen=True)
class Choice:
    """One of some plain values."""

    values: tuple[Any, ...]

    def draw(self, trial: "Trial", key: str) -> Any:
        """The trial's value."""
        return trial.suggest_categorical(key, self.values)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values


Space = dict[str, Range | Choice]


def parse_varied(texts: Sequence[str]) -> Space:
    """`KEY=LOW..HIGH` or `KEY=VALUE,VALUE,…` as a space. Raises RecipeError."""
    space: Space = {}
    for text in texts:
        key, equals, values = text.partition("=")
        hint = "write KEY=LOW..HIGH or KEY=VALUE,VALUE, such as --vary fit.lr=1e-4..1e-2 --vary augment=none,light"
        if not equals or not key:
            raise RecipeError(f"--vary {text}: names no key and values\n{hint}")
        low, dots, high = values.partition("..")
        if dots:
            ends = [parse_scalar(low), parse_scalar(high)]
            if (
                any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends)
                or not ends[0] < ends[1]
            ):
                raise RecipeError(
                    f"--vary {text}: {values} is no range from a smaller to a larger number\n{hint}"
                )
            space[key] = Range(*ends)
        else:
            choices = tuple(parse_scalar(value) for value in values.split(","))
            if any(isinstance(choice, list | dict) for choice in choices) or len(set(choices)) < 2:
                raise RecipeError(f"--vary {text}: needs two plain values at least\n{hint}")
            space[key] = Choice(choices)
    return space


def usual_space(recipe: Recipe) -> Space:
    """What a search varies when nobody says: weight decay, dropout, augmentation, frozen epochs, batch size.

    The rate, around what the range test or the recipe says, comes from around().
    """
    space: Space = {"fit.weight_decay": Range(1e-4, 0.3)}
    if recipe.model.arch.startswith("scratch_"):
        space["model.options.dense_dropout"] = Range(0.0, 0.7)
    elif isinstance(recipe.model.head, Head):
        space["model.head.dropout"] = Range(0.0, 0.7)
    else:
        space["model.options.drop_rate"] = Range(0.0, 0.7)
    if isinstance(recipe.augment, str):
        space["augment"] = Choice(("none", "light", "standard", "heavy"))
    if recipe.fit.strategy in ("fine_tune", "gradual"):
        space["fit.frozen_epochs"] = Range(
            0 if recipe.fit.epochs else 1, max(3, recipe.fit.frozen_epochs)
        )
    if isinstance(recipe.fit.batch_size, int):
        sizes = {max(2, recipe.fit.batch_size * share // 4) for share in (1, 2, 4, 8)}
        space["fit.batch_size"] = Choice(tuple(sorted(sizes)))
    return space


def around(rate: float) -> Range:
    """Rates from a tenth of this one to ten times it, at most 10."""
    low = float(f"{rate / 10:.1g}")
    return Range(low, min(10.0, 10 ** (2 + math.log10(low))))


def own_values(recipe: Recipe, space: Space) -> dict[str, Any]:
    """What the recipe itself says about the varied keys, as far as the space holds it."""
    said = recipe.model_dump(mode="json")
    own = {key: _at(said, key) for key in space}
    return {key: value for key, value in own.items() if space[key].holds(value)}


def _at(said: Any, key: str) -> Any:
    for part in key.split("."):
        said = said.get(part) if isinstance(said, dict) else None
    return said
