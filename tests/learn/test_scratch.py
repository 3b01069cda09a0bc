"""Networks that a recipe describes: the source projects' parameter counts, errors, stages, penalties."""

from types import SimpleNamespace

import pytest
import torch
from fastai.callback.mixup import CutMix, MixUp
from safetensors.torch import load as load_tensors
from torch import nn

from ensemble.errors import RecipeError
from ensemble.learn import callbacks
from ensemble.learn.layer_groups import layer_groups
from ensemble.learn.models import build, count_parameters
from ensemble.recipe import Head, Model

CATS_DOGS = {
    "filters": [32, 32, 32, 32],
    "padding": "none",
    "batch_norm": False,
    "end": "flatten",
    "dense": [256],
}


def made(arch="scratch_plain", n_classes=2, size=32, **options):
    return build(Model(arch=arch, pretrained=False, options=options), n_classes, size).network


def test_the_network_of_cats_and_dogs_has_the_parameters_that_were_published():
    assert count_parameters(made(size=224, **CATS_DOGS)) == 1_209_058


def test_a_residual_block_adds_its_input():
    network = made("scratch_residual", filters=[8, 8], pool=1)
    block = network.body.block2[0].eval()
    with torch.no_grad():
        for layer in block.layers:
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
        x = torch.rand(2, 8, 5, 5)
        assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("options", "n_parameters"),
    [
        ({"filters": [4], "batch_norm": False, "kernel": 5}, 3 * 4 * 25 + 4 + 4 * 2 + 2),
        ({"filters": [4, 8], "kernel": [5, 3]}, 3 * 4 * 25 + 8 + 4 * 8 * 9 + 16 + 8 * 2 + 2),
        (
            {"filters": [4], "batch_norm": False, "dense": [6], "dense_dropout": 0.5},
            112 + 4 * 6 + 6 + 6 * 2 + 2,
        ),
        (
            {"filters": [4], "batch_norm": False, "end": "max", "convs": 2},
            112 + 4 * 4 * 9 + 4 + 4 * 2 + 2,
        ),
        (
            {"filters": [4], "batch_norm": False, "end": "flatten", "pool": 4},
            112 + 4 * 8 * 8 * 2 + 2,
        ),
    ],
    ids=str,
)
def test_layers_are_those_that_the_recipe_describes(options, n_parameters):
    assert count_parameters(made(**options)) == n_parameters


@pytest.mark.parametrize(
    ("arch", "options", "said"),
    [
        ("scratch_plain", {"filter": [3]}, "unexpected keyword argument 'filter'"),
        ("scratch_plain", {"filters": [4, 4], "kernel": [3]}, "kernel has 1 entries for 2 blocks"),
        ("scratch_plain", {"padding": "valid"}, "padding is same or none"),
        ("scratch_residual", {"padding": "none"}, "needs padding: same"),
    ],
)
def test_options_that_make_no_network_are_refused_with_the_reason(arch, options, said):
    with pytest.raises(RecipeError, match=f"model.options: {arch} does not accept .*{said}"):
        made(arch, **options)


def test_a_network_too_deep_for_its_images_and_a_head_of_ours_are_refused():
    with pytest.raises(RecipeError, match="data.size: scratch_plain cannot take images of 8 px"):
        made(size=8, **CATS_DOGS)
    with pytest.raises(RecipeError, match="model.head: scratch_plain does not take a head"):
        build(Model(arch="scratch_plain", pretrained=False, head=Head(hidden=(7,))), 2, 32)


def test_stages_are_blocks_and_the_last_group_is_the_classifier():
    network = made("scratch_residual", filters=[4, 8, 8], dense=[5])
    groups = layer_groups(network)
    assert len(groups) == 4
    assert {id(p) for p in groups[-1]} == {id(p) for p in network.classifier.parameters()}
    assert sum(len(group) for group in groups) == len(list(network.parameters()))
    assert len(layer_groups(network, "body.block3")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["scratch_plain", "scratch_residual"])
def test_scratch_networks_learn_the_colours_of_the_tiny_images(arch, fit):
    made = fit(
        f"model.arch={arch}", "model.options={filters: [8, 16]}", "fit.epochs=8", "fit.lr=0.01"
    )
    hits = made.trained.valid.probs.argmax(1) == made.trained.valid.targets
    assert hits.mean() > 0.8  # the majority class is a third


