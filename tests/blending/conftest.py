"""Runs on data sets of a given name, and pools of made-up members."""

import numpy as np
import pytest

from ensemble.blending.pool import open_pool
from ensemble.predictions import Predictions
from ensemble.runs import publish


@pytest.fixture
def run_on(tmp_path, fake_run):
    """run_on(data, name, **as fake_run): a finished run on a data set of this name; its store is tmp_path / "runs"."""

    def make(data, name, store=None, **arguments):
        run = fake_run(store or tmp_path / "runs", name, **arguments)
        run = run.model_copy(update={"data": run.data.model_copy(update={"name": data})})
        publish(run)
        return run

    return make


def _pool_of(probs, targets, is_log=False):
    ids, classes = (
        np.array([f"{i:06d}" for i in range(len(targets))]),
        tuple(f"c{i:03d}" for i in range(probs.shape[2])),
    )
    members = {
        f"m{i:03d}": (lambda member=member: Predictions(ids, classes, member, targets))
        for i, member in enumerate(probs)
    }
    return open_pool(members, is_log)


@pytest.fixture(scope="session")
def pool_of():
    """pool_of(probs, targets, is_log): a pool of members; probs is (members, rows, classes)."""
    return _pool_of


def _noisy(rng, n_members, n, n_classes, strength=2.0):
    """Members that share a part of their errors: probs (members, rows, classes) and targets."""
    targets = np.arange(n) % n_classes
    common = rng.normal(0, 1, (n, n_classes))
    probs = []
    for _ in range(n_members):
        logits = common + rng.normal(0, 1, (n, n_classes))
        logits[np.arange(n), targets] += strength + rng.normal(0, 0.5)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        probs.append(shares / shares.sum(1, keepdims=True))
    return np.stack(probs), targets


@pytest.fixture(scope="session")
def noisy():
    """noisy(rng, n_members, n, n_classes, strength): probs and targets of members with correlated errors."""
    return _noisy
