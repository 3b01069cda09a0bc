"""The sample submission of a blend: its members' copies, compared by content, or a named file."""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.sample import sample_sha256
from ensemble.errors import DataError, SubmissionError
from ensemble.metrics import DEFAULT_METRIC
from ensemble.predictions import some
from ensemble.runs import Run
from ensemble.submission.choices import TOP_K, VALUES
from ensemble.submission.sample_table import read_sample
from ensemble.submission.shape import Meaning

_NEXT_STEP = "`ens blend --sample FILE` uses that sample submission"


@dataclass(frozen=True)
class Sample:
    """A sample submission: the file to read, perhaps a run's copy; its origin; its SHA-256."""

    file: Path
    origin: str
    sha256: str

    def check(self) -> None:
        """Check the file's hash. Raises SubmissionError."""
        if sample_sha256(self.file) != self.sha256:
            raise SubmissionError(
                f"{self.file}: is not the sample submission that run.json names\n{_NEXT_STEP}"
            )

    def changed_origin(self) -> str:
        """A warning where the file that was copied has other content now, else ""."""
        origin = Path(self.origin)
        if origin == self.file or not os.path.isfile(origin):
            return ""
        with suppress(DataError):  # a file that cannot be read has changed, too
            if sample_sha256(origin) == self.sha256:
                return ""
        return (
            f"{origin} has changed since the training; the copy in the runs is used "
            f"(--sample {origin} uses the new one)"
        )


def sample_of(runs: Sequence[Run], chosen: Path | None = None) -> Sample | None:
    """The chosen sample submission, else the one that all runs were trained for.

    Raises SubmissionError.
    """
    if chosen is not None:
        _check_file(chosen, f"--sample {str(chosen)[:200]}: no such file")
        return Sample(chosen, str(chosen), sample_sha256(chosen))
    folds = [fold for run in runs for fold in run.folds]
    with_sample = [fold for fold in folds if fold.data.sample_submission is not None]
    if not with_sample:
        return None
    for fold in folds:
        if fold.data.sample_submission is None:
            first = with_sample[0]
            raise SubmissionError(
                f"{first.id} was trained for {first.data.sample_submission}, "
                f"{fold.id} without a sample submission\n{_NEXT_STEP}"
            )
    samples = {fold.id: _sample_of_run(fold) for fold in with_sample}
    _check_same(samples)
    sample = next(iter(samples.values()))
    sample.check()
    return sample


def find_sample(runs: Iterable[Run], origin: str, sha256: str) -> Path | None:
    """A file with this content: a copy in one of the runs, else the origin itself.

    Raises SubmissionError.
    """
    for run in runs:
        for fold in run.folds:
            copy = fold.sample_copy()
            if copy is not None and fold.data.sample_sha256 == sha256:
                Sample(copy, origin, sha256).check()
                return copy
    path = Path(origin)
    return path if os.path.isfile(path) and sample_sha256(path) == sha256 else None


def meaning_of(
    runs: Sequence[Run],
    answer: str | None = None,
    positive: str | None = None,
    metric: str | None = None,
    is_metric_given: bool = False,
) -> Meaning:
    """What the runs hold about the cells of a submission; answer and positive override it.

    metric, what a blend is scored by, decides where the runs disagree about theirs, or where it is
    given or another one than the default, and theirs is none or the default. Raises SubmissionError
    where they disagree about what is not overridden.
    """
    is_disputed = len({run.data.metric for run in runs}) > 1
    if not answer and not (is_disputed and metric):
        agreed, default = _agreed(runs, "metric"), DEFAULT_METRIC[runs[0].data.target]
        if agreed == default and all(run.strategy == "imported" for run in runs):
            agreed = None  # nobody chose it
        is_chosen = is_metric_given or metric not in (None, default)
        if not is_chosen or agreed not in (None, default):
            metric = agreed
    return Meaning(
        answer=answer or _agreed(runs, "answer"),
        metric=metric if answer in (None, TOP_K) else None,
        positive=positive or _agreed(runs, "positive"),
        target=runs[0].data.target,
        separator=next((run.data.separator for run in runs if run.data.separator), None),
    )


