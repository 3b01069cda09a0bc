"""Derive a submission again from the stored predictions and compare the bytes."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ensemble.blending.blend import Member, blend_test
from ensemble.errors import EnsembleError, SubmissionError
from ensemble.files import sha256
from ensemble.runs import Run, RunStore
from ensemble.submission.shape import shape_of
from ensemble.submission.write import FORMAT, csv_text


def verify(path: Path, store: RunStore) -> int:
    """The number of members whose stored predictions give exactly this file. Raises SubmissionError."""
    manifest = _read_manifest(path)
    members = _members(path, manifest["members"], store)
    predictions = blend_test(members)
    if predictions is None:
        raise SubmissionError(f"{path}: cannot verify: its runs have no test predictions")
    sample = manifest["sample_submission"]
    if sample and (not Path(sample["path"]).is_file() or sha256(Path(sample["path"])) != sample["sha256"]):
        raise SubmissionError(f"{path}: cannot verify: {sample['path']} is gone or changed since")
    shape = shape_of(Path(sample["path"]) if sample else None, predictions, members[0].run.data.positive)
    _compare(path, csv_text(shape, predictions))
    return len(members)


def _read_manifest(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{path}: no such file")
    if path.suffix != ".csv":
        raise SubmissionError(f"{path}: not a submission; did you mean {path.with_suffix('.csv').name}?")
    beside = path.with_suffix(".json")
    try:
        manifest = json.loads(beside.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise SubmissionError(f"{beside}: format {manifest['format']}, this version reads {FORMAT}")
        sample = manifest["sample_submission"]
        return {
            "members": [
                (str(entry["run"]), float(entry["weight"]), str(entry["reason"]), str(entry["sha256"]["test.npz"]))
                for entry in manifest["members"]
            ],
            "sample_submission": sample and {key: str(sample[key]) for key in ("path", "sha256")},
        }
    except FileNotFoundError:
        raise SubmissionError(f"{path}: cannot verify: its manifest {beside.name} is not beside it") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SubmissionError(f"{beside}: not a manifest that `ens blend` wrote") from None


def _members(path: Path, entries: list[tuple[str, float, str, str]], store: RunStore) -> list[Member]:
    found: list[Member] = []
    missing: list[str] = []
    for run_id, weight, reason, test_sha256 in entries:
        try:
            run = store.get(run_id)
        except EnsembleError:
            missing.append(run_id)
            continue
        _check_unchanged(path, run, test_sha256)
        found.append(Member(run, weight, reason))
    if missing:
        raise SubmissionError(
            f"{path}: cannot verify: {len(missing)} members missing in {store.root}: {', '.join(missing[:5])}"
        )
    return found


def _check_unchanged(path: Path, run: Run, test_sha256: str) -> None:
    stored = run.folder / "test.npz"
    if not stored.is_file() or sha256(stored) != test_sha256:
        raise SubmissionError(f"{path}: {stored} is not the file that the submission was made from")


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
