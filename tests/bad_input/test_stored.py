"""Stored files of the right form with values that nothing writes: each is named and left out, the rest goes on."""

import json
import math
import os
import shlex
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from ensemble.events import EpochEnded
from ensemble.files import sha256
from ensemble.reporting.collect import collect
from ensemble.reporting.figures import plot_loss
from ensemble.reporting.svg import inline_svg
from ensemble.runs import RunStore, history_of, writer
from ensemble.submission.stored_blends import newest_blends

BAD = Path("runs", "bad-1-s0", "run.json")


@pytest.fixture
def ens(work, run_ens):
    """ens(command): exit status, stdout and stderr."""

    def ens(command):
        status, out, err = run_ens(*shlex.split(command))
        assert "Traceback" not in err
        return status, out, err

    return ens


def change(path, *keys_and_value):
    """Set one value deep in a JSON file; text that Python's json writes, such as Infinity, is kept."""
    *keys, last, value = keys_and_value
    values = json.loads(path.read_text())
    section = values
    for key in keys:
        section = section[key]
    section[last] = value
    path.write_text(json.dumps(values))


def in_run(*keys_and_value):
    return lambda: change(BAD, *keys_and_value)


def other_classes():
    change(BAD, "classes", ["a", "b", "x"])


def other_test_classes():
    path = BAD.parent / "test.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"classes": np.array(["a", "b", "x"])}))
    change(BAD, "files", "test.npz", sha256(path))


RUNS = {
    "fold 0 of none": (in_run("fold", 0), "fold 0 of n_folds None"),
    "folds without a fold": (in_run("n_folds", 5), "fold None of n_folds 5"),
    "one fold": (
        lambda: (change(BAD, "fold", 0), change(BAD, "n_folds", 1)),
        "n_folds is missing or wrong",
    ),
    "a fold too many": (
        lambda: (change(BAD, "fold", 5), change(BAD, "n_folds", 5)),
        "fold 5 of n_folds 5",
    ),
    "a fold below 0": (in_run("fold", -1), "fold is missing or wrong"),
    "a fold that the id lacks": (
        lambda: (change(BAD, "fold", 1), change(BAD, "n_folds", 2)),
        "fold 1 in a run that",
    ),
    "classes of other predictions": (
        other_classes,
        "its classes are not those of run.json: 'c', 'x'",
    ),
    "test classes of other predictions": (
        other_test_classes,
        "test.npz: its classes are not those of run.json",
    ),
    "a class twice": (in_run("classes", ["a", "b", "c", "a"]), "a name appears twice"),
    "a majority of 2": (in_run("data", "majority", 2), "data.majority is missing or wrong"),
    "images below 0": (in_run("data", "n_train", -1), "data.n_train is missing or wrong"),
    "10^400 images": (in_run("data", "n_train", 10**400), "data.n_train is missing or wrong"),
    "other rows": (
        in_run("data", "n_valid", 7),
        "states 7 readable validation images, valid.npz has 200 rows",
    ),
    "no readable row": (
        lambda: (
            change(BAD, "data", "n_valid", 1),
            change(BAD, "data", "unreadable", {"valid": ["x"]}),
        ),
        "no validation image was readable",
    ),
    "class counts below 0": (
        in_run("data", "class_counts", {"a": -3}),
        "data.class_counts.a is missing or wrong",
    ),
    "10^400 parameters": (
        in_run("training", "n_trainable", 10**400),
        "training.n_trainable is missing or wrong",
    ),
    "a rate of 1e308": (in_run("training", "lr", 1e308), "training.lr is missing or wrong"),
    "a rate below 0": (in_run("training", "lr", -0.1), "training.lr is missing or wrong"),
    "seconds below 0": (
        in_run("training", "seconds", {"train": -5}),
        "training.seconds.train is missing or wrong",
    ),
    "seconds of 1e300": (
        in_run("training", "seconds", {"train": 1e300}),
        "training.seconds.train is missing or wrong",
    ),
    "a log loss of 1e300": (
        in_run("scores", "log_loss", 1e300),
        "scores.log_loss is missing or wrong",
    ),
    "epochs below 0": (in_run("training", "n_epochs", -1), "training.n_epochs is missing or wrong"),
    "a best epoch of 10^400": (
        in_run("training", "best_epoch", 10**400),
        "training.best_epoch is missing or wrong",
    ),
    "threads below 0": (in_run("training", "threads", -1), "training.threads is missing or wrong"),
    "a file name of 5,000 letters": (in_run("files", {"f" * 5000: "0"}), "is missing"),
    "a sample's path with a NUL": (
        in_run("data", "sample_submission", "a\0b"),
        "data.sample_submission: a path cannot contain",
    ),
    "a seed of 10^400": (in_run("seed", 10**400), "seed is missing or wrong"),
}


