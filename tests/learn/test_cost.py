"""`ens train --dry-run`: near what training then takes, and nothing is left behind."""

import time
from types import SimpleNamespace

import pytest

from ensemble.dataset.load import load
from ensemble.events import ignore
from ensemble.learn import cost as cost_module
from ensemble.learn import resume
from ensemble.learn.cost import (
    PhaseTimes,
    Sizes,
    StepTimer,
    cost_of,
    phase_cost,
    rate_seconds,
    refit_seconds,
)
from ensemble.learn.train import train
from ensemble.runs import RunStore
from ensemble.runs.job import Job

SIZES = Sizes(n_train=640, n_valid=160, n_test=200, n_batches=10)


def test_an_epoch_is_its_steps_and_the_prediction_of_the_validation_images():
    cost = phase_cost(PhaseTimes("scratch", 3, step_seconds=0.5), SIZES, image_seconds=0.01)
    assert cost.epoch_seconds == pytest.approx(10 * 0.5 + 160 * 0.01)
    assert cost.once_seconds == 0
    assert cost.seconds == pytest.approx(3 * 6.6)


def test_cached_augmentations_pass_the_body_once_and_their_epochs_take_nothing():
    times = PhaseTimes("frozen", 20, 0.0, n_cached=4, augmented_seconds=0.02)
    cost = phase_cost(times, SIZES, image_seconds=0.01)
    assert cost.epoch_seconds == 0
    assert cost.seconds == cost.once_seconds == pytest.approx(800 * 0.01 + 3 * 640 * 0.02)


def test_the_range_test_takes_steps_of_the_first_phase():
    times = [PhaseTimes("frozen", 2, 0.1), PhaseTimes("unfrozen", 98, 7.0)]
    assert rate_seconds(times, SIZES) == pytest.approx(100 * 0.1)
    assert rate_seconds([PhaseTimes("scratch", 1, 0.1)], SIZES) == pytest.approx(40 * 0.1)


def test_the_refit_grows_with_the_validation_images():
    phases = [phase_cost(PhaseTimes("scratch", 3, 0.5), SIZES, 0.01)]
    assert refit_seconds(phases, SIZES) == pytest.approx(phases[0].seconds * 800 / 640)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([100.0, 109.0, 110.0, 111.0, 113.0, 115.0], 2.0),  # the first three warm up
        ([5.0, 8.0], 3.0),
        ([5.0], 0.0),
        ([], 0.0),
    ],
    ids=["warm", "two steps", "one step", "none"],
)
def test_a_step_takes_the_mean_after_the_warm_up(times, seconds):
    timer = StepTimer()
    timer.times = times
    assert timer.seconds == pytest.approx(seconds)


@pytest.mark.parametrize(
    "overrides",
    [
        ("fit.epochs=30",),
        ("fit.strategy=fine_tune", "fit.frozen_epochs=10", "fit.epochs=10", "fit.feature_views=0"),
        ("fit.strategy=fine_tune", "fit.frozen_epochs=10", "fit.epochs=10", "fit.lr=find"),
    ],
    ids=["scratch", "phases", "cached"],
)
def test_the_estimate_is_near_what_training_takes(overrides, recipe_of, tmp_path, monkeypatch):
    """In processor time, which other work on the machine hardly changes."""
    clock = SimpleNamespace(perf_counter=time.process_time)
    monkeypatch.setattr(cost_module, "time", clock)
    monkeypatch.setattr(resume, "STORING_SHARE", 1e-9)  # states are stored once, as in long epochs
    recipe, store = recipe_of("model.arch=resnet10t", *overrides), RunStore(tmp_path / "runs")
    data, job = load(recipe.data), Job(recipe, 0)
    cost = cost_of(job, data, store, ignore)
    assert not store.root.exists()
    started = time.process_time()
    record = train(job, data, store).record
    seconds = time.process_time() - started
    assert seconds / 2.5 < cost.seconds - cost.decode_seconds < 2.5 * seconds
    assert [f"{phase.name} {phase.n_epochs}" for phase in cost.phases] == list(record.phases)
    assert cost.disk_bytes > 4 * record.n_parameters
    assert cost.memory_bytes > 2**20


def test_decoding_is_counted_where_images_are_not_in_the_cache_yet(recipe_of, tmp_path):
    recipe, store = recipe_of("model.arch=resnet10t"), RunStore(tmp_path / "runs")
    data = load(recipe.data)
    first, again = (cost_of(Job(recipe, 0), data, store, ignore) for _ in range(2))
    assert (first.n_decoded, again.n_decoded) == (60, 0)
    assert first.decode_seconds > 0 == again.decode_seconds
    rest = (
        first.rate_seconds
        + first.predict_seconds
        + first.refit_seconds
        + sum(p.seconds for p in first.phases)
    )
    assert first.seconds == pytest.approx(rest + first.decode_seconds)


def test_cropped_views_are_decoded_once_each(recipe_of, tmp_path):
    frozen = (
        "fit.strategy=feature_extract",
        "fit.epochs=6",
        "fit.feature_views=3",
        "augment.crop=0.5",
    )
    recipe, store = recipe_of("model.arch=resnet10t", *frozen), RunStore(tmp_path / "runs")
    data = load(recipe.data)
    plain = recipe_of("model.arch=resnet10t", *frozen[:2])
    cost, plain_cost = (cost_of(Job(r, 0), data, store, ignore) for r in (recipe, plain))
    assert cost.phases[0].once_seconds > plain_cost.phases[0].once_seconds


def test_it_estimates_what_the_command_would_train_and_names_the_same_command(
    recipe_file, tmp_path, run_ens
):
    path, runs = recipe_file(), tmp_path / "runs"

    def ens(*arguments):
        return run_ens("train", path, *arguments, "--runs", runs)

    assert not ens()[0]
    assert "scratch: 1 ×" not in ens("--dry-run")[1]
    code, shown, _ = ens("--dry-run", "--force", "--jobs", "2")
    assert not code
    assert "scratch: 1 ×" in shown
    assert f"next:  ens train {path} --force --runs {runs} --jobs 2\n" in shown
    (tmp_path / "wrong.yaml").write_text(path.read_text().replace("test_resnet", "resnet43"))
    code, shown, errors = ens(str(tmp_path / "wrong.yaml"), "--force", "--dry-run")
    assert code == 1
    assert "scratch: 1 ×" in shown
    assert "1 of 2 runs could not be estimated" in errors


def test_the_command_trains_nothing_and_names_the_next(recipe_file, tmp_path, ens):
    path = recipe_file()
    shown = ens("train", path, "--dry-run", "--runs", tmp_path / "runs")
    assert "scratch: 1 ×" in shown
    assert "decoding: 60 images took " in shown
    assert "total: " in shown
    assert f"next:  ens train {path} --runs" in shown
    assert not (tmp_path / "runs").exists()
