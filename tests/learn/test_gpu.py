"""On a GPU: automatic precision trains, and predictions stay close to those of the CPU with the same weights."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from ensemble.dataset.load import load
from ensemble.dataset.places import cache_root
from ensemble.engines.jobs import Job
from ensemble.engines.local import train_one
from ensemble.events import Note
from ensemble.learn import learner, trained_learner
from ensemble.learn.callbacks import copy_of
from ensemble.learn.data import resident
from ensemble.learn.device import device, precision
from ensemble.learn.predict import probabilities
from ensemble.runs import RunStore

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]
TOLERANCE = {"fp32": 2e-3, "bf16": 5e-2, "fp16": 1e-2}  # of a probability; TF32 is on in fp32


@pytest.fixture
def run_of(recipe_of, tmp_path):
    """run_of(*overrides): the small recipe, trained here and published."""

    def run_of(*said):
        recipe, events = recipe_of("fit.epochs=4", *said), []
        return train_one(Job(recipe, 0), RunStore(tmp_path / "runs"), load(recipe.data), events.append), events

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
    assert run.device == torch.cuda.get_device_name()
    assert run.precision in (("bf16", "fp16") if said == "auto" else (said,))
    stored = run.valid()
    assert np.isfinite(stored.probs).all()
    assert run.scores.accuracy > run.data.majority
    learn = trained_learner(run)
    files = list(load(recipe_of().data).valid.files)
    expected = on_the_cpu(learn.model, learn.dls, files)
    assert np.abs(stored.probs - expected).max() <= TOLERANCE[run.precision]


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
    written, _ = run_of(f"fit.lr={found.lr!r}", "fit.precision=fp32")
    assert any("by the valley rule" in event.text for event in events if isinstance(event, Note))
    assert np.abs(found.valid().probs - written.valid().probs).max() <= 2e-2


def test_views_and_batch_sizes_agree_on_the_gpu(run_of):
    run, _ = run_of("tta=[flip, crops]", "augment=heavy")
    learn = trained_learner(run)
    images = learn.dls.valid_ds.items
    stored = run.valid()
    for size in (3, 64):
        loader = learn.dls.test_dl(images, bs=size)
        found = probabilities(learn.model, loader, ("flip", "crops"), run.precision)
        assert np.abs(found - stored.probs).max() <= TOLERANCE[run.precision]


def test_what_a_run_before_reserved_does_not_make_the_probed_batch_smaller(run_of):
    most = 0.92 * torch.cuda.get_device_properties(0).total_memory
    held = torch.empty(int(most - torch.cuda.memory_reserved()), dtype=torch.uint8, device="cuda")
    del held  # free, but still reserved
    run, _ = run_of("fit.batch_size=auto")
    assert run.micro_batch == run.batch_size
    torch.cuda.empty_cache()


def test_small_sets_live_on_the_gpu_and_give_the_stored_pixels(recipe_of):
    loader = learner(recipe_of()).dls.train
    assert loader.stored.resident is not None
    assert loader.stored.resident.device.type == "cuda"
    positions = loader.stored.images.readable("train").tolist()
    rows = loader.stored.images.rows[positions]
    read = loader.stored.read(positions).permute(0, 2, 3, 1).cpu().numpy()
    assert np.array_equal(read, loader.stored.images.store.pixels[rows])
    assert resident(loader.stored.images.store, share=0.0) is None


def test_pictures_that_stream_train_to_nearly_the_same_predictions(run_of):
    streamed, _ = run_of("resources.disk=0", "fit.precision=fp32")
    shutil.rmtree(cache_root(), ignore_errors=True)
    stored, _ = run_of("fit.precision=fp32", "seeds=[0]", "resources.disk=1")
    assert np.abs(streamed.valid().probs - stored.valid().probs).max() <= 2e-2


def test_a_compiled_network_trains_and_predicts_as_the_plain_one_does(run_of):
    compiled, _ = run_of("fit.compile=true", "fit.precision=fp32")
    plain, _ = run_of("fit.precision=fp32")
    assert np.abs(compiled.valid().probs - plain.valid().probs).max() <= 2e-2
