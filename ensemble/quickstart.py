"""The digits ensemble: four small networks from scratch, blended, on images that scikit-learn ships."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ensemble.blending import Blend, make_blend
from ensemble.engines.local import train_all
from ensemble.errors import EnsembleError
from ensemble.events import Emit
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import recipes_folder
from ensemble.runs import Run, RunStore
from ensemble.runs.job import jobs_of
from ensemble.submission import Submission, write_submission

COMMAND = ["ens", "quickstart"]  # as the manifest has it
NAMES = ("digits_vgg", "digits_resnet", "digits_densenet", "digits_efficientnet")


@dataclass(frozen=True)
class Quickstart:
    """What the quickstart made."""

    runs: list[Run]
    blend: Blend
    submission: Submission


def run_quickstart(store: RunStore, submissions: Path, emit: Emit) -> Quickstart:
    """Train, blend and write `quickstart.csv`; finished runs are not trained again. Raises EnsembleError."""
    _check_place(submissions)
    recipes = [Recipe.load(recipes_folder() / f"{name}.yaml") for name in NAMES]
    runs, failures = train_all(jobs_of(recipes), store, emit)
    if failures:
        raise EnsembleError(f"{failures[0].run_id}: {failures[0].reason}")
    blend = make_blend(runs)
    submission = write_submission(blend, submissions, "quickstart", force=True, command=COMMAND)
    return Quickstart(runs, blend, submission)


def _check_place(folder: Path) -> None:
    """Whether what has the submission's name was written by an earlier quickstart. Raises EnsembleError."""
    command = None
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        command = json.loads((folder / "quickstart.json").read_text(encoding="utf-8")).get(
            "command"
        )
    there = next(
        (path for path in (folder / "quickstart.csv", folder / "quickstart.json") if path.exists()),
        None,
    )
    if there is not None and command != COMMAND:
        raise EnsembleError(
            f"{there}: is not what `ens quickstart` wrote\nmove it away, or name another folder with --out"
        )
