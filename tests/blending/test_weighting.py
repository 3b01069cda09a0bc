"""Weights: never negative, together 1, and what each rule promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ensemble.blending import make_blend
from ensemble.blending.weighting import WEIGHTINGS, accuracy_weights, equal_weights
from ensemble.errors import SelectionError

hits = st.tuples(st.integers(1, 6), st.integers(1, 20)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.sampled_from([0.0, 1.0]))
)


@given(hits)
def test_weights_are_never_negative_and_sum_to_1(hits):
    for rule in (accuracy_weights, equal_weights):
        weights = rule(hits)
        assert weights.shape == (len(hits),)
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1, abs=1e-12)


@given(hits, st.randoms(use_true_random=False))
def test_a_weight_belongs_to_its_member_wherever_it_stands(hits, random):
    order = random.sample(range(len(hits)), len(hits))
    for rule in (accuracy_weights, equal_weights):
        np.testing.assert_allclose(rule(hits[order]), rule(hits)[order], rtol=1e-12)


def test_accuracy_weights_are_in_proportion_to_accuracy():
    hits = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert accuracy_weights(hits).tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_where_nobody_is_ever_right_all_weigh_the_same():
    assert accuracy_weights(np.zeros((4, 3))).tolist() == [0.25] * 4


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_rule_by_its_name_weighs_a_blend(name, run_on):
    runs = [run_on("d", f"a-{i}-s0", accuracy=accuracy) for i, accuracy in enumerate((0.5, 0.8, 0.9))]
    made = make_blend(runs, weights=name)
    weights = [member.weight for member in made.members]
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1, abs=1e-12)
    assert made.options["weights"] == name
    assert make_blend(runs[:1], weights=name).members[0].weight == 1


def test_an_unknown_rule_is_told_with_those_there_are(run_on):
    with pytest.raises(SelectionError, match="--weights acuracy is not one of accuracy, equal"):
        make_blend([run_on("d", "a-1-s0")], weights="acuracy")
