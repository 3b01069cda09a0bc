"""Write the CSV of a blend and the JSON manifest from which `ens verify` derives it again."""

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from ensemble.blending import Blend
from ensemble.blending.mixture import Answered
from ensemble.errors import SubmissionError
from ensemble.files import write_json, write_text
from ensemble.metrics.decision import PLAIN
from ensemble.predictions import Predictions
from ensemble.submission.check import check
from ensemble.submission.choices import POSITIVE, PROBABILITIES
from ensemble.submission.manifest import manifest_content
from ensemble.submission.output_files import check_name, check_replaceable
from ensemble.submission.readback import N_EXAMPLES, n_without_label, rows_in_words
from ensemble.submission.sample import Sample, meaning_of, sample_of
from ensemble.submission.shape import Shape, cells, matched_rows, shape_of, unused_positive
from ensemble.submission.suspicious import previous_submission, suspicions


@dataclass(frozen=True)
class Submission:
    """The written file, its manifest and its shape; n_unused counts test images that the sample
    does not ask for.

    examples are rows of the file in words, notes what was matched loosely, warnings what looks
    suspicious. is_decision_unused: the cells are probabilities, which a learned decision leaves alone.
    """

    path: Path
    manifest: Path
    shape: Shape
    n_unused: int
    unreadable: tuple[str, ...]
    warnings: tuple[str, ...]
    examples: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_decision_unused: bool = False


def write_submission(
    blend: Blend,
    folder: Path,
    name: str | None = None,
    force: bool = False,
    command: Sequence[str] = (),
    chosen: Path | None = None,
    answer: str | None = None,
    positive: str | None = None,
) -> Submission:
    """Write and check a blend's CSV and its manifest, by the members' sample submission or the
    chosen one; answer and positive override what the runs hold.

    Raises SubmissionError.
    """
    answered = blend.answered
    if answered is None:
        raise SubmissionError(
            "these runs have no test set, so there is nothing to submit; "
            "set data.test and train again"
        )
    predictions = answered.predictions
    runs = [member.run for member in blend.members]
    sample = sample_of(runs, chosen)
    metric = blend.options.metric
    meaning = meaning_of(runs, answer, positive, metric, blend.is_metric_given)
    shape = shape_of(sample.file if sample else None, predictions, meaning)
    if blend.options.is_rank:
        _check_ranks(shape)
    rows, notes = _matched(shape, predictions)
    unused = unused_positive(positive, shape.answer, metric)
    text = _text_of(shape, answered, rows)
    digest = hashlib.sha256(text.encode()).hexdigest()
    stem = name or f"{blend.group.name}-{digest[:8]}"
    check_name(stem)
    path, manifest = folder / f"{stem}.csv", folder / f"{stem}.json"
    check_replaceable(path, manifest, text, sample, force)
    warnings = _warnings(blend, folder, text, shape.answer, sample)
    write_text(path, text)
    check(path, shape)
    unreadable = _unreadable_test_images(blend)
    used = replace(meaning, answer=shape.answer, positive=shape.positive, target=shape.target)
    notes = (*notes, *_without_labels(path, shape), *([unused] if unused else []))
    content = manifest_content(blend, sample, digest, unreadable, command, used, notes)
    write_json(manifest, content)
    images = [str(predictions.ids[row]) for row in rows[:N_EXAMPLES]]
    is_learned = blend.mixture.decision != PLAIN[blend.target]
    return Submission(
        path,
        manifest,
        shape,
        n_unused=len(predictions.ids) - len(shape.ids),
        unreadable=unreadable,
        warnings=warnings,
        examples=rows_in_words(path, shape, images),
        notes=notes,
        is_decision_unused=is_learned and shape.answer in (PROBABILITIES, POSITIVE),
    )


def _check_ranks(shape: Shape) -> None:
    """Refuse a mean of ranks where the cells are no probabilities. Raises SubmissionError."""
    if shape.answer not in (PROBABILITIES, POSITIVE):
        raise SubmissionError(
            f"--average rank: ranks choose no class, and the submission asks for {shape.answer}\n"
            "use --average arithmetic, or --answer probabilities"
        )


def _matched(shape: Shape, predictions: Predictions) -> tuple[list[int], tuple[str, ...]]:
    """The row of each id, and what to say about how they were matched. Raises SubmissionError."""
    rows, rule = matched_rows(shape, predictions.ids.tolist())
    notes = []
    if rule:
        notes.append(f"the sample's ids fit the test images only {rule}")
    if not shape.has_header:
        notes.append("the sample begins with an image, without a header: so does this file")
    notes += filter(None, (shape.spelling, shape.listing.assumed if shape.listing else ""))
    return rows, tuple(notes)


def _without_labels(path: Path, shape: Shape) -> tuple[str, ...]:
    """What to say about images that are given no label."""
    n_rows = n_without_label(path, shape)
    if not n_rows:
        return ()
    nothing = shape.listing.nothing if shape.listing else "0"
    written = f"their cells are {nothing!r}" if nothing else "their cells are empty"
    return (f"{n_rows:,} of {len(shape.ids):,} images are given no label: {written}",)


def _warnings(
    blend: Blend, folder: Path, text: str, answer: str, sample: Sample | None
) -> tuple[str, ...]:
    """What looks suspicious; a ledger that cannot be read does not stop the writing."""
    assert blend.predictions is not None
    previous, ledger_problems = None, list[str]()
    try:
        previous = previous_submission(folder, data=blend.group.name)
    except SubmissionError as error:
        ledger_problems.append(f"not compared with the last submission: {error}")
    runs = {member.run.id: member.run for member in blend.members}
    accuracy = blend.valid.accuracy.value if blend.valid.accuracy else None
    warnings = suspicions(runs, blend.mixture, blend.predictions, text, answer, accuracy, previous)
    changed_sample = sample.changed_origin() if sample else ""
    return (*warnings, *ledger_problems, *([changed_sample] if changed_sample else []))


def _unreadable_test_images(blend: Blend) -> tuple[str, ...]:
    """The ids that any member could not read, sorted."""
    ids: set[str] = set()
    for member in blend.members:
        ids.update(member.run.data.unreadable.get("test", []))
    return tuple(sorted(ids))


def csv_text(shape: Shape, answered: Answered) -> str:
    """The whole file, with plain newlines. Raises SubmissionError."""
    return _text_of(shape, answered, matched_rows(shape, answered.predictions.ids.tolist())[0])


def _text_of(shape: Shape, answered: Answered, rows: Sequence[int]) -> str:
    out = io.StringIO()
    texts = (*shape.columns, *shape.ids, *shape.texts.values())
    writer = csv_writer(out, texts, shape.delimiter)
    writer.writerows(shape.lines_before_rows)
    for name, row in zip(shape.ids, cells(shape, answered, rows), strict=True):
        writer.writerow(shape.as_written([name, *row]))
    return out.getvalue()


def csv_writer(out: TextIO, texts: Iterable[str], delimiter: str = ",") -> Any:
    """A writer with plain newlines; texts are all that may need quotes."""
    # Python 3.11 does not quote a cell because of a lone carriage return
    has_return = any("\r" in text for text in texts)
    return csv.writer(
        out,
        delimiter=delimiter,
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL,
    )