@pytest.mark.slow
def test_a_penalty_shrinks_the_layers_that_it_names_and_no_others(fit):
    said = (
        "model.arch=scratch_plain",
        "model.options={filters: [8], dense: [16]}",
        "fit.epochs=12",
        "fit.lr=0.01",
        "fit.keep=last",
    )
    free, held = (
        load_tensors(fit(*said, *more).weights)
        for more in ((), ("fit.penalty={dense: {l1: 0.1, l2: 0.1}}",))
    )
    sizes = {
        name: (free[name].abs().mean(), held[name].abs().mean())
        for name in free
        if free[name].ndim > 1
    }
    for name, (before, after) in sizes.items():
        assert (after < 0.7 * before) == name.startswith("dense"), name


def test_the_penalty_is_added_to_what_is_minimised_alone():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0]]))
    penalty = callbacks.Penalize([(nn.Sequential(layer), 0.1, 0.01)])
    penalty.learn = SimpleNamespace(
        training=True, loss=torch.tensor(1.0), loss_grad=torch.tensor(1.0)
    )
    penalty.after_loss()
    assert penalty.learn.loss_grad.item() == pytest.approx(1 + 0.1 * 7 + 0.01 * 25)
    assert penalty.learn.loss.item() == 1
    penalty.learn = SimpleNamespace(training=False, loss_grad=torch.tensor(1.0))
    penalty.after_loss()
    assert penalty.learn.loss_grad.item() == 1


def test_a_penalty_on_an_unknown_module_names_the_known_ones(fit):
    with pytest.raises(
        RecipeError, match=r"fit.penalty: the network has no module 'dens'\nnearest: "
    ):
        fit(
            "model.arch=scratch_plain",
            "model.options={filters: [8], dense: [16]}",
            "fit.penalty={dens: {l2: 0.1}}",
        )


@pytest.mark.parametrize(("mixup", "cutmix", "kinds"), [(0.4, 1.0, {MixUp, CutMix})])
def test_with_mixup_and_cutmix_each_batch_gets_one_of_them(mixup, cutmix, kinds, monkeypatch):
    seen = []
    for kind in kinds:
        monkeypatch.setattr(
            kind, "before_batch", lambda self, kind=kind: seen.append((kind, self.distrib))
        )
    torch.manual_seed(0)
    both = callbacks.MixUpOrCutMix(mixup, cutmix)
    for _ in range(200):
        both.before_batch()
    for kind, alpha in ((MixUp, mixup), (CutMix, cutmix)):
        own = [distribution for seen_kind, distribution in seen if seen_kind is kind]
        assert 70 < len(own) < 130
        assert all(
            float(distribution.concentration0) == pytest.approx(alpha) for distribution in own
        )


@pytest.mark.slow
def test_cutmix_smoothing_and_class_weights_together_are_torchs_loss_of_the_mixed_targets(
    recipe_of, tmp_path
):
    from ensemble.learn import learner

    recipe = recipe_of(
        "augment={cutmix: 1.0}",
        "fit.label_smoothing=0.1",
        "fit.class_weights=balanced",
        "model.arch=scratch_plain",
        "model.options={filters: [4]}",
    )
    for i in range(12):
        (tmp_path / "images" / "train" / "red" / f"{i:02d}.png").unlink()
    learn = learner(recipe)
    seen = []

    class ImageInfo(callbacks.Callback):
        order = 100

        def after_loss(self):
            if self.training:
                mix = self.learn.cut_mix
                one, other = (nn.functional.one_hot(y, 3).float() for y in (*self.yb, *mix.yb1))
                target = torch.lerp(other, one, mix.lam.item())
                weight = mix.old_lf.func.weight
                assert weight.max() > 1.5 * weight.min()
                reference = nn.functional.cross_entropy(
                    self.pred, target, weight=weight, label_smoothing=0.1
                )
                seen.append((self.loss_grad.item(), reference.item()))

    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3, cbs=[ImageInfo()])
    assert seen
    for ours, reference in seen:
        assert ours == pytest.approx(reference, rel=1e-5)
