"""Where scores stand: their order, and what predictions that look at no image score."""

import math

from ensemble.metrics import Metric, baselines
from ensemble.runs import Run


def rank(score: float, metric: Metric) -> tuple[bool, float]:
    """A key that sorts scores, the best first, undefined ones last."""
    is_undefined = math.isnan(score)
    return is_undefined, 0.0 if is_undefined else -score if metric.is_higher_better else score


def baselines_of(run: Run, metric: Metric) -> dict[str, float]:
    """By name, the levels on the validation rows of a run; metric is of its classes in their order.

    The most common class is that of the training images for accuracy, else that of the validation
    images. Undefined levels are left out, equal ones have one line. Raises DamagedError.
    """
    if metric.name == "accuracy" and run.data.majority is not None:
        return {"most common class": run.data.majority, "chance": 1 / len(run.classes)}
    valid = run.valid().canonical()
    assert valid.targets is not None  # Run.valid refuses predictions without targets
    levels = baselines(metric, valid.targets, valid.target)
    by_name = {levels.answer: levels.constant, "chance": levels.chance}
    if levels.chance is not None and math.isclose(levels.chance, levels.constant, abs_tol=1e-9):
        by_name = {f"chance, {levels.answer}": levels.chance}
    return {name: level for name, level in by_name.items() if level is not None and level == level}
