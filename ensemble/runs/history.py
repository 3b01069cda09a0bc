"""What a finished training left beside run.json: the epochs of history.csv."""

import csv
from contextlib import suppress

from ensemble.events import EpochEnded
from ensemble.runs.run import Run


def history_of(run: Run) -> tuple[EpochEnded, ...]:
    """The rows of history.csv; empty where there is none, or none that can be read."""
    with suppress(ValueError, KeyError, TypeError):
        rows = list(csv.DictReader(run.text("history.csv").splitlines()))
        return tuple(
            EpochEnded(
                run.id, row["phase"], int(row["epoch"]), len(rows), float(row["train_loss"]), float(row["valid_loss"]),
                float(row["accuracy"]), float(row["seconds"]), row["is_best"] == "1",
            )
            for row in rows
        )  # fmt: skip
    return ()
