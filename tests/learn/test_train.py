"""Training: the same bytes again, the kept epoch, a body that is really frozen, phases, and what is refused."""

import inspect
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as tensors_of
from torch import nn

from ensemble.dataset.load import load
from ensemble.dataset.pixel_store import open_store
from ensemble.engines.local import train_all
from ensemble.errors import RecipeError, TrainingError
from ensemble.events import EpochEnded, Note, ignore
from ensemble.learn import keepers, learner, load_learner
from ensemble.learn.callbacks import FrozenInEval
from ensemble.learn.catalog import catalog_of
from ensemble.learn.heads import BodyAndHead
from ensemble.learn.keepers import copy_of
from ensemble.learn.load_weights import load_exactly
from ensemble.learn.loaders import split_loader
from ensemble.learn.micro_batch import device_errors_explained
from ensemble.learn.phases import LR_MULT, plan
from ensemble.learn.predict import probabilities
from ensemble.learn.preprocess import weights_config
from ensemble.learn.train import train
from ensemble.metrics import accuracy, log_loss
from ensemble.recipe import Fit, Recipe
from ensemble.runs import RunStore, publish
from ensemble.runs.job import Job, jobs_of

OURS = "model.head={pool: concat, hidden: [16], dropout: 0.5}"
FILES = ("model.safetensors", "valid.npz", "test.npz")