@pytest.mark.parametrize("case", RUNS)
def test_a_run_of_impossible_values_is_named_and_the_others_are_listed_and_blended(
    case, ens, fake_run
):
    damage, reason = RUNS[case]
    fake_run("runs", "bad-1-s0")
    fake_run("runs", "good-1-s0")
    damage()
    code, out, _ = ens("runs")
    assert code == 0
    assert reason in out
    assert "good-1-s0" in out
    code, out, err = ens("blend --skip-damaged")
    assert code == 0
    assert reason in err
    assert "1 run on made-up" in out
    code, _, err = ens("blend")
    assert code == 1
    assert reason in err


HISTORY = "epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best\n1,train,0.5,0.5,0.9,1,1\n"
CURVES = {
    "a training loss that is text": (
        "history.csv",
        HISTORY + "2,train,low,0.5,0.9,1,0\n",
        "line 3: train_loss",
    ),
    "a validation loss of nothing": (
        "history.csv",
        HISTORY + "2,train,0.5,,0.9,1,0\n",
        "line 3: valid_loss",
    ),
    "4 MB of epochs": ("history.csv", HISTORY + "\n" * (1 << 22), "bytes, 4,194,304 are allowed"),
    "an accuracy of 9": ("history.csv", HISTORY + "2,train,0.5,0.5,9,1,0\n", "line 3: accuracy"),
    "epoch 10^400": (
        "history.csv",
        HISTORY + f"{10**400},train,0.5,0.5,0.9,1,0\n",
        "line 3: epoch",
    ),
    "epoch -1": ("history.csv", HISTORY + "-1,train,0.5,0.5,0.9,1,0\n", "line 3: epoch"),
    "seconds below 0": ("history.csv", HISTORY + "2,train,0.5,0.5,0.9,-1,0\n", "line 3: seconds"),
    "a row too short": ("history.csv", HISTORY + "2,train\n", "line 3: train_loss"),
    "no such columns": ("history.csv", "a,b\n1,2\n", "line 2: phase"),
    "a picture": ("history.csv", b"\x89PNG\xff", "cannot be read"),
    "a rate of 0": ("lr_find.csv", "rate,smoothed_loss\n0,1\n", "line 2: rate"),
    "a rate of 1e300": ("lr_find.csv", "rate,smoothed_loss\n1e300,1\n", "line 2: rate"),
    "a rate that is text": ("lr_find.csv", "rate,smoothed_loss\nfast,1\n", "line 2: rate"),
    "a loss that is text": (
        "lr_find.csv",
        "rate,smoothed_loss\n0.1,low\n",
        "line 2: smoothed_loss",
    ),
}


@pytest.mark.parametrize("case", CURVES)
def test_a_curve_of_impossible_values_is_named_and_the_report_goes_on(case, work, fake_run, write):
    name, content, reason = CURVES[case]
    run = fake_run("runs", "bad-1-s0")
    write(run.folder / name, content)
    report = collect(RunStore().all(), {}, lambda *_: None)
    assert [name in folder.reason and reason in folder.reason for folder in report.damaged] == [
        True
    ]
    assert [view.run.id for group in report.groups for view in group.runs] == ["bad-1-s0"]


DIVERGED = [math.nan, math.inf, -math.inf, 1e308, 1e13]


@pytest.mark.parametrize("loss", DIVERGED)
@pytest.mark.parametrize("n_epochs", [1, 3])
def test_an_epoch_that_diverged_is_no_damage_and_its_loss_is_not_drawn(
    loss, n_epochs, work, fake_run
):
    run = fake_run("runs", "wild-1-s0")
    epochs = [
        EpochEnded(run.id, "train", 1 + i, n_epochs, loss, loss if i else 0.5, 0.9, 1, i == 0)
        for i in range(n_epochs)
    ]
    writer.write_history(run.folder, epochs)
    stored = history_of(run)
    assert [row.train_loss for row in stored] == pytest.approx([loss] * n_epochs, nan_ok=True)
    report = collect(RunStore().all(), {}, lambda *_: None)
    assert report.damaged == ()
    svg = str(inline_svg(plot_loss, stored))
    assert "nan" not in svg.partition(">")[2]
    assert "e+" not in svg.partition(">")[2]
    assert len(svg) < 20_000


