"""The weights whose arithmetic mean has the least log loss.

A convex problem over the simplex, solved to a proven gap. With rows that sum to 1 only the true
class's column matters. At weights w the gradient of member m is -d_m with d_m = mean(true_m / (w ·
true)), and the log loss of w is at most max(d) - 1 above the optimum (the Frank-Wolfe gap). Each
step minimizes the second-order model over non-negative weights and takes a line search toward its
minimum (sequential quadratic programming, Kim et al., 2020; the model's minimum by active sets, Bro
and de Jong, 1997).
"""

import numpy as np

from ensemble.metrics import FLOOR
from ensemble.predictions import Array

GAP = 1e-6  # nats
_MAX_STEPS = 200
_DUST = 1e-9  # a smaller weight is set to 0: it changes no log loss by more than GAP


def simplex_optimum(true: Array) -> tuple[Array, float]:
    """Weights (members,) and their duality gap in nats, starting from equal weights.

    true is (members, rows). Never worse than a single member or equal weights. Among equally good
    weights the path from equal weights decides, never weights from other rows. Raises
    FloatingPointError if the gap stays above 1e-6.
    """
    true = np.maximum(true, FLOOR)
    weights = np.full(len(true), 1 / len(true))
    for _ in range(_MAX_STEPS):
        inverse = 1 / (weights @ true)
        drift = true @ inverse / true.shape[1]
        gap = float(drift.max()) - 1
        if gap <= GAP:
            break
        weights = _step(true, weights, inverse, drift)
    if gap > GAP:
        raise FloatingPointError(
            f"the weights for log loss did not converge: duality gap {gap:.1e} nats"
        )
    return _not_worse_than_simple(true, weights, drift), gap


def least_squares(errors: Array) -> Array:
    """The weights (members,) whose mean of errors (members, rows) has the least sum of squares.

    For errors of estimates of one truth: those of their weighted mean. Copies share a weight.
    """
    products = errors @ errors.T / errors.shape[1]
    n_members, largest = len(errors), float(products.max())
    if largest <= 0:
        return np.full(n_members, 1 / n_members)
    # the weights that sum to 1 are in proportion to the optimum of q · products · q / 2 - sum(q)
    products /= largest
    products[np.diag_indices(n_members)] += 1e-9
    weights = _non_negative(products, np.ones(n_members), np.full(n_members, 1 / n_members))
    weights = np.where(weights < _DUST * weights.max(), 0, weights)
    return np.asarray(weights / weights.sum())


def _step(true: Array, weights: Array, inverse: Array, drift: Array) -> Array:
    """The next weights, never worse than these."""
    scaled = true * inverse
    curvature = scaled @ scaled.T / true.shape[1]
    diagonal = np.diag_indices_from(curvature)
    curvature[diagonal] *= 1 + 1e-10  # copies of a member would make the system singular
    target = _non_negative(curvature, 2 * drift - 1, weights)
    before, size = -_log_sum(inverse), 1.0
    while size > 1e-4:
        candidate = weights + size * (target - weights)
        candidate = candidate / candidate.sum()
        if _log_sum(candidate @ true) > before:
            return np.asarray(candidate)
        size /= 2
    step = weights * drift  # EM for mixture weights is never worse
    return np.asarray(step / step.sum())


def _non_negative(matrix: Array, slope: Array, start: Array) -> Array:
    """The q ≥ 0 with the least q · matrix · q / 2 - slope · q, from a non-negative start."""
    q, is_free = start.copy(), start > 0
    for _ in range(3 * len(slope)):
        while is_free.any():
            optimum = np.linalg.solve(matrix[np.ix_(is_free, is_free)], slope[is_free])
            if optimum.min() > 0:
                q[is_free] = optimum
                break
            free = q[is_free]
            falling = optimum <= 0
            drop = np.maximum(free[falling] - optimum[falling], 1e-300)
            share = float((free[falling] / drop).min())
            free = free + share * (optimum - free)
            free[falling & (free <= 1e-15)] = 0
            q[is_free] = free
            is_free &= q > 0
        gain = np.where(is_free, -np.inf, slope - matrix @ q)
        if gain.max() <= 1e-12:
            break
        is_free[int(np.argmax(gain))] = True
    return q


def _not_worse_than_simple(true: Array, weights: Array, drift: Array) -> Array:
    """The weights without tiny ones, or a single member or equal weights if those are as good.

    By convexity only those in a direction of non-positive slope can be.
    """
    weights = np.where(weights < _DUST, 0, weights)
    weights = weights / weights.sum()
    n = len(true)
    candidates = [np.eye(n)[i] for i in np.flatnonzero(drift >= 1)]
    if drift.mean() >= 1:
        candidates.append(np.full(n, 1 / n))
    candidates.append(weights)
    return max(candidates, key=lambda candidate: _log_sum(candidate @ true))


def _log_sum(values: Array) -> float:
    """The sum of logarithms of values (rows,) from FLOOR to 1 / FLOOR.

    Eight values are multiplied before each logarithm.
    """
    n = len(values) // 8 * 8
    products = np.multiply.reduce(values[:n].reshape(8, -1), axis=0)
    return float(np.log(products).sum() + np.log(values[n:]).sum())
