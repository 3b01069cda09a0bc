"""`ens train --track`: every epoch and the finished run are in the trackers' own files, and training stays the same."""

import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cut_off import CutOff, cut_off_after

from ensemble.engines.local import train_all
from ensemble.engines.processes import Processes
from ensemble.events import ignore
from ensemble.runs import RunStore
from ensemble.runs.history import history_of
from ensemble.runs.job import jobs_of
from ensemble.tracking import tracked, viewers

pytestmark = pytest.mark.slow
BLOCK, HEADER = 32768, 7  # of wandb's file, a log as LevelDB writes it
CHECK = "from ensemble.tracking import check_installed; check_installed(['wandb'])"


@pytest.fixture
def train(recipe_of, tmp_path):
    """train(tracker, *overrides): the runs that training leaves in tmp_path/tracked/runs."""

    def train(tracker, *overrides, emit=ignore, force=False, engine=None, folder="tracked"):
        jobs, store = jobs_of([recipe_of(*overrides)]), RunStore(tmp_path / folder / "runs")
        with tracked([tracker] if tracker else [], jobs, store, emit) as listen:
            runs, failures = train_all(jobs, store, listen, force, engine)
        assert failures == []
        return runs

    return train


def expected(run):
    """By name, the value after each epoch of history.csv."""
    rows = history_of(run)
    names = ("train_loss", "valid_loss", "accuracy", "seconds")
    return {name: [(row.epoch, getattr(row, name)) for row in rows] for name in names}


