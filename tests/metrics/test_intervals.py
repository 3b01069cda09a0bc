"""Our closed forms against scipy, statsmodels, scikit-learn and a published example."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ensemble.metrics import (
    Interval,
    Z,
    accuracy,
    bootstrap_mean,
    by_group,
    hits,
    log_loss,
    losses,
    paired_difference,
    per_class,
    predicted,
    wilson,
)


def paired(both, only_a, only_b, neither):
    counts = [both, only_a, only_b, neither]
    return np.repeat([1.0, 1.0, 0.0, 0.0], counts), np.repeat([1.0, 0.0, 1.0, 0.0], counts)


def test_accuracy_and_log_loss_are_those_of_scikit_learn(rng, made_up):
    from sklearn.metrics import accuracy_score
    from sklearn.metrics import log_loss as reference

    valid = made_up(rng, accuracy=0.8)
    assert (
        accuracy(valid.probs, valid.targets)
        == accuracy_score(valid.targets, valid.probs.argmax(1))
        == 0.8
    )
    probs = valid.probs.astype(np.float64)
    expected = reference(valid.targets, probs / probs.sum(1, keepdims=True))
    assert log_loss(valid.probs, valid.targets) == pytest.approx(expected, rel=1e-6)


def test_a_tie_goes_to_the_first_class():
    probs = np.array([[0.4, 0.4, 0.2], [0.1, 0.45, 0.45]])
    assert predicted(probs).tolist() == [0, 1]
    assert hits(probs, np.array([0, 2])).tolist() == [1, 0]


@given(st.integers(0, 2**32 - 1), st.integers(2, 80), st.integers(1, 9))
def test_the_predicted_class_does_not_depend_on_the_order_in_memory(seed, n_classes, n_levels):
    probs = np.random.default_rng(seed).integers(0, n_levels, (20, n_classes)) / n_levels
    assert predicted(probs).tolist() == predicted(np.asfortranarray(probs)).tolist()
    assert predicted(probs).tolist() == probs.argmax(1).tolist()


def test_a_truth_of_probability_zero_costs_much_but_not_everything():
    values = losses(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0]))
    assert values[0] == pytest.approx(-np.log(1e-15))
    assert values[1] == 0
    assert np.isfinite(values).all()


@given(st.data())
def test_wilson_is_that_of_statsmodels(data):
    from statsmodels.stats.proportion import proportion_confint

    n = data.draw(st.integers(1, 100_000))
    count = data.draw(st.integers(0, n))
    interval = wilson(count / n, n)
    low, high = proportion_confint(count, n, method="wilson")
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (count / n, low, high), abs=1e-12
    )
    assert 0 <= interval.low <= interval.value + 1e-12
    assert interval.value - 1e-12 <= interval.high <= 1


def test_wilson_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="at least one row"):
        wilson(0.5, 0)


def test_the_95_percent_point_is_that_of_scipy():
    from scipy.stats import norm

    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # complete response before and after therapy (Cavo et al., 2012), in the tests of R's contingencytables
        ((59, 6, 16, 80), (-0.0621, -0.1186, -0.0046)),
        # airway hyper-responsiveness (Bentur et al., 2009); Fagerland, Lydersen and Laake (2014)
        ((1, 1, 7, 12), (-0.286, -0.507, -0.026)),
    ],
)
def test_the_paired_interval_is_that_of_published_examples(table, expected):
    interval = paired_difference(*paired(*table))
    digits = 4 if table[0] == 59 else 3
    assert (
        tuple(round(value, digits) for value in (interval.value, interval.low, interval.high))
        == expected
    )


def newcombe(both, only_a, only_b, neither):
    from statsmodels.stats.proportion import proportion_confint

    n = both + only_a + only_b + neither
    share_a, share_b = (both + only_a) / n, (both + only_b) / n
    low_a, high_a = proportion_confint(both + only_a, n, method="wilson")
    low_b, high_b = proportion_confint(both + only_b, n, method="wilson")
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    excess = both * neither - only_a * only_b
    corrected = max(excess - n / 2, 0) if excess > 0 else excess
    phi = corrected / product**0.5 if product else 0
    dl_a, du_a, dl_b, du_b = share_a - low_a, high_a - share_a, share_b - low_b, high_b - share_b
    below = (dl_a**2 - 2 * phi * dl_a * du_b + du_b**2) ** 0.5
    above = (du_a**2 - 2 * phi * du_a * dl_b + dl_b**2) ** 0.5
    return share_a - share_b, share_a - share_b - below, share_a - share_b + above


@given(*[st.integers(0, 60)] * 4)
def test_the_paired_interval_is_a_plain_recomputation_and_turns_with_its_sides(
    both, only_a, only_b, neither
):
    assume(both + only_a + only_b + neither > 0)
    a, b = paired(both, only_a, only_b, neither)
    interval, turned = paired_difference(a, b), paired_difference(b, a)
    expected = newcombe(both, only_a, only_b, neither)
    assert (interval.value, interval.low, interval.high) == pytest.approx(expected, abs=1e-9)
    assert (-turned.value, -turned.high, -turned.low) == pytest.approx(expected, abs=1e-9)
    bounds = [-1, interval.low, interval.value, interval.high, 1]
    assert (np.diff(bounds) >= -1e-9).all()


def test_the_bootstrap_is_that_of_scipy(rng):
    from scipy.stats import bootstrap

    values = rng.exponential(1, 400)
    interval = bootstrap_mean(values, seed=0)
    reference = bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    )
    assert interval.value == pytest.approx(values.mean(), rel=1e-6)
    assert interval.low == pytest.approx(reference.confidence_interval.low, abs=0.01)
    assert interval.high == pytest.approx(reference.confidence_interval.high, abs=0.01)


def test_the_bootstrap_depends_on_its_seed_alone(rng):
    values = rng.exponential(1, 300)
    assert bootstrap_mean(values, 1) == bootstrap_mean(values.copy(), 1)
    assert bootstrap_mean(values, 1) != bootstrap_mean(values, 2)


def test_the_bootstrap_draws_as_often_as_asked_however_many_rows(rng):
    values = rng.exponential(1, 990)
    interval = bootstrap_mean(values, 0, n_draws=5000)  # more than one block of draws
    spread = 1.96 * values.std() / np.sqrt(len(values))
    assert (interval.high - interval.low) / 2 == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("n", [1000, 3000])
def test_with_many_rows_the_expansion_is_the_bootstrap_of_scipy(n, rng):
    from scipy.stats import bootstrap

    values = -np.log(rng.beta(8, 0.5, n).clip(1e-4))  # as skew as log losses are
    interval = bootstrap_mean(values, seed=0)
    reference = bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    )
    low, high = reference.confidence_interval
    assert interval.value == pytest.approx(values.mean())
    assert interval.low == pytest.approx(low, abs=0.02 * (high - low))
    assert interval.high == pytest.approx(high, abs=0.02 * (high - low))
    assert interval.high - interval.value > interval.value - interval.low  # the long tail is above


def test_class_scores_are_scikit_learns(rng):
    from sklearn.metrics import precision_recall_fscore_support

    targets = np.concatenate([rng.integers(0, 3, 200), [4]])  # class 3 is never there
    probs = rng.dirichlet(np.ones(5), 201)
    probs[:, 4] = 0  # class 4 is never named
    scores = per_class(probs, targets, "abcde")
    reference = precision_recall_fscore_support(
        targets, probs.argmax(1), labels=range(5), zero_division=0
    )
    scores = np.array(
        [(score.precision, score.recall, score.f1, score.n_rows) for score in scores]
    ).T
    np.testing.assert_allclose(scores, reference)


def test_scores_of_each_label_are_scikit_learns(rng):
    from sklearn.metrics import precision_recall_fscore_support

    targets, probs = rng.integers(0, 2, (50, 3)).astype(np.uint8), rng.random((50, 3))
    scores = per_class(probs, targets, "abc")
    reference = precision_recall_fscore_support(targets, probs > 0.5, zero_division=0)
    for score, *values in zip(scores, *reference, strict=True):
        shown = [score.precision, score.recall, score.f1, score.n_rows]
        np.testing.assert_allclose(shown, values)


def test_an_interval_is_widened_about_its_value():
    assert Interval(0.5, 0.4, 0.7).widened(2) == Interval(
        0.5, pytest.approx(0.3), pytest.approx(0.9)
    )


def test_one_row_has_an_interval_of_no_width():
    assert bootstrap_mean(np.array([0.5]), 0, n_draws=10) == bootstrap_mean(
        np.array([0.5]), 1, n_draws=10
    )


def test_a_bootstrap_by_group_has_the_mean_of_the_rows_and_equals_that_of_rows_where_each_is_its_own(
    rng,
):
    values = rng.exponential(1.0, 300)
    groups = rng.integers(0, 40, 300)
    groups = np.unique(groups, return_inverse=True)[1]
    assert by_group(values, groups).mean() == pytest.approx(values.mean())
    np.testing.assert_allclose(by_group(values, np.arange(300)), values)
    assert by_group(values, None) is values


def test_copies_in_a_group_add_nothing_to_what_is_known(rng):
    values = rng.exponential(1.0, 200)
    copied, groups = np.repeat(values, 5), np.repeat(np.arange(200), 5)
    np.testing.assert_allclose(by_group(copied, groups), values)
    naive, honest = bootstrap_mean(copied, 0), bootstrap_mean(by_group(copied, groups), 0)
    assert (honest.high - honest.low) / (naive.high - naive.low) == pytest.approx(5**0.5, rel=0.1)


def test_the_bootstrap_by_group_is_that_of_scipy_over_whole_groups(rng):
    groups = np.unique(rng.integers(0, 60, 400), return_inverse=True)[1]
    values = rng.normal(0, 1, 60)[groups] + rng.normal(0, 1, 400)
    sums, sizes = np.bincount(groups, values), np.bincount(groups)
    theirs = stats.bootstrap(
        (sums, sizes),
        lambda s, n, axis: s.sum(axis) / n.sum(axis),
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    mine = bootstrap_mean(by_group(values, groups), 0)
    np.testing.assert_allclose([mine.low, mine.high], theirs, atol=0.1 * (theirs.high - theirs.low))
