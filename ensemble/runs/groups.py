"""Which runs belong together: those about the same validation rows, and those of one recipe."""

from collections.abc import Callable, Iterable

from ensemble.runs.run import Run


def by_validation_rows(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups of runs that can blend, in the given order."""
    return _grouped(runs, lambda run: run.blend_key)


def by_recipe(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups of runs that differ in seed or fold only, in the given order."""
    return _grouped(runs, lambda run: run.recipe_key)


def _grouped(runs: Iterable[Run], key: Callable[[Run], tuple[str, str]]) -> list[list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())
