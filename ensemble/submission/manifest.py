"""The manifest of a blend, beside its CSV if it has one: its runs, how they are mixed, how good it is."""

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ensemble import __version__
from ensemble.blending import Blend, Member, Options
from ensemble.blending.calibration import Calibration
from ensemble.blending.mixture import Mixture
from ensemble.errors import DamagedError, RunError, SelectionError, SubmissionError
from ensemble.files import sha256
from ensemble.metrics.decision import MOST_PROBABLE, Decision
from ensemble.runs import Run, RunStore
from ensemble.runs.grades import as_graded, grades_of
from ensemble.submission.sample import Sample
from ensemble.submission.shape import Meaning
from ensemble.targets import Target

FORMAT = 1
PREDICTIONS, REFIT_PREDICTIONS = ("valid.npz", "test.npz"), "test_refit.npz"
NETWORK, REFIT_NETWORK = "model.safetensors", "refit.safetensors"


@dataclass(frozen=True)
class Manifest:
    """What a CSV is derived from, or new images are predicted from: csv_sha256 is "" without a CSV.

    hashes are the SHA-256 of each member's files, by run id and file name (with folds: folder and
    file name); content is the whole JSON object; meaning is None where it was not stored yet.
    number_of names, by run id, the number that a member on classes predicts as its expected grade.
    """

    path: Path
    mixture: Mixture
    hashes: dict[str, dict[str, str]]
    sample: dict[str, str] | None
    csv_sha256: str
    content: Mapping[str, Any]
    meaning: Meaning | None = None
    number_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def prediction_files(self) -> tuple[str, ...]:
        """The files of each member that the CSV is derived from, or without a CSV the weights."""
        if not self.csv_sha256:
            return PREDICTIONS[:1]
        return (*PREDICTIONS, REFIT_PREDICTIONS) if self.mixture.of_refits else PREDICTIONS

    @property
    def files_to_predict(self) -> tuple[str, ...]:
        """The files of each member that predict any image: its network, and what gives ranks."""
        return (self.network_file, *(PREDICTIONS[:1] if self.mixture.is_rank else ()))

    @property
    def network_file(self) -> str:
        """The file of each member that holds the network behind its test predictions."""
        return REFIT_NETWORK if self.mixture.of_refits else NETWORK


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _StoredMember(_Stored):
    run: str = Field(min_length=1)
    weight: float = Field(ge=0, le=1)
    sha256: dict[str, str]
    number: str | None = None


class _StoredSample(_Stored):
    path: str
    sha256: str


class _StoredData(_Stored):
    valid: str = ""


class _StoredManifest(_Stored):
    """The keys that are read back; the others are for people."""

    members: tuple[_StoredMember, ...] = Field(min_length=1)
    options: Options
    data: _StoredData = _StoredData()
    calibration: Calibration | None
    sample_submission: _StoredSample | None
    csv_sha256: str
    refits: bool = False
    decision: Decision = Field(MOST_PROBABLE, discriminator="rule")
    answer: str | None = None
    metric: str | None = None
    positive: str | None = None
    target: Target = "class"
    separator: str | None = None


