"""The digits ensemble: four small networks from scratch, on images that scikit-learn ships."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ensemble.api import train
from ensemble.blending import Blend, make_blend
from ensemble.errors import EnsembleError
from ensemble.events import Emit
from ensemble.recipe.shipped import recipes_folder
from ensemble.runs import Run, RunStore
from ensemble.submission import Submission, write_submission

COMMAND = ["ens", "quickstart"]  # as the manifest stores it
NAMES = ("digits_vgg", "digits_resnet", "digits_densenet", "digits_efficientnet")


@dataclass(frozen=True)
class Quickstart:
    """The runs, their blend and its submission."""

    runs: list[Run]
    blend: Blend
    submission: Submission


def run_quickstart(store: RunStore, submissions: Path, emit: Emit) -> Quickstart:
    """Train, blend and write `quickstart.csv`; finished runs are skipped. Raises EnsembleError."""
    _check_replaceable(submissions)
    recipes = [recipes_folder() / f"{name}.yaml" for name in NAMES]
    runs = train(*recipes, runs=store.root, emit=emit)
    blend = make_blend(runs)
    submission = write_submission(blend, submissions, "quickstart", force=True, command=COMMAND)
    return Quickstart(runs, blend, submission)


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace a submission that quickstart did not write. Raises EnsembleError."""
    csv, manifest = folder / "quickstart.csv", folder / "quickstart.json"
    command = None
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        command = json.loads(manifest.read_text(encoding="utf-8")).get("command")
    for path in (csv, manifest):
        if path.exists() and command != COMMAND:
            raise EnsembleError(
                f"{path}: `ens quickstart` did not write it\n"
                "move it away, or choose another folder with --out"
            )
