"""A blend's mixture as it would be without some validation rows, which its weights then never saw."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ensemble.blending.calibration import calibrate
from ensemble.blending.folds import seed_from
from ensemble.blending.mixture import Mixture
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.blending.scoring import scoring_of
from ensemble.blending.selection import short_arch
from ensemble.predictions import Predictions
from ensemble.runs import Run


def mixture_without(
    runs: Sequence[Run], options: Options, held_out: Collection[str], positive: str | None = None
) -> Mixture:
    """How runs are averaged by options whose selection, weights and calibration did without rows.

    held_out are the ids of those rows. Probabilities are averaged, not ranks, and nothing is
    decided. Raises SelectionError, MetricError, MismatchError, DamagedError.
    """
    runs = sorted(runs, key=lambda run: run.id)
    left_out = np.array(sorted(held_out))
    members = {run.id: partial(_rest, run, left_out) for run in runs}
    pool = open_pool(members, options.is_log, options.is_rank)
    scoring, _ = scoring_of(runs, options.metric, pool.classes, positive)
    scoring = replace(scoring, is_decision_learned=options.is_decision_learned)
    archs, seed = [short_arch(run.arch) for run in runs], seed_from(runs[0].data.valid)
    table = rate(pool, options, archs, seed, scoring)
    calibration = None
    if options.calibrate:
        *of_folds, of_all = pool.mixed(np.array([*table.fold_weights, table.blend_weights]))
        fold_of = table.outcomes.folds[0]
        calibrated = calibrate(of_all, of_folds, fold_of, pool.targets, pool.groups, seed)
        calibration = calibrated.calibration if calibrated.helps else None
    weights = zip(runs, table.blend_weights.tolist(), strict=True)
    return Mixture(
        {run.id: weight for run, weight in weights if weight}, options.is_log, calibration
    )


def _rest(run: Run, left_out: np.ndarray) -> Predictions:
    """A run's validation predictions without the rows of these ids."""
    valid = run.valid()
    kept = ~np.isin(valid.ids, left_out)
    return replace(
        valid,
        ids=valid.ids[kept],
        probs=valid.probs[kept],
        targets=valid.known_targets[kept],
        groups=None if valid.groups is None else valid.groups[kept],
        is_checked=True,
    )
