"""Averages of the weights: which weights they are of, and statistics of batch norms that fit them."""

import numpy as np
import pytest
import torch
from torch import nn

from ensemble.dataset.load import load
from ensemble.errors import RecipeError
from ensemble.learn.averages import refresh_statistics
from ensemble.learn.build_learner import set_up
from ensemble.learn.checkpoint import read_weights
from ensemble.learn.fitting import Fitting
from ensemble.learn.keepers import copy_of
from ensemble.runs import RunStore
from ensemble.runs.job import Job

THREE = ("fit.epochs=3", "fit.lr=0.01", "fit.keep=last", "model.arch=resnet10t")


@pytest.fixture
def weights_after_epochs(recipe_of):
    """weights_after_epochs(*overrides): the trained network's weights after each epoch."""

    def weights_after_epochs(*overrides):
        job, states = Job(recipe_of(*overrides), 0), []
        built = set_up(job, load(job.recipe.data), RunStore(), lambda event: None)
        fitting = Fitting(built, job, lambda event: None)
        report = fitting._epoch
        fitting._epoch = lambda *args: (states.append(copy_of(fitting.network)), report(*args))
        fitting.train(job.recipe.fit.lr)
        return states

    return weights_after_epochs


@pytest.mark.parametrize("n_last", [1, 2, 3])
def test_the_stored_weights_are_the_mean_of_the_last_epochs(
    n_last, fit, weights_after_epochs, tmp_path
):
    states = weights_after_epochs(*THREE)[-n_last:]
    fit(*THREE, f"fit.average_last={n_last}")
    (file,) = (tmp_path / "runs").rglob("model.safetensors")
    stored = read_weights(file)
    learned = [name for name in stored if "running_" not in name and "num_batches" not in name]
    for name in learned:
        mean = torch.stack([state[name] for state in states]).mean(0)
        torch.testing.assert_close(stored[name], mean, atol=1e-6, rtol=1e-5)
    assert any("running_mean" in name for name in stored)


def test_earlier_epochs_and_the_training_itself_do_not_change(fit):
    averaged, plain = fit(*THREE, "fit.average_last=2").trained, fit(*THREE).trained
    assert [row.train_loss for row in averaged.history] == [row.train_loss for row in plain.history]
    is_same = [
        a.valid_loss == b.valid_loss for a, b in zip(averaged.history, plain.history, strict=True)
    ]
    assert is_same == [True, False, False]
    assert not np.allclose(averaged.valid.probs, plain.valid.probs, atol=1e-4)


def test_statistics_are_the_means_over_the_batches_and_nothing_else_moves():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.BatchNorm2d(4)
    )
    first, second = network[1], network[3]
    before = copy_of(network)
    batches = [(torch.rand(8, 3, 5, 5),) for _ in range(3)]
    refresh_statistics(network, [first], batches, "fp32")
    outputs = [network[0](x).detach() for (x,) in batches]
    means = torch.stack([output.mean((0, 2, 3)) for output in outputs]).mean(0)
    variances = torch.stack([output.var((0, 2, 3)) for output in outputs]).mean(0)
    torch.testing.assert_close(first.running_mean, means)
    torch.testing.assert_close(first.running_var, variances)
    assert first.momentum == second.momentum == 0.1
    assert not any(module.training for module in network.modules())
    moved = {
        name for name, weight in copy_of(network).items() if not torch.equal(weight, before[name])
    }
    assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


def test_statistics_of_a_frozen_body_stay(fit, tmp_path):
    frozen = (*THREE, "fit.strategy=feature_extract", "fit.average_last=2")
    plain = fit(*THREE, "fit.strategy=feature_extract", "fit.feature_views=0")
    averaged = fit(*frozen)
    assert averaged.trained.record.feature_views == 0
    assert averaged.weights != plain.weights
    states = [read_weights(file) for file in (tmp_path / "runs").rglob("model.safetensors")]
    body = [name for name in states[0] if not name.startswith("fc.")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in body)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("fit.average_last=4", "fit.epochs=3"), "average_last: 4 epochs, but phase scratch has 3"),
        (("fit.average_last=1", "fit.ema=0.9"), "fit.average_last and fit.ema exclude each other"),
        (
            ("fit.average_last=1", "fit.early_stop={patience: 1}"),
            "fit.average_last and fit.early_stop exclude each other",
        ),
    ],
)
def test_what_cannot_be_averaged_is_refused(overrides, message, fit):
    with pytest.raises(RecipeError, match=message):
        fit(*overrides)
