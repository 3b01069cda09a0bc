"""Margins: exactly what the argmax of the weighted mean says, from a small part of the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending import pool as pool_module


def brute(probs, targets, weights, is_log):
    """Hits and losses of one blend from whole rows."""
    if is_log:
        mixed = np.exp(np.tensordot(weights, np.log(np.maximum(probs, 1e-15)), 1))
        mixed /= mixed.sum(1, keepdims=True)
    else:
        mixed = np.tensordot(weights, probs, 1)
    return mixed.argmax(1) == targets, -np.log(
        np.maximum(mixed[np.arange(len(targets)), targets], 1e-15)
    )


@given(st.data(), st.integers(0, 2**32 - 1), st.booleans())
def test_hits_and_losses_are_those_of_whole_rows(pool_of, noisy, data, seed, is_log):
    rng = np.random.default_rng(seed)
    m, n, c = (
        data.draw(st.integers(1, 6)),
        data.draw(st.integers(1, 40)),
        data.draw(st.integers(2, 6)),
    )
    probs, targets = noisy(rng, m, n, c, data.draw(st.floats(-1, 4)))
    pool = pool_of(probs, targets, is_log)
    margins = pool.fit_rows().margins
    weights = rng.dirichlet(np.ones(m), 4)
    rows = np.sort(rng.permutation(n)[: data.draw(st.integers(0, n))])
    some = margins.take(rows)
    for blend, blend_weights in enumerate(weights):
        hits, losses = brute(probs, targets, blend_weights, is_log)
        assert np.array_equal(margins.hits(weights)[blend], hits)
        assert np.array_equal(some.hits(weights)[blend], hits[rows])
        if is_log:
            np.testing.assert_allclose(
                some.losses(weights)[blend], losses[rows], rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("targets", [[0, 0, 1, 1], [1, 1, 0, 0]])
def test_a_tie_goes_to_the_first_class(targets, pool_of):
    votes = np.stack(
        [np.eye(3)[[0, 1, 0, 1]], np.eye(3)[[1, 0, 1, 0]]]
    )  # one each for the first two classes
    targets = np.array(targets)
    margins = pool_of(votes, targets).fit_rows().margins
    for weights in ([0.5, 0.5], [0.1, 0.1], [1 / 3, 1 / 3]):
        assert margins.hits(np.array([weights]))[0].tolist() == (targets == 0).tolist()


def test_rows_on_which_members_cannot_differ_hold_no_margins(pool_of, rng, noisy):
    probs, targets = noisy(rng, 5, 300, 4, strength=8)
    margins = pool_of(probs, targets).fit_rows().margins
    assert len(margins.row) < 0.1 * 300 * 3
    assert margins.values.shape == (5, len(margins.row))


@pytest.mark.parametrize("is_log", [False, True])
def test_blocks_give_what_one_block_gives(is_log, pool_of, rng, noisy, monkeypatch):
    probs, targets = noisy(rng, 4, 211, 5)
    weights = rng.dirichlet(np.ones(4), 3)
    whole = pool_of(probs, targets, is_log)
    expected = whole.fit_rows().margins.hits(weights)
    monkeypatch.setattr(pool_module, "MEMORY", 2000)
    cut = pool_of(probs, targets, is_log)
    assert cut.n_blocks > 3
    assert cut.fit_rows().margins is None
    blocks = [margins.hits(weights) for _, margins in cut.blocks()]
    assert np.array_equal(np.concatenate(blocks, axis=1), expected)
    np.testing.assert_array_equal(cut.mixed(weights), whole.mixed(weights))
