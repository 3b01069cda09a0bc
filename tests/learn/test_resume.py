"""Cut off at any moment, training goes on and ends with the same bytes; what is damaged or foreign is not taken."""

import json

import pytest
import torch
from cut_off import CutOff, cut_off_after

from ensemble.dataset.load import load
from ensemble.engines.local import train_all
from ensemble.errors import TrainingError
from ensemble.events import Note, Step, ignore
from ensemble.learn import resume
from ensemble.learn.checkpoint import save_weights
from ensemble.learn.resume import FILE, StateFolder
from ensemble.learn.train import train
from ensemble.runs import RunStore
from ensemble.runs.job import Job, jobs_of
from ensemble.runs.writer import STATE

PLANS = {
    "one cycle": ("fit.epochs=3",),
    "phases": ("fit.strategy=fine_tune", "fit.frozen_epochs=2", "fit.epochs=2", "augment=heavy"),
    "gradual, found rate": (
        "fit.strategy=gradual",
        "fit.frozen_epochs=1",
        "fit.epochs=2",
        "fit.lr=find",
    ),
    "flat cosine, average": ("fit.schedule=flat_cosine", "fit.epochs=3", "fit.ema=0.9"),
    "constant, last, mixed": (
        "fit.schedule=constant",
        "fit.epochs=3",
        "fit.keep=last",
        "augment={mixup: 0.4}",
    ),
    "metric": ("data.metric=f1_macro", "fit.monitor=metric", "fit.epochs=3", "fit.lr=0.02"),
    "early stop": ("fit.epochs=6", "fit.lr=0.05", "fit.early_stop={patience: 1}"),
}


@pytest.fixture
def trained(recipe_of, tmp_path):
    """trained(store, *overrides, emit): the run that training leaves, or goes on to leave, in a folder."""

    def trained(folder, *said, emit=ignore):
        store = RunStore(tmp_path / folder)
        (run,), failures = train_all(
            jobs_of([recipe_of("model.arch=resnet10t", *said)]), store, emit
        )
        assert failures == []
        return run

    return trained


def content(run):
    """Every file that must not depend on interruptions."""
    names = ("model.safetensors", "valid.npz", "test.npz", "recipe.yaml")
    lines = (run.folder / "history.csv").read_text().splitlines()
    rows = [[*line.split(",")[:-2], line.split(",")[-1]] for line in lines]  # without the seconds
    return (
        [(run.folder / name).read_bytes() for name in names],
        rows,
        run.scores,
        run.training.best_epoch,
        run.training.lr,
    )


@pytest.mark.parametrize("said", PLANS.values(), ids=PLANS)
def test_training_killed_after_each_epoch_resumes_to_the_same_bytes(said, trained, tmp_path):
    whole = trained("whole", *said)
    n_epochs = whole.training.n_epochs
    for n in range(1, n_epochs):
        with pytest.raises(CutOff):
            trained(f"cut{n}", *said, emit=cut_off_after(n))
        folder = tmp_path / f"cut{n}" / whole.id
        assert (folder / STATE / FILE).exists()
        assert not (folder / "run.json").exists()
        notes = []
        run = trained(f"cut{n}", *said, emit=notes.append)
        assert any(
            isinstance(e, Note) and e.text.startswith(f"resuming from epoch {n}") for e in notes
        )
        assert content(run) == content(whole)
        assert not (folder / STATE).exists()


def test_training_killed_again_and_again_resumes_to_the_same_bytes(trained):
    said = PLANS["phases"]
    whole = trained("whole", *said)
    for _ in range(whole.training.n_epochs - 1):
        with pytest.raises(CutOff):
            trained("cut", *said, emit=cut_off_after(1))
    assert content(trained("cut", *said)) == content(whole)


def test_a_killed_refit_resumes_too(trained, tmp_path):
    said = ("refit=true", "fit.epochs=3", "fit.keep=last")
    whole = trained("whole", *said)
    n_steps = 0

    def cut_in_refit(event):
        nonlocal n_steps
        n_steps += (
            isinstance(event, Step)
            and event.loss is not None
            and (tmp_path / "cut" / whole.id / "run.json").exists()
        )
        if n_steps == 5:  # 3 batches an epoch: in its second epoch
            raise CutOff

    with pytest.raises(CutOff):
        trained("cut", *said, emit=cut_in_refit)
    run = trained("cut", *said)
    assert (run.folder / "test_refit.npz").read_bytes() == (
        whole.folder / "test_refit.npz"
    ).read_bytes()
    assert content(run) == content(whole)


