"""Probabilities row for row: named views, order and ids, the size of the batch, unreadable rows."""

import numpy as np
import pytest
import torch
from torch import nn

from ensemble.dataset.load import load
from ensemble.learn import learner
from ensemble.learn.catalog import Catalog
from ensemble.learn.loaders import split_loader
from ensemble.learn.predict import TTA_VIEWS, all_views, probabilities, with_unreadable

N_VIEWS = {"flip": 2, "dihedral": 8, "crops": 6, "scales": 3}


@pytest.fixture
def taught(recipe_of, served):
    """taught(*overrides): the images of the small recipe, their loaders, and a network that is not quite random."""

    def taught(*said):
        recipe = recipe_of(*said)
        learn = learner(recipe)
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 3e-3)
        images, _ = served(recipe)
        return images, learn.dls, learn.model

    return taught


def test_every_row_is_the_image_of_its_id(taught, recipe_of):
    images, dls, network = taught()
    data = load(recipe_of().data)
    for part, table in (("valid", data.valid), ("test", data.test)):
        together = probabilities(network, split_loader(dls, images, part, 5), (), "fp32")
        assert together.shape == (len(table), 3)
        assert together.dtype == np.float32
        assert np.allclose(together.sum(1), 1, atol=1e-6)
        for file, row in zip(table.files, together, strict=True):
            (alone,) = probabilities(network, dls.test_dl([file]), (), "fp32")
            assert np.allclose(alone, row, atol=1e-5)
        assert len(np.unique(together.round(5), axis=0)) == len(table)


@pytest.mark.parametrize("views", [(), ("flip", "crops", "scales")])
def test_the_size_of_the_batch_does_not_matter(views, taught):
    images, dls, network = taught()
    all_at_once = probabilities(network, split_loader(dls, images, "test", 64), views, "fp32")
    for size in (1, 5, 12):
        assert np.allclose(
            probabilities(network, split_loader(dls, images, "test", size), views, "fp32"),
            all_at_once,
            atol=1e-6,
        )


@pytest.mark.parametrize(
    "views", [("flip",), ("dihedral",), ("crops",), ("scales",), ("flip", "crops", "scales")]
)
def test_named_views_are_deterministic_and_the_mean_of_their_probabilities(views, taught):
    images, dls, network = taught()
    first = probabilities(network, split_loader(dls, images, "test", 64), views, "fp32")
    torch.rand(3)
    assert np.array_equal(
        first, probabilities(network, split_loader(dls, images, "test", 64), views, "fp32")
    )
    (x,) = split_loader(dls, images, "test", 64).one_batch()
    shown = list(all_views(x.as_subclass(torch.Tensor), views))
    assert len(shown) == 1 + sum(N_VIEWS[name] - 1 for name in views)
    with torch.no_grad():
        mean = torch.stack([network(view).double().softmax(1) for view in shown]).mean(0)
    assert np.allclose(first, mean, atol=1e-6)
    plain = probabilities(network, split_loader(dls, images, "test", 64), (), "fp32")
    assert not np.allclose(first, plain, atol=1e-5)


def test_the_mirror_image_changes_nothing_for_a_network_that_cannot_tell_left_from_right(taught):
    images, dls, _ = taught()
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 3, padding=1)
    network = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    loader = split_loader(dls, images, "test", 64)
    plain, flipped = (probabilities(network, loader, views, "fp32") for views in ((), ("flip",)))
    assert not np.allclose(plain, flipped, atol=1e-6)
    conv.weight.data = (conv.weight.data + conv.weight.data.flip(-1)) / 2
    plain, flipped = (probabilities(network, loader, views, "fp32") for views in ((), ("flip",)))
    assert np.allclose(plain, flipped, atol=1e-6)


def test_dihedral_shows_each_mirroring_and_quarter_turn_once():
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    views = [view.numpy()[0, 0] for view in all_views(x, ("dihedral",))]
    turns = [np.rot90(x.numpy()[0, 0], n) for n in range(4)]
    expected = [*turns, *(np.fliplr(turn) for turn in turns)]
    assert len({view.tobytes() for view in views}) == 8
    assert {view.tobytes() for view in views} == {view.tobytes() for view in expected}


def test_a_turned_or_mirrored_image_gets_the_same_probabilities_by_dihedral_views(taught):
    images, dls, network = taught()
    (x,) = split_loader(dls, images, "test", 64).one_batch()
    x = x.as_subclass(torch.Tensor)
    upright = probabilities(network, [(x,)], ("dihedral",), "fp32")
    for turned in (x.rot90(1, (-2, -1)), x.flip(-2), x.transpose(-2, -1)):
        again = probabilities(network, [(turned,)], ("dihedral",), "fp32")
        np.testing.assert_allclose(again, upright, atol=1e-6)


def test_every_view_shows_its_window_of_the_image():
    x = torch.arange(16.0 * 16).reshape(1, 1, 16, 16)
    (mirrored,) = TTA_VIEWS["flip"](x)
    assert torch.equal(mirrored.flip(-1), x)
    crops = list(TTA_VIEWS["crops"](x))
    assert all(crop.shape == x.shape for crop in crops)
    middles = [
        crop[..., 7:9, 7:9].mean().item() for crop in crops
    ]  # the mean of a plane is its value in the middle
    top_left = x[..., :14, :14].mean().item()
    assert middles == pytest.approx(
        [top_left, top_left + 2, top_left + 32, top_left + 34, top_left + 17], abs=1e-3
    )
    assert [
        scale[..., 7:9, 7:9].mean().item() for scale in TTA_VIEWS["scales"](x)
    ] == pytest.approx([127.5 - 8.5, 127.5], abs=1e-3)
    flat = torch.full((2, 3, 20, 20), 0.3)
    assert all(torch.allclose(view, flat) for view in all_views(flat, tuple(TTA_VIEWS)))


def test_predicting_leaves_no_gradients_and_the_statistics_as_they_are(taught):
    images, dls, network = taught()
    network.zero_grad(set_to_none=True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    probabilities(network, split_loader(dls, images, "test", 64), ("flip",), "fp32")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_views_of_the_recipe_serve_validation_and_test_alike(fit):
    plain, averaged = fit("fit.lr=0.01"), fit("fit.lr=0.01", "tta=[flip, crops]")
    assert plain.weights == averaged.weights
    for part in ("valid", "test"):
        mine, theirs = (getattr(made.trained, part).probs for made in (plain, averaged))
        assert mine.shape == theirs.shape
        assert not np.array_equal(mine, theirs)


def test_an_unreadable_row_gets_the_class_shares_and_the_others_their_own():
    images = Catalog(
        store=None,
        files=(),
        classes=("x", "y"),
        rows=np.array([0, 1, 2, 3, -1, 4, -1, 5, 6]),
        targets=np.array([0, 0, 0, 1, 1, -1, -1, -1, -1]),
        splits={"train": np.arange(5), "test": np.arange(5, 9)},
        unreadable={},
        hashes={},
    )
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], np.float32)
    found = with_unreadable(probs, images)
    assert found.dtype == np.float32
    assert np.allclose(found, [[0.9, 0.1], [0.75, 0.25], [0.2, 0.8], [0.4, 0.6]])
