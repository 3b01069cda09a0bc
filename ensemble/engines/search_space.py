"""What a hyper-parameter search varies: recipe keys, each with a range or a list of values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ensemble.errors import RecipeError
from ensemble.recipe import AUGMENT_PRESETS, Head, Recipe
from ensemble.recipe.yamlfile import parse_scalar

if TYPE_CHECKING:
    from optuna import Trial

DIGITS = 3  # of a drawn number: recipes stay readable, and a fourth digit never mattered
HINT = (
    "write KEY=LOW..HIGH or KEY=VALUE,VALUE, "
    "such as --vary fit.lr=1e-4..1e-2 --vary augment=none,light"
)


def rounded(setting: Any) -> Any:
    """A drawn value as it is written into a recipe."""
    return float(f"{setting:.{DIGITS}g}") if isinstance(setting, float) else setting


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included.

    Whole numbers if both ends are whole; drawn on a log scale if high is at least ten times low.
    """

    low: float
    high: float

    @property
    def is_log(self) -> bool:
        """Whether each power of ten is as likely as the next."""
        return self.low > 0 and self.high >= 10 * self.low

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def extremes(self) -> tuple[Any, ...]:
        """If a recipe allows these values, it allows all."""
        return self.low, self.high

    def draw(self, trial: "Trial", key: str) -> Any:
        """The number that a trial uses, as it is written into its recipe."""
        if self.is_whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.is_log)
        return rounded(trial.suggest_float(key, self.low, self.high, log=self.is_log))

    def contains(self, setting: Any) -> bool:
        """Whether a value lies in the range."""
        is_number = isinstance(setting, int | float) and not isinstance(setting, bool)
        return is_number and self.low <= setting <= self.high


@dataclass(frozen=True)
class Categorical:
    """One of several plain values."""

    values: tuple[Any, ...]

    def __repr__(self) -> str:
        """The text that the names of stored searches were hashed from: it may not change."""
        return f"Choice(values={self.values!r})"

    @property
    def extremes(self) -> tuple[Any, ...]:
        """If a recipe allows these values, it allows all."""
        return self.values

    def draw(self, trial: "Trial", key: str) -> Any:
        """The value that a trial uses."""
        return trial.suggest_categorical(key, self.values)

    def contains(self, setting: Any) -> bool:
        """Whether a value is among them."""
        return setting in self.values


Space = dict[str, Range | Categorical]  # by dotted key


def parse_space(texts: Sequence[str]) -> Space:
    """The space that `KEY=LOW..HIGH` and `KEY=VALUE,VALUE,…` describe. Raises RecipeError."""
    space: Space = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key:
            raise RecipeError(f"--vary {text}: a key or its values are missing\n{HINT}")
        if key in space:
            raise RecipeError(
                f"--vary {text}: {key} is varied twice\nname its values in one --vary"
            )
        if ".." in values:
            space[key] = _parse_range(text, values)
        else:
            space[key] = _parse_categorical(text, values)
    return space


def _parse_range(text: str, values: str) -> Range:
    low, _, high = values.partition("..")
    ends = [parse_scalar(low), parse_scalar(high)]
    are_numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if not are_numbers or not ends[0] < ends[1]:
        raise RecipeError(
            f"--vary {text}: {values} is not a range from a smaller to a larger number\n{HINT}"
        )
    return Range(*ends)


def _parse_categorical(text: str, values: str) -> Categorical:
    parsed = tuple(parse_scalar(word) for word in values.split(","))
    if any(isinstance(choice, list | dict) for choice in parsed) or len(set(parsed)) < 2:
        raise RecipeError(f"--vary {text}: needs at least two different plain values\n{HINT}")
    return Categorical(parsed)


def default_space(recipe: Recipe) -> Space:
    """What a search varies without --vary, apart from the learning rate (see rates_around)."""
    space: Space = {"fit.weight_decay": Range(1e-4, 0.3), _dropout_key(recipe): Range(0.0, 0.7)}
    fit = recipe.fit
    if isinstance(recipe.augment, str):
        space["augment"] = Categorical(tuple(AUGMENT_PRESETS))
    if fit.strategy in ("fine_tune", "gradual"):
        fewest = 0 if fit.epochs else 1
        space["fit.frozen_epochs"] = Range(fewest, max(3, fit.frozen_epochs))
    if isinstance(fit.batch_size, int):
        sizes = {max(2, fit.batch_size * quarters // 4) for quarters in (1, 2, 4, 8)}
        space["fit.batch_size"] = Categorical(tuple(sorted(sizes)))
    return space


def _dropout_key(recipe: Recipe) -> str:
    if recipe.model.arch.startswith("scratch_"):
        return "model.options.dense_dropout"
    if isinstance(recipe.model.head, Head):
        return "model.head.dropout"
    return "model.options.drop_rate"


def rates_around(rate: float) -> Range:
    """Learning rates from a tenth of this one to ten times it, at most 10."""
    low = float(f"{rate / 10:.1g}")
    return Range(low, min(10.0, 10 ** (2 + math.log10(low))))


def recipe_values(recipe: Recipe, space: Space) -> dict[str, Any]:
    """The recipe's own values of the varied keys, without those outside the space."""
    recipe_map = recipe.model_dump(mode="json")
    values = {key: _value_at(recipe_map, key) for key in space}
    return {key: setting for key, setting in values.items() if space[key].contains(setting)}


def _value_at(section: Any, key: str) -> Any:
    """The value at a dotted key, None if there is none."""
    for name in key.split("."):
        section = section.get(name) if isinstance(section, dict) else None
    return section
