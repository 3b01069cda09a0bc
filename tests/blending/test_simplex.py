"""The simplex optimum: proven by its gap, found again by scipy and by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from ensemble.blending.simplex import simplex_optimum

columns = st.tuples(st.integers(1, 6), st.integers(1, 30)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1))
)


def loss(weights, true):
    return -float(np.log(np.maximum(weights @ np.maximum(true, 1e-15), 1e-300)).mean())


@given(columns)
def test_the_optimum_is_on_the_simplex_within_the_gap_and_never_worse_than_a_member_or_equal_weights(
    true,
):
    weights, gap = simplex_optimum(true)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert gap <= 1e-6
    simple = [*np.eye(len(true)), np.full(len(true), 1 / len(true))]
    assert all(loss(weights, true) <= loss(each, true) + 1e-12 for each in simple)


@pytest.mark.parametrize(("m", "n", "seed"), [(3, 50, 0), (9, 400, 1), (20, 300, 2), (5, 8, 3)])
def test_scipy_finds_the_same_optimum(m, n, seed):
    true = np.random.default_rng(seed).beta(2, 1, (m, n))
    weights, gap = simplex_optimum(true)
    reference = minimize(
        loss,
        np.full(m, 1 / m),
        (true,),
        method="SLSQP",
        bounds=[(0, 1)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert loss(weights, true) <= reference.fun + 1e-7
    assert loss(weights, true) >= reference.fun - max(gap, 1e-6)


@given(st.integers(0, 2**32 - 1))
def test_no_point_of_a_fine_grid_is_better(seed):
    true = np.random.default_rng(seed).uniform(0.01, 1, (3, 12))
    weights, gap = simplex_optimum(true)
    steps = np.linspace(0, 1, 51)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-9]).clip(0)
    assert loss(weights, true) <= min(loss(point, true) for point in grid) + gap


@given(columns, st.randoms(use_true_random=False))
def test_a_copy_of_a_member_leaves_the_optimum_as_good_as_it_was(true, random):
    again = np.vstack([true, true[random.randrange(len(true))]])
    assert loss(simplex_optimum(again)[0], again) == pytest.approx(
        loss(simplex_optimum(true)[0], true), abs=1e-6
    )


def test_where_many_weights_are_as_good_the_rows_alone_decide(rng):
    true = rng.beta(2, 1, (40, 15))  # more members than rows: many weights are as good
    first, _ = simplex_optimum(true)
    assert simplex_optimum(true.copy())[0].tolist() == first.tolist()


def test_hard_cases_settle():
    assert simplex_optimum(np.ones((3, 5)))[1] <= 1e-6
    assert simplex_optimum(np.array([[1.0, 0.0], [0.0, 1.0]]))[0].tolist() == pytest.approx(
        [0.5, 0.5]
    )
    assert simplex_optimum(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]))[0].tolist() == [1, 0, 0]
    never_right = np.zeros((2, 4))
    assert simplex_optimum(never_right)[0].sum() == 1
