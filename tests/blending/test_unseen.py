"""A mixture without some rows: they decide nothing, and the others decide what they decide alone."""

from dataclasses import replace

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.blending.unseen import mixture_without
from ensemble.runs import RunStore

NAMES = ("one-s0", "two-s0", "six-s0")


@pytest.fixture
def runs_of(tmp_path, fake_run, made_up):
    """runs_of(folder, change): three runs on the same 200 rows, changed by change(number, predictions)."""

    def runs_of(folder, change=lambda number, predictions: predictions):
        for number, name in enumerate(NAMES):
            made = made_up(np.random.default_rng(number), accuracy=0.7 + 0.08 * number)
            fake_run(tmp_path / folder, name, predictions=change(number, made))
        return RunStore(tmp_path / folder).finished()

    return runs_of


@pytest.mark.parametrize(
    ("weights", "metric"),
    [("best", "log_loss"), ("greedy", "accuracy"), ("accuracy", "balanced_accuracy")],
)
def test_rows_left_out_decide_nothing(weights, metric, runs_of):
    left_out = [f"{row:05d}" for row in range(0, 200, 3)]

    def spoiled(number, made):
        probs = made.probs.copy()
        probs[::3] = np.eye(3)[(made.targets[::3] + number) % 3]
        return replace(made, probs=probs)

    options = Options(weights=weights, metric=metric, calibrate=True, min_acc=0.75)
    honest = mixture_without(runs_of("as-is"), options, left_out)
    assert honest == mixture_without(runs_of("spoiled", spoiled), options, left_out)
    assert honest != mixture_without(runs_of("all"), options, [])


@pytest.mark.parametrize("average", ["arithmetic", "geometric"])
def test_the_other_rows_decide_what_they_decide_alone(average, runs_of):
    def rest(number, made):
        kept = np.arange(200) % 3 > 0
        return replace(made, ids=made.ids[kept], probs=made.probs[kept], targets=made.targets[kept])

    weights = "accuracy" if average == "geometric" else "logloss"
    options = Options(weights=weights, metric="log_loss", average=average)
    left_out = [f"{row:05d}" for row in range(0, 200, 3)]
    alone = make_blend(runs_of("rest", rest), options).mixture
    without = mixture_without(runs_of("all"), options, left_out)
    assert without.weights == alone.weights
    assert (without.is_log, without.calibration) == (alone.is_log, None)
