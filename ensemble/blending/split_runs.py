"""The runs of two recipes on several splits, and the `ens train` lines of splits that one lacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble.blending.compare import matching
from ensemble.errors import SelectionError
from ensemble.grouping import grouped
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore

FEWEST = 2  # splits that show a variance


@dataclass(frozen=True)
class SplitRuns:
    """The finished runs of one recipe by data.split_seed; on each split one run per seed."""

    recipe: str
    by_split: Mapping[int, tuple[Run, ...]]


def split_runs(store: RunStore, names: Sequence[str]) -> tuple[SplitRuns, SplitRuns]:
    """The runs of two recipes on all their splits; a name is a recipe, a run id or a pattern.

    Raises SelectionError, RunError, RecipeError.
    """
    if len(names) != 2:
        raise SelectionError(
            f"--splits compares two recipes, not {len(names)}\nens compare A B --splits"
        )
    first, second = ((name, *_recipe_named(store, name)) for name in names)
    if first[1] == second[1]:
        raise SelectionError(
            f"{first[0]} and {second[0]} are the same recipe\nname runs of two recipes"
        )
    return first[2], second[2]


def _recipe_named(store: RunStore, name: str) -> tuple[tuple[str, str], SplitRuns]:
    """The key of the only recipe that a name matches, and its runs. Raises SelectionError."""
    runs_by_key: dict[tuple[str, str], str] = {}
    for run in matching(store, name):
        runs_by_key.setdefault((run.recipe, _split_of(run)[0]), run.id)
    if len(runs_by_key) > 1:
        run_ids = ", ".join(list(runs_by_key.values())[:4])
        raise SelectionError(
            f"{name} matches runs of {len(runs_by_key)} recipes that differ in more than "
            f"data.split_seed: {run_ids}\nname one run of each recipe to compare"
        )
    key = next(iter(runs_by_key))
    splits = ((_split_of(run), run) for run in store.finished([key[0]]))
    by_split = grouped(
        (split_seed, run) for (digest, split_seed), run in splits if digest == key[1]
    )
    return key, SplitRuns(key[0], {seed: tuple(by_split[seed]) for seed in sorted(by_split)})


def _split_of(run: Run) -> tuple[str, int]:
    """The digest of a run's recipe but for its split, and its split. Raises RunError, RecipeError."""
    run.record()
    first = run.folds[0]
    first.check_file("recipe.yaml")
    recipe = Recipe.load(first.folder / "recipe.yaml")
    return recipe.with_overrides(["data.split_seed=0"]).digest, recipe.data.split_seed


def missing_lines(first: SplitRuns, second: SplitRuns) -> list[str]:
    """The `ens train` lines of splits that only one recipe has, at least as many as are needed."""
    split_seeds = sorted({*first.by_split, *second.by_split})
    split_seeds += range(split_seeds[-1] + 1, split_seeds[-1] + 1 + FEWEST - len(split_seeds))
    lines = []
    for split_seed in split_seeds:
        recipes = [side.recipe for side in (first, second) if split_seed not in side.by_split]
        if recipes:
            files = " ".join(f"recipes/{recipe}.yaml" for recipe in dict.fromkeys(recipes))
            lines.append(f"ens train {files} --set data.split_seed={split_seed}")
    return lines
