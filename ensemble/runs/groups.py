"""Which runs belong together: those about the same validation rows, and those of one recipe."""

from collections.abc import Iterable

from ensemble.grouping import grouped
from ensemble.runs.run import Run


def by_validation_rows(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups of runs that can blend, in the given order."""
    return list(grouped((run.blend_key, run) for run in runs).values())


def by_recipe(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups of runs that differ in seed or fold only, in the given order."""
    return list(grouped((run.recipe_key, run) for run in runs).values())


def by_scores(run: Run) -> tuple[float, float, str]:
    """Sorts runs: the most accurate first, then the smallest log loss, then the id."""
    return -(run.scores.accuracy or 0.0), run.scores.log_loss or 0.0, run.id
