"""A search: the recipe first, every trial a run, bad trials pruned, interrupted ones resumed."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble.engines.search_space import (
    Categorical,
    Range,
    default_space,
    parse_space,
    rates_around,
    recipe_values,
    rounded,
)
from ensemble.engines.tune import tune
from ensemble.errors import EnsembleError, RecipeError
from ensemble.events import EpochEnded, RunStarted, ignore
from ensemble.recipe import Recipe
from ensemble.runs import RunStore

torch.set_num_threads(1)

TINY = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 2, lr: 0.003, batch_size: 16}}
"""
RATES = ("fit.lr=1e-4..1e-1",)


@pytest.fixture
def run_search(tmp_path, tiny_images):
    """run_search(n_trials, *varied, emit): start or resume the search of a small recipe."""
    tiny_images(tmp_path / "images" / "train")
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(images=tmp_path / "images"))

    def run_search(n_trials, *varied, emit=ignore, overrides=()):
        recipe = Recipe.load(path, overrides)
        return tune(recipe, n_trials, varied, RunStore(tmp_path / "runs"), emit)

    return run_search


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_every_trial_is_a_run_and_the_first_is_the_recipe_itself(run_search, store):
    search = run_search(3, *RATES)
    assert [trial.state for trial in search.trials] == ["finished"] * 3
    assert search.trials[0].values == {"fit.lr": 0.003}
    assert len({trial.values["fit.lr"] for trial in search.trials}) == 3
    by_id = {run.id: run for run in store.finished()}
    for trial in search.trials:
        run = by_id.pop(trial.note)
        assert run.search == search.name
        assert run.training.lr == trial.values["fit.lr"]
        assert run.scores.log_loss == trial.score
    assert by_id == {}
    assert search.best.score == min(trial.score for trial in search.trials)


def test_the_score_is_accuracy_if_the_recipe_monitors_it(run_search):
    search = run_search(2, *RATES, overrides=("fit.monitor=accuracy",))
    assert search.metric == "accuracy"
    assert search.best.score == max(trial.score for trial in search.trials)


def test_an_interrupted_search_trains_the_interrupted_trial_again_and_resumes(run_search, store):
    started = []

    def interrupt(event):
        if isinstance(event, RunStarted):
            started.append(event.run)
        if isinstance(event, EpochEnded) and len(started) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(4, *RATES, emit=interrupt)
    assert [run.id for run in store.finished()] == started[:1]
    interrupted, resumed = started[1], []

    def listen(event):
        if isinstance(event, RunStarted):
            resumed.append(event)

    search = run_search(4, *RATES, emit=listen)
    assert resumed[0].run == interrupted
    assert [(event.number, event.total) for event in resumed] == [(2, 4), (3, 4), (4, 4)]
    assert [trial.state for trial in search.trials] == ["finished"] * 4
    assert len(store.finished()) == 4
    assert run_search(4, *RATES, emit=listen) == search
    assert len(resumed) == 3


def test_bad_trials_are_pruned_and_leave_no_run(run_search, store):
    search = run_search(10, "fit.lr=1e-8..1e-2", overrides=("fit.epochs=3",))
    pruned = [trial for trial in search.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.score is None for trial in pruned)
    assert max(trial.values["fit.lr"] for trial in pruned) < search.best.values["fit.lr"]
    assert len(store.finished()) == len(search.trials) - len(pruned)


def test_a_recipe_that_cannot_be_trained_ends_the_search(run_search):
    with pytest.raises(
        EnsembleError, match="tiny: the first trial, the recipe itself, failed: the loss became nan"
    ):
        run_search(
            3, *RATES, overrides=("data.normalize=[[0, 0, 0], [1.0e-40, 1.0e-40, 1.0e-40]]",)
        )


def test_another_space_is_another_search(run_search):
    first = run_search(1, *RATES)
    narrower = run_search(1, "fit.lr=1e-4..1e-2")
    again = run_search(1, *RATES)
    assert first == again
    assert first.name != narrower.name


def test_changed_images_end_the_search_as_they_end_training(run_search, tmp_path):
    run_search(1, *RATES)
    next((tmp_path / "images").glob("*/red/*")).unlink()
    with pytest.raises(EnsembleError, match="its images have changed") as refused:
        run_search(1, *RATES)
    assert str(refused.value).count("\n") < 3


def test_the_default_space_and_the_range_test_make_a_search(run_search):
    search = run_search(1, overrides=("fit.lr=find",))
    assert set(search.trials[0].values) == {
        "fit.lr",
        "fit.weight_decay",
        "model.options.drop_rate",
        "augment",
        "fit.batch_size",
    }


