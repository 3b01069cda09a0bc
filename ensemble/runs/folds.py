"""The runs of one recipe and seed over all folds, as one run: every row predicted by the fold that had not seen it."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
from pydantic import Field

from ensemble.errors import RunError
from ensemble.predictions import Predictions, aligned, joined
from ensemble.runs.run import Run, Scores


class Folded(Run):
    """Finished folds as one run; nothing of it is stored. parts stand in the order of their folds."""

    parts: tuple[Run, ...] = Field(exclude=True)

    def valid(self) -> Predictions:
        """The folds' validation rows joined by id, each row once. Raises DamagedError, MismatchError."""
        return joined({part.id: part.valid() for part in self.parts})

    def test(self) -> Predictions:
        """The mean of the folds' test probabilities. Raises DamagedError, MismatchError."""
        members = list(aligned({part.id: part.test for part in self.parts}))
        one = members[0]
        probs = np.mean([member.probs for member in members], axis=0)
        return Predictions(one.ids, one.classes, probs, one.targets)

    def test_refit(self) -> Predictions:
        """What the one refit on all rows says; it is stored with the first fold. Raises DamagedError."""
        return self.parts[0].test_refit()

    def sample_copy(self) -> Path | None:
        """The first fold's; `submission.sample` holds all of them against each other."""
        return self.parts[0].sample_copy()

    def learner(self) -> Any:
        """There is one network per fold. Raises RunError."""
        raise RunError(
            f"{self.id} has {len(self.parts)} networks; take one fold's, such as {self.parts[0].id}"
        )


def _median_by_phase(parts: Sequence[Run]) -> dict[str, int]:
    names = list(dict.fromkeys(name for part in parts for name in part.kept_by_phase))
    found = {
        name: median_low([part.kept_by_phase.get(name, 0) for part in parts]) for name in names
    }
    return found if sum(found.values()) else parts[0].kept_by_phase


def whole_runs(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Complete sets of folds as one run each, beside the runs without folds, sorted by id; and what is incomplete."""
    sets: dict[str, list[Run]] = {}
    whole = [run for run in runs if run.fold is None]
    for run in runs:
        if run.fold is not None:
            sets.setdefault(whole_id(run), []).append(run)
    incomplete: list[str] = []
    for name, parts in sorted(sets.items()):
        if name in {run.id for run in whole}:
            incomplete.append(
                f"{name}: there is a run without folds of this name; move one of the two away"
            )
        elif len({(part.n_folds, part.classes, part.recipe, part.seed) for part in parts}) > 1:
            incomplete.append(
                f"{name}: its folds do not belong together; train them again with --force"
            )
        elif len({part.data.valid for part in parts}) > 1:
            incomplete.append(
                f"{name}: its folds are about different images; train them again with --force"
            )
        elif len(parts) < (parts[0].n_folds or 0):
            incomplete.append(f"{name}: {len(parts)} of {parts[0].n_folds} folds are finished")
        else:
            whole.append(folded(parts))
    return sorted(whole, key=lambda run: run.id), incomplete


def whole_id(run: Run) -> str:
    """The id that all folds of a recipe and seed share."""
    return run.id if run.fold is None else run.id.removesuffix(f"-f{run.fold}")


def folded(parts: Sequence[Run]) -> Run:
    """All folds of one recipe and seed as one run; scores are means over rows, what differs is summed or the median."""
    parts = sorted(parts, key=lambda part: part.fold or 0)
    first, infos = parts[0], [part.data for part in parts]
    n_rows = [info.n_rows for info in infos]
    names = sorted({name for info in infos for name in info.unreadable})
    data = first.data.model_copy(
        update={
            "n_valid": sum(info.n_valid for info in infos),
            "n_train": sum(info.n_valid for info in infos),
            "class_counts": {  # every image trains all folds but one
                name: sum(info.class_counts.get(name, 0) for info in infos) // (len(infos) - 1)
                for name in first.data.class_counts
            },
            "majority": float(np.average([info.majority for info in infos], weights=n_rows)),
            "unreadable": {
                name: sorted({image for info in infos for image in info.unreadable.get(name, ())})
                for name in names
            },
        }
    )
    phases = sorted({name for part in parts for name in part.seconds})
    said = {
        "id": whole_id(first),
        "fold": None,
        "data": data,
        "scores": Scores(
            accuracy=float(np.average([part.scores.accuracy for part in parts], weights=n_rows)),
            log_loss=float(np.average([part.scores.log_loss for part in parts], weights=n_rows)),
        ),
        "kept_by_phase": _median_by_phase(parts),
        "best_epoch": median_low([part.best_epoch for part in parts]),
        "seconds": {name: sum(part.seconds.get(name, 0.0) for part in parts) for name in phases},
        "files": {
            f"{part.folder.name}/{name}": own for part in parts for name, own in part.files.items()
        },
        "folder": first.folder.parent,
        "parts": tuple(parts),
    }
    return Folded.model_construct(
        **{**{key: getattr(first, key) for key in Run.model_fields}, **said}
    )
