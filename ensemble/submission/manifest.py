"""The manifest beside a submission: which runs it was made of, how, and what may be said of it."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ensemble.blending import Options
from ensemble.blending.calibration import Calibration
from ensemble.blending.mixture import Mixture
from ensemble.errors import DamagedError, RunError, SelectionError, SubmissionError
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


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Member(_Stored):
    run: str = Field(min_length=1)
    weight: float = Field(ge=0, le=1)
    sha256: dict[str, str]


class _Calibration(_Stored):
    temperature: float = Field(1, ge=1e-3, le=1e3)
    floor: float = Field(1, ge=0, le=1)


class _Sample(_Stored):
    path: str
    sha256: str


class _Data(_Stored):
    valid: str = ""


class _File(_Stored):
    """All that is read of a manifest; the rest is for people."""

    members: tuple[_Member, ...] = Field(min_length=1)
    options: Options
    data: _Data = _Data()
    calibration: _Calibration | None
    sample_submission: _Sample | None
    csv_sha256: str
    refits: bool = False


def _file(path: Path) -> tuple[_File, dict[str, Any]]:
    """A manifest whose every key has its type and range, and all that it says. Raises SubmissionError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("not a map")
        if values.get("format") != FORMAT:
            raise SubmissionError(
                f"{path}: format {str(values.get('format'))[:20]}, this version reads {FORMAT}"
            )
        options = values.get("options")
        if (
            isinstance(options, dict) and "average" not in options
        ):  # a default could be another mean than the blend's
            raise SelectionError("average is missing")
        return _File.model_validate(values), values
    except FileNotFoundError:
        raise
    except ValidationError as error:
        keys = ".".join(str(key)[:60] for key in error.errors()[0]["loc"])
        raise SubmissionError(
            f"{path}: not a manifest that `ens blend` wrote ({keys} is missing or wrong)"
        ) from None
    except SelectionError as error:
        raise SubmissionError(
            f"{path}: not a manifest that `ens blend` wrote\noptions: {error}"
        ) from None
    except (OSError, ValueError, TypeError, RecursionError):
        raise SubmissionError(f"{path}: not a manifest that `ens blend` wrote") from None


def read_manifest(path: Path) -> Manifest:
    """The manifest in a JSON file that `ens blend` wrote. Raises SubmissionError, FileNotFoundError."""
    file, values = _file(path)
    weights = {member.run: member.weight for member in file.members}
    sample, calibration = file.sample_submission, file.calibration
    manifest = Manifest(
        path,
        Mixture(
            weights,
            file.options.is_log,
            Calibration(calibration.temperature, calibration.floor) if calibration else None,
            file.refits,
        ),
        {member.run: member.sha256 for member in file.members},
        {"path": sample.path, "sha256": sample.sha256} if sample else None,
        file.csv_sha256,
        values,
    )
    is_mean = len(weights) == len(file.members) and math.isclose(
        sum(weights.values()), 1, abs_tol=1e-9
    )
    hashed = [{name.rpartition("/")[2] for name in files} for files in manifest.files.values()]
    if not is_mean or not all(set(manifest.needed) <= names for names in hashed):
        raise SubmissionError(f"{path}: not a manifest that `ens blend` wrote")
    return manifest


def asked_options(path: Path) -> tuple[str, Options, frozenset[str]]:
    """The fingerprint of the validation rows that a blend is about, its options and members. Raises SubmissionError."""
    file, _ = _file(path)
    return file.data.valid, file.options, frozenset(member.run for member in file.members)


def members_of(
    manifest: Manifest, store: RunStore, names: Sequence[str], problem: str
) -> dict[str, Run]:
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
                raise SubmissionError(
                    f"{problem}: {stored} is not the file that the submission was made from"
                )
    return found
