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
from ensemble.submission.older import older_shape
from ensemble.submission.sample import find_sample
from ensemble.submission.shape import Shape, shape_of
from ensemble.submission.suspicious import previous_submission, suspicions
from ensemble.submission.write import csv_text


@dataclass(frozen=True, eq=False)
class Verified:
    """A CSV whose bytes were derived again: its manifest, its members by run id, its test
    predictions, its shape.
    """

    path: Path
    manifest: Manifest
    runs: dict[str, Run]
    predictions: Predictions
    shape: Shape


def verified(path: Path, store: RunStore) -> Verified:
    """Derive the file again from its members' predictions; the bytes must be the same.

    Raises SubmissionError.
    """
    manifest = _manifest_of(path)
    problem = f"{path}: cannot verify"
    runs = members_of(manifest, store, manifest.prediction_files, problem)
    answered = manifest.mixture.of_test(runs)
    if answered is None:
        raise SubmissionError(f"{problem}: its runs have no test predictions")
    shape = _shape(manifest, runs, answered.predictions, problem)
    _compare(path, csv_text(shape, answered))
    if sha256(path) != manifest.csv_sha256:
        raise SubmissionError(
            f"{path}: its manifest has changed since it was written: "
            "csv_sha256 belongs to another file"
        )
    return Verified(path, manifest, runs, answered.predictions, shape)


def _manifest_of(path: Path) -> Manifest:
    """The manifest beside a CSV. Raises SubmissionError."""
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        problem = "a folder: name a CSV in it" if os.path.isdir(path) else "no such file"
        raise SubmissionError(f"{str(path)[:300]}: {problem}")
    if path.suffix != ".csv":
        raise SubmissionError(
            f"{path}: not a submission; did you mean {path.with_suffix('.csv').name}?"
        )
    manifest = path.with_suffix(".json")
    try:
        return read_manifest(manifest)
    except FileNotFoundError:
        raise SubmissionError(
            f"{path}: cannot verify: its manifest {manifest.name} is not next to it"
        ) from None


def _shape(
    manifest: Manifest, runs: dict[str, Run], predictions: Predictions, problem: str
) -> Shape:
    """The shape by what the manifest stores, or by the rule of its time. Raises SubmissionError."""
    sample = _sample_file(manifest, runs, problem)
    if manifest.meaning is not None:
        return shape_of(sample, predictions, manifest.meaning)
    positive = next(iter(runs.values())).data.positive
    return older_shape(sample, predictions, positive)


def _sample_file(manifest: Manifest, runs: dict[str, Run], problem: str) -> Path | None:
    """A file with the sample submission's content, None for a blend without a sample.

    Raises SubmissionError.
    """
    if manifest.sample is None:
        return None
    origin = manifest.sample["path"]
    path = find_sample(runs.values(), origin, manifest.sample["sha256"])
    if path is None:
        raise SubmissionError(
            f"{problem}: {origin[:200]} is gone or has changed, and no member has a copy of it"
        )
    return path


def recheck(path: Path, store: RunStore, competition: str) -> tuple[Verified, list[str]]:
    """The full check before an upload: bytes and shape, and warnings about what looks suspicious.

    Raises SubmissionError.
    """
    checked = verified(path, store)
    manifest = checked.manifest
    check(path, checked.shape)
    try:
        of_classes = manifest.content["scores"]["cross_fitted"]["accuracy"]
        accuracy = None if of_classes is None else float(of_classes["value"])
    except (KeyError, TypeError, ValueError):
        raise SubmissionError(f"{manifest.path}: has no scores; run `ens blend` again") from None
    text = path.read_text(encoding="utf-8")
    previous = previous_submission(path.parent, competition=competition)
    warnings = suspicions(
        checked.runs,
        manifest.mixture,
        checked.predictions,
        text,
        checked.shape.answer,
        accuracy,
        previous,
    )
    for upload in Ledger(path.parent).uploads_of(manifest.csv_sha256, competition):
        if upload.status == COMPLETE:
            when = f"{upload.submitted[:10]}: public score {upload.public}"
            warnings.append(f"the same file was sent as {upload.file} on {when}")
    return checked, warnings


def _compare(path: Path, expected: str) -> None:
    """Compare a file with the text that its members give.

    Raises SubmissionError naming the first difference.
    """
    actual = path.read_bytes()
    if actual == expected.encode():
        return
    again = f"the command in {path.with_suffix('.json').name}, with --force, writes it again"
    expected_lines = expected.splitlines()
    actual_lines = actual.decode("utf-8", "replace").splitlines()
    if len(actual_lines) != len(expected_lines):
        raise SubmissionError(
            f"{path}: has {len(actual_lines)} lines, its members give {len(expected_lines)}\n{again}"
        )
    difference = "line ends"
    for number, (line, expected_line) in enumerate(
        zip(actual_lines, expected_lines, strict=True), start=1
    ):
        if line != expected_line:
            difference = f"line {number} is {line[:80]!r}, its members give {expected_line[:80]!r}"
            break
    digest = hashlib.sha256(actual).hexdigest()[:8]
    raise SubmissionError(f"{path}: changed since it was written ({digest}): {difference}\n{again}")
