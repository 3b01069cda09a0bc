"""What we add to the training loop, each callback on toy values or a toy network."""

from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import CancelFitException
from fastai.torch_core import TensorCategory, TensorImage
from torch import nn

from ensemble.events import EpochEnded, Step
from ensemble.learn.callbacks import ChannelsLast, FiniteLoss, SeedEpochs, freeze_statistics
from ensemble.learn.keepers import Best, copy_of
from ensemble.recipe import EarlyStop

NAN = float("nan")


def watched(best, *values):
    """Show `best` epochs of (valid_loss, accuracy), the network's weight being the epoch's number; how many ran."""
    network = nn.Linear(1, 1)
    best.learn = SimpleNamespace(model=network, recorder=SimpleNamespace(log=[]))
    best.before_fit()
    for epoch, (loss, accuracy) in enumerate(values, start=1):
        try:
            best.before_epoch()
        except CancelFitException:
            return epoch - 1
        nn.init.constant_(network.weight, epoch)
        best.learn.recorder.log = [epoch, 0.5, loss, accuracy]
        best.after_validate()
    return len(values)


def kept(best):
    return best.kept_epoch, best.kept["weight"].item() if best.kept else None


@pytest.mark.parametrize(
    ("monitor", "epochs", "expected"),
    [
        ("valid_loss", [(0.9, 0.1), (0.5, 0.2), (0.7, 0.9)], 2),
        ("accuracy", [(0.9, 0.1), (0.5, 0.2), (0.7, 0.9)], 3),
        ("valid_loss", [(0.9, 0.1), (0.5, 0.2), (0.5, 0.9)], 2),
        ("accuracy", [(0.9, 0.8), (0.5, 0.9), (0.4, 0.9)], 2),
        ("valid_loss", [(NAN, 0.1), (0.9, 0.2), (NAN, 0.9)], 2),
    ],
    ids=["loss", "accuracy", "tied loss", "tied accuracy", "nan"],
)
def test_the_best_epoch_is_remembered_and_a_tie_stays_with_the_earlier(monitor, epochs, expected):
    best = Best(monitor, None)
    assert watched(best, *epochs) == len(epochs)
    assert kept(best) == (expected, expected)


def test_without_a_finite_loss_there_is_no_best_epoch():
    best = Best("valid_loss", EarlyStop(patience=2))
    assert watched(best, (NAN, 0.5), (NAN, 0.5), (NAN, 0.5)) == 2
    assert kept(best) == (0, None)


def test_the_best_epoch_is_that_of_all_phases():
    best = Best("valid_loss", None)
    watched(best, (0.9, 0), (0.3, 0))
    watched(best, (0.8, 0), (0.4, 0))
    assert kept(best) == (2, 2)
    watched(best, (0.2, 0))
    assert kept(best) == (5, 1)


def test_keep_last_keeps_the_last_epoch():
    best = Best("valid_loss", EarlyStop(patience=2), keep="last")
    assert watched(best, (0.5, 0), (0.9, 0), (0.7, 0), (0.1, 0)) == 3
    assert kept(best) == (3, 3)


def test_training_stops_after_patience_epochs_without_a_better_one():
    losses = [(0.9, 0), (0.5, 0), (0.6, 0), (0.5, 0), (0.1, 0)]
    assert watched(Best("valid_loss", EarlyStop(patience=2)), *losses) == 4
    assert watched(Best("valid_loss", EarlyStop(patience=3)), *losses) == 5
    assert watched(Best("valid_loss", None), *losses) == 5


def test_an_improvement_smaller_than_min_delta_does_not_count_for_patience_but_is_kept():
    best = Best("valid_loss", EarlyStop(patience=2, min_delta=0.2))
    assert watched(best, (0.9, 0), (0.8, 0), (0.75, 0), (0.1, 0)) == 3
    assert kept(best) == (3, 3)
    best = Best("accuracy", EarlyStop(patience=1, min_delta=0.05))
    assert watched(best, (0, 0.5), (0, 0.6), (0, 0.62), (0, 0.99)) == 3
    assert kept(best) == (3, 3)


