"""A search: the recipe first, every trial a run, bad trials cut off, and going on where it was interrupted."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ensemble.cli import main
from ensemble.engines.search_space import (
    Choice,
    Range,
    around,
    own_values,
    parse_varied,
    rounded,
    usual_space,
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
def search(tmp_path, tiny_images):
    """search(n_trials, *varied, emit): go on with the search of a small recipe."""
    tiny_images(tmp_path / "images" / "train")
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(images=tmp_path / "images"))

    def search(n_trials, *varied, emit=ignore, overrides=()):
        return tune(path, n_trials, varied, overrides, RunStore(tmp_path / "runs"), emit)

    return search


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_every_trial_is_a_run_and_the_first_is_the_recipe_itself(search, store):
    found = search(3, *RATES)
    assert [trial.state for trial in found.trials] == ["finished"] * 3
    assert found.trials[0].values == {"fit.lr": 0.003}
    assert len({trial.values["fit.lr"] for trial in found.trials}) == 3
    by_id = {run.id: run for run in store.finished()}
    for trial in found.trials:
        run = by_id.pop(trial.note)
        assert run.search == found.name
        assert run.lr == trial.values["fit.lr"]
        assert run.scores.log_loss == trial.score
    assert by_id == {}
    assert found.best.score == min(trial.score for trial in found.trials)


def test_accuracy_is_searched_for_where_the_recipe_watches_it(search):
    found = search(2, *RATES, overrides=("fit.monitor=accuracy",))
    assert found.metric == "accuracy"
    assert found.best.score == max(trial.score for trial in found.trials)


def test_an_interrupted_search_tries_the_lost_values_again_and_goes_on(search, store):
    lost = []

    def interrupt(event):
        if isinstance(event, RunStarted):
            lost.append(event.run)
        if isinstance(event, EpochEnded) and len(lost) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(4, *RATES, emit=interrupt)
    assert [run.id for run in store.finished()] == lost[:1]
    started = []
    found = search(
        4,
        *RATES,
        emit=lambda event: started.append(event) if isinstance(event, RunStarted) else None,
    )
    assert started[0].run == lost[1]
    assert [(event.number, event.total) for event in started] == [(2, 4), (3, 4), (4, 4)]
    assert [trial.state for trial in found.trials] == ["finished"] * 4
    assert len(store.finished()) == 4
    assert search(4, *RATES, emit=started.append) == found
    assert len(started) == 3


def test_hopeless_trials_are_pruned_and_leave_no_run(search, store):
    found = search(10, "fit.lr=1e-8..1e-2", overrides=("fit.epochs=3",))
    pruned = [trial for trial in found.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.score is None for trial in pruned)
    assert max(trial.values["fit.lr"] for trial in pruned) < found.best.values["fit.lr"]
    assert len(store.finished()) == len(found.trials) - len(pruned)


def test_a_recipe_that_cannot_be_trained_ends_the_search(search):
    with pytest.raises(
        EnsembleError, match="its first trial, the recipe as it is, failed: the loss became nan"
    ):
        search(3, *RATES, overrides=("data.normalize=[[0, 0, 0], [1.0e-40, 1.0e-40, 1.0e-40]]",))


def test_another_space_is_another_search(search):
    first, other, again = search(1, *RATES), search(1, "fit.lr=1e-4..1e-2"), search(1, *RATES)
    assert first == again
    assert first.name != other.name


def test_changed_images_end_the_search_as_they_end_training(search, tmp_path):
    search(1, *RATES)
    next((tmp_path / "images").glob("*/red/*")).unlink()
    with pytest.raises(EnsembleError, match="images have changed") as refused:
        search(1, *RATES)
    assert str(refused.value).count("\n") < 3


def test_the_usual_space_and_the_range_test_make_a_search(search):
    found = search(1, overrides=("fit.lr=find",))
    assert set(found.trials[0].values) == {
        "fit.lr",
        "fit.weight_decay",
        "model.options.drop_rate",
        "augment",
        "fit.batch_size",
    }


def test_without_optuna_it_is_told_how_to_get_it(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        EnsembleError, match="needs Optuna, which is not installed\npip install 'optuna"
    ):
        search(1, *RATES)


def test_the_command_shows_every_trial_and_how_to_go_on(search, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "ens",
            "tune",
            str(tmp_path / "tiny.yaml"),
            "--trials",
            "2",
            "--vary",
            RATES[0],
            "--runs",
            str(tmp_path / "runs"),
        ],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr().out
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
def test_what_is_no_space_is_refused_in_two_lines(text):
    with pytest.raises(RecipeError, match="--vary .*\n.*KEY=LOW"):
        parse_varied([text])


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
def test_a_key_or_value_that_no_recipe_has_is_told_before_anything_trains(text, search, store):
    with pytest.raises(RecipeError):
        search(1, text)
    assert not store.root.exists()


def test_ranges_and_choices_are_read_as_yaml_reads_them():
    space = parse_varied(
        ["fit.lr=1e-4..1e-2", "fit.epochs=1..5", "augment=none,light", "fit.batch_size=16,32"]
    )
    assert space == {
        "fit.lr": Range(1e-4, 1e-2),
        "fit.epochs": Range(1, 5),
        "augment": Choice(("none", "light")),
        "fit.batch_size": Choice((16, 32)),
    }
    assert space["fit.lr"].is_log
    assert not space["fit.lr"].is_whole
    assert space["fit.epochs"].is_whole
    assert not space["fit.epochs"].is_log


@given(st.floats(1e-6, 10))
def test_the_rates_around_one_hold_it_and_stay_allowed(rate):
    near = around(rate)
    assert near.is_log
    assert near.holds(rate)
    assert 0 < near.low < near.high <= 10
    assert rounded(rounded(rate)) == rounded(rate)


def test_own_values_are_those_that_the_space_holds(search, tmp_path):
    recipe = Recipe.load(tmp_path / "tiny.yaml", ("fit.weight_decay=5",))
    assert own_values(recipe, usual_space(recipe)) == {"augment": "none", "fit.batch_size": 16}


def test_another_seed_is_another_search(search):
    assert search(1, *RATES).name != search(1, *RATES, overrides=("seeds=[5]",)).name


def test_two_processes_search_together(search, tmp_path):
    search(1, *RATES)  # makes the recipe
    command = [
        sys.executable,
        "-m",
        "ensemble",
        "tune",
        str(tmp_path / "tiny.yaml"),
        "--trials",
        "4",
        "--vary",
        "fit.lr=1e-4..1e-2",
        "--runs",
        str(tmp_path / "both"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert 4 <= len(RunStore(tmp_path / "both").finished()) <= 5
