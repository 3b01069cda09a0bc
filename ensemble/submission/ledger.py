"""What was submitted: one row of ledger.csv per upload, beside the CSVs; and which two to choose in the end."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ensemble.dataset.csvfile import read_csv
from ensemble.errors import DataError, SubmissionError
from ensemble.files import not_written, sha256, write_text
from ensemble.metrics import Interval

NAME = "ledger.csv"
PENDING, COMPLETE, FAILED = "pending", "complete", "error"


class Entry(BaseModel):
    """One upload; file and manifest stand beside the ledger. Scores are cross-fitted, with their 95 % intervals."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    submitted: str
    competition: str
    ref: int
    file: str
    sha256: str
    manifest: str
    data: str
    members: int
    metric: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    log_loss: float
    log_loss_low: float
    log_loss_high: float
    status: str = PENDING
    public: str = ""
    private: str = ""
    message: str = ""

    def score(self, metric: str) -> Interval:
        """Its cross-fitted accuracy or log loss."""
        return Interval(*(getattr(self, metric + end) for end in ("", "_low", "_high")))

    def is_waiting_with(self, other: "Entry") -> bool:
        """Whether it is the same file in the same competition, sent and not yet scored."""
        return (self.competition, self.sha256, self.status) == (
            other.competition,
            other.sha256,
            PENDING,
        )


@dataclass(frozen=True)
class Ledger:
    """The ledger of a folder of submissions; the file appears with the first entry."""

    folder: Path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / NAME

    def entries(self) -> list[Entry]:
        """All uploads, the oldest first. Raises SubmissionError."""
        if not self.path.exists():
            return []
        try:
            _, rows = read_csv(self.path)
            return [
                Entry.model_validate({key: cell for key, cell in row.items() if cell})
                for row in rows
            ]
        except (DataError, ValidationError) as error:
            what = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
            raise SubmissionError(
                f"{self.path}: not a ledger that `ens submit` wrote ({what})"
            ) from None

    def by_competition(self) -> dict[str, list[Entry]]:
        """The same, by competition."""
        found: dict[str, list[Entry]] = {}
        for one in self.entries():
            found.setdefault(one.competition, []).append(one)
        return found

    def write(self, *changed: Entry) -> None:
        """Add entries, or replace those of the same competition and ref; without any: whether it can be written.

        Raises EnsembleError.
        """
        from filelock import FileLock

        try:
            with FileLock(self.folder / f".{NAME}.lock"):
                entries = {(one.competition, one.ref): one for one in (*self.entries(), *changed)}
                if entries:
                    write_text(self.path, _text(entries.values()))
        except OSError as error:
            raise SubmissionError(not_written(self.path, error)) from None

    def last(self, **said: str) -> Entry | None:
        """The newest upload of a competition, or about a data set, that is still here as it was sent."""
        fitting = [
            one
            for one in self.entries()
            if all(getattr(one, key) == value for key, value in said.items())
        ]
        return next((one for one in reversed(fitting) if self.holds(one)), None)

    def holds(self, entry: Entry) -> bool:
        """Whether the file is still the one that was sent."""
        path = self.folder / entry.file
        return path.is_file() and sha256(path) == entry.sha256


def _text(entries: Iterable[Entry]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(Entry.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_row(one) for one in entries)
    return out.getvalue()


def _row(entry: Entry) -> dict[str, Any]:
    """Every text on one line, in what UTF-8 can hold: an argument need not be."""
    texts = {key: " ".join(value.split()) for key, value in entry if isinstance(value, str)}
    return dict(entry) | {
        key: value.encode("utf-8", "replace").decode() for key, value in texts.items()
    }


def answers(text: str) -> dict[str, str]:
    """What a submission says of each id: its most probable class, its label, or which side of a half it takes."""
    header, *rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if len(header) > 2:
        return {
            row[0]: header[1 + max(range(len(row) - 1), key=lambda i: float(row[i + 1]))]
            for row in rows
        }
    is_probability = any("." in row[1] or "e" in row[1] for row in rows) and all(
        _is_share(row[1]) for row in rows
    )
    return {row[0]: str(float(row[1]) >= 0.5) if is_probability else row[1] for row in rows}


def _is_share(cell: str) -> bool:
    try:
        return 0 <= float(cell) <= 1
    except ValueError:
        return False


@dataclass(frozen=True)
class Pick:
    """A submission for the final selection, and why."""

    entry: Entry
    reason: str


def final_picks(ledger: Ledger, entries: Sequence[Entry]) -> list[Pick]:
    """The best cross-fitted submission of one competition, and of those not distinguishable from it the most different.

    Public scores take no part. The metric is that of the newest entry; not distinguishable: inside the interval of
    the best.
    """
    sent = list(
        {one.sha256: one for one in entries if one.status != FAILED and ledger.holds(one)}.values()
    )
    if not sent:
        return []
    metric = entries[-1].metric
    sign = 1 if metric == "log_loss" else -1
    best = min(sent, key=lambda one: sign * one.score(metric).value)
    interval = best.score(metric)
    near = [
        one
        for one in sent
        if one is not best and interval.low <= one.score(metric).value <= interval.high
    ]
    name = metric.replace("_", " ")
    picks = [Pick(best, f"best cross-fitted {name} of {len(sent)}")]
    if near:
        said = {
            one.ref: answers((ledger.folder / one.file).read_text(encoding="utf-8"))
            for one in (best, *near)
        }
        shares = {one.ref: differing(said[best.ref], said[one.ref]) for one in near}
        other = max(near, key=lambda one: shares[one.ref])
        picks.append(
            Pick(
                other,
                f"differs from it on {100 * shares[other.ref]:.1f} % of the rows, the most of "
                f"{len(near)} whose {name} is inside its interval",
            )
        )
    return picks


def differing(one: dict[str, str], other: dict[str, str]) -> float:
    """The share of the first's ids about which the other says something else."""
    return sum(other.get(name) != said for name, said in one.items()) / max(1, len(one))