def logged(run):
    """By name, what TensorBoard reads of a run after each epoch; and the tags of the run as a whole."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder.parents[1] / "tensorboard" / run.id))
    events.Reload()
    scalars = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    return scalars, events.SummaryMetadata


@pytest.fixture
def tensorboard():
    """Its name, where the package is installed."""
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    return "tensorboard"


def check_tensorboard(run):
    """That TensorBoard has each epoch of history.csv once, and the row of the leaderboard."""
    scalars, _ = logged(run)
    for name, values in expected(run).items():
        steps, stored = zip(*scalars[name], strict=True)
        assert steps == tuple(epoch for epoch, _ in values)
        assert stored == pytest.approx([value for _, value in values], rel=1e-3, abs=1e-4), name
    row = {name: scalars[f"run/{name}"][-1][1] for name in ("accuracy", "log_loss")}
    assert row == pytest.approx(run.scores.model_dump(include=set(row)), rel=1e-5)


def test_tensorboard_has_every_epoch_and_training_stays_the_same(train, tensorboard):
    (plain,) = train(None, "fit.epochs=3", folder="plain")
    (run,) = train(tensorboard, "fit.epochs=3")
    check_tensorboard(run)
    assert run.files == plain.files | {"history.csv": run.files.get("history.csv")}


def test_the_command_that_shows_the_logs_comes_last(train, tensorboard, tmp_path):
    (run,) = train(tensorboard, "fit.epochs=1")
    (command,) = viewers([tensorboard], RunStore(tmp_path / "tracked" / "runs"))
    assert (Path(command.split()[-1]) / run.id).is_dir()
    assert viewers(["wandb"], RunStore(tmp_path)) == []


def test_a_training_that_was_cut_off_goes_on_in_the_same_log(train, tensorboard, tmp_path):
    overrides = ("fit.strategy=fine_tune", "fit.frozen_epochs=2", "fit.epochs=2")
    with pytest.raises(CutOff):
        train(tensorboard, *overrides, emit=cut_off_after(3))
    (run,) = train(tensorboard, *overrides)
    check_tensorboard(run)
    assert len(list((tmp_path / "tracked" / "tensorboard" / run.id).iterdir())) > 2


def test_a_finished_run_adds_nothing_and_force_replaces_its_log(train, tensorboard):
    (run,) = train(tensorboard, "fit.epochs=3")
    before, _ = logged(run)
    (skipped,) = train(tensorboard, "fit.epochs=3")
    assert logged(skipped)[0] == before
    (again,) = train(tensorboard, "fit.epochs=3", force=True)
    check_tensorboard(again)


def test_folds_and_seeds_in_several_processes_have_a_log_each(train, tensorboard, tmp_path):
    overrides = ("fit.epochs=2", "data.valid={folds: 2}", "seeds=[3, 4]")
    runs = train(tensorboard, *overrides, engine=Processes(2, 1))
    folds = [fold for run in runs for fold in run.folds]
    assert len(folds) == 4
    for fold in folds:
        check_tensorboard(fold)
    logs = (tmp_path / "tracked" / "tensorboard").iterdir()
    assert sorted(log.name for log in logs) == sorted(fold.id for fold in folds)


def test_tensorboard_gets_what_the_recipe_sets(train, tensorboard):
    (run,) = train(tensorboard, "fit.epochs=1", "tta=[flip]")
    _, metadata = logged(run)
    from tensorboard.plugins.hparams import metadata as hparams

    start = metadata(hparams.SESSION_START_INFO_TAG).plugin_data.content
    settings = hparams.parse_session_start_info_plugin_data(start).hparams
    assert settings["model.arch"].string_value == run.arch
    assert settings["fit.epochs"].number_value == 1
    assert json.loads(settings["tta"].string_value) == ["flip"]
    assert settings["seed"].number_value == 0


def wandb_records(log):
    """The records of a .wandb file: blocks of chunks, each with a checksum, its length and its place in a record."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, chunks = log.read_bytes(), HEADER, b""
    while position < len(content):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        length, place = struct.unpack_from("<HB", content, position + 4)
        chunks += content[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if place in (1, 4):  # a whole record, or its last chunk
            yield Record.FromString(chunks)
            chunks = b""


def whole_log(log):
    """All records of a .wandb file: wandb's own process still writes when `finish` has returned."""
    for _ in range(100):
        records = list(wandb_records(log))
        if records and records[-1].HasField("exit"):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{log} has no end")


def values_of(items):
    """JSON values by name."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_wandb_offline_has_every_epoch_and_training_stays_the_same(train, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    (plain,) = train(None, "fit.epochs=3", folder="plain")
    with pytest.raises(CutOff):
        train("wandb", "fit.epochs=3", emit=cut_off_after(2))
    (run,) = train("wandb", "fit.epochs=3")
    assert run.files["model.safetensors"] == plain.files["model.safetensors"]
    logs = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert [log.name for log in logs] == [f"run-{run.id}.wandb"] * 2
    records = [record for log in logs for record in whole_log(log)]
    rows = [values_of(record.history.item) for record in records if record.history.item]
    for name, values in expected(run).items():
        assert [row["epoch"] for row in rows] == [epoch for epoch, _ in values]
        stored = [row[name] for row in rows]
        assert stored == pytest.approx([value for _, value in values], rel=1e-3, abs=1e-4), name
    summary = [values_of(record.summary.update) for record in records if record.summary.update]
    row = {name: value for update in summary for name, value in update.items()}
    assert row["run/accuracy"] == run.scores.accuracy
    config = [values_of(record.run.config.update) for record in records if record.run.run_id]
    assert {settings["model.arch"] for settings in config} == {run.arch}


def test_wandb_without_a_key_is_an_error_before_training_and_offline_needs_none(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    variables = {name: value for name, value in os.environ.items() if "WANDB" not in name}
    variables |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    for mode, status in (("online", 1), ("offline", 0)):
        command = [sys.executable, "-c", CHECK]
        ended = subprocess.run(
            command,
            env=variables | {"WANDB_MODE": mode},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == status, ended.stderr
        assert ("--track wandb: No API key configured" in ended.stderr) == (mode == "online")
        assert ("WANDB_MODE=offline" in ended.stderr) == (mode == "online")