@pytest.mark.parametrize(
    "damage", ["truncated", "empty", "kept lost", "another recipe", "other images"]
)
def test_a_damaged_or_foreign_state_is_not_used(damage, trained, tmp_path, recipe_of):
    said = PLANS["one cycle"]
    whole = trained("whole", *said)
    with pytest.raises(CutOff):
        trained("cut", *said, emit=cut_off_after(2))
    state = tmp_path / "cut" / whole.id / STATE
    if damage == "truncated":
        (state / FILE).write_bytes((state / FILE).read_bytes()[:-100])
    elif damage == "empty":
        (state / FILE).write_bytes(b"")
    elif damage == "kept lost":
        for kept in state.glob("kept-*"):
            kept.unlink()
    else:
        assert StateFolder(state, damage).read() is None
        return
    notes = []
    run = trained("cut", *said, emit=notes.append)
    assert not any(isinstance(e, Note) and e.text.startswith("resuming") for e in notes)
    assert content(run) == content(whole)


def test_a_forced_training_starts_again_and_resumes_only_when_forced_again(recipe_of, tmp_path):
    recipe, store = recipe_of("fit.epochs=3"), RunStore(tmp_path / "runs")
    (run,), _ = train_all(jobs_of([recipe]), store, ignore)
    with pytest.raises(CutOff):
        train_all(jobs_of([recipe]), store, cut_off_after(2), force=True)
    assert store.finished() == [run], "what was finished is there until the new one is whole"
    notes = []
    (again,), _ = train_all(jobs_of([recipe]), store, notes.append, force=True)
    assert any(isinstance(e, Note) and e.text.startswith("resuming from epoch 2") for e in notes)
    assert content(again) == content(run)


def test_a_loss_that_becomes_nan_keeps_the_best_epoch_before_it(fit, monkeypatch):
    from ensemble.learn import callbacks

    before = callbacks.SeedEpochs.before_epoch

    def spoil(self):
        before(self)
        if self.phase == "scratch" and self.epoch == 2:
            for parameter in self.learn.model.parameters():
                parameter.data.fill_(float("nan"))

    monkeypatch.setattr(callbacks.SeedEpochs, "before_epoch", spoil)
    made = fit("fit.epochs=4")
    assert made.trained.record.best_epoch in (1, 2)
    assert len(made.trained.history) == 2
    assert made.trained.record.note.startswith(
        "the loss became nan in phase scratch, epoch 3, batch 1, at rate "
    )
    assert made.trained.record.note.endswith(f"; epoch {made.trained.record.best_epoch} was kept")


def test_without_a_good_epoch_a_nan_fails_and_leaves_no_state(recipe_of, tmp_path):
    recipe = recipe_of("data.normalize=[[0, 0, 0], [1.0e-40, 1.0e-40, 1.0e-40]]")
    with pytest.raises(TrainingError, match="the loss became nan"):
        train(Job(recipe, 0), load(recipe.data), RunStore(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_state_of_an_older_version_is_not_used(tmp_path):
    older = {"key": "key", "phase": 0, "n_epochs": 1, "keeper": {"kept_epoch": 0}, "history": []}
    older |= {"told": {"rate": 0.1, "start": "random weights"}, "range_test": None}
    save_weights({"smooth": torch.zeros(1)}, tmp_path / FILE, {"state": json.dumps(older)})
    assert StateFolder(tmp_path, "key").read() is None
    newer = {**older, "info": older["told"]}
    save_weights({"smooth": torch.zeros(1)}, tmp_path / FILE, {"state": json.dumps(newer)})
    assert StateFolder(tmp_path, "key").read().start == "random weights"


def test_storing_takes_at_most_its_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "STORING_SHARE", 0.05)
    clock = 100.0
    monkeypatch.setattr(resume.time, "monotonic", lambda: clock)
    states, n_stored, storing = StateFolder(tmp_path, "key"), 0, 0.0
    for _ in range(200):
        clock += 1.5  # an epoch
        if states.is_due:
            with states.paced():
                clock += 1.0  # a state of a large network
            n_stored, storing = n_stored + 1, storing + 1.0
    assert n_stored >= 14
    assert storing / (clock - 100.0) <= 0.06  # the first one is stored at once
