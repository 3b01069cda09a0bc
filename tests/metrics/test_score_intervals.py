"""The interval of any metric: within bounds, never empty, and as often right as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.metrics import (
    bootstrap_mean,
    by_group,
    interval_of,
    metric_named,
    paired_difference,
    score_of,
    share_interval,
    wilson,
)
from ensemble.metrics.intervals import _t_quantile

CLASSES = ["0", "1", "2"]


@pytest.mark.parametrize("width", [1.0, 1.3])
@pytest.mark.parametrize("is_grouped", [False, True])
def test_accuracy_and_log_loss_keep_their_intervals(width, is_grouped, rng, drawn):
    probs, targets = drawn(rng, 300, [0.5, 0.3, 0.2])
    groups = np.arange(300) // 3 if is_grouped else None
    accuracy, log_loss = metric_named("accuracy", CLASSES), metric_named("log_loss", CLASSES)
    hits, losses = accuracy.contributions(probs, targets), log_loss.contributions(probs, targets)
    assert interval_of(accuracy, hits, 7, groups, width) == share_interval(hits, groups, width)
    of_losses = bootstrap_mean(by_group(losses, groups), 7).widened(width)
    assert of_losses.low > 0
    assert interval_of(log_loss, losses, 7, groups, width) == of_losses


def test_every_share_of_rows_has_the_interval_of_wilson(rng, drawn):
    probs, targets = drawn(rng, 300, [0.5, 0.3, 0.2])
    for name in ("accuracy", "f1_micro", "top_k_accuracy@2"):
        metric = metric_named(name, CLASSES)
        value = float(metric.values(probs, targets))
        assert score_of(metric, probs, targets, 0) == wilson(value, 300)


@given(data=st.data())
def test_an_interval_holds_its_value_and_stays_within_bounds(data, tied_predictions, every_metric):
    probs, targets = data.draw(tied_predictions())
    n_groups = data.draw(st.integers(1, len(targets)))
    groups = np.arange(len(targets)) % n_groups if data.draw(st.booleans()) else None
    for metric in every_metric(probs.shape[1]):
        interval = score_of(metric, probs, targets, 0, groups)
        low, high = metric.bounds
        if np.isnan(interval.value):
            assert metric.name == "roc_auc"
            assert (interval.low, interval.high) == metric.bounds
        else:
            assert low <= interval.low <= interval.value + 1e-12, metric.name
            assert interval.value - 1e-12 <= interval.high <= high, metric.name


@given(data=st.data())
def test_smoothing_of_many_blends_is_that_of_each(data, tied_predictions, every_metric):
    probs, targets = data.draw(tied_predictions())
    blends = np.stack([[probs, np.roll(probs, 1, axis=1)]] * 3)
    for metric in every_metric(probs.shape[1]):
        smoothing = metric.smoothing(blends, targets)
        assert smoothing.shape == (3, 2, 2)
        assert np.isfinite(smoothing).all()
        assert (smoothing[..., 1] >= 0).all()
        for i, j in np.ndindex(3, 2):
            np.testing.assert_array_equal(smoothing[i, j], metric.smoothing(blends[i, j], targets))


@pytest.mark.parametrize("n_rows", [30, 3000])
def test_all_right_is_not_certain(n_rows, every_metric):
    targets = np.arange(n_rows) % 3
    probs = np.eye(3)[targets] * 0.9 + 0.1 / 3
    for metric in every_metric(3):
        interval = score_of(metric, probs, targets, 0)
        if metric.is_higher_better:
            assert 1 - 15 / n_rows < interval.low < 1, metric.name


def test_a_wider_interval_is_that_of_fewer_rows(rng, drawn):
    probs, targets = drawn(rng, 3000, [0.5, 0.3, 0.2])
    for name in ("f1_macro", "roc_auc", "quadratic_kappa", "map@2"):
        metric = metric_named(name, CLASSES)
        rows = metric.contributions(probs, targets)
        plain, wide = interval_of(metric, rows, 0), interval_of(metric, rows, 0, width=1.5)
        assert wide.value == plain.value
        assert (wide.high - wide.low) / (plain.high - plain.low) == pytest.approx(1.5, rel=0.02)


def test_copies_in_a_group_add_no_information_to_any_metric(rng, drawn, every_metric):
    probs, targets = drawn(rng, 400, [0.5, 0.3, 0.2])
    copies, groups = np.repeat(np.arange(400), 4), np.repeat(np.arange(400), 4)
    for metric in every_metric(3):
        rows = metric.contributions(probs, targets)
        copied = metric.contributions(probs[copies], targets[copies])
        interval, grouped = interval_of(metric, rows, 0), interval_of(metric, copied, 0, groups)
        assert grouped.low == pytest.approx(interval.low, abs=0.01), metric.name
        assert grouped.high == pytest.approx(interval.high, abs=0.01), metric.name


# metric, shares of the classes, rows, how far the true class stands out; the plain bootstrap of
# contributions covers the truth in 86, 50, 53, 51 and 22 % of the draws
CELLS = [
    ("f1", [0.97, 0.03], 300, 3.5),
    ("balanced_accuracy", [0.97, 0.03], 300, 2),
    ("f1_macro", [0.4, 0.3, 0.2, 0.09, 0.01], 1_000, 4.5),
    ("f1_min", [0.4, 0.3, 0.2, 0.09, 0.01], 1_000, 4.5),
    ("roc_auc", [0.97, 0.03], 1_000, 4),
]


@pytest.mark.parametrize(("name", "shares", "n_rows", "skill"), CELLS)
def test_intervals_of_rare_classes_cover_the_truth(name, shares, n_rows, skill, drawn):
    rng = np.random.default_rng(3)
    metric = metric_named(name, [str(column) for column in range(len(shares))])
    truth = metric.values(*drawn(rng, 200_000, shares, skill))
    n_covered = n_scored = 0
    for _ in range(250):
        probs, targets = drawn(rng, n_rows, shares, skill)
        if not metric.too_few_rows(targets):
            interval = score_of(metric, probs, targets, 0)
            n_scored += 1
            n_covered += interval.low <= truth <= interval.high
    assert n_scored > 200
    assert n_covered / n_scored > 0.92


@pytest.mark.parametrize("n_groups", [40, 200])
def test_all_right_in_groups_is_as_uncertain_as_all_groups_right(n_groups):
    groups = np.repeat(np.arange(n_groups), 5)
    right = np.ones(len(groups))
    alone = wilson(1.0, n_groups)
    assert share_interval(right, groups).low == pytest.approx(alone.low, rel=0.01)
    lead = paired_difference(right, right, groups)
    assert lead.low == pytest.approx(alone.low - 1, rel=0.1)
    assert lead.high == -lead.low


@pytest.mark.parametrize("n_groups", [20, 60, 300])
@pytest.mark.parametrize("truth", [0.8, 0.97])
@pytest.mark.parametrize("n_alike", [1, 5])
def test_intervals_of_shares_in_groups_cover_the_truth(n_groups, truth, n_alike):
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(n_groups), 5)
    n_covered = 0
    for _ in range(400):
        alike = rng.random(n_groups * 5 // n_alike) < truth
        interval = share_interval(np.repeat(alike, n_alike).astype(float), groups)
        n_covered += interval.low <= truth <= interval.high
    assert n_covered / 400 > 0.92


@pytest.mark.parametrize("df", [3, 4, 7, 30, 1000])
def test_the_quantile_of_student_is_that_of_scipy(df):
    from scipy.stats import t

    assert _t_quantile(df) == pytest.approx(t.ppf(0.975, df), rel=0.01)


FEW = np.repeat([0, 1, 2], [50, 19, 4])
ENOUGH = np.repeat([0, 1, 2], [50, 20, 20])
TOO_FEW = {
    "roc_auc": "19 rows of class 'dog', an interval needs 20",
    "f1_macro": "4 rows of class 'owl', an interval needs 5",
    "f1_min": "4 rows of class 'owl', an interval needs 5",
    "balanced_accuracy": "4 rows of class 'owl', an interval needs 5",
}


@pytest.mark.parametrize(
    "name",
    ["accuracy", "log_loss", "f1_micro", "f1_weighted", "map@3", "top_k_accuracy@3", *TOO_FEW],
)
def test_too_few_rows_are_named(name):
    metric = metric_named(name, ["cat", "dog", "owl"])
    assert metric.too_few_rows(FEW) == TOO_FEW.get(name, "")
    assert metric.too_few_rows(ENOUGH) == ""
    is_share = name in ("accuracy", "f1_micro", "top_k_accuracy@3")
    assert bool(metric.too_few_rows(FEW[:1])) is not is_share


def test_too_few_rows_of_two_classes_are_those_of_the_rarer():
    targets = np.repeat([0, 1], [1, 50])
    auc, f1 = metric_named("roc_auc", ["0", "1"]), metric_named("f1", ["0", "1"])
    assert auc.too_few_rows(targets) == "1 row of class '0', an interval needs 20"
    assert f1.too_few_rows(targets) == "1 row of class '0', an interval needs 5"
    assert metric_named("quadratic_kappa", ["0", "1"]).too_few_rows(targets) == ""
    assert metric_named("quadratic_kappa", ["0", "1"]).too_few_rows(targets[:1]) != ""