def test_every_phase_has_its_own_patience():
    best = Best("valid_loss", EarlyStop(patience=2))
    assert watched(best, (0.5, 0), (0.6, 0)) == 2
    assert watched(best, (0.6, 0), (0.4, 0), (0.5, 0)) == 3


def test_a_copy_of_the_weights_stays_as_it_is():
    network = nn.Linear(2, 2)
    copy, before = copy_of(network), network.weight.detach().clone()
    nn.init.zeros_(network.weight)
    assert torch.equal(copy["weight"], before)


def test_only_the_statistics_of_frozen_modules_stop_moving():
    def block():
        return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))

    network = nn.Sequential(block(), block(), nn.Dropout(0.5))
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)
    network[1][1].requires_grad_(False)
    network.train()
    freeze_statistics(network)
    assert not any(module.training for module in network[0].modules())
    assert network.training
    assert network[1].training
    assert not network[1][1].training
    assert network[1][2].training
    assert network[2].training


def test_an_epoch_draws_the_same_numbers_whatever_was_drawn_before():
    def drawn(seed, phase, epoch, before=0):
        torch.rand(before + 1)
        loaders = [SimpleNamespace(rng=None), SimpleNamespace(rng=None)]
        callback = SeedEpochs(seed, phase)
        callback.learn = SimpleNamespace(dls=SimpleNamespace(loaders=loaders), epoch=epoch)
        callback.before_epoch()
        return [torch.rand(1).item(), *(loader.rng.random() for loader in loaders)]

    first = drawn(0, "frozen", 0)
    assert first == drawn(0, "frozen", 0, before=99)
    others = [drawn(1, "frozen", 0), drawn(0, "unfrozen", 0), drawn(0, "frozen", 1)]
    assert len({tuple(numbers) for numbers in [first, *others]}) == 4
    assert len(set(first[1:])) == 2


@pytest.mark.parametrize("loss", [NAN, float("inf")])
def test_a_nan_or_infinite_loss_ends_training_and_names_batch_and_rate(loss):
    callback = FiniteLoss("unfrozen", every=2)
    callback.learn = SimpleNamespace(
        training=True,
        iter=3,
        epoch=1,
        loss=torch.tensor(loss),
        opt=SimpleNamespace(hypers=[{"lr": 1.0}, {"lr": 0.25}]),
    )
    callback.after_batch()  # every second batch is looked at
    callback.learn.iter, callback.learn.training = 4, False
    callback.after_batch()
    assert callback.problem == ""
    callback.learn.training = True
    with pytest.raises(CancelFitException):
        callback.after_batch()
    text = f"the loss became {loss} in phase unfrozen, epoch 2, batch 5, at rate 0.25\nset a smaller fit.lr"
    assert callback.problem == text


def test_batches_come_in_the_order_that_convolutions_like():
    callback = ChannelsLast()
    callback.learn = SimpleNamespace(
        xb=(TensorImage(torch.zeros(2, 3, 4, 4)),), yb=(TensorCategory([0, 1]),)
    )
    callback.before_batch()
    assert callback.learn.xb[0].is_contiguous(memory_format=torch.channels_last)
    assert {type(one) for one in (*callback.learn.xb, *callback.learn.yb)} == {torch.Tensor}


def test_listeners_hear_of_every_batch_and_every_epoch(fit):
    made = fit("fit.strategy=fine_tune", "fit.epochs=2", "fit.frozen_epochs=2")
    epochs = [event for event in made.events if isinstance(event, EpochEnded)]
    assert epochs == made.trained.history
    assert [(epoch.phase, epoch.epoch) for epoch in epochs] == [
        ("frozen", 1),
        ("frozen", 2),
        ("unfrozen", 3),
        ("unfrozen", 4),
    ]
    steps = [event for event in made.events if isinstance(event, Step) and event.phase == "frozen"]
    assert [(step.done, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(step.loss > 0 for step in steps)
