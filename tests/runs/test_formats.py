"""Runs of format 1, written by the version before, are listed, blended, verified and reported.

format1/ holds a run that this version's predecessor trained (without its weights), one that it
imported, and the submission that it blended from both.
"""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from ensemble.errors import DamagedError
from ensemble.runs import RunStore, StoredRun, TrainingRecord, publish, read_run

STORED = Path(__file__).parent / "format1"
TRAINED, IMPORTED = "tiny-a9690b77-s0", "mine-0963af6d-s0"


@pytest.fixture
def ens(ens, tmp_path, monkeypatch):
    """ens(command): stdout of a command beside a copy of the old runs; it must succeed."""
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    return lambda command: ens(*shlex.split(command))


def test_a_record_holds_what_format_1_held_among_the_fields_of_the_run():
    run = read_run(STORED / "runs" / TRAINED / "run.json")
    stored = json.loads((run.folder / "run.json").read_text())
    assert stored["format"] == 1
    since_then = {"scale": None}
    assert run.training.model_dump(mode="json") == since_then | {
        name: stored[name] for name in TrainingRecord.model_fields if name not in since_then
    }
    row = run.as_row()
    assert row.pop("scale", "") is None
    assert row["data"].items() >= stored["data"].items()
    assert row["scores"].items() >= stored["scores"].items()
    grown = {key: stored[key] for key in ("data", "scores")}
    assert row | grown == stored | {"format": 2}
    assert run.total_seconds == pytest.approx(1.33)


def test_an_imported_run_has_no_record_instead_of_zeros():
    run = read_run(STORED / "runs" / IMPORTED / "run.json")
    assert run.training is None
    assert run.total_seconds == 0
    assert not run.is_epoch_chosen


def test_a_run_of_format_1_is_written_again_as_format_2(tmp_path):
    shutil.copytree(STORED / "runs", tmp_path, dirs_exist_ok=True)
    for run in RunStore(tmp_path).finished():
        publish(run)
        again = read_run(run.folder / "run.json")
        stored = json.loads((run.folder / "run.json").read_text())
        assert again == run
        assert stored["format"] == 2
        assert (stored["training"] is None) == (run.id == IMPORTED)


def test_they_are_listed_with_the_same_fields_in_json(ens):
    assert "2 of 2" in ens("runs") or TRAINED in ens("runs")
    imported, trained = json.loads(ens("runs --json"))
    stored = json.loads((Path("runs") / TRAINED / "run.json").read_text())
    assert trained.keys() >= stored.keys()
    assert imported.keys() == trained.keys()
    assert trained["lr"] == stored["lr"]
    assert imported["lr"] is None


def test_their_submission_is_verified_and_blended_again_to_the_same_bytes(ens):
    assert "same bytes when computed again from 2 members" in ens("verify submissions/old.csv")
    ens("blend --name new")
    old, new = (Path("submissions") / f"{name}.csv" for name in ("old", "new"))
    assert new.read_bytes() == old.read_bytes()


def test_they_are_reported(ens):
    ens("report -o page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert TRAINED in page
    assert "4.22e-03" in page  # its rate
    assert "ens import" in page


@pytest.mark.parametrize(
    ("field", "content", "problem"),
    [
        ("lr", -1, "lr is missing or wrong"),
        ("seconds", {"data": -1}, "seconds.data is missing or wrong"),
        ("n_epochs", None, "n_epochs is missing or wrong"),
        ("scores", {}, "scores.accuracy is missing or wrong"),
        ("format", 0, "format 0, this version reads 1 and 2; use the version"),
    ],
)
def test_a_damaged_key_of_format_1_is_named_as_the_file_has_it(field, content, problem, tmp_path):
    shutil.copytree(STORED / "runs" / TRAINED, tmp_path / TRAINED)
    path = tmp_path / TRAINED / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: content}))
    with pytest.raises(DamagedError) as refused:
        read_run(path)
    assert str(refused.value).startswith(f"{path}: {problem}")


class LongerRecord(TrainingRecord):
    """A record with one more field, as the next version may have it."""

    n_restarts: int


class LongerRun(StoredRun):
    """A run with that record."""

    training: LongerRecord | None


def test_one_more_field_of_the_record_is_stored_read_and_listed(tmp_path, fake_run, monkeypatch):
    run = fake_run(tmp_path, "a-1-s0")
    record = LongerRecord(**dict(run.training), n_restarts=3)
    longer = LongerRun(**{**dict(run), "training": record})
    publish(longer)
    monkeypatch.setattr("ensemble.runs.read.StoredRun", LongerRun)
    again = RunStore(tmp_path).get("a-1-s0")
    assert again == longer
    assert again.as_row()["n_restarts"] == 3
