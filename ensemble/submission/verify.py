"""Derive a submission again from the stored predictions and compare the bytes."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ensemble.errors import SubmissionError
from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.runs import Run, RunStore
from ensemble.submission.check import check
from ensemble.submission.ledger import COMPLETE, Ledger
from ensemble.submission.manifest import Manifest, members_of, read_manifest
from ensemble.submission.sample import find_sample
from ensemble.submission.shape import Shape, shape_of
from ensemble.submission.suspicious import last_submission, smells
from ensemble.submission.write import csv_text


@dataclass(frozen=True, eq=False)
class Verified:
    """A CSV whose bytes were derived again: its manifest, its members by run id, its test predictions, its shape."""

    path: Path
    manifest: Manifest
    runs: dict[str, Run]
    predictions: Predictions
    shape: Shape


def verify(path: Path, store: RunStore) -> int:
    """The number of members whose stored predictions give exactly this file. Raises SubmissionError."""
    return len(verified(path, store).runs)


def verified(path: Path, store: RunStore) -> Verified:
    """Derive the file again from its members' predictions; the bytes must be the same. Raises SubmissionError."""
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{str(path)[:300]}: no such file")
    if path.suffix != ".csv":
        raise SubmissionError(
            f"{path}: not a submission; did you mean {path.with_suffix('.csv').name}?"
        )
    try:
        manifest = read_manifest(path.with_suffix(".json"))
    except FileNotFoundError:
        manifest_name = path.with_suffix(".json").name
        raise SubmissionError(
            f"{path}: cannot verify: its manifest {manifest_name} is not beside it"
        ) from None
    runs = members_of(manifest, store, manifest.needed, f"{path}: cannot verify")
    predictions = manifest.mixture.of_test(runs)
    if predictions is None:
        raise SubmissionError(f"{path}: cannot verify: its runs have no test predictions")
    sample = manifest.sample
    sample_file = find_sample(runs.values(), sample["path"], sample["sha256"]) if sample else None
    if sample and sample_file is None:
        raise SubmissionError(
            f"{path}: cannot verify: {sample['path'][:200]} is gone or changed since, and no member holds a copy of it"
        )
    positive = next(iter(runs.values())).data.positive
    shape = shape_of(sample_file, predictions, positive)
    _compare(path, csv_text(shape, predictions))
    if sha256(path) != manifest.csv_sha256:
        raise SubmissionError(
            f"{path}: its manifest was changed since it was written: csv_sha256 is another file's"
        )
    return Verified(path, manifest, runs, predictions, shape)


def recheck(path: Path, store: RunStore, competition: str) -> tuple[Verified, list[str]]:
    """The full check before a file is sent: its bytes, its shape, and what smells wrong. Raises SubmissionError."""
    checked = verified(path, store)
    check(path, checked.shape, checked.predictions.classes)
    try:
        accuracy = float(checked.manifest.said["scores"]["cross_fitted"]["accuracy"]["value"])
    except (KeyError, TypeError, ValueError):
        raise SubmissionError(
            f"{checked.manifest.path}: does not say how good the blend is; blend again"
        ) from None
    text, last = (
        path.read_text(encoding="utf-8"),
        last_submission(path.parent, competition=competition),
    )
    found = smells(
        checked.runs, checked.manifest.mixture, checked.predictions, text, accuracy, last
    )
    for one in Ledger(path.parent).entries():
        if (one.competition, one.sha256, one.status) == (
            competition,
            checked.manifest.csv_sha256,
            COMPLETE,
        ):
            found.append(
                f"the same file was sent as {one.file} on {one.submitted[:10]}: public score {one.public}"
            )
    return checked, found


def _compare(path: Path, expected: str) -> None:
    actual = path.read_bytes()
    if actual == expected.encode():
        return
    ours, theirs = expected.splitlines(), actual.decode("utf-8", "replace").splitlines()
    if len(ours) != len(theirs):
        raise SubmissionError(f"{path}: has {len(theirs)} lines, its members give {len(ours)}")
    line = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True), 1) if a != b), 0)
    what = (
        f"line {line} is {theirs[line - 1][:80]!r}, its members give {ours[line - 1][:80]!r}"
        if line
        else "line ends"
    )
    digest = hashlib.sha256(actual).hexdigest()[:8]
    raise SubmissionError(f"{path}: changed since it was written ({digest}): {what}")