def _agreed(runs: Sequence[Run], key: str) -> str | None:
    """The runs' only value of data.answer, data.metric or data.positive. Raises SubmissionError."""
    run_ids: dict[str | None, str] = {_setting(run, key): run.id for run in runs}
    if len(run_ids) > 1:
        settings = ", ".join(f"{run_id} has {setting}" for setting, run_id in run_ids.items())
        option = "--positive CLASS" if key == "positive" else "--answer NAME"
        raise SubmissionError(
            f"the members have different values of data.{key}: {settings}\n"
            f"`ens blend {option}` overrides them; or blend runs with the same value: "
            "`ens blend PATTERN`"
        )
    return next(iter(run_ids))


def _setting(run: Run, key: str) -> str | None:
    """data.answer, data.metric or data.positive; a number is written as a value, also unsaid."""
    setting: str | None = getattr(run.data, key)
    return VALUES if key == "answer" and run.data.target == "number" and not setting else setting


def _sample_of_run(run: Run) -> Sample:
    """The run's copy, else the file that its recipe named. Raises SubmissionError."""
    origin = str(run.data.sample_submission)
    copy = run.sample_copy()
    if copy is not None:
        return Sample(copy, origin, str(run.data.sample_sha256))
    path = Path(origin)
    _check_file(
        path,
        f"{origin[:200]}: the sample submission of {run.id} is gone, and the run has no copy of it",
    )
    return Sample(path, origin, sample_sha256(path))


def _check_file(path: Path, problem: str) -> None:
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{problem}\n{_NEXT_STEP}")


def _check_same(samples: Mapping[str, Sample]) -> None:
    """Check that all samples have the same rows; line ends, quotes, delimiters may differ.

    Raises SubmissionError, DataError.
    """
    by_hash: dict[str, tuple[str, Sample]] = {}
    for run_id, sample in samples.items():
        by_hash.setdefault(sample.sha256, (run_id, sample))
    if len(by_hash) < 2:
        return
    for _, sample in by_hash.values():
        sample.check()
    (first_id, first), *rest = by_hash.values()
    first_table = _table(first)
    for run_id, sample in rest:
        difference = _difference(first_table, _table(sample))
        if difference:
            raise SubmissionError(
                f"{first_id} and {run_id} were trained for different sample submissions: "
                f"{difference}\n"
                f"{first.origin[:200]} and {sample.origin[:200]}\n{_NEXT_STEP}"
            )


_Table = tuple[list[str], list[list[str]]]  # header and rows


def _table(sample: Sample) -> _Table:
    try:
        table = read_sample(sample.file)
    except DataError as error:
        raise SubmissionError(f"{error}\n{_NEXT_STEP}") from None
    return list(table.columns[::-1] if table.is_id_last else table.columns), table.rows


def _difference(a: _Table, b: _Table) -> str:
    """What differs between two samples, in words; "" where nothing does."""
    (header_a, rows_a), (header_b, rows_b) = a, b
    if header_a != header_b:
        return f"columns {', '.join(header_a)[:80]!r} and {', '.join(header_b)[:80]!r}"
    ids_a, ids_b = [row[0] for row in rows_a], [row[0] for row in rows_b]
    in_one_only = set(ids_a) ^ set(ids_b)
    if in_one_only:
        counts = f"{len(ids_a):,} and {len(ids_b):,} rows"
        return f"{counts}; ids in only one of them: {some(in_one_only, 40)}"
    if ids_a != ids_b:
        return "the same ids in another order"
    for row_a, row_b in zip(rows_a, rows_b, strict=True):
        if row_a != row_b:
            return f"the cells of {row_a[0][:60]!r}: {row_a[1:4]} and {row_b[1:4]}"
    return ""