MANIFEST = Path("submissions", "s.json")
MANIFESTS = {
    "a weight of 10^400": (("members", 0, "weight", 10**400), "members.0.weight"),
    "a weight below 0": (("members", 0, "weight", -1), "members.0.weight"),
    "a weight of text": (("members", 0, "weight", "heavy"), "members.0.weight"),
    "1.5 of an architecture": (("options", "per_arch", 1.5), "options.per_arch"),
    "an architecture less": (
        ("options", "per_arch", -1),
        "options: --per-arch -1: 0 (no limit) or more",
    ),
    "a threshold of 7": (
        ("options", "min_acc", 7),
        "options: --min-acc 7.0: from 0 to 1 is allowed",
    ),
    "members of text": (("members", "all"), "members"),
    "no members": (("members", []), "members"),
    "a temperature of 10^400": (
        ("calibration", {"temperature": 10**400, "floor": 0}),
        "calibration.temperature",
    ),
    "options that are a list": (("options", []), "(options is missing or wrong)"),
    "options that are a number": (("options", 7), "(options is missing or wrong)"),
    "fewer members than none": (
        ("options", "max_members", -2),
        "options: --max-members -2: 0 (no limit) or more",
    ),
    "no way of averaging": (("options", {}), "options: average is missing"),
    "refits of 7": (("refits", 7), "refits"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_of_impossible_values_is_refused_and_no_report_follows_it(case, ens, fake_run):
    where, key = MANIFESTS[case]
    for name in ("a-1-s0", "b-1-s0"):
        fake_run("runs", name)
    assert ens("blend --name s")[0] == 0
    assert len(newest_blends(Path("submissions"))) == 1
    change(MANIFEST, *where)
    code, _, err = ens("verify submissions/s.csv")
    assert code == 1
    assert "s.json: not a manifest that `ens blend` wrote" in err
    assert key in err
    assert newest_blends(Path("submissions")) == {}


PLACES = {
    "submissions": ("blend", "submissions"),
    "a CSV's folder": ("blend --out taken", "taken"),
    "a report's folder": ("report -o taken/report.html", "taken"),
    "charts": ("inspect r.yaml --out taken", "taken"),
    "recipes": ("init pictures/train", "recipes"),
    "runs": ("train r.yaml --runs taken", "taken"),
    "imported runs": ("import x --arch y --valid v.npz --runs taken", "taken"),
}


@pytest.mark.parametrize("case", PLACES)
def test_a_folder_that_cannot_be_made_is_named_with_the_ways_out(
    case, ens, folders, fake_run, write
):
    command, taken = PLACES[case]
    run = fake_run("runs", "a-1-s0")
    write("v.npz", (run.folder / "valid.npz").read_bytes())
    write(
        "r.yaml",
        "data: {source: folder, path: pictures, valid: val, test: test}\nmodel: {arch: resnet18}\n",
    )
    write(taken, "a file")
    code, _, err = ens(command)
    message = err.partition("error: ")[2]
    assert code == 1
    assert taken in message
    assert "--runs" in message
    assert message.count("\n") <= 3


CACHES = {
    "pixels": "data: {source: folder, path: pictures, valid: val}",
    "digits": "data: {source: digits, valid: 0.2}",
    "an archive": "data: {source: folder, path: pictures.zip, valid: val}",
}


@pytest.mark.parametrize("cache", ["taken", "taken/deeper"])
@pytest.mark.parametrize("case", CACHES)
def test_a_cache_that_cannot_be_made_is_named_with_the_way_out(
    case, cache, ens, folders, write, monkeypatch
):
    import shutil

    shutil.make_archive("pictures", "zip", "pictures")
    write("taken", "a file")
    write(
        "r.yaml",
        f"{CACHES[case]}\nmodel: {{arch: test_resnet, pretrained: false}}\nfit: {{strategy: scratch}}\n",
    )
    monkeypatch.setenv("ENS_CACHE", os.path.abspath(cache))
    code, _, err = ens("train r.yaml")
    message = err.partition("error: ")[2]
    assert code == 1
    assert "taken" in message
    assert "set ENS_CACHE to a writable folder" in message
    assert message.count("\n") <= 3


SEARCHES = {
    "half": lambda raw: raw[: len(raw) // 2],
    "a page too few": lambda raw: raw[:-4096],
    "a head": lambda raw: raw[:100],
    "a picture": lambda raw: b"\x89PNG" + raw[4:],
    "a table's name not in UTF-8": lambda raw: raw.replace(
        b"CREATE TABLE studies", b"CREATE TABLE st\xdadies", 1
    ),
    "zeros inside": lambda raw: raw[:5000] + bytes(4096) + raw[9096:],
}


@pytest.mark.parametrize("case", SEARCHES)
def test_a_search_that_cannot_be_read_is_named_with_the_way_out(case, work):
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    from ensemble.engines.study import open_database
    from ensemble.errors import EnsembleError

    path = work / "s.db"
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{path}")
    study.enqueue_trial({"x": 1.0})
    assert len(open_database(path, "s", "minimize").get_trials()) == 1
    path.write_bytes(SEARCHES[case](path.read_bytes()))
    with pytest.raises(
        EnsembleError, match=r"s.db: this search cannot be read \(.*\)\nmove the file away"
    ):
        open_database(path, "s", "minimize")


def test_a_search_of_another_table_is_named(work):
    pytest.importorskip("optuna", reason="Optuna is not installed")
    from ensemble.engines.study import open_database
    from ensemble.errors import EnsembleError

    with sqlite3.connect(work / "s.db") as database:
        database.execute("CREATE TABLE studies (x INT)")
    database.close()
    with pytest.raises(EnsembleError, match=r"s.db: this search cannot be read"):
        open_database(work / "s.db", "s", "minimize")


CASES = (
    RUNS
    | {f"a curve of {name}": case for name, case in CURVES.items()}
    | MANIFESTS
    | PLACES
    | CACHES
    | SEARCHES
)
