"""Derive a submission again from the stored predictions and compare the bytes."""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

from ensemble.blending.calibration import Calibration
from ensemble.blending.mixture import Mixture
from ensemble.errors import DamagedError, RunError, SubmissionError
from ensemble.files import sha256
from ensemble.runs import Run, RunStore
from ensemble.submission.shape import shape_of
from ensemble.submission.write import FORMAT, csv_text

_FILES, _REFIT = ("valid.npz", "test.npz"), "test_refit.npz"


def verify(path: Path, store: RunStore) -> int:
    """The number of members whose stored predictions give exactly this file. Raises SubmissionError."""
    manifest = _read_manifest(path)
    runs = _members(path, manifest, store)
    predictions = manifest.mixture.of_test(runs)
    if predictions is None:
        raise SubmissionError(f"{path}: cannot verify: its runs have no test predictions")
    sample = manifest.sample
    if sample and (not os.path.isfile(sample["path"]) or sha256(Path(sample["path"])) != sample["sha256"]):
        raise SubmissionError(f"{path}: cannot verify: {sample['path'][:200]} is gone or changed since")
    positive = next(iter(runs.values())).data.positive
    shape = shape_of(Path(sample["path"]) if sample else None, predictions, positive)
    _compare(path, csv_text(shape, predictions))
    if sha256(path) != manifest.csv_sha256:
        raise SubmissionError(f"{path}: its manifest was changed since it was written: csv_sha256 is another file's")
    return len(runs)


@dataclass(frozen=True)
class _Manifest:
    """What a CSV is derived from; files holds the hashes of each member's files."""

    mixture: Mixture
    files: dict[str, dict[str, str]]
    sample: dict[str, str] | None
    csv_sha256: str


def _read_manifest(path: Path) -> _Manifest:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{str(path)[:300]}: no such file")
    if path.suffix != ".csv":
        raise SubmissionError(f"{path}: not a submission; did you mean {path.with_suffix('.csv').name}?")
    beside = path.with_suffix(".json")
    try:
        manifest = json.loads(beside.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise SubmissionError(f"{beside}: format {manifest['format']}, this version reads {FORMAT}")
        sample, calibration, members = manifest["sample_submission"], manifest["calibration"], manifest["members"]
        of_refits = manifest.get("refits") is True
        names = (*_FILES, _REFIT) if of_refits else _FILES
        weights = {str(entry["run"]): float(entry["weight"]) for entry in members}
        temperature, floor = (float((calibration or {}).get(key, 1)) for key in ("temperature", "floor"))
        is_mean = min(weights.values()) >= 0 and math.isclose(sum(weights.values()), 1, abs_tol=1e-9)
        if not (is_mean and len(weights) == len(members) and 1e-3 <= temperature <= 1e3 and 0 <= floor <= 1):
            raise ValueError("these make no blend")
        return _Manifest(
            Mixture(
                weights,
                manifest["options"]["average"] == "geometric",
                Calibration(temperature, floor) if calibration else None,
                of_refits,
            ),
            {str(entry["run"]): _needed(entry["sha256"], names) for entry in members},
            sample and {key: str(sample[key]) for key in ("path", "sha256")},
            str(manifest["csv_sha256"]),
        )
    except FileNotFoundError:
        raise SubmissionError(f"{path}: cannot verify: its manifest {beside.name} is not beside it") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SubmissionError(f"{beside}: not a manifest that `ens blend` wrote") from None


def _needed(files: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The hashes of the files that the CSV hangs on, those of every fold where there are folds. Raises KeyError."""
    found = {path: str(digest) for path, digest in files.items() if path.rpartition("/")[2] in names}
    missing = set(names) - {path.rpartition("/")[2] for path in found}
    if missing:
        raise KeyError(missing)
    return found


def _members(path: Path, manifest: _Manifest, store: RunStore) -> dict[str, Run]:
    found: dict[str, Run] = {}
    missing: list[str] = []
    for run_id in manifest.files:
        try:
            found[run_id] = store.get(run_id)
        except RunError:
            missing.append(run_id)
        except DamagedError as error:
            raise SubmissionError(f"{path}: cannot verify: {error}") from None
    if missing:
        raise SubmissionError(
            f"{path}: cannot verify: {len(missing)} members missing in {store.root}: {', '.join(missing[:5])[:300]}"
        )
    for run_id, run in found.items():
        for name, digest in manifest.files[run_id].items():
            if not os.path.isfile(run.folder / name) or sha256(run.folder / name) != digest:
                raise SubmissionError(f"{path}: {run.folder / name} is not the file that the submission was made from")
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
