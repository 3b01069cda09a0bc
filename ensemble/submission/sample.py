"""Which sample submission a blend is written by: its members' own copies, compared by content, or a file named."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.sample import sample_sha256
from ensemble.errors import DataError, SubmissionError
from ensemble.predictions import some
from ensemble.runs import Run

_WAY = "`ens blend --sample FILE` names the sample submission to write by"


@dataclass(frozen=True)
class Sample:
    """A sample submission: the file to read, which may be a run's copy, where it came from, its content's SHA-256."""

    file: Path
    origin: str
    sha256: str

    def check(self) -> None:
        """Whether the file has the bytes that the hash is about. Raises SubmissionError."""
        if sample_sha256(self.file) != self.sha256:
            raise SubmissionError(
                f"{self.file}: is not the sample submission that run.json names\n{_WAY}"
            )

    def changed_origin(self) -> str:
        """A warning where the file that was copied now has other content, else "" ."""
        origin = Path(self.origin)
        if origin == self.file or not os.path.isfile(origin):
            return ""
        with suppress(DataError):  # one that cannot be read was changed as well; the copy is used
            if sample_sha256(origin) == self.sha256:
                return ""
        return f"{origin} was changed after the training; the copy in the runs is used (--sample {origin} takes it)"


def sample_of(runs: Sequence[Run], chosen: Path | None = None) -> Sample | None:
    """The sample submission that all of these runs were trained for, or the one chosen. Raises SubmissionError."""
    if chosen is not None:
        _check_file(chosen, f"--sample {str(chosen)[:200]}: no such file")
        return Sample(chosen, str(chosen), sample_sha256(chosen))
    parts = [part for run in runs for part in run.folds]
    with_sample = [part for part in parts if part.data.sample_submission is not None]
    if not with_sample:
        return None
    if len(with_sample) < len(parts):
        without = next(part.id for part in parts if part.data.sample_submission is None)
        raise SubmissionError(
            f"{with_sample[0].id} was trained for {with_sample[0].data.sample_submission}, {without} for no sample "
            f"submission\n{_WAY}"
        )
    samples = {part.id: _stored(part) for part in with_sample}
    _check_same(samples)
    sample = next(iter(samples.values()))
    sample.check()
    return sample


def find_sample(runs: Iterable[Run], origin: str, sha256: str) -> Path | None:
    """A file with this content: a copy in one of the runs, else what is at the path. Raises SubmissionError."""
    for run in runs:
        for part in run.folds:
            copy = part.sample_copy()
            if copy is not None and part.data.sample_sha256 == sha256:
                Sample(copy, origin, sha256).check()
                return copy
    return (
        Path(origin) if os.path.isfile(origin) and sample_sha256(Path(origin)) == sha256 else None
    )


def positive_of(runs: Sequence[Run]) -> str | None:
    """The class that one column of probabilities is about. Raises SubmissionError where the runs disagree."""
    by_class = {run.data.positive: run.id for run in runs}
    if len(by_class) > 1:
        named = ", ".join(f"{run_id} has {positive}" for positive, run_id in by_class.items())
        raise SubmissionError(
            f"the members name different classes as data.positive: {named}\n"
            "blend those that agree: `ens blend PATTERN`, or train the others again"
        )
    return next(iter(by_class))


def _stored(run: Run) -> Sample:
    origin = str(run.data.sample_submission)
    copy = run.sample_copy()
    if copy is not None:
        return Sample(copy, origin, str(run.data.sample_sha256))
    path = Path(origin)
    _check_file(
        path,
        f"{origin[:200]}: the sample submission of {run.id} is gone, and the run holds no copy of it",
    )
    return Sample(path, origin, sample_sha256(path))


def _check_file(path: Path, problem: str) -> None:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{problem}\n{_WAY}")


def _check_same(samples: Mapping[str, Sample]) -> None:
    """Other bytes may be the same content: line ends, quotes. Raises SubmissionError naming what differs, DataError."""
    by_hash: dict[str, tuple[str, Sample]] = {}
    for run_id, sample in samples.items():
        by_hash.setdefault(sample.sha256, (run_id, sample))
    (first_id, first), *others = by_hash.values()
    if not others:
        return
    for _, sample in by_hash.values():
        sample.check()
    header, rows = _table(first)
    for run_id, sample in others:
        other_header, other_rows = _table(sample)
        difference = _difference(header, rows, other_header, other_rows)
        if difference:
            raise SubmissionError(
                f"{first_id} and {run_id} were trained for different sample submissions: {difference}\n"
                f"{first.origin[:200]} and {sample.origin[:200]}\n{_WAY}"
            )


def _table(sample: Sample) -> tuple[list[str], list[list[str]]]:
    try:
        header, rows = read_csv(sample.file)
    except DataError as error:
        raise SubmissionError(f"{error}\n{_WAY}") from None
    return header, [list(row.values()) for row in rows]


def _difference(
    header: list[str], rows: list[list[str]], other_header: list[str], other_rows: list[list[str]]
) -> str:
    """What differs between two samples, in words; "" where nothing does."""
    if header != other_header:
        return f"columns {', '.join(header)[:80]!r} and {', '.join(other_header)[:80]!r}"
    ids = [row[0] for row in rows]
    other_ids = [row[0] for row in other_rows]
    if set(ids) != set(other_ids):
        only = set(ids) ^ set(other_ids)
        return (
            f"{len(ids):,} and {len(other_ids):,} rows; ids in only one of them: {some(only, 40)}"
        )
    if ids != other_ids:
        return "the same ids in another order"
    changed = next((i for i, row in enumerate(rows) if row != other_rows[i]), None)
    if changed is None:
        return ""
    return (
        f"the cells of {ids[changed][:60]!r}: {rows[changed][1:4]} and {other_rows[changed][1:4]}"
    )
