"""Paired tests: statsmodels and scipy find the same, and the verdict says no more than they do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from ensemble.blending.compare import (
    Side,
    compare,
    recipe_sides,
    scoring_of_sides,
    sides,
)
from ensemble.blending.resampling import holm, mcnemar
from ensemble.errors import MismatchError, SelectionError
from ensemble.files import finite
from ensemble.metrics import predicted
from ensemble.predictions import Predictions
from ensemble.runs import RunStore


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_mid_p_of_mcnemar_is_the_exact_p_less_half_of_what_was_seen(b, c):
    exact = reference_mcnemar([[5, b], [c, 5]], exact=True).pvalue
    k, n = min(b, c), b + c
    expected = 1.0 if b == c else exact - binom.pmf(k, n, 0.5)
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(b, c) == mcnemar(c, b)


def test_mcnemar_with_very_many_rows_neither_overflows_nor_vanishes():
    assert mcnemar(50_000, 50_300) == pytest.approx(
        2 * binom.cdf(50_000, 100_300, 0.5) - binom.pmf(50_000, 100_300, 0.5)
    )
    assert 0 <= mcnemar(0, 100_000) < 1e-300


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels_holm(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def seeds_of(store, fake_run, made_up):
    """seeds_of(recipe, accuracies): finished runs of a recipe, one per seed."""

    def make(recipe, accuracies, digest="1", n=400):
        for seed, accuracy in enumerate(accuracies):
            rng = np.random.default_rng([len(recipe), seed, round(1000 * accuracy)])
            predictions = made_up(rng, n, accuracy=accuracy)
            fake_run(
                store.root,
                f"{recipe}-{digest}-s{seed}",
                seed=seed,
                digest=digest,
                predictions=predictions,
            )

    return make


def by_metric(differences):
    return {difference.metric: difference for difference in differences}


def test_one_run_a_side_is_about_these_two_networks(store, seeds_of):
    seeds_of("good", [0.95])
    seeds_of("weak", [0.80])
    differences = by_metric(compare(sides(store, ["good", "weak"])))
    accuracy = differences["accuracy"]
    assert (accuracy.first, accuracy.second, accuracy.n_rows) == ("good", "weak", 400)
    assert accuracy.value.value == pytest.approx(0.15)
    assert accuracy.value.low < 0.15 < accuracy.value.high
    assert accuracy.about == "these two networks"
    assert "McNemar" in accuracy.test
    assert accuracy.verdict == "better at n=400"
    losses = [run.scores.log_loss for run in store.finished()]
    assert differences["log_loss"].value.value == pytest.approx(losses[1] - losses[0], abs=1e-5)
    turned = by_metric(compare(sides(store, ["weak", "good"])))
    assert turned["accuracy"].verdict == "worse at n=400"
    assert turned["accuracy"].p == accuracy.p


def test_runs_that_are_alike_are_not_distinguishable(store, seeds_of):
    seeds_of("a", [0.9])
    seeds_of("bb", [0.905])
    for difference in compare(sides(store, ["a-1-s0", "bb-1-s0"])):
        assert difference.verdict == "not distinguishable at n=400"
        assert difference.value.low < 0 < difference.value.high


def test_several_seeds_are_about_the_recipes_and_their_spread_widens_the_interval(store, seeds_of):
    seeds_of("steady", [0.80, 0.80, 0.80])
    seeds_of("moody", [0.70, 0.80, 0.95])
    difference = by_metric(compare(sides(store, ["steady", "moody"])))["accuracy"]
    assert difference.about == "the recipes"
    assert "crossed with seeds" in difference.test
    two = RunStore(store.root.parent / "two")
    for folder in sorted(store.root.glob("*-s[01]")):
        (two.root / folder.name).parent.mkdir(exist_ok=True)
        folder.rename(two.root / folder.name)
    fewer = by_metric(compare(sides(two, ["steady", "moody"])))["accuracy"]
    assert "fewer than 3 seeds" in fewer.about
    assert fewer.value.high - fewer.value.low < 0.7 * (difference.value.high - difference.value.low)


def test_the_bootstrap_interval_is_as_wide_as_theory_says(store, seeds_of):
    seeds_of("a", [0.9])
    seeds_of("bb", [0.85])
    difference = by_metric(compare(sides(store, ["a", "bb"])))["log_loss"]
    first, second = (run.valid().canonical() for run in store.finished())
    rows = np.arange(400)
    change = np.log(first.probs[rows, first.targets]) - np.log(second.probs[rows, second.targets])
    assert difference.value.value == pytest.approx(change.mean())
    assert difference.value.high - difference.value.low == pytest.approx(
        2 * 1.96 * change.std() / 20, rel=0.05
    )


def test_more_than_two_sides_are_compared_pairwise_with_holm(store, seeds_of):
    for recipe, accuracy in (("a", 0.9), ("bb", 0.85), ("ccc", 0.88)):
        seeds_of(recipe, [accuracy])
    differences = [
        difference for difference in compare(sides(store, ["*"])) if difference.metric == "accuracy"
    ]
    assert [(difference.first[0], difference.second[0]) for difference in differences] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    np.testing.assert_allclose(
        [difference.adjusted_p for difference in differences],
        holm([difference.p for difference in differences]),
    )
    assert any(difference.adjusted_p > difference.p for difference in differences)


def test_the_verdict_follows_the_adjusted_p(store, seeds_of):
    for recipe, accuracy in (("a", 0.9), ("bb", 0.855), ("ccc", 0.895), ("dddd", 0.89)):
        seeds_of(recipe, [accuracy])
    differences = compare(sides(store, ["*"]))
    assert any(difference.p < 0.05 <= difference.adjusted_p for difference in differences)
    for difference in differences:
        assert difference.verdict.startswith("not") == (difference.adjusted_p >= 0.05)


def test_a_recipe_that_was_changed_is_two_sides(store, seeds_of):
    seeds_of("a", [0.9, 0.8], digest="1")
    seeds_of("a", [0.9, 0.8], digest="2")
    assert [side.name for side in sides(store, ["a"])] == ["a-1", "a-2"]


def test_what_cannot_be_compared_is_told(store, seeds_of, fake_run, rng, made_up):
    seeds_of("a", [0.9])
    with pytest.raises(SelectionError, match="matches nothing_like_it"):
        sides(store, ["a", "nothing_like_it"])
    with pytest.raises(SelectionError, match="a names one side"):
        sides(store, ["a"])
    shorter = made_up(rng, 50)
    fake_run(
        store.root,
        "b-1-s0",
        predictions=Predictions(shorter.ids, shorter.classes, shorter.probs, shorter.targets),
    )
    with pytest.raises(
        MismatchError, match="a-1-s0 and b-1-s0 were not validated on the same rows"
    ):
        compare(sides(store, ["a", "b"]))


def test_identical_predictions_are_not_distinguishable_whatever_the_number_of_seeds(
    store, fake_run, rng, made_up
):
    same = made_up(rng, 200)
    for recipe, n_seeds in (("a", 6), ("b", 1), ("c", 7)):
        for seed in range(n_seeds):
            fake_run(store.root, f"{recipe}-1-s{seed}", seed=seed, digest="1", predictions=same)
    for difference in compare(sides(store, ["a", "b", "c"])):
        assert difference.p == 1
        assert difference.verdict.startswith("not")


def test_patterns_of_one_recipe_add_up_to_one_side(store, seeds_of):
    seeds_of("a", [0.9, 0.8, 0.85])
    seeds_of("bb", [0.9])
    first, second = sides(store, ["a-1-s0*", "a-1-s1*", "bb"])
    assert sorted(run.seed for run in first.runs) == [0, 1]
    assert second.name == "bb"


def test_a_difference_beyond_all_draws_is_found_among_many_sides(store, seeds_of):
    for i in range(24):
        seeds_of("x" * (i + 1), [0.95 - 0.02 * i], n=100)
    far = [
        difference
        for difference in compare(sides(store, ["x*"]))
        if (difference.first, difference.second) == ("x", "x" * 24)
    ]
    assert all(difference.verdict == "better at n=100" for difference in far)


def test_recipes_of_one_name_are_sides_with_their_digests_and_runs_keep_their_order(
    seeds_of, store
):
    seeds_of("a", [0.8, 0.7], digest="1")
    seeds_of("a", [0.9], digest="2")
    seeds_of("b", [0.6])
    newest_seed_first = sorted(store.finished(), key=lambda run: -run.seed)
    by_name = {side.name: [run.id for run in side.runs] for side in recipe_sides(newest_seed_first)}
    assert by_name == {"a-1": ["a-1-s1", "a-1-s0"], "a-2": ["a-2-s0"], "b": ["b-1-s0"]}


def test_a_metric_comes_first_and_its_interval_is_as_wide_as_that_of_its_contributions(
    store, seeds_of
):
    seeds_of("a", [0.9])
    seeds_of("bb", [0.85])
    compared = sides(store, ["a", "bb"])
    scoring, _ = scoring_of_sides(compared, "f1_macro")
    differences = compare(compared, scoring)
    assert [difference.metric for difference in differences] == ["f1_macro", "accuracy", "log_loss"]
    first, second = (run.valid().canonical() for run in store.finished())
    change = np.subtract(
        *(scoring.metric.contributions(run.probs, run.targets) for run in (first, second))
    )
    by_f1 = differences[0].value
    scores = [
        f1_score(run.targets, predicted(run.probs), average="macro") for run in (first, second)
    ]
    assert by_f1.value == pytest.approx(scores[0] - scores[1])
    assert by_f1.high - by_f1.low == pytest.approx(2 * 1.96 * change.std() / 20, rel=0.05)


def test_shares_of_rows_have_the_exact_test(store, seeds_of):
    seeds_of("a", [0.9])
    seeds_of("bb", [0.85])
    compared = sides(store, ["a", "bb"])
    by_metric_name = by_metric(compare(compared, scoring_of_sides(compared, "f1_micro")[0]))
    assert "McNemar" in by_metric_name["f1_micro"].test
    assert by_metric_name["f1_micro"].value == by_metric_name["accuracy"].value


def test_the_metric_is_that_of_the_runs_and_runs_that_disagree_are_refused(store, seeds_of):
    seeds_of("a", [0.9])
    seeds_of("bb", [0.85])
    compared = [
        Side(
            side.name,
            tuple(
                run.model_copy(update={"data": run.data.model_copy(update={"metric": metric})})
                for run in side.runs
            ),
        )
        for side, metric in zip(sides(store, ["a", "bb"]), ("roc_auc", "f1_macro"), strict=True)
    ]
    with pytest.raises(SelectionError, match="different values of data.metric"):
        compare(compared)
    assert compare(compared, scoring_of_sides(compared, "log_loss")[0])[0].metric == "log_loss"
    same = [compared[0], Side("bb", (compared[0].runs[0].model_copy(update={"id": "bb-1-s0"}),))]
    assert compare(same)[0].metric == "roc_auc"


def test_too_few_rows_of_a_class_have_a_difference_without_an_interval(store, seeds_of):
    seeds_of("a", [0.9], n=40)
    seeds_of("bb", [0.8], n=40)
    compared = sides(store, ["a", "bb"])
    by_area, by_accuracy, _ = compare(compared, scoring_of_sides(compared, "roc_auc")[0])
    assert by_area.verdict == "too few rows to tell at n=40"
    fields = finite(by_area.as_dict())
    assert fields["value"]["value"] == by_area.value.value
    assert (fields["value"]["low"], fields["p"], fields["adjusted_p"]) == (None, None, None)
    assert "14 rows of class" in fields["too_few"]
    assert by_accuracy.too_few == ""
