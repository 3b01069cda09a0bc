"""The manifest beside a submission: which runs it was made of, how, and what may be said of it."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble.blending.calibration import Calibration
from ensemble.blending.mixture import Mixture
from ensemble.errors import DamagedError, RunError, SubmissionError
from ensemble.files import sha256
from ensemble.runs import Run, RunStore

FORMAT = 1
PREDICTIONS, REFIT = ("valid.npz", "test.npz"), "test_refit.npz"


@dataclass(frozen=True)
class Manifest:
    """What a CSV is derived from; files holds the hashes of each member's files, those of every fold by its folder.

    said is all that the file says.
    """

    path: Path
    mixture: Mixture
    files: dict[str, dict[str, str]]
    sample: dict[str, str] | None
    csv_sha256: str
    said: Mapping[str, Any]

    @property
    def needed(self) -> tuple[str, ...]:
        """The files of each member that the CSV hangs on."""
        return (*PREDICTIONS, REFIT) if self.mixture.of_refits else PREDICTIONS

    @property
    def weights(self) -> str:
        """The file of each member that holds the network which predicts other images as it did the test set's."""
        return "refit.safetensors" if self.mixture.of_refits else "model.safetensors"


def read_manifest(path: Path) -> Manifest:
    """The manifest in a JSON file that `ens blend` wrote. Raises SubmissionError, FileNotFoundError."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise SubmissionError(f"{path}: format {manifest['format']}, this version reads {FORMAT}")
        sample, calibration, members = manifest["sample_submission"], manifest["calibration"], manifest["members"]
        of_refits = manifest.get("refits") is True
        weights = {str(entry["run"]): float(entry["weight"]) for entry in members}
        temperature, floor = (float((calibration or {}).get(key, 1)) for key in ("temperature", "floor"))
        is_mean = min(weights.values()) >= 0 and math.isclose(sum(weights.values()), 1, abs_tol=1e-9)
        if not (is_mean and len(weights) == len(members) and 1e-3 <= temperature <= 1e3 and 0 <= floor <= 1):
            raise ValueError("these make no blend")
        found = Manifest(
            path,
            Mixture(
                weights,
                manifest["options"]["average"] == "geometric",
                Calibration(temperature, floor) if calibration else None,
                of_refits,
            ),
            {str(entry["run"]): {str(k): str(v) for k, v in entry["sha256"].items()} for entry in members},
            sample and {key: str(sample[key]) for key in ("path", "sha256")},
            str(manifest["csv_sha256"]),
            manifest,
        )
        for files in found.files.values():
            if not set(found.needed) <= {name.rpartition("/")[2] for name in files}:
                raise ValueError("files without a hash")
        return found
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SubmissionError(f"{path}: not a manifest that `ens blend` wrote") from None


def members_of(manifest: Manifest, store: RunStore, names: Sequence[str], problem: str) -> dict[str, Run]:
    """The members by run id, whose files of these names are those that the blend was made from.

    Raises SubmissionError, which begins with the problem that it makes.
    """
    found: dict[str, Run] = {}
    missing: list[str] = []
    for run_id in manifest.files:
        try:
            found[run_id] = store.get(run_id)
        except RunError:
            missing.append(run_id)
        except DamagedError as error:
            raise SubmissionError(f"{problem}: {error}") from None
    if missing:
        raise SubmissionError(
            f"{problem}: {len(missing)} members missing in {store.root}: {', '.join(missing[:5])[:300]}"
        )
    for run_id, run in found.items():
        for name, digest in manifest.files[run_id].items():
            stored = run.folder / name
            if stored.name in names and not (os.path.isfile(stored) and sha256(stored) == digest):
                raise SubmissionError(f"{problem}: {stored} is not the file that the submission was made from")
    return found
