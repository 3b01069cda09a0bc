"""The runs of one recipe and seed over all folds as one run.

Every validation row is predicted by the one fold that did not train on it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from statistics import median_low

import numpy as np
from pydantic import Field

from ensemble.errors import EnsembleError
from ensemble.grouping import grouped
from ensemble.predictions import Predictions, aligned, joined
from ensemble.runs.data_info import DataInfo
from ensemble.runs.record import TrainingRecord
from ensemble.runs.run import Run, StoredRun
from ensemble.runs.scores import Scores, score_by_metric


class FoldedRun(Run):
    """All finished folds as one run, which is stored nowhere itself."""

    stored: tuple[StoredRun, ...] = Field(exclude=True, description="the folds in their order")

    @property
    def folds(self) -> tuple[StoredRun, ...]:
        """The runs of its folds in their order."""
        return self.stored

    def valid(self) -> Predictions:
        """The folds' validation rows, each once. Raises DamagedError, MismatchError."""
        return joined({fold.id: fold.valid() for fold in self.folds})

    def test(self) -> Predictions:
        """The mean of the folds' test predictions. Raises DamagedError, MismatchError."""
        members = list(aligned({fold.id: fold.test for fold in self.folds}))
        first = members[0]
        probs = np.mean([member.probs for member in members], axis=0)
        return replace(first, probs=probs, is_checked=True)


def whole_runs(runs: Sequence[StoredRun]) -> tuple[list[Run], list[str]]:
    """Runs without folds and complete sets of folds by id; and what the other sets lack."""
    whole: dict[str, Run] = {run.id: run for run in runs if run.fold is None}
    sets = grouped((_whole_id(run), run) for run in runs if run.fold is not None)
    incomplete = []
    for run_id, folds in sorted(sets.items()):
        problem = _problem(folds)
        if run_id in whole:
            problem = "a run without folds has this name; move one of the two away"
        if problem:
            incomplete.append(f"{run_id}: {problem}")
        else:
            whole[run_id] = folded(folds)
    return sorted(whole.values(), key=lambda run: run.id), incomplete


def _whole_id(run: StoredRun) -> str:
    """The id that all folds of a recipe and seed share."""
    return run.id.removesuffix(f"-f{run.fold}")


def _problem(folds: Sequence[StoredRun]) -> str:
    """Why these folds do not make one run; "" where they do."""
    first = folds[0]
    if len({(fold.n_folds, fold.classes, fold.recipe, fold.seed) for fold in folds}) > 1:
        return "its folds do not belong together; train them again with --force"
    if len({fold.data.valid for fold in folds}) > 1:
        return "its folds were trained on different images; train them again with --force"
    if len(folds) < (first.n_folds or 0):
        return f"{len(folds)} of {first.n_folds} folds are finished"
    return ""


def folded(folds: Sequence[StoredRun]) -> FoldedRun:
    """All folds of one recipe and seed as one run: scores are those of all their rows together."""
    folds = sorted(folds, key=lambda fold: fold.fold or 0)
    first = folds[0]
    fields = {name: getattr(first, name) for name in Run.model_fields}
    fields |= {
        "id": _whole_id(first),
        "fold": None,
        "data": _data(folds),
        "scores": _scores(folds),
        "training": _training(folds),
        "files": {
            f"{fold.folder.name}/{name}": digest
            for fold in folds
            for name, digest in fold.files.items()
        },
        "folder": first.folder.parent,
    }
    return FoldedRun(**fields, stored=tuple(folds))


def _data(folds: Sequence[StoredRun]) -> DataInfo:
    infos = [fold.data for fold in folds]
    first = infos[0]
    n_valid = sum(info.n_valid for info in infos)
    class_counts = {  # every image trains all folds but one
        name: sum(info.class_counts.get(name, 0) for info in infos) // (len(infos) - 1)
        for name in first.class_counts
    }
    splits = sorted({split for info in infos for split in info.unreadable})
    unreadable = {
        split: sorted({image for info in infos for image in info.unreadable.get(split, ())})
        for split in splits
    }
    majority = _mean_over_rows(folds, [info.majority for info in infos])
    changes = {
        "n_valid": n_valid,
        "n_train": n_valid,
        "n_valid_rows": first.n_valid_rows and sum(info.n_rows for info in infos),
        "class_counts": class_counts,
        "majority": majority,
        "unreadable": unreadable,
    }
    return first.model_copy(update=changes)


def _scores(folds: Sequence[StoredRun]) -> Scores:
    data, score = folds[0].data, None
    if data.metric is not None:
        with suppress(EnsembleError):  # whoever reads the predictions hears what is wrong with them
            score = score_by_metric(data, joined({fold.id: fold.valid() for fold in folds}))
    return Scores(
        metric=data.metric,
        score=score,
        accuracy=_mean_over_rows(folds, [fold.scores.accuracy for fold in folds]),
        log_loss=_mean_over_rows(folds, [fold.scores.log_loss for fold in folds]),
    )


def _mean_over_rows(folds: Sequence[StoredRun], values: Sequence[float | None]) -> float | None:
    """None where a fold has none."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(folds):
        return None
    return float(np.average(numbers, weights=[fold.data.n_rows for fold in folds]))


def _training(folds: Sequence[StoredRun]) -> TrainingRecord | None:
    """The first fold's record, with the seconds summed and the median of the kept epochs."""
    records = [fold.training for fold in folds if fold.training]
    if len(records) < len(folds):
        return None
    phases = sorted({phase for record in records for phase in record.seconds})
    seconds = {phase: sum(record.seconds.get(phase, 0.0) for record in records) for phase in phases}
    changes = {
        "best_epoch": median_low([record.best_epoch for record in records]),
        "kept_by_phase": _median_by_phase(records),
        "seconds": seconds,
    }
    return records[0].model_copy(update=changes)


def _median_by_phase(records: Sequence[TrainingRecord]) -> dict[str, int]:
    phases = dict.fromkeys(phase for record in records for phase in record.kept_by_phase)
    medians = {
        phase: median_low([record.kept_by_phase.get(phase, 0) for record in records])
        for phase in phases
    }
    return medians if sum(medians.values()) else records[0].kept_by_phase
