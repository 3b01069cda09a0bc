"""Derive a submission again from the stored predictions and compare the bytes."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from ensemble.blending.calibration import Calibration
from ensemble.blending.mixture import Mixture
from ensemble.errors import EnsembleError, SubmissionError
from ensemble.files import sha256
from ensemble.runs import Run, RunStore
from ensemble.submission.shape import shape_of
from ensemble.submission.write import FORMAT, csv_text

_FILES = ("valid.npz", "test.npz")


def verify(path: Path, store: RunStore) -> int:
    """The number of members whose stored predictions give exactly this file. Raises SubmissionError."""
    manifest = _read_manifest(path)
    runs = _members(path, manifest, store)
    predictions = manifest.mixture.of_test(runs)
    if predictions is None:
        raise SubmissionError(f"{path}: cannot verify: its runs have no test predictions")
    sample = manifest.sample
    if sample and (not Path(sample["path"]).is_file() or sha256(Path(sample["path"])) != sample["sha256"]):
        raise SubmissionError(f"{path}: cannot verify: {sample['path']} is gone or changed since")
    positive = next(iter(runs.values())).data.positive
    shape = shape_of(Path(sample["path"]) if sample else None, predictions, positive)
    _compare(path, csv_text(shape, predictions))
    return len(runs)


@dataclass(frozen=True)
class _Manifest:
    """What a CSV is derived from; files holds the hashes of each member's files."""

    mixture: Mixture
    files: dict[str, dict[str, str]]
    sample: dict[str, str] | None


def _read_manifest(path: Path) -> _Manifest:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{path}: no such file")
    if path.suffix != ".csv":
        raise SubmissionError(f"{path}: not a submission; did you mean {path.with_suffix('.csv').name}?")
    beside = path.with_suffix(".json")
    try:
        manifest = json.loads(beside.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise SubmissionError(f"{beside}: format {manifest['format']}, this version reads {FORMAT}")
        sample, calibration, members = manifest["sample_submission"], manifest["calibration"], manifest["members"]
        return _Manifest(
            Mixture(
                {str(entry["run"]): float(entry["weight"]) for entry in members},
                manifest["options"]["average"] == "geometric",
                calibration and Calibration(float(calibration["temperature"]), float(calibration["floor"])),
            ),
            {str(entry["run"]): {name: str(entry["sha256"][name]) for name in _FILES} for entry in members},
            sample and {key: str(sample[key]) for key in ("path", "sha256")},
        )
    except FileNotFoundError:
        raise SubmissionError(f"{path}: cannot verify: its manifest {beside.name} is not beside it") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SubmissionError(f"{beside}: not a manifest that `ens blend` wrote") from None


def _members(path: Path, manifest: _Manifest, store: RunStore) -> dict[str, Run]:
    found: dict[str, Run] = {}
    missing: list[str] = []
    for run_id, files in manifest.files.items():
        try:
            run = found[run_id] = store.get(run_id)
        except EnsembleError:
            missing.append(run_id)
            continue
        for name, digest in files.items():
            if not (run.folder / name).is_file() or sha256(run.folder / name) != digest:
                raise SubmissionError(f"{path}: {run.folder / name} is not the file that the submission was made from")
    if missing:
        raise SubmissionError(
            f"{path}: cannot verify: {len(missing)} members missing in {store.root}: {', '.join(missing[:5])}"
        )
    return found


def _compare(path: Path, expected: str) -> None:
    actual = path.read_bytes()
    if actual == expected.encode():
        return
    ours, theirs = expected.splitlines(), actual.decode("utf-8", "replace").splitlines()
    if len(ours) != len(theirs):
        raise SubmissionError(f"{path}: has {len(theirs)} lines, its members give {len(ours)}")
    line = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b), 0)
    what = (
        f"line {line} is {theirs[line - 1][:80]!r}, its members give {ours[line - 1][:80]!r}" if line else "line ends"
    )
    digest = hashlib.sha256(actual).hexdigest()[:8]
    raise SubmissionError(f"{path}: changed since it was written ({digest}): {what}")
