"""On a GPU: automatic precision trains, and predictions stay close to those of the CPU with the same weights."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from cut_off import CutOff, cut_off_after
from safetensors.torch import load_file
from torch.nn import functional

from ensemble.dataset.load import load
from ensemble.engines.local import train_one
from ensemble.errors import TrainingError
from ensemble.events import EpochEnded, Note, ignore
from ensemble.learn import learner, load_learner
from ensemble.learn.build_learner import set_up
from ensemble.learn.device import device, precision
from ensemble.learn.fitting import Fitting
from ensemble.learn.graphs import recorded
from ensemble.learn.keepers import copy_of
from ensemble.learn.predict import probabilities
from ensemble.learn.stored_image import resident
from ensemble.paths import cache_root
from ensemble.runs import RunStore
from ensemble.runs.job import Job
from ensemble.runs.writer import recipe_text

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
TOLERANCE = {"fp32": 2e-3, "bf16": 5e-2, "fp16": 1e-2}  # of a probability; TF32 is on in fp32


@pytest.fixture
def run_of(recipe_of, tmp_path):
    """run_of(*overrides, into, listen): the small recipe, trained and published in a folder of runs, and its events.

    Runs whose recipes differ only in what an id leaves out, such as resources, need folders of their own.
    """

    def run_of(*overrides, into="runs", listen=ignore):
        recipe, events = recipe_of("fit.epochs=4", *overrides), []

        def emit(event):
            events.append(event)
            listen(event)

        return train_one(Job(recipe, 0), RunStore(tmp_path / into), load(recipe.data), emit), events

    return run_of


def on_the_cpu(network, dls, files):
    """Probabilities in fp32 on the CPU, from the same weights and the same pixels."""
    x = torch.cat([batch for (batch,) in dls.test_dl(files, bs=64)]).cpu().as_subclass(torch.Tensor)
    network = network.cpu().float().eval()
    with torch.inference_mode():
        return functional.softmax(network(x).double(), 1).float().numpy()


def test_automatic_precision_is_half_and_the_device_is_the_gpu():
    assert device().type == "cuda"
    assert precision("auto") in ("bf16", "fp16")
    assert precision("fp32") == "fp32"


@pytest.mark.parametrize("said", ["auto", "fp32", "fp16"])
def test_an_epoch_trains_and_predictions_are_close_to_the_cpus(said, run_of, recipe_of):
    run, _ = run_of(f"fit.precision={said}", "fit.lr=find")
    assert run.training.device == torch.cuda.get_device_name()
    assert run.training.precision in (("bf16", "fp16") if said == "auto" else (said,))
    stored = run.valid()
    assert np.isfinite(stored.probs).all()
    assert run.scores.accuracy > run.data.majority
    learn = load_learner(run)
    files = list(load(recipe_of().data).valid.files)
    expected = on_the_cpu(learn.model, learn.dls, files)
    assert np.abs(stored.probs - expected).max() <= TOLERANCE[run.training.precision]


def test_the_frozen_body_stays_as_it_was_in_half_precision(run_of, recipe_of):
    said = ("fit.strategy=feature_extract", "fit.lr=0.01", "augment=standard")
    run, _ = run_of(*said)
    start, stored = (
        copy_of(learner(recipe_of("fit.epochs=4", *said)).model),
        load_file(run.folder / "model.safetensors"),
    )
    moved = {name for name in stored if not torch.equal(stored[name], start[name])}
    assert moved == {"fc.weight", "fc.bias"}


def test_finding_a_rate_changes_nothing_else_within_the_tolerance_of_the_gpu(run_of):
    found, events = run_of("fit.lr=find", "fit.precision=fp32")
    written, _ = run_of(f"fit.lr={found.training.lr!r}", "fit.precision=fp32")
    assert any("(valley rule, " in event.text for event in events if isinstance(event, Note))
    assert np.abs(found.valid().probs - written.valid().probs).max() <= 2e-2


def test_views_and_batch_sizes_agree_on_the_gpu(run_of):
    run, _ = run_of("tta=[flip, crops]", "augment=heavy")
    learn = load_learner(run)
    images = learn.dls.valid_ds.items
    stored = run.valid()
    for size in (3, 64):
        loader = learn.dls.test_dl(images, bs=size)
        found = probabilities(learn.model, loader, ("flip", "crops"), run.training.precision)
        assert np.abs(found - stored.probs).max() <= TOLERANCE[run.training.precision]


@pytest.mark.skipif(
    os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1") != "1",
    reason="fills the GPU, which other workers use; run it alone",
)
def test_what_a_run_before_reserved_does_not_make_the_probed_batch_smaller(run_of):
    most = 0.92 * torch.cuda.get_device_properties(0).total_memory
    held = torch.empty(int(most - torch.cuda.memory_reserved()), dtype=torch.uint8, device="cuda")
    del held  # free, but still reserved
    run, _ = run_of("fit.batch_size=auto")
    assert run.training.micro_batch == run.training.batch_size
    torch.cuda.empty_cache()


def test_small_sets_live_on_the_gpu_and_give_the_stored_pixels(recipe_of):
    loader = learner(recipe_of()).dls.train
    assert loader.stored_image.resident is not None
    assert loader.stored_image.resident.device.type == "cuda"
    positions = loader.stored_image.images.readable("train").tolist()
    rows = loader.stored_image.images.rows[positions]
    read = loader.stored_image.read(positions).permute(0, 2, 3, 1).cpu().numpy()
    assert np.array_equal(read, loader.stored_image.images.store.pixels[rows])
    assert resident(loader.stored_image.images.store, share=0.0) is None


def test_images_that_stream_train_to_nearly_the_same_predictions(run_of):
    streamed, _ = run_of("resources.disk=0", "fit.precision=fp32", into="streamed")
    shutil.rmtree(cache_root(), ignore_errors=True)
    stored, _ = run_of("resources.disk=1", "fit.precision=fp32", into="stored")
    assert np.abs(streamed.valid().probs - stored.valid().probs).max() <= 2e-2


def test_a_compiled_network_trains_and_predicts_as_the_plain_one_does(run_of):
    compiled, _ = run_of("fit.compile=true", "fit.precision=fp32")
    plain, _ = run_of("fit.precision=fp32")
    assert np.abs(compiled.valid().probs - plain.valid().probs).max() <= 2e-2


@pytest.mark.parametrize("precision_name", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize(
    "phases",
    [("fit.lr=0.003",), ("fit.strategy=fine_tune", "fit.frozen_epochs=2", "fit.lr=0.01")],
    ids=["scratch", "cached features"],
)
def test_interrupted_training_resumes_to_nearly_the_same_predictions(
    phases, precision_name, run_of
):
    overrides = (*phases, f"fit.precision={precision_name}")
    whole, _ = run_of(*overrides, into="whole")
    for n_epochs in (1, 3):
        with pytest.raises(CutOff):
            run_of(*overrides, into=f"cut{n_epochs}", listen=cut_off_after(n_epochs))
        resumed, events = run_of(*overrides, into=f"cut{n_epochs}")
        notes = [event.text for event in events if isinstance(event, Note)]
        assert any(text.startswith(f"resuming from epoch {n_epochs}") for text in notes)
        assert resumed.training.n_epochs == whole.training.n_epochs
        assert np.abs(resumed.valid().probs - whole.valid().probs).max() <= TOLERANCE["bf16"]


@pytest.mark.parametrize("precision_name", ["fp32", "bf16", "fp16"])
def test_memory_that_runs_out_halves_the_images_at_a_time(precision_name, run_of):
    overrides = (
        f"fit.precision={precision_name}",
        "data.size=256",
        "fit.batch_size=32",
        "model.arch=resnet10t",
    )
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run_of(*overrides, into="plenty")
    peak, total = torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.7 * peak / total)
    try:
        run, events = run_of(*overrides, into="little")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert run.training.batch_size == 32
    assert run.training.micro_batch < 32
    assert not torch.is_autocast_enabled("cuda")
    kept = [event for event in events if isinstance(event, EpochEnded)][run.training.best_epoch - 1]
    assert run.scores.accuracy == pytest.approx(kept.accuracy, abs=1e-6)
    assert run.scores.log_loss == pytest.approx(kept.valid_loss, rel=0.05)


def test_two_processes_share_a_gpu(recipe_of, tmp_path):
    for name in ("left", "right"):
        recipe = recipe_of("fit.epochs=3", "resources.gpu=0.5", name=name)
        (tmp_path / f"{name}.yaml").write_text(recipe_text(recipe))
    command = [sys.executable, "-m", "ensemble", "train", "left.yaml", "right.yaml", "--jobs", "2"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=200)
    runs = RunStore(tmp_path / "runs").finished()
    assert sorted(run.recipe for run in runs) == ["left", "right"]
    assert {run.training.device for run in runs} == {torch.cuda.get_device_name()}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_deterministic_run_gives_the_same_bytes_twice(optimizer, run_of):
    overrides = (
        "fit.deterministic=true",
        f"fit.optimizer={optimizer}",
        "augment=heavy",
        "model.arch=resnet10t",
    )
    runs = [run_of(*overrides, into=into)[0] for into in ("first", "second")]
    for name in ("model.safetensors", "valid.npz", "test.npz"):
        first, second = ((run.folder / name).read_bytes() for run in runs)
        assert first == second


@pytest.mark.parametrize("precision_name", ["fp32", "bf16", "fp16"])
def test_replayed_passes_train_as_the_plain_ones_do(precision_name, run_of):
    overrides = (
        f"fit.precision={precision_name}",
        "model.arch=resnet10t",
        "augment=heavy",
        "fit.ema=0.9",
    )
    plain, _ = run_of(*overrides)
    replayed, _ = run_of(*overrides, "fit.cuda_graphs=true")
    assert np.abs(replayed.valid().probs - plain.valid().probs).max() <= TOLERANCE["bf16"]
    assert replayed.scores.log_loss == pytest.approx(plain.scores.log_loss, rel=0.1)


def reads_a_number(module, inputs, output):
    """A hook that asks the GPU for a number, which no recording can do."""
    return output * float(output.detach().mean() >= -1e9)


def test_a_network_that_cannot_be_recorded_trains_without_and_so_does_the_next_run(
    run_of, recipe_of, tmp_path
):
    recipe = recipe_of("fit.epochs=2", "fit.cuda_graphs=true")
    job = Job(recipe, 0)
    built = set_up(job, load(recipe.data), RunStore(tmp_path / "runs"), ignore)
    built.learn.model.get_classifier().register_forward_hook(reads_a_number)
    with (
        pytest.raises(TrainingError, match="fit.cuda_graphs: this network cannot be captured"),
        recorded(built.learn, built.precision),
    ):
        raise AssertionError("was recorded")
    events = []
    fitting = Fitting(built, job, events.append)
    fitting.train(0.01)
    assert any("it trains without" in event.text for event in events if isinstance(event, Note))
    assert len(fitting.history) == 2
    run, _ = run_of()
    assert run.scores.accuracy > 0
