"""Write the CSV of a blend and the JSON manifest from which `ens verify` derives it again."""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

from ensemble import __version__
from ensemble.blending import Blend
from ensemble.dataset.filenames import is_sample
from ensemble.errors import SubmissionError
from ensemble.files import not_written, write_text
from ensemble.predictions import Predictions
from ensemble.submission.check import check
from ensemble.submission.ledger import NAME as LEDGER
from ensemble.submission.manifest import FORMAT
from ensemble.submission.sample import Sample, positive_of, sample_of
from ensemble.submission.shape import Shape, cells, rows_for, shape_of
from ensemble.submission.suspicious import last_submission, smells


@dataclass(frozen=True)
class Submission:
    """The written file, its manifest and its shape; n_unused counts test images that the sample does not ask for.

    warnings say what smells wrong about it.
    """

    path: Path
    manifest: Path
    shape: Shape
    n_unused: int
    unreadable: tuple[str, ...]
    warnings: tuple[str, ...]


def write_submission(
    blend: Blend,
    folder: Path,
    name: str | None = None,
    force: bool = False,
    command: Sequence[str] = (),
    chosen: Path | None = None,
) -> Submission:
    """Write, check and explain a blend's CSV, by the members' sample submission or the one chosen.

    Raises SubmissionError.
    """
    predictions = blend.predictions
    if predictions is None:
        raise SubmissionError(
            "these runs have no test set, so there is nothing to submit; set data.test and train again"
        )
    runs = [member.run for member in blend.members]
    sample, positive = sample_of(runs, chosen), positive_of(runs)
    shape = shape_of(sample.file if sample else None, predictions, positive)
    text = csv_text(shape, predictions)
    digest = hashlib.sha256(text.encode()).hexdigest()
    stem = name or f"{blend.group.name}-{digest[:8]}"
    if Path(stem).name != stem or stem.startswith("."):
        raise SubmissionError(f"--name {stem!r} is not a plain file name")
    if is_sample(stem):
        raise SubmissionError(
            f"--name {stem}: called like a sample submission, and these are never written over"
        )
    if f"{stem}.csv".casefold() == LEDGER.casefold():
        raise SubmissionError(
            f"--name {stem}: {LEDGER} is where `ens submit` writes what was sent\nchoose another --name"
        )
    path, manifest = folder / f"{stem}.csv", folder / f"{stem}.json"
    if not force and (
        _holds_other(path, text.encode()) or (manifest.exists() and not path.exists())
    ):
        there = path if path.exists() else manifest
        raise SubmissionError(
            f"{there}: exists with other content\nchoose another --name, or --force to replace it"
        )
    if sample and path.resolve() == Path(sample.origin).resolve():
        raise SubmissionError(
            f"{path}: is the sample submission, which is never written over\nchoose another --name"
        )
    warnings = _warnings(blend, folder, text)
    changed_sample = sample.changed_origin() if sample else ""
    warnings = (*warnings, changed_sample) if changed_sample else warnings
    write_text(path, text)
    check(path, shape, predictions.classes)
    unreadable = tuple(
        sorted({i for m in blend.members for i in m.run.data.unreadable.get("test", [])})
    )
    write_text(
        manifest,
        json.dumps(
            _manifest(blend, sample, digest, unreadable, command), indent=1, ensure_ascii=False
        ),
    )
    return Submission(
        path, manifest, shape, len(predictions.ids) - len(shape.ids), unreadable, warnings
    )


def _warnings(blend: Blend, folder: Path, text: str) -> tuple[str, ...]:
    """What smells wrong; a ledger that cannot be read is no reason not to write."""
    assert blend.predictions is not None
    last, unread = None, list[str]()
    try:
        last = last_submission(folder, data=blend.group.name)
    except SubmissionError as error:
        unread.append(f"not compared with the last submission: {error}")
    runs = {m.run.id: m.run for m in blend.members}
    return (
        *smells(runs, blend.mixture, blend.predictions, text, blend.valid.accuracy.value, last),
        *unread,
    )


def _holds_other(path: Path, content: bytes) -> bool:
    """Whether the file is there with other content. Raises SubmissionError."""
    try:
        return path.read_bytes() != content
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SubmissionError(not_written(path, error)) from None


def csv_text(shape: Shape, predictions: Predictions) -> str:
    """The whole file, with plain newlines. Raises SubmissionError."""
    rows = rows_for(shape, predictions.ids.tolist())
    out = io.StringIO()
    writer = csv_writer(out, (*shape.columns, *shape.ids, *predictions.classes))
    writer.writerow(shape.columns)
    for name, row in zip(shape.ids, cells(shape, predictions, rows), strict=True):
        writer.writerow([name, *row])
    return out.getvalue()


def csv_writer(out: TextIO, texts: Iterable[str]) -> Any:
    """A writer with plain newlines; texts are all that may need quotes."""
    has_return = any(
        "\r" in text for text in texts
    )  # Python 3.11 does not quote a lone one by itself
    return csv.writer(
        out, lineterminator="\n", quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL
    )


def _manifest(
    blend: Blend,
    sample: Sample | None,
    digest: str,
    unreadable: Sequence[str],
    command: Sequence[str],
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "csv_sha256": digest,
        "command": [argument.encode("utf-8", "replace").decode() for argument in command],
        "options": asdict(blend.options),
        "weighting": blend.learnt_by,
        "refits": blend.of_refits,
        "calibration": asdict(blend.calibration) if blend.calibration else None,
        "data": {
            "name": blend.group.name,
            "valid": blend.group.runs[0].data.valid,
            "fingerprints": sorted({m.run.data.fingerprint for m in blend.members}),
        },
        "sample_submission": {"path": sample.origin, "sha256": sample.sha256} if sample else None,
        "members": [
            {
                "run": m.run.id,
                "weight": m.weight,
                "reason": m.reason,
                "valid_accuracy": m.run.scores.accuracy,
                "valid_log_loss": m.run.scores.log_loss,
                "sha256": m.run.files,
            }
            for m in blend.members
        ],
        "scores": {
            "cross_fitted": blend.valid.as_dict(),
            "table": [rating.as_dict() for rating in blend.table],
            "calibrated": asdict(blend.calibrated),
            "test": asdict(blend.test) if blend.test else None,
        },
        "unreadable_test_images": list(unreadable),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What wrote the file: Python, ens, numpy."""
    try:
        numpy = version("numpy")
    except PackageNotFoundError:
        numpy = "unknown"
    return {"python": sys.version.split()[0], "ens": __version__, "numpy": numpy}
