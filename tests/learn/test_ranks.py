"""One run on two processes of the CPU: the weights of one process, every row predicted once, errors told once."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

from ensemble.dataset.load import load
from ensemble.engines.jobs import jobs_of
from ensemble.engines.local import train_all
from ensemble.events import EpochEnded, Note, Step, ignore
from ensemble.learn import ranks
from ensemble.learn.build_learner import set_up
from ensemble.learn.train import _of_rows
from ensemble.learn.weights import load_exactly
from ensemble.recipe import Recipe
from ensemble.runs import RunStore

LAUNCH = (
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_processes",
    "2",
    "--num_machines",
    "1",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
)
PLAIN = (
    "model.arch=scratch_plain",
    "model.options={filters: [8, 16], dense: [16], dense_dropout: 0.0, batch_norm: false}",
    "fit.epochs=2",
)
RICH = (
    "model.arch=resnet10t",
    "fit.strategy=fine_tune",
    "fit.frozen_epochs=1",
    "fit.epochs=2",
    "fit.lr=find",
    "fit.ema=0.9",
    "augment=standard",
    "fit.early_stop={patience: 5}",
    "tta=flip",
    "refit=true",
)


def furthest(run, other):
    """The largest difference between two runs' weights, and between what they predict."""
    mine, theirs = (load_file(own.folder / "model.safetensors") for own in (run, other))
    assert mine.keys() == theirs.keys()
    weights = max(float((mine[name].float() - theirs[name].float()).abs().max()) for name in mine)
    one, two = run.valid().canonical(), other.valid().canonical()
    assert one.ids.tolist() == two.ids.tolist()
    return weights, float(np.abs(one.probs - two.probs).max())


@pytest.mark.slow
def test_two_launched_processes_train_what_one_trains(recipe_of, recipe_file, tmp_path):
    recipes = {"plain": PLAIN, "rich": RICH, "odd": ("fit.batch_size=15",)}
    for name, said in recipes.items():
        recipe_file(name).write_text(_text(recipe_of(*said, name=name)))
    files = [str(tmp_path / f"{name}.yaml") for name in recipes]
    command = [
        sys.executable,
        "-m",
        *LAUNCH,
        "-m",
        "ensemble",
        "train",
        *files,
        "--runs",
        str(tmp_path / "two"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ENS_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    told = ended.stderr
    assert ended.returncode == 1, told
    assert (
        told.count("fit.batch_size: 15 images do not go into 2 equal shares, one for each GPU") == 2
    )  # line and table
    assert told.count("[1/3] plain") == 1
    assert "1 of 3 runs failed" in told
    two = {run.recipe: run for run in RunStore(tmp_path / "two").finished()}
    assert two.keys() == {"plain", "rich"}
    assert two["plain"].device.startswith("2 × ")
    (one,), _ = train_all(
        jobs_of([recipe_of(*PLAIN, name="plain")]), RunStore(tmp_path / "one"), ignore
    )
    weights, probs = furthest(one, two["plain"])
    assert weights < 1e-4
    assert probs < 1e-5
    rich = two["rich"]
    assert rich.refit_epochs
    assert rich.lr_find is not None
    assert len(set(rich.valid().ids.tolist())) == rich.data.n_valid
    recipe = Recipe.load(rich.folder / "recipe.yaml")
    setup = set_up(
        recipe, load(recipe.data), 0, ignore, RunStore(tmp_path / "two"), "rich", start=""
    )
    load_exactly(setup.learn.model, rich)
    for part, stored in (("valid", rich.valid()), ("test", rich.test())):
        mine = _of_rows(setup, recipe, setup.images.readable(part), lambda *_: None)
        assert np.abs(mine - stored.probs).max() < 1e-5


def _text(recipe):
    from ensemble.engines.local import recipe_text

    return recipe_text(recipe)


class CutOff(BaseException):
    """What a kill is to the code."""


@pytest.mark.slow
def test_a_run_led_from_here_goes_on_where_it_was_cut_off_and_its_processes_end(
    recipe_of, tmp_path, monkeypatch
):
    recipe = recipe_of("model.arch=resnet10t", "augment=light", "fit.epochs=3", "resources.gpu=2")
    monkeypatch.setattr(ranks, "n_wanted", lambda gpus: int(gpus))
    (whole,), failures = train_all(jobs_of([recipe]), RunStore(tmp_path / "whole"), ignore)
    assert failures == []
    seen = []

    def cut_off(event):
        seen.append(event)
        if (
            isinstance(event, Step)
            and event.loss is not None
            and any(isinstance(own, EpochEnded) for own in seen)
        ):
            raise CutOff

    with pytest.raises(CutOff):
        train_all(jobs_of([recipe]), RunStore(tmp_path / "cut"), cut_off)
    assert ranks.GROUP.size == 1
    notes = []
    (again,), _ = train_all(jobs_of([recipe]), RunStore(tmp_path / "cut"), notes.append)
    assert any(
        isinstance(event, Note) and event.text.startswith("going on after epoch 1")
        for event in notes
    )
    assert furthest(whole, again) == (0, 0)
    assert not {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"} & os.environ.keys()


LED = """
import sys
from ensemble.learn import ranks
ranks.n_wanted = lambda gpus: int(gpus)
sys.argv = ["ens", "train", "tiny.yaml", "--set", "resources.gpu=2", "--set", "fit.epochs=400"]
from ensemble.cli import main
main()
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_run_on_two_processes_without_a_traceback_and_it_can_go_on(
    recipe_file, tmp_path
):
    recipe_file()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ENS_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(
        [sys.executable, "-c", LED],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        next(line for line in process.stderr if "epoch 2:" in line)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in rest
    assert "failed" not in rest
    assert list((tmp_path / "runs").glob("*/state/state.safetensors"))
