"""Which images an epoch draws."""

import random

import numpy as np

from ensemble.targets import Array


def balanced_order(labels: Array, rng: random.Random) -> list[int]:
    """Shuffled positions, as many as labels (images,), with every class among them equally often.

    Images of a class repeat only once all of them were drawn; a remainder goes to random classes.
    """
    by_class = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    n_each, n_left = divmod(len(labels), len(by_class))
    with_more = set(rng.sample(range(len(by_class)), n_left))
    order: list[int] = []
    for i, positions in enumerate(by_class):
        n_wanted = n_each + (i in with_more)
        n_rounds = -(-n_wanted // len(positions))
        draws = [p for _ in range(n_rounds) for p in rng.sample(positions, len(positions))]
        order += draws[:n_wanted]
    return rng.sample(order, len(order))
