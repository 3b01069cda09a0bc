"""The honest score of a blending rule: everything it learns, it learns on other rows than it is scored on."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ensemble import metrics
from ensemble.metrics import Interval
from ensemble.predictions import Array

N_PARTS, N_REPEATS = 5, 10

Rule = Callable[[Array], Array]  # rows to learn from (positions) -> weights (members,), 0 for who is not chosen


@dataclass(frozen=True, eq=False)
class RowScores:
    """Each row's score, a mean over repeats: hits from 0 to 1, losses in nats. Both are (rows,)."""

    hits: Array
    losses: Array

    @property
    def accuracy(self) -> Interval:
        """Accuracy with Wilson's interval."""
        return metrics.wilson(float(self.hits.mean()), len(self.hits))

    def log_loss(self, seed: int) -> Interval:
        """Log loss with its bootstrap interval over rows."""
        return metrics.bootstrap_mean(self.losses, seed)


def parts(targets: Array, seed: int) -> Iterator[Array]:
    """Stratified parts of the rows, N_REPEATS times: the part of each row, (rows,) from 0 to N_PARTS - 1."""
    rng = np.random.default_rng(seed)
    for _ in range(N_REPEATS):
        order = rng.permutation(len(targets))
        by_class = order[np.argsort(targets[order], kind="stable")]
        part = np.empty(len(targets), np.int64)
        part[by_class] = np.arange(len(targets)) % N_PARTS
        yield part


def cross_fitted(probs: Array, targets: Array, rule: Rule, seed: int) -> RowScores:
    """Score a rule by repeated cross-fitting. probs is (members, rows, classes), targets (rows,)."""
    hits, losses, n_repeats = np.zeros(len(targets)), np.zeros(len(targets)), 0
    for part in parts(targets, seed):
        n_repeats += 1
        for held_out in range(N_PARTS):
            rows = np.flatnonzero(part == held_out)
            if not len(rows):
                continue
            weights = rule(np.flatnonzero(part != held_out))
            mixed = mix(probs[:, rows], weights)
            hits[rows] += metrics.hits(mixed, targets[rows])
            losses[rows] += metrics.losses(mixed, targets[rows])
    return RowScores(hits / n_repeats, losses / n_repeats)


def mix(probs: Array, weights: Array) -> Array:
    """The weighted mean, added member by member in their order. probs is (members, rows, classes)."""
    total = np.zeros(probs.shape[1:])
    for member, weight in zip(probs, weights, strict=True):
        if weight:
            total += weight * member
    return total


def seed_from(fingerprint: str) -> int:
    """A seed that belongs to a data set: the same rows are cut into the same parts every time."""
    return int.from_bytes(hashlib.sha256(fingerprint.encode()).digest()[:8], "big")