def manifest_content(
    blend: Blend,
    sample: Sample | None,
    csv_sha256: str,
    unreadable: Sequence[str],
    command: Sequence[str],
    meaning: Meaning,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The JSON object that describes a blend's CSV."""
    return {
        "format": FORMAT,
        "csv_sha256": csv_sha256,
        "command": [argument.encode("utf-8", "replace").decode() for argument in command],
        "options": asdict(blend.options),
        "weighting": blend.chosen_weighting,
        "refits": blend.of_refits,
        "decision": asdict(blend.mixture.decision),
        "calibration": asdict(blend.calibration) if blend.calibration else None,
        "data": {
            "name": blend.group.name,
            "valid": blend.group.runs[0].data.valid,
            "fingerprints": sorted({member.run.data.fingerprint for member in blend.members}),
        },
        "sample_submission": {"path": sample.origin, "sha256": sample.sha256} if sample else None,
        **asdict(meaning),
        "notes": list(notes),
        "members": [_member_content(member) for member in blend.members],
        "scores": {
            "cross_fitted": blend.valid.as_dict(),
            "in_sample": blend.in_sample,
            "table": [rating.as_dict() for rating in blend.table],
            "calibrated": asdict(blend.calibrated) if blend.calibrated else None,
            "test": asdict(blend.test) if blend.test else None,
        },
        "unreadable_test_images": list(unreadable),
        "versions": _versions(),
    }


def _member_content(member: Member) -> dict[str, Any]:
    return {
        "run": member.run.id,
        "weight": member.weight,
        "reason": member.reason,
        "number": member.number,
        "valid_accuracy": member.run.scores.accuracy,
        "valid_log_loss": member.run.scores.log_loss,
        "sha256": member.run.files,
    }


def _versions() -> dict[str, str]:
    try:
        numpy = version("numpy")
    except PackageNotFoundError:
        numpy = "unknown"
    return {"python": sys.version.split()[0], "ens": __version__, "numpy": numpy}


def read_manifest(path: Path) -> Manifest:
    """The manifest in a JSON file that `ens blend` wrote.

    Raises SubmissionError, FileNotFoundError.
    """
    stored, content = _read(path)
    weights = {member.run: member.weight for member in stored.members}
    sums_to_1 = math.isclose(sum(weights.values()), 1, abs_tol=1e-9)
    if len(weights) < len(stored.members) or not sums_to_1:
        raise _not_a_manifest(path)
    sample = stored.sample_submission
    mixture = Mixture(
        weights,
        stored.options.is_log,
        stored.calibration,
        stored.refits,
        stored.options.is_rank,
        stored.decision,
    )
    manifest = Manifest(
        path=path,
        mixture=mixture,
        hashes={member.run: member.sha256 for member in stored.members},
        sample=sample.model_dump() if sample else None,
        csv_sha256=stored.csv_sha256,
        content=content,
        meaning=_meaning(stored),
        number_of={member.run: member.number for member in stored.members if member.number},
    )
    for hashes in manifest.hashes.values():
        names = {name.rpartition("/")[2] for name in hashes}
        if not names.issuperset(manifest.prediction_files):
            raise _not_a_manifest(path)
    return manifest


def _meaning(stored: _StoredManifest) -> Meaning | None:
    if stored.answer is None:
        return None
    settings = (stored.answer, stored.metric, stored.positive)
    return Meaning(*settings, target=stored.target, separator=stored.separator)


def read_options(path: Path) -> tuple[str, Options, frozenset[str]]:
    """The fingerprint of a blend's validation rows, its options and its run ids.

    Raises SubmissionError, OSError.
    """
    stored, _ = _read(path)
    run_ids = frozenset(member.run for member in stored.members)
    return stored.data.valid, stored.options, run_ids


def _read(path: Path) -> tuple[_StoredManifest, dict[str, Any]]:
    """The checked keys and the whole JSON object. Raises SubmissionError, FileNotFoundError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a map")
        if content.get("format") != FORMAT:
            stored_format = str(content.get("format"))[:20]
            raise SubmissionError(f"{path}: format {stored_format}, this version reads {FORMAT}")
        options = content.get("options")
        if isinstance(options, dict) and "average" not in options:
            raise SelectionError("average is missing")  # the default may be another average
        if isinstance(options, dict):
            options.setdefault("decision", "plain")  # written before decisions were learned
        return _StoredManifest.model_validate(content), content
    except FileNotFoundError:
        raise
    except ValidationError as error:
        key = ".".join(str(part)[:60] for part in error.errors()[0]["loc"])
        raise _not_a_manifest(path, f" ({key} is missing or wrong)") from None
    except SelectionError as error:
        raise _not_a_manifest(path, f"\noptions: {error}") from None
    except (OSError, ValueError, TypeError, RecursionError):
        raise _not_a_manifest(path) from None


def _not_a_manifest(path: Path, problem: str = "") -> SubmissionError:
    return SubmissionError(f"{path}: not a manifest that `ens blend` wrote{problem}")


def members_of(
    manifest: Manifest, store: RunStore, file_names: Sequence[str], problem: str
) -> dict[str, Run]:
    """The members by run id; their files of these names have the hashes of the manifest.

    Raises SubmissionError, which starts with `problem`.
    """
    runs: dict[str, Run] = {}
    missing: list[str] = []
    for run_id in manifest.hashes:
        try:
            runs[run_id] = store.get(run_id)
        except RunError:
            missing.append(run_id)
        except DamagedError as error:
            raise SubmissionError(f"{problem}: {error}") from None
    if missing:
        ids = ", ".join(missing[:5])[:300]
        raise SubmissionError(
            f"{problem}: {len(missing)} members missing in {store.root}: {ids}\n"
            "copy these runs there, with all their folds, or name their folder: --runs DIR"
        )
    for run_id, run in runs.items():
        for name, expected in manifest.hashes[run_id].items():
            path = run.folder / name
            if path.name in file_names and not _has_hash(path, expected):
                raise SubmissionError(
                    f"{problem}: {path} is not the file that the submission was made from"
                )
    for run_id, number in manifest.number_of.items():
        if runs[run_id].data.target != "class" or grades_of(runs[run_id].classes) is None:
            raise SubmissionError(f"{problem}: {run_id} predicts no classes that are grades")
        runs[run_id] = as_graded(runs[run_id], number)
    return runs


def _has_hash(path: Path, expected: str) -> bool:
    return os.path.isfile(path) and sha256(path) == expected
