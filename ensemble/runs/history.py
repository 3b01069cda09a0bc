"""The curves beside run.json as text and as rows: epochs in history.csv, points in lr_find.csv."""

import csv
import math
import os
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from ensemble.errors import DamagedError
from ensemble.events import EpochEnded
from ensemble.files import as_csv, reason_of
from ensemble.runs.run import StoredRun

MAX_ROWS = 100_000
LARGEST_DRAWN = 1e12  # a diverged loss may be anything, but no axis ends at 1e308
COLUMNS = ("epoch", "phase", "train_loss", "valid_loss", "accuracy", "seconds", "is_best")


OptionalShare = Annotated[
    Annotated[float, Field(ge=0, le=1)] | None, BeforeValidator(lambda cell: cell or None)
]


class _Epoch(BaseModel):
    phase: str = Field(max_length=100)
    epoch: int = Field(ge=1, le=MAX_ROWS)
    train_loss: float
    valid_loss: float
    accuracy: OptionalShare = None
    seconds: float = Field(ge=0, le=1e12)
    is_best: bool
    score: Annotated[float | None, BeforeValidator(lambda cell: cell or None)] = None


class _Point(BaseModel):
    rate: float = Field(gt=0, le=1e6)
    smoothed_loss: float


_EPOCHS, _POINTS = TypeAdapter(list[_Epoch]), TypeAdapter(list[_Point])


def history_csv(history: Sequence[EpochEnded]) -> str:
    """The text of history.csv: a row per epoch, numbers with six digits.

    A metric other than accuracy has a column of its name, the first of the scores, empty where
    predictions were not finite.
    """
    metric = history[0].metric if history else ""
    extra = [metric] if _has_column(metric) else []
    rows: list[list[Any]] = [[*COLUMNS[:2], *extra, *COLUMNS[2:]]]
    for epoch in history:
        amounts = (epoch.train_loss, epoch.valid_loss, epoch.accuracy, epoch.seconds)
        cells = ["" if amount is None else f"{amount:.6g}" for amount in amounts]
        score = ["" if epoch.score is None else f"{epoch.score:.6g}"] * len(extra)
        rows.append([epoch.epoch, epoch.phase, *score, *cells, int(epoch.is_best)])
    return as_csv(rows)


def _has_column(metric: str | None) -> bool:
    """Whether a metric has a column of its own."""
    return bool(metric) and metric not in COLUMNS


def range_test_csv(points: Sequence[tuple[float, float]]) -> str:
    """The text of lr_find.csv: a row per rate."""
    return "rate,smoothed_loss\n" + "".join(f"{rate:.6g},{loss:.6g}\n" for rate, loss in points)


def history_of(run: StoredRun) -> tuple[EpochEnded, ...]:
    """The rows of history.csv; empty without the file. Raises DamagedError."""
    metric = run.data.metric if _has_column(run.data.metric) else None
    epochs = _read(run, "history.csv", _EPOCHS, metric)
    return tuple(
        EpochEnded(
            run=run.id,
            n_epochs=len(epochs),
            metric=metric or "",
            **dict(row),
        )
        for row in epochs
    )


def drawable(loss: float) -> float:
    """A loss as a curve shows it: nan, a gap, where training diverged beyond every axis."""
    return loss if abs(loss) <= LARGEST_DRAWN else math.nan


def range_test_of(run: StoredRun) -> tuple[tuple[float, float], ...]:
    """The rates and smoothed losses of lr_find.csv whose loss can be drawn; empty without the file.

    Raises DamagedError.
    """
    points = [(row.rate, row.smoothed_loss) for row in _read(run, "lr_find.csv", _POINTS)]
    return tuple(point for point in points if abs(point[1]) <= LARGEST_DRAWN)


def _read(
    run: StoredRun, name: str, rows: TypeAdapter[list[Any]], metric: str | None = None
) -> list[Any]:
    """The rows of a CSV of a run; none without the file. The metric's column is the score.

    Raises DamagedError.
    """
    path = run.folder / name
    if not os.path.lexists(path):
        return []
    try:
        cells = list(csv.DictReader(run.read_text(name).splitlines()))
        return rows.validate_python([{**row, "score": row.get(metric or "")} for row in cells])
    except ValidationError as error:
        problem = error.errors()[0]
        row, *keys = problem["loc"]
        key = ".".join(map(str, keys))[:60]
        cell = str(problem["input"])[:40]
        raise DamagedError(
            f"{path}: line {int(row) + 2}: {key} is missing or wrong ({cell!r})"
        ) from None
    except csv.Error as error:
        raise DamagedError(f"{path}: cannot be read ({reason_of(error)})") from None
