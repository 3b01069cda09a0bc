"""The ledger of uploads, ledger.csv beside the CSVs: one row per upload, with its scores."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ensemble.dataset.csvfile import read_csv
from ensemble.errors import DataError, SubmissionError
from ensemble.files import as_csv, locked, not_written, sha256, write_text
from ensemble.grouping import grouped
from ensemble.metrics import Interval

NAME = "ledger.csv"
PENDING, COMPLETE, FAILED = "pending", "complete", "error"


class Entry(BaseModel):
    """One upload; file and manifest are beside the ledger.

    Scores are cross-fitted, with their 95 % intervals; score is by the metric where that is neither
    accuracy nor log loss of one class per image, without ends where the rows were too few for an
    interval. Accuracy and log loss are those of one class per image.
    """

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
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    log_loss: float | None = None
    log_loss_low: float | None = None
    log_loss_high: float | None = None
    score: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    status: str = PENDING
    public: str = ""
    private: str = ""
    message: str = ""

    def scored_by(self, metric: str) -> Interval | None:
        """The cross-fitted accuracy, log loss or own metric; None for a metric of other uploads."""
        is_of_classes = metric in ("accuracy", "log_loss") and self.accuracy is not None
        name = metric if is_of_classes else "score"
        ends = [getattr(self, name + suffix) for suffix in ("", "_low", "_high")]
        if ends[0] is None or (name == "score" and metric != self.metric):
            return None
        return Interval(*(math.nan if end is None else end for end in ends))


@dataclass(frozen=True)
class Ledger:
    """The ledger of a folder of submissions; the first upload creates the file."""

    folder: Path

    @property
    def path(self) -> Path:
        """The CSV file."""
        return self.folder / NAME

    def entries(self) -> list[Entry]:
        """All uploads, the oldest first. Raises SubmissionError."""
        if not self.path.exists():
            return []
        try:
            _, rows = read_csv(self.path)
            return [_entry(row) for row in rows]
        except (DataError, ValidationError) as error:
            problem = error.errors()[0]["loc"] if isinstance(error, ValidationError) else error
            raise SubmissionError(
                f"{self.path}: not a ledger that `ens submit` wrote ({problem})"
            ) from None

    def by_competition(self) -> dict[str, list[Entry]]:
        """All uploads by competition, the oldest first. Raises SubmissionError."""
        return grouped((entry.competition, entry) for entry in self.entries())

    def uploads_of(self, sha256: str, slug: str) -> list[Entry]:
        """The uploads of a file with these bytes to a competition. Raises SubmissionError."""
        return [
            entry for entry in self.entries() if (entry.sha256, entry.competition) == (sha256, slug)
        ]

    def last_unchanged(self, **fields: str) -> Entry | None:
        """The newest upload with these fields, such as data or competition, whose file still has
        its bytes.

        Raises SubmissionError.
        """
        for entry in reversed(self.entries()):
            matches = all(getattr(entry, name) == text for name, text in fields.items())
            if matches and self.is_unchanged(entry):
                return entry
        return None

    def is_unchanged(self, entry: Entry) -> bool:
        """Whether the file still has the bytes that were uploaded."""
        path = self.folder / entry.file
        return path.is_file() and sha256(path) == entry.sha256

    def write(self, *changed: Entry) -> None:
        """Add entries, or replace those with the same competition and ref. Raises EnsembleError."""
        try:
            with locked(self.folder / f".{NAME}.lock"):
                entries = [*self.entries(), *changed]
                by_ref = {(entry.competition, entry.ref): entry for entry in entries}
                if by_ref:
                    rows = [list(Entry.model_fields), *map(_row, by_ref.values())]
                    write_text(self.path, as_csv(rows))
        except OSError as error:
            raise SubmissionError(not_written(self.path, error)) from None

    def check_writable(self) -> None:
        """Write the ledger again as it is: what cannot be recorded must not be sent.

        Raises EnsembleError.
        """
        self.write()


def _entry(row: dict[str, str]) -> Entry:
    """Empty cells are left to the defaults. Raises ValidationError."""
    return Entry.model_validate({column: cell for column, cell in row.items() if cell})


def _row(entry: Entry) -> list[Any]:
    """Every text on one line, in what UTF-8 can hold: a command-line argument need not be UTF-8."""
    return [
        " ".join(cell.split()).encode("utf-8", "replace").decode()
        if isinstance(cell, str)
        else cell
        for _, cell in entry
    ]
