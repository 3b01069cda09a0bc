"""The CSVs of a training: every number with six digits."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from ensemble.events import EpochEnded
from ensemble.runs import history_of, publish, writer

HISTORY = [
    EpochEnded("a-1-s0", "frozen", 1, 1, 1.25, 1.1, 0.5, 2.5, True),
    EpochEnded("a-1-s0", "unfrozen", 2, 2, 0.75, 0.9, 0.625, 5.123456789, True),
    EpochEnded("a-1-s0", "unfrozen", 3, 2, 0.5, 0.95, 0.6, 5.0, False),
]


def test_history_has_a_row_per_epoch_with_six_digits(tmp_path):
    writer.write_history(tmp_path / "new", HISTORY)
    text = (tmp_path / "new" / "history.csv").read_bytes().decode()
    assert text == (
        "epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best\n"
        "1,frozen,1.25,1.1,0.5,2.5,1\n"
        "2,unfrozen,0.75,0.9,0.625,5.12346,1\n"
        "3,unfrozen,0.5,0.95,0.6,5,0\n"
    )


def test_the_metric_has_a_column_of_its_name_that_reads_back(tmp_path, fake_run):
    run = fake_run(tmp_path, "a-1-s0")
    run = run.model_copy(update={"data": run.data.model_copy(update={"metric": "map@5"})})
    publish(run)
    scores = (0.75, None, 0.8125)
    history = [
        replace(row, metric="map@5", score=score)
        for row, score in zip(HISTORY, scores, strict=True)
    ]
    writer.write_history(run.folder, history)
    header, first, second, _ = (run.folder / "history.csv").read_text().splitlines()
    assert header == "epoch,phase,map@5,train_loss,valid_loss,accuracy,seconds,is_best"
    assert first == "1,frozen,0.75,1.25,1.1,0.5,2.5,1"
    assert second.startswith("2,unfrozen,,0.75,")
    assert [(row.metric, row.score) for row in history_of(run)] == [
        ("map@5", score) for score in scores
    ]


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc", None])
def test_a_history_without_a_column_of_the_metric_still_reads(metric, tmp_path, fake_run):
    run = fake_run(tmp_path, "a-1-s0")
    run = run.model_copy(update={"data": run.data.model_copy(update={"metric": metric})})
    writer.write_history(
        run.folder, [replace(row, metric="accuracy", score=0.5) for row in HISTORY]
    )
    header = (run.folder / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best"
    assert [row.accuracy for row in history_of(run)] == [0.5, 0.625, 0.6]
    assert all(row.score is None for row in history_of(run))


def test_the_range_test_has_a_row_per_point(tmp_path):
    rates, losses = np.geomspace(1e-7, 10, 30), np.linspace(2, 1, 30)
    writer.write_range_test(tmp_path, list(zip(rates, losses, strict=True)))
    with (tmp_path / "lr_find.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["rate", "smoothed_loss"]
    assert np.allclose([float(row["rate"]) for row in rows], rates, rtol=1e-5)
    assert np.allclose([float(row["smoothed_loss"]) for row in rows], losses, rtol=1e-5)