def test_without_optuna_the_error_says_how_to_install_it(run_search, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        EnsembleError, match="needs Optuna, which is not installed\npip install 'optuna"
    ):
        run_search(1, *RATES)


@pytest.mark.usefixtures("run_search")
def test_the_command_shows_every_trial_and_the_next_commands(tmp_path, ens):
    paths = {"RECIPE": str(tmp_path / "tiny.yaml"), "RUNS": str(tmp_path / "runs")}
    words = f"tune RECIPE --trials 2 --vary {RATES[0]} --runs RUNS".split()
    shown = ens(*(paths.get(word, word) for word in words))
    assert ": 2 trials" in shown
    assert "0, the recipe's own" in shown
    assert "next:  ens blend tiny --runs" in shown
    assert "--set fit.lr=" in shown


@pytest.mark.parametrize(
    "text",
    [
        "fit.lr",
        "=1..2",
        "fit.lr=2..1",
        "fit.lr=1..x",
        "fit.lr=0.1",
        "augment=none,none",
        "seeds=[0],[1]",
        "a=true..2",
    ],
)
def test_a_text_that_is_not_a_space_is_refused_in_two_lines(text):
    with pytest.raises(RecipeError, match="--vary .*\n.*KEY=LOW"):
        parse_space([text])


def test_a_key_that_is_varied_twice_is_refused():
    with pytest.raises(RecipeError, match="--vary fit.lr=0.1,0.2: fit.lr is varied twice"):
        parse_space(["fit.lr=1e-3..1e-2", "fit.epochs=1,2", "fit.lr=0.1,0.2"])


@pytest.mark.parametrize(
    "text",
    [
        "fit.epchs=1..3",
        "fit.lr=-1..3",
        "augment=none,hevy",
        "data.valid=0.2,0.3",
        "fit.monitor=accuracy,valid_loss",
    ],
)
def test_a_key_or_value_that_no_recipe_allows_is_an_error_before_anything_trains(
    text, run_search, store
):
    with pytest.raises(RecipeError):
        run_search(1, text)
    assert not store.root.exists()


def test_ranges_and_choices_are_read_as_yaml_reads_them():
    space = parse_space(
        ["fit.lr=1e-4..1e-2", "fit.epochs=1..5", "augment=none,light", "fit.batch_size=16,32"]
    )
    assert space == {
        "fit.lr": Range(1e-4, 1e-2),
        "fit.epochs": Range(1, 5),
        "augment": Categorical(("none", "light")),
        "fit.batch_size": Categorical((16, 32)),
    }
    assert space["fit.lr"].is_log
    assert not space["fit.lr"].is_whole
    assert space["fit.epochs"].is_whole
    assert not space["fit.epochs"].is_log


def test_the_text_that_names_of_stored_searches_are_hashed_from_does_not_change():
    space = parse_space(["fit.lr=1e-4..1e-2", "fit.epochs=1..5", "augment=none,light"])
    assert repr(sorted(space.items())) == (
        "[('augment', Choice(values=('none', 'light'))), ('fit.epochs', Range(low=1, high=5)), "
        "('fit.lr', Range(low=0.0001, high=0.01))]"
    )


@given(st.floats(1e-6, 10))
def test_the_range_around_a_rate_contains_it_and_stays_allowed(rate):
    rates = rates_around(rate)
    assert rates.is_log
    assert rates.contains(rate)
    assert 0 < rates.low < rates.high <= 10
    assert rounded(rounded(rate)) == rounded(rate)


def test_recipe_values_are_those_that_the_space_contains(run_search, tmp_path):
    recipe = Recipe.load(tmp_path / "tiny.yaml", ("fit.weight_decay=5",))
    assert recipe_values(recipe, default_space(recipe)) == {"augment": "none", "fit.batch_size": 16}


def test_another_seed_is_another_search(run_search):
    assert run_search(1, *RATES).name != run_search(1, *RATES, overrides=("seeds=[5]",)).name


@pytest.mark.usefixtures("run_search")
def test_two_commands_share_a_search(tmp_path):
    words = ["tune", "tiny.yaml", "--trials", "4", "--vary", "fit.lr=1e-4..1e-2", "--runs", "both"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ensemble", *words],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert 4 <= len(RunStore(tmp_path / "both").finished()) <= 5


def test_the_metric_of_the_recipe_is_the_objective_in_its_own_direction(run_search):
    search = run_search(2, *RATES, overrides=("data.metric=f1_macro",))
    assert (search.metric, search.is_higher_better) == ("f1_macro", True)
    assert search.best.score == max(trial.score for trial in search.trials)
    loss = run_search(2, *RATES, overrides=("data.metric=log_loss", "fit.monitor=accuracy"))
    assert loss.best.score == min(trial.score for trial in loss.trials)
