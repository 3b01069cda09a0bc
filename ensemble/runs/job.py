"""Jobs: which runs are to be trained, each a recipe with a seed and perhaps a fold."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.errors import RecipeError
from ensemble.recipe import Recipe


@dataclass(frozen=True)
class Job:
    """One run to train. search names the `ens tune` search that it is a trial of."""

    recipe: Recipe
    seed: int
    fold: int | None = None
    search: str = ""

    @property
    def run_id(self) -> str:
        """The run's id, which is its folder's name."""
        return self.whole_id if self.fold is None else f"{self.whole_id}-f{self.fold}"

    @property
    def whole_id(self) -> str:
        """The id without the fold: all folds of a recipe and seed share it."""
        return f"{self.recipe.name}-{self.recipe.digest}-s{self.seed}"

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """What the recipe sets, by dotted key, lists as JSON; with the seed and the fold."""
        recipe_map = self.recipe.model_dump(mode="json", exclude_defaults=True, exclude={"seeds"})
        settings = dict(_dotted(recipe_map)) | {"seed": self.seed}
        return settings if self.fold is None else settings | {"fold": self.fold}


def _dotted(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            is_plain = isinstance(value, str | int | float | bool)
            yield prefix + name, value if is_plain else json.dumps(value)


def jobs_of(recipes: Sequence[Recipe], search: str = "") -> list[Job]:
    """One job per recipe, seed and fold; each run id appears once. Raises RecipeError."""
    for recipe in recipes:
        _check_gpus(recipe)
    jobs = [
        Job(recipe, seed, fold, search)
        for recipe in recipes
        for seed in recipe.seeds
        for fold in _folds(recipe)
    ]
    return list({job.run_id: job for job in jobs}.values())


def _folds(recipe: Recipe) -> Sequence[int | None]:
    return range(recipe.data.n_folds) if recipe.data.n_folds else [None]


def _check_gpus(recipe: Recipe) -> None:
    n_gpus = recipe.resources.gpu
    if n_gpus > 1:
        raise RecipeError(
            f"recipe {recipe.name}: resources.gpu: {n_gpus:g}; a run trains on one GPU\n"
            "several GPUs train several runs at once; set it to 1, or below 1 to share a GPU"
        )
