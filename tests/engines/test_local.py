"""Runs one after the other: what is finished is skipped, failures stay apart, processes share the work."""

import csv
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image

import ensemble
from ensemble.dataset.load import load
from ensemble.engines.jobs import Failure
from ensemble.engines.local import find_rate, train_all
from ensemble.events import EpochEnded, Note, RunEnded, RunFailed, RunLeft, RunStarted, Step, ignore
from ensemble.files import sha256
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore
from ensemble.runs.job import Job, jobs_of
from ensemble.runs.writer import recipe_text

torch.set_num_threads(1)  # on busy cores two threads wait for each other

TINY = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}}
"""
FOLDER = Path(ensemble.__file__).parent.parent / "recipes"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.endswith(".base.yaml"))


@pytest.fixture
def images(tmp_path, tiny_images):
    tiny_images(tmp_path / "images" / "train")
    return tmp_path / "images"


@pytest.fixture
def recipe_of(tmp_path, images):
    """recipe_of(*overrides, name): a small recipe for the tiny images."""

    def recipe_of(*overrides, name="tiny"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(TINY.format(images=images))
        return Recipe.load(path, overrides)

    return recipe_of


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def trained(recipes, store, force=False):
    """Train these recipes; the runs, the failures and every event but steps."""
    events = []
    runs, failures = train_all(jobs_of(recipes), store, events.append, force)
    return runs, failures, [event for event in events if not isinstance(event, Step)]


def test_a_run_is_made_per_recipe_and_seed_each_once(recipe_of):
    first, second = recipe_of("seeds=[0, 7]", name="one"), recipe_of(name="two")
    ids = [job.run_id for job in jobs_of([first, second, first])]
    assert ids == [f"one-{first.digest}-s0", f"one-{first.digest}-s7", f"two-{second.digest}-s0"]
    assert first.digest == second.digest == recipe_of("resources.gpu=0.5").digest
    assert recipe_of("fit.epochs=2").digest != first.digest


def test_a_finished_run_is_skipped_and_stays_as_it_is(recipe_of, store):
    (run,), failures, events = trained([recipe_of()], store)
    assert failures == []
    assert [type(event) for event in events] == [RunStarted, Note, Note, EpochEnded, RunEnded]
    stored = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.folder.iterdir()}
    (again,), failures, events = trained([recipe_of("resources.gpu=0.5")], store)
    assert again == run
    assert failures == []
    assert events == [
        RunStarted(run.id, 1, 1),
        RunEnded(run.id, run.scores.accuracy, run.scores.log_loss, run.total_seconds, skipped=True),
    ]
    assert {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in run.folder.iterdir()
    } == stored


def test_a_finished_run_is_skipped_where_nothing_can_be_locked_or_written(recipe_of, store):
    (run,), *_ = trained([recipe_of()], store)
    shutil.rmtree(store.root / ".locks")
    (store.root / ".locks").write_text("in the way")
    (again,), failures, events = trained([recipe_of()], store)
    assert (again, failures, [type(event) for event in events]) == (run, [], [RunStarted, RunEnded])
    for recipe, force in ((recipe_of(), True), (recipe_of("fit.epochs=2"), False)):
        (failure,) = trained([recipe], store, force)[1]
        assert ".locks: cannot be written (File exists)" in failure.reason


def test_an_unfinished_run_is_trained_and_a_forced_one_again(recipe_of, store):
    (run,), *_ = trained([recipe_of()], store)
    (run.folder / "run.json").unlink()
    assert store.finished() == []
    (again,), _, events = trained([recipe_of()], store)
    assert any(isinstance(event, EpochEnded) for event in events)
    assert again.files == run.files | {"history.csv": again.files["history.csv"]}  # seconds differ
    _, _, events = trained([recipe_of()], store, force=True)
    assert any(isinstance(event, EpochEnded) for event in events)


def test_changed_images_are_reported_and_force_trains_again(recipe_of, store, images):
    (run,), *_ = trained([recipe_of()], store)
    picture = images / "train" / "blue" / "03.png"
    old = picture.read_bytes()
    Image.new("RGB", (32, 32), (1, 2, 3)).save(picture)
    runs, (failure,), events = trained([recipe_of()], store)
    assert runs == []
    assert failure.run_id == run.id
    assert failure.reason.startswith(f"{run.id} is finished, but its images have changed: contents")
    assert failure.reason.endswith("train it again with --force, or restore the old images")
    assert RunFailed(run.id, failure.reason) in events
    picture.unlink()
    _, (failure,), _ = trained([recipe_of()], store)
    now = load(recipe_of().data)
    counts = f"{len(now.train)} train, {len(now.valid)} valid, {len(now.test)} test"
    assert (
        f"it was trained on 38 train, 10 valid, 12 test; now there are {counts}\n" in failure.reason
    )
    picture.write_bytes(old)
    assert trained([recipe_of()], store)[0] == [run]
    picture.unlink()
    (forced,), failures, _ = trained([recipe_of()], store, force=True)
    assert failures == []
    assert forced.data.fingerprint != run.data.fingerprint
    assert store.get(run.id) == forced


def test_a_recipe_that_fails_is_reported_and_the_others_go_on(recipe_of, store):
    recipes = [
        recipe_of("model.arch=resnet43", name="misspelt"),
        recipe_of(name="good"),
        recipe_of("data.path=nowhere", name="lost"),
        recipe_of("fit.unfreeze_from=layer1", name="later"),
    ]
    runs, failures, events = trained(recipes, store)
    assert [run.recipe for run in runs] == ["good"]
    assert [failure.run_id.split("-")[0] for failure in failures] == ["misspelt", "lost", "later"]
    for failure, word in zip(
        failures,
        ("resnet34", "data.path: nowhere does not exist", "belongs to strategy gradual"),
        strict=True,
    ):
        assert isinstance(failure, Failure)
        assert word in failure.reason
        assert failure.reason.count("\n") < 3
        assert RunFailed(failure.run_id, failure.reason) in events
    assert store.finished() == runs
    assert [(event.number, event.total) for event in events if isinstance(event, RunStarted)] == [
        (1, 4),
        (2, 4),
        (3, 4),
        (4, 4),
    ]


def test_a_forced_run_that_fails_half_way_is_unfinished_not_half_new(recipe_of, store):
    (run,), *_ = trained([recipe_of()], store)
    (run.folder / "curves.png").unlink()
    (run.folder / "curves.png").mkdir()  # cannot be replaced by a file
    runs, (failure,), _ = trained([recipe_of()], store, force=True)
    assert runs == []
    assert "curves.png: cannot be written" in failure.reason
    assert store.finished() == []


def test_a_forced_run_that_cannot_start_leaves_the_old_one(recipe_of, store, images):
    (run,), *_ = trained([recipe_of()], store)
    for path in (images / "train").rglob("*.png"):
        path.write_bytes(b"not a picture")
    runs, failures, _ = trained([recipe_of()], store, force=True)
    assert (len(runs), len(failures)) == (0, 1)
    assert store.finished() == [run]


def test_run_json_holds_what_the_design_lists(recipe_of, store):
    recipe = recipe_of("fit.lr=find", "fit.strategy=fine_tune", "tta=flip", "seeds=[5]")
    (run,), *_ = trained([recipe], store)
    stored = json.loads((run.folder / "run.json").read_text())
    data, training = load(recipe.data), stored["training"]
    assert (stored["format"], stored["id"], stored["recipe"]) == (
        2,
        f"tiny-{recipe.digest}-s5",
        "tiny",
    )
    assert (stored["arch"], stored["strategy"], stored["seed"], stored["fold"]) == (
        "test_resnet",
        "fine_tune",
        5,
        None,
    )
    assert stored["digest"] == recipe.digest
    assert 0 <= stored["scores"]["accuracy"] <= 1
    assert stored["scores"]["log_loss"] > 0
    assert stored["classes"] == ["blue", "green", "red"]
    assert stored["data"]["fingerprint"] == data.fingerprint
    assert stored["data"]["valid"] == data.valid_fingerprint
    assert [stored["data"][part] for part in ("n_train", "n_valid", "n_test")] == [38, 10, 12]
    assert stored["data"]["majority"] == data.majority
    assert training["preprocessing"]["size"] == 32
    assert set(training["preprocessing"]) == {
        "size",
        "resize",
        "crop_pct",
        "interpolation",
        "mean",
        "std",
        "stored",
    }
    assert training["tta"] == ["flip"]
    assert (training["batch_size"], training["lr"]) == (16, training["lr_find"]["chosen"])
    assert set(training["lr_find"]["suggestions"]) == {"valley", "slide", "steep", "minimum"}
    assert (training["lr_find"]["rule"], training["lr_find"]["steps"]) == ("valley", 40)
    assert training["lr_find"]["share_of_run"] == 40 / 4
    assert training["phases"] == ["frozen 1", "unfrozen 1"]
    assert training["n_epochs"] == 2
    assert training["best_epoch"] in (1, 2)
    assert training["n_trainable"] == training["n_parameters"] > 100_000
    assert training["start"] == "random weights"
    assert stored["versions"] == {"ens": ensemble.__version__} | {
        name: version(name) for name in ("torch", "fastai", "timm", "numpy", "pillow")
    }
    assert training["device"]
    assert training["precision"] in ("fp32", "bf16", "fp16")
    assert training["threads"] == 1
    assert set(training["seconds"]) == {"data", "lr_find", "frozen", "unfrozen", "predict"}
    assert training["images_per_second"] > 0
    assert stored["created"].endswith("+00:00")
    assert set(stored["files"]) == {
        "recipe.yaml",
        "history.csv",
        "model.safetensors",
        "valid.npz",
        "test.npz",
    }
    assert all(sha256(run.folder / name) == digest for name, digest in stored["files"].items())
    assert {path.name for path in run.folder.iterdir()} == {
        "recipe.yaml",
        "history.csv",
        "curves.png",
        "lr_find.csv",
        "lr_find.png",
        "model.safetensors",
        "valid.npz",
        "test.npz",
        "run.json",
    }
    with (run.folder / "history.csv").open() as rows:
        assert [row["phase"] for row in csv.DictReader(rows)] == ["frozen", "unfrozen"]
    assert Run.load(run.id, store.root) == run
    assert run.valid().classes == run.classes
    assert run.test().targets is not None


def test_the_stored_recipe_is_the_resolved_one_with_the_same_digest(recipe_of, store):
    overrides = (
        "augment={flip: true, rotate: 5.0}",
        "model.head={pool: avg, hidden: [8], dropout: 0.1}",
        "tta=[flip]",
        "data.normalize=[[0.5, 0.5, 0.5], [0.2, 0.2, 0.2]]",
        "fit.lr={find: steep}",
        "fit.early_stop={patience: 3}",
    )
    recipe = recipe_of(*overrides)
    (run,), *_ = trained([recipe], store)
    stored = Recipe.load(run.folder / "recipe.yaml")
    assert stored.digest == run.digest == recipe.digest
    assert stored.model_copy(update={"name": recipe.name}) == recipe


def test_rows_left_out_are_said_in_the_training_and_counted_in_run_json(recipe_of, store, images):
    rows = ["id,label", "gone1,red", "gone2,blue"]
    rows += [f"{path.parent.name}/{path.name},{path.parent.name}" for path in images.rglob("*.png")]
    (images / "labels.csv").write_text("\n".join(rows[:-1]))
    recipe = recipe_of("data.source=csv", "data.skip_missing=true")
    (run,), failures, events = trained([recipe], store)
    assert not failures
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "labels.csv: 2 of 61 rows have no image and are left out: 'gone1', 'gone2'" in notes
    assert "train: 1 of 60 images have no row in labels.csv and are left out" in notes
    assert json.loads((run.folder / "run.json").read_text())["data"]["n_missing"] == 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_stored_as_what_it_is(path, tmp_path):
    recipe = Recipe.load(path)
    (tmp_path / path.name).write_text(recipe_text(recipe))
    assert Recipe.load(tmp_path / path.name) == recipe
    assert Recipe.load(tmp_path / path.name).digest == recipe.digest


def test_the_range_test_alone_stores_its_curve_and_no_run(recipe_of, tmp_path):
    range_test = find_rate(recipe_of(), tmp_path / "curve", ignore)
    assert range_test.rule in ("valley", "fallback")
    assert {path.name for path in (tmp_path / "curve").iterdir()} == {"lr_find.csv", "lr_find.png"}
    with (tmp_path / "curve" / "lr_find.csv").open() as rows:
        assert len(list(csv.DictReader(rows))) == len(range_test.losses)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_two_processes_share_the_work_and_train_nothing_twice(recipe_of, store, tmp_path):
    long = "fit.epochs=60"
    recipes = [recipe_of(long, name=name) for name in ("first", "second")]
    files = [str(tmp_path / f"{recipe.name}.yaml") for recipe in recipes]
    command = [
        sys.executable,
        "-m",
        "ensemble",
        "train",
        *files,
        "--set",
        long,
        "--runs",
        str(store.root),
    ]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        line = ""
        while (
            "random weights" not in line
        ):  # the other process holds the first run and is about to train it
            line = process.stderr.readline()
            assert line, process.stdout.read()
        runs, failures, events = trained(recipes, store)
        errors = process.communicate(timeout=300)[1]
    assert process.returncode == 0, errors
    assert failures == []
    first, second = (Job(recipe, 0).run_id for recipe in recipes)
    assert {run.id for run in runs} == {first, second}
    assert (
        RunLeft(first, "another process is training it; continuing with the other runs") in events
    )
    mine = {event.run: event.skipped for event in events if isinstance(event, RunEnded)}
    assert mine == {second: False, first: True}
    assert errors.count("finished: ") == 1
    assert errors.count("finished before, skipped: ") == 1
    assert [run.id for run in store.finished()] == [first, second]