def ens_train(folder, *arguments):
    """`python -m ensemble train`, started."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "ENS_CACHE": str(folder / "cache-of-its-own")}
    command = [sys.executable, "-m", "ensemble", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out, err


@pytest.mark.slow
def test_two_processes_end_with_the_same_bytes_and_another_seed_with_others(recipe_file, tmp_path):
    keys = (
        "augment={flip: true, rotate: 10, lighting: 0.2, mixup: 0.2}",
        OURS,
        "fit.strategy=fine_tune",
        "fit.lr=find",
    )
    said = [word for key in keys for word in ("--set", key)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    path = recipe_file()
    processes = [
        ens_train(
            tmp_path / "one",
            path,
            *said,
            "--runs",
            tmp_path / "one" / "runs",
            "--set",
            "seeds=[0, 1]",
        ),
        ens_train(tmp_path / "two", path, *said, "--runs", tmp_path / "two" / "elsewhere"),
    ]
    for process in processes:
        ended(process)
    (mine,), (theirs,) = tmp_path.glob("one/runs/*-s0"), tmp_path.glob("two/elsewhere/*-s0")
    (other,) = tmp_path.glob("one/runs/*-s1")
    assert mine.name == theirs.name
    for name in FILES:
        assert (mine / name).read_bytes() == (theirs / name).read_bytes(), name
        assert (mine / name).read_bytes() != (other / name).read_bytes(), name
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"elsewhere", "cache-of-its-own"}


def test_the_same_seed_gives_the_same_bytes_in_one_process_and_another_seed_others(fit):
    first = fit("augment=heavy", OURS)
    fit("augment=heavy", OURS, "fit.epochs=2", seed=3)
    assert fit("augment=heavy", OURS).files == first.files
    others = fit("augment=heavy", OURS, seed=1)
    assert all(mine != theirs for mine, theirs in zip(others.files, first.files, strict=True))


def fits_its_history(made, epoch):
    """Whether the stored predictions are those of this epoch."""
    row, valid = made.trained.history[epoch - 1], made.trained.valid
    return math.isclose(
        log_loss(valid.probs, valid.targets), row.valid_loss, rel_tol=1e-3
    ) and math.isclose(accuracy(valid.probs, valid.targets), row.accuracy, rel_tol=1e-5)


class TestKeptEpoch:
    SAID = ("fit.strategy=fine_tune", "fit.frozen_epochs=3", "fit.epochs=1", "fit.lr=0.02", OURS)

    def test_the_best_epoch_of_all_phases_is_kept_and_stored(self, fit):
        made = fit(*self.SAID, "fit.lr_unfrozen=10")
        frozen, worse = made.trained.history[:3], made.trained.history[3]
        best = min(frozen, key=lambda row: row.valid_loss)
        assert worse.valid_loss > 2 * best.valid_loss
        assert made.trained.record.best_epoch == best.epoch
        assert fits_its_history(made, best.epoch)
        assert (
            made.weights == fit(*self.SAID[:2], "fit.epochs=0", *self.SAID[3:]).weights
        )  # the phase never was

    def test_the_last_epoch_is_kept_where_the_recipe_says_so(self, fit):
        made = fit(*self.SAID, "fit.lr_unfrozen=10", "fit.keep=last")
        assert made.trained.record.best_epoch == 4
        assert made.weights != fit(*self.SAID, "fit.lr_unfrozen=10").weights
        gentle = fit(*self.SAID, "fit.lr_unfrozen=0.0001", "fit.keep=last")
        assert fits_its_history(gentle, 4)

    def test_accuracy_may_choose_and_a_tie_goes_to_the_earlier_epoch(self, fit):
        made = fit("fit.monitor=accuracy", "fit.epochs=6", "fit.lr=0.02", "model.arch=resnet10t")
        shares = [row.accuracy for row in made.trained.history]
        assert shares.count(max(shares)) > 1
        assert made.trained.record.best_epoch == shares.index(max(shares)) + 1
        assert fits_its_history(made, made.trained.record.best_epoch)

    def test_history_marks_every_epoch_that_was_the_best_so_far(self, fit):
        made = fit("fit.epochs=4", "fit.lr=0.05")
        best = math.inf
        for row in made.trained.history:
            assert row.is_best == (row.valid_loss < best)
            best = min(best, row.valid_loss)

    def test_stopping_early_ends_training_keeps_the_best_epoch_and_tells_every_epoch(self, fit):
        said = (
            "model.arch=resnet10t",
            "fit.epochs=9",
            "fit.lr=0.01",
            "fit.monitor=accuracy",
            "fit.early_stop={patience: 2}",
        )
        made = fit(*said)
        assert made.trained.record.best_epoch + 2 == len(made.trained.history) < 9
        assert [
            event for event in made.events if isinstance(event, EpochEnded)
        ] == made.trained.history
        assert fits_its_history(made, made.trained.record.best_epoch)
        last = fit(*said, "fit.keep=last")
        assert (
            last.trained.record.best_epoch == len(last.trained.history) == len(made.trained.history)
        )
        assert fits_its_history(last, last.trained.record.best_epoch)

    def test_a_stopped_phase_gives_way_to_the_next(self, fit):
        made = fit(
            "fit.strategy=fine_tune",
            "fit.frozen_epochs=6",
            "fit.epochs=1",
            "fit.lr=10",
            "fit.lr_unfrozen=0.001",
            "fit.early_stop={patience: 1}",
            "fit.schedule=constant",
        )
        phases = [row.phase for row in made.trained.history]
        assert 2 <= phases.count("frozen") < 6
        assert phases.count("unfrozen") == 1

    def test_a_loss_that_is_no_number_ends_the_run_and_nothing_is_stored(self, fit, tmp_path):
        with pytest.raises(
            TrainingError,
            match="^the loss became nan in phase scratch, epoch 1, batch 1, .*\nset a",
        ):
            fit("data.normalize=[[0, 0, 0], [1.0e-40, 1.0e-40, 1.0e-40]]")
        assert not list((tmp_path / "runs").rglob("model.safetensors"))


class TestAverage:
    SAID = ("fit.epochs=3", "fit.lr=0.01", "model.arch=resnet10t")

    def test_the_average_is_what_is_scored_kept_and_stored(self, fit):
        made = fit(*self.SAID, "fit.ema=0.9")
        assert fits_its_history(made, made.trained.record.best_epoch)
        assert made.weights != fit(*self.SAID).weights

    def test_it_changes_nothing_in_what_is_trained(self, fit):
        averaged, plain = (
            fit(*self.SAID, "fit.ema=0.99").trained.history,
            fit(*self.SAID).trained.history,
        )
        assert [row.train_loss for row in averaged] == [row.train_loss for row in plain]
        assert [row.valid_loss for row in averaged] != [row.valid_loss for row in plain]

    def test_a_decay_of_almost_nothing_is_the_network_itself(self, fit):
        averaged, plain = fit(*self.SAID, "fit.ema=1.0e-9").trained, fit(*self.SAID).trained
        np.testing.assert_allclose(averaged.valid.probs, plain.valid.probs, atol=1e-4)


class TestRefit:
    SAID = (
        "fit.strategy=fine_tune",
        "fit.frozen_epochs=2",
        "fit.epochs=2",
        "fit.lr=0.003",
        "model.arch=resnet10t",
    )

    @pytest.fixture
    def refitted(self, recipe_of, tmp_path):
        """refitted(*overrides): the run and its refit by one training of the small recipe."""

        def refitted(*said):
            recipe = recipe_of(*self.SAID, "refit=true", *said)
            (run,), failures = train_all(jobs_of([recipe]), RunStore(tmp_path / "runs"), ignore)
            assert failures == []
            return run

        return refitted

    def test_the_first_fit_stays_as_it_is_without_a_refit(self, refitted, fit):
        run, made = refitted(), fit(*self.SAID)
        assert (run.folder / "model.safetensors").read_bytes() == made.weights
        assert run.test().probs.tobytes() == made.trained.test.probs.tobytes()
        assert run.refit_epochs == run.training.best_epoch

    def test_it_predicts_the_test_set_by_other_weights_of_its_own(self, refitted):
        run = refitted()
        again, first = run.test_refit(), run.test()
        assert again.ids.tolist() == first.ids.tolist()
        assert not np.allclose(again.probs, first.probs, atol=1e-3)
        learn = load_learner(run)
        load_exactly(learn.model, run, "refit.safetensors")
        recipe = Recipe.load(run.folder / "recipe.yaml")
        store = open_store(
            load(recipe.data).hashes, weights_config(recipe).geometry, lambda done, n: None
        )
        loader = split_loader(learn.dls, catalog_of(load(recipe.data), store, False), "test", 32)
        np.testing.assert_allclose(
            probabilities(learn.model, loader, (), "fp32"), again.probs, atol=1e-6
        )

    def test_it_equals_a_fit_on_the_joined_images_ended_at_that_epoch(
        self, refitted, recipe_of, tmp_path
    ):
        run = refitted(
            "fit.lr_unfrozen=10", "fit.keep=best"
        )  # the unfrozen phase spoils it: a frozen epoch is kept
        assert run.training.best_epoch in (1, 2)
        recipe = recipe_of(
            *self.SAID, "fit.epochs=0", "fit.keep=last"
        )  # the same schedule of the frozen phase
        data = load(recipe.data)
        assert run.training.best_epoch == 2, "else the schedules differ"
        assert run.training.kept_by_phase == {"frozen": 2}
        by_hand = train(Job(recipe, 0), data.joined(), RunStore(tmp_path / "other"))
        np.testing.assert_allclose(by_hand.test.probs, run.test_refit().probs, atol=1e-6)

    def test_each_phase_has_the_epochs_that_the_first_fit_kept_of_it(self, refitted, monkeypatch):
        trained = []
        plain = keepers.EndAt.after_cancel_validate

        def count(self):
            plain(self)
            trained.append(self.phase)

        monkeypatch.setattr(keepers.EndAt, "after_cancel_validate", count)
        run = refitted(
            "fit.frozen_epochs=9",
            "fit.lr=0.02",
            "fit.early_stop={patience: 1, min_delta: 5.0}",
            "fit.keep=last",
        )
        assert run.training.kept_by_phase["frozen"] < 9  # patience ended the phase
        assert trained == [name for name, n in run.training.kept_by_phase.items() for _ in range(n)]
        assert {"frozen", "unfrozen"} <= set(trained)

    def test_a_finished_run_gets_a_refit_later_and_is_not_trained_again(self, refitted):
        plain = refitted("refit=false")
        assert plain.refit_epochs is None
        first = (plain.folder / "model.safetensors").stat().st_mtime_ns
        run = refitted()
        assert run.id == plain.id
        assert run.refit_epochs == plain.training.best_epoch
        assert (run.folder / "model.safetensors").stat().st_mtime_ns == first
        assert run.scores == plain.scores
        assert Recipe.load(run.folder / "recipe.yaml").refit
        publish(run.model_copy(update={"refit_epochs": None}))  # as if the refit had been cut off
        assert refitted().files == run.files


class Probe(Callback):
    """What a frozen phase does to gradients, modes and dropout."""

    order = 50

    def before_batch(self):
        if self.training:
            self.modes = {
                name: module.training for name, module in self.learn.model.named_modules()
            }
            with torch.no_grad():
                state = torch.get_rng_state()
                self.outputs = [self.learn.model(*self.xb) for _ in range(2)]
                torch.set_rng_state(state)

    def after_backward(self):
        self.has_gradient = {
            name for name, p in self.learn.model.named_parameters() if p.grad is not None
        }


class TestFrozenBody:
    HEADS = {"keep": ("model.head=keep", "model.options={drop_rate: 0.5}"), "ours": (OURS,)}

    @pytest.mark.parametrize("arch", ["test_resnet", "test_efficientnet"])
    @pytest.mark.parametrize("head", HEADS)
    def test_it_stays_as_it_was_bit_for_bit_while_the_head_moves(self, head, arch, recipe_of):
        learn = learner(recipe_of(*self.HEADS[head], f"model.arch={arch}", "augment=standard"))
        before, probe = copy_of(learn.model), Probe()
        learn.freeze_to(-1)
        with learn.no_bar(), learn.no_logging():
            learn.fit(2, 0.01, cbs=[FrozenInEval(), probe])
        own = isinstance(learn.model, BodyAndHead)
        classifier = learn.model.head if own else learn.model.get_classifier()
        in_head = {id(tensor) for tensor in classifier.state_dict(keep_vars=True).values()}
        states = learn.model.state_dict(keep_vars=True)
        head_names = {name for name, tensor in states.items() if id(tensor) in in_head}
        assert probe.has_gradient == {
            name for name in head_names if "running" not in name and "num_" not in name
        }
        for name, tensor in states.items():
            assert torch.equal(tensor, before[name]) == (name not in head_names), name
        norms = [
            name
            for name, module in learn.model.named_modules()
            if isinstance(module, nn.BatchNorm2d)
        ]
        assert len(norms) > 5
        assert not any(probe.modes[name] for name in norms)
        assert probe.modes[""]
        assert not torch.equal(*probe.outputs), "dropout of the head must go on"

    def test_a_frozen_run_stores_the_body_it_began_with(self, fit, recipe_of):
        said = (
            "fit.strategy=feature_extract",
            "fit.epochs=3",
            "fit.lr=0.01",
            "augment=light",
            OURS,
        )
        stored, start = tensors_of(fit(*said).weights), copy_of(learner(recipe_of(*said)).model)
        assert stored.keys() == start.keys()
        for name in stored:
            if name.startswith("body."):
                assert torch.equal(stored[name], start[name]), name
            elif name.endswith("weight"):
                assert not torch.equal(stored[name], start[name]), name

    def test_only_the_opened_stages_move_in_gradual_unfreezing(self, fit, recipe_of):
        said = (
            "fit.strategy=gradual",
            "fit.unfreeze_from=layer4",
            "fit.epochs=1",
            "fit.lr=0.01",
            "fit.keep=last",
        )
        stored, start = tensors_of(fit(*said).weights), copy_of(learner(recipe_of(*said)).model)
        moved = {name for name in stored if not torch.equal(stored[name], start[name])}
        assert moved == {name for name in stored if name.startswith(("layer4.", "fc."))}

    def test_run_json_is_told_how_much_trained(self, fit):
        made = fit("fit.strategy=feature_extract", "fit.lr=0.01")
        assert made.trained.record.n_trainable == 96 * 3 + 3
        assert made.trained.record.n_parameters > 100_000
        (note,) = [
            event.text
            for event in made.events
            if isinstance(event, Note) and event.text.startswith("phase")
        ]
        assert (
            note
            == f"phase frozen: 1 epochs, 291 of {made.trained.record.n_parameters:,} parameters trainable"
        )
        thawed = fit("fit.strategy=fine_tune", "fit.lr=0.01")
        assert thawed.trained.record.n_trainable == thawed.trained.record.n_parameters


class TestPlan:
    def test_the_shapes_of_fine_tune_are_fastais(self):
        frozen, unfrozen = plan(Fit(frozen_epochs=2, epochs=5), 6)
        theirs = inspect.signature(Learner.fine_tune).parameters
        assert (frozen.name, frozen.n_epochs, frozen.first_group, frozen.pct_start) == (
            "frozen",
            2,
            -1,
            0.99,
        )
        assert (frozen.share_of_rate, frozen.is_unfrozen) == (1, False)
        assert (unfrozen.n_epochs, unfrozen.first_group, unfrozen.share_of_rate) == (5, 0, 0.5)
        assert unfrozen.pct_start == theirs["pct_start"].default
        assert unfrozen.div == theirs["div"].default
        assert theirs["lr_mult"].default == LR_MULT
        assert inspect.signature(Learner.fit_one_cycle).parameters["div"].default == frozen.div

    def test_the_other_strategies_are_one_phase(self):
        (scratch,) = plan(Fit(strategy="scratch", epochs=4), 6)
        assert (scratch.n_epochs, scratch.first_group, scratch.is_unfrozen) == (4, 0, False)
        (frozen,) = plan(Fit(strategy="feature_extract", epochs=4), 6)
        assert (frozen.n_epochs, frozen.first_group) == (4, -1)

    @given(st.integers(1, 30), st.integers(2, 20), st.integers(0, 3))
    def test_gradual_opens_the_stages_from_the_end_and_spends_all_epochs(
        self, epochs, n_groups, frozen_epochs
    ):
        phases = plan(Fit(strategy="gradual", epochs=epochs, frozen_epochs=frozen_epochs), n_groups)
        opened = [phase for phase in phases if phase.is_unfrozen]
        assert sum(phase.n_epochs for phase in opened) == epochs
        assert sum(phase.n_epochs for phase in phases) == epochs + frozen_epochs
        firsts = [phase.first_group for phase in opened]
        assert firsts == sorted(set(firsts), reverse=True)
        assert firsts[-1] == 0
        assert firsts[0] < n_groups - 1
        assert len(opened) == min(epochs, n_groups - 1)

    def test_gradual_up_to_a_module_is_one_step(self):
        frozen, opened = plan(Fit(strategy="gradual", epochs=4, unfreeze_from="layer4"), 3)
        assert (opened.name, opened.n_epochs, opened.first_group) == ("from layer4", 4, 1)

    def test_phases_without_epochs_fall_away_and_at_least_one_must_stay(self):
        assert [phase.name for phase in plan(Fit(frozen_epochs=0, epochs=2), 6)] == ["unfrozen"]
        assert [phase.name for phase in plan(Fit(frozen_epochs=2, epochs=0), 6)] == ["frozen"]
        with pytest.raises(RecipeError, match="no phase has an epoch"):
            plan(Fit(frozen_epochs=0, epochs=0), 6)
        for strategy in ("scratch", "feature_extract"):
            with pytest.raises(RecipeError, match="no phase has an epoch"):
                plan(Fit(strategy=strategy, epochs=0), 6)


@pytest.mark.parametrize(
    "said",
    [
        ("fit.schedule=flat_cosine",),
        ("fit.schedule=constant", "fit.strategy=fine_tune"),
        ("fit.schedule=flat_cosine", "fit.strategy=fine_tune"),
        ("fit.class_weights=balanced", "fit.label_smoothing=0.1"),
        ("augment={mixup: 0.4}",),
        ("augment={cutmix: 1.0}",),
        ("augment={mixup: 0.4, cutmix: 1.0}",),
        ("augment=heavy",),
        ("augment={randaug: 7}",),
        ("fit.ema=0.9",),
        ("fit.sampler=balanced",),
        ("fit.sampler=balanced", "fit.strategy=feature_extract"),
        ("augment={vflip: true}",),
        ("model.stem=small", "data.size=16"),
        ("fit.strategy=gradual", "fit.epochs=2"),
        ("data.normalize=dataset", "data.size=16"),
        ("model.arch=test_efficientnet", OURS),
        ("fit.batch_size=500", "fit.weight_decay=0"),
    ],
    ids=" ".join,
)
def test_what_a_recipe_may_say_trains_and_changes_the_outcome(said, fit):
    made = fit(*said)
    assert np.isfinite(made.trained.valid.probs).all()
    assert made.trained.record.images_per_second > 0
    assert made.weights != fit().weights


def test_unfreeze_from_without_gradual_is_refused_never_ignored(fit):
    with pytest.raises(
        RecipeError, match="unfreeze_from belongs to strategy gradual, this is scratch"
    ):
        fit("fit.unfreeze_from=layer1")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_needs_a_gpu(precision, fit):
    with pytest.raises(TrainingError, match=f"fit.precision: {precision} needs a GPU"):
        fit(f"fit.precision={precision}")
    assert fit("fit.precision=auto").trained.record.precision == "fp32"


def test_what_was_trained_is_described(fit):
    trained = fit("fit.epochs=2", "fit.lr=find").trained
    record = trained.record
    assert record.lr == record.lr_find.chosen
    assert 0 < len(trained.range_test) <= record.lr_find.steps == 40
    assert set(record.seconds) == {"data", "lr_find", "scratch", "predict"}
    assert record.phases == ("scratch 2",)
    assert record.batch_size == 16
    assert record.threads == torch.get_num_threads()
    assert record.start == "random weights"
    assert record.preprocessing["size"] == 32
    assert len(trained.valid.ids) == 10
    assert len(trained.test.ids) == 12
    assert trained.unreadable == {}


def test_a_run_without_a_test_set_has_no_test_predictions(recipe_of, tmp_path):
    recipe = recipe_of("data.test=null")
    assert train(Job(recipe, 0), load(recipe.data), RunStore(tmp_path / "runs")).test is None


def test_memory_that_torch_cannot_have_is_told_with_its_size_and_other_errors_are_not_hidden(
    recipe_of,
):
    recipe = recipe_of()
    with pytest.raises(TrainingError) as told, device_errors_explained(recipe):
        torch.empty(10**15)
    assert str(told.value).startswith("out of memory on cpu")
    assert "at batch size 16, which asked for 4000000000000000 bytes more\nset a smaller" in str(
        told.value
    )
    with pytest.raises(RuntimeError, match="mat1 and mat2"), device_errors_explained(recipe):
        torch.ones(2, 3) @ torch.ones(2, 3)
