"""Networks: their layer groups by stage, heads, small stems, and what a network refuses.

Large networks are built on torch's meta device: names and shapes without memory or arithmetic.
"""

from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from fastai.optimizer import OptimWrapper
from torch import nn

import ensemble
from ensemble.errors import RecipeError
from ensemble.learn import learner
from ensemble.learn.heads import BodyAndHead, Pool
from ensemble.learn.layer_groups import layer_groups, splitter
from ensemble.learn.models import build, count_parameters
from ensemble.recipe import Head, Model, Recipe

RECIPES = sorted((Path(ensemble.__file__).parent.parent / "recipes").glob("*.yaml"))
NAMED = {Recipe.load(path).model.arch for path in RECIPES if not path.name.endswith(".base.yaml")}
PLANNED = {
    "vgg11_bn",
    "vgg16",
    "vgg19",
    "vgg19_bn",
    "resnet10t",
    "resnet34",
    "resnet50",
    "densenet121",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "mobilenetv2_100",
    "inception_v3",
    "test_efficientnet",
    "test_resnet",
    "test_convnext",
}
CONVOLUTIONS = {"vgg11_bn": [1, 1, 2, 2, 2], "vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}
CONVOLUTIONS["vgg19_bn"] = CONVOLUTIONS["vgg19"]
N_GROUPS = {
    "resnet34": 6,
    "resnet50": 6,
    "densenet121": 7,
    "efficientnet_b0": 9,
    "mobilenetv2_100": 9,
    "vgg16": 7,
}


def described(arch, **said):
    return Model.model_validate({"arch": arch, "pretrained": False, **said})


def weightless(arch, n_classes=10, size=96, **said):
    with torch.device("meta"):
        return build(described(arch, **said), n_classes, size).network


def size_of(group):
    return sum(parameter.numel() for parameter in group)


HEADS = {"keep": {"head": "keep"}, "ours": {}}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("arch", sorted(NAMED | PLANNED))
def test_every_parameter_is_in_one_group_and_the_last_group_is_exactly_the_classifier(arch, head):
    network = weightless(arch, **HEADS[head])
    groups = layer_groups(network)
    grouped = [id(parameter) for group in groups for parameter in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters()}
    last = network.head if isinstance(network, BodyAndHead) else network.get_classifier()
    assert [id(parameter) for parameter in groups[-1]] == [
        id(parameter) for parameter in last.parameters()
    ]
    assert groups[0][0] is next(network.parameters())
    assert len(groups) >= 4
    assert all(groups)


@pytest.mark.parametrize("arch", N_GROUPS)
def test_the_body_is_split_at_its_stages(arch):
    assert len(layer_groups(weightless(arch, head="keep"))) == N_GROUPS[arch]


@pytest.mark.parametrize("arch", CONVOLUTIONS)
def test_the_stages_of_vgg_end_at_its_pools(arch):
    *stages, trunk, classifier = layer_groups(weightless(arch, head="keep"))
    convolutions = [sum(parameter.ndim == 4 for parameter in stage) for stage in stages]
    assert convolutions == CONVOLUTIONS[arch]
    assert size_of(trunk) == 119_545_856  # fc1 and fc2, 7 × 7 maps in
    assert size_of(classifier) == 40_970
    *stages, head = layer_groups(weightless(arch))
    assert [sum(parameter.ndim == 4 for parameter in stage) for stage in stages] == CONVOLUTIONS[
        arch
    ]
    assert {parameter.ndim for parameter in head} == {1, 2}


def test_vgg16_with_two_classes_has_8194_trainable_of_134268738_parameters():
    network = weightless("vgg16", 2, 224, head="keep")
    freeze_to(network, -1)
    assert count_parameters(network) == 134_268_738
    assert n_trainable(network) == 8_194


def test_vgg19_with_our_head_stays_under_25_million_parameters():
    assert count_parameters(weightless("vgg19", 10, 32)) < 25e6


def freeze_to(network, n, unfreeze_from=None):
    groups = splitter(unfreeze_from)(network)
    optimizer = OptimWrapper(groups, opt=partial(torch.optim.SGD, lr=0.1))
    optimizer.freeze_to(n)
    return groups


def n_trainable(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("n", [0, 1, 3, -2, -1])
@pytest.mark.parametrize("head", HEADS)
def test_freezing_to_a_group_freezes_all_groups_before_it(head, n):
    network = weightless("densenet121", **HEADS[head])
    groups = freeze_to(network, n)
    assert n_trainable(network) == sum(size_of(group) for group in groups[n:])
    assert not any(parameter.requires_grad for group in groups[:n] for parameter in group if n)


@pytest.mark.parametrize("head", HEADS)
def test_unfreezing_from_a_module_splits_the_body_there(head):
    network = weightless("resnet34", **HEADS[head])
    before, rest, classifier = layer_groups(network, "layer3")
    body = network.body if head == "ours" else network
    opened = [*body.layer3.parameters(), *body.layer4.parameters()]
    assert [id(parameter) for parameter in rest] == [id(parameter) for parameter in opened]
    assert size_of(before) + size_of(rest) + size_of(classifier) == count_parameters(network)
    freeze_to(network, -2, "layer3")
    assert n_trainable(network) == size_of(rest) + size_of(classifier)


def test_unfreezing_may_start_inside_a_stage():
    network = weightless("densenet121", head="keep")
    _, rest, _ = layer_groups(network, "features.denseblock4.denselayer16")
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(parameter)].rsplit(".", 2)[0] for parameter in rest} == {
        "features.denseblock4.denselayer16",
        "features",  # norm5, after the last block
    }


def test_an_unknown_module_is_an_error_with_the_nearest_names():
    with pytest.raises(
        RecipeError, match=r"fit.unfreeze_from: .* no module 'layr4'\nnearest: layer4"
    ):
        layer_groups(weightless("resnet34"), "layr4")
    with pytest.raises(RecipeError, match=r"no module 'zzz'\nnearest: conv1"):
        layer_groups(weightless("resnet34"), "zzz")


def test_unfreezing_from_a_module_without_parameters_or_from_the_classifier_is_refused():
    with pytest.raises(RecipeError, match="module 'act1' has no parameters"):
        layer_groups(weightless("resnet34"), "act1")
    with pytest.raises(RecipeError, match="'fc' is the classifier"):
        layer_groups(weightless("resnet34", head="keep"), "fc")


STEMS = {
    "resnet10t": 4,
    "resnet34": 4,
    "densenet121": 4,
    "efficientnet_b0": 2,
    "test_efficientnet": 2,
}


@pytest.mark.parametrize("arch", STEMS)
def test_a_small_stem_keeps_the_resolution(arch):
    image = torch.zeros(1, 3, 32, 32, device="meta")
    maps = {
        stem: weightless(arch, size=32, stem=stem).eval().body(image) for stem in ("auto", "small")
    }
    assert maps["auto"].shape[-1] == 1
    assert maps["small"].shape[-1] == STEMS[arch]
    stem = weightless(arch, size=32, stem="small").body
    conv = stem.get_submodule(stem.default_cfg["first_conv"])
    assert (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("arch", ["resnet10t", "densenet121", "test_efficientnet"])
def test_a_network_with_a_small_stem_trains_a_step(arch, head):
    torch.manual_seed(0)
    network = build(described(arch, stem="small", **HEADS[head]), 3, 16).network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    first, x, y = (
        next(network.parameters()).clone(),
        torch.randn(4, 3, 16, 16),
        torch.tensor([0, 1, 2, 0]),
    )
    loss = nn.functional.cross_entropy(network(x), y)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    optimizer.step()
    assert torch.isfinite(loss)
    assert not torch.equal(next(network.parameters()), first)


def test_a_network_whose_stem_is_not_known_refuses_a_small_one():
    for arch, options in (("test_vit", {"img_size": 32}), ("resnet10t", {"stem_type": ""})):
        with pytest.raises(RecipeError, match=f"model.stem: small is not supported for {arch}"):
            build(described(arch, stem="small", head="keep", options=options), 3, 32)


@pytest.mark.parametrize(
    ("pool", "hidden", "width"),
    [
        ("avg", [], 512),
        ("max", [], 512),
        ("concat", [], 1024),
        ("concat", [64], 64),
        ("avg", [64, 32], 32),
    ],
)
def test_the_head_is_pooled_and_as_deep_as_the_recipe_says(pool, hidden, width):
    network = build(
        described("resnet10t", head={"pool": pool, "hidden": hidden, "dropout": 0.4}), 7, 32
    ).network
    assert isinstance(network, BodyAndHead)
    layers = list(network.head)
    assert [layer.out_features for layer in layers if isinstance(layer, nn.Linear)] == [*hidden, 7]
    assert layers[-1].in_features == width
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.2] * len(hidden) + [
        0.4
    ]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_pooling_takes_the_mean_and_the_maximum_side_by_side():
    maps = torch.arange(2 * 3 * 4.0).reshape(1, 2, 3, 4)
    assert Pool("avg")(maps).tolist() == [[5.5, 17.5]]
    assert Pool("max")(maps).tolist() == [[11, 23]]
    assert Pool("concat")(maps).tolist() == [[5.5, 17.5, 11, 23]]


def test_a_new_classifier_of_an_efficientnet_starts_small():
    """timm draws it from ±1/sqrt(classes), which cost up to 30 points with two classes."""
    torch.manual_seed(0)
    network = build(described("test_efficientnet", head="keep"), 2, 32).network
    assert (
        network.get_classifier().weight.abs().max()
        <= 1 / network.get_classifier().in_features ** 0.5
    )


def test_building_leaves_the_batch_norm_statistics_untouched_and_the_network_in_training():
    for head in HEADS.values():
        network = build(described("test_resnet", **head), 3, 32).network
        assert network.training
        for name, tensor in network.named_buffers():
            assert tensor.eq(1 if name.endswith("running_var") else 0).all(), name


def test_the_same_stream_gives_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(build(described("test_resnet"), 3, 32).network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    ("arch", "near"), [("resnet43", "resnet34"), ("efficientnetb0", "efficientnet_b0")]
)
def test_an_unknown_arch_is_an_error_with_the_nearest_names(arch, near):
    with pytest.raises(
        RecipeError, match=rf"model.arch: timm {timm.__version__} does not know '{arch}'"
    ) as e:
        build(described(arch), 3, 32)
    assert near in str(e.value).splitlines()[1]
    with pytest.raises(RecipeError, match="lists them all"):
        build(described("qqqqqqqqq"), 3, 32)


def test_an_unknown_tag_is_an_error_with_the_known_ones():
    with pytest.raises(
        RecipeError, match=r"timm does not know weights 'best' of vgg11\nit knows vgg11.tv_in1k"
    ):
        build(described("vgg11.best"), 3, 32)
    assert build(described("test_resnet.r160_in1k"), 3, 32)


@pytest.mark.parametrize("pretrained", ["true", "false", "package", "mine.pth"])
def test_an_unknown_arch_is_the_first_error(pretrained, recipe_of):
    with pytest.raises(RecipeError, match="model.arch: timm .* does not know 'resnet43'"):
        learner(recipe_of("model.arch=resnet43", f"model.pretrained={pretrained}"))


@pytest.mark.parametrize("head", HEADS)
def test_a_size_that_a_network_cannot_take_is_refused(head):
    taken = r"\nset data.size to a size that it takes, such as 96, 299 \(auto\)"
    with pytest.raises(
        RecipeError, match=r"data.size: inception_v3 cannot take images of 32 px .*" + taken
    ):
        weightless("inception_v3", size=32, **HEADS[head])


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("vgg11", {"drop_path_rate": 0.1}),
        ("test_resnet", {"nonsense": 1}),
        ("test_resnet", {"num_classes": 5}),
        ("test_resnet", {"layers": "many"}),
    ],
)
def test_options_that_a_network_refuses_are_an_error(arch, options):
    with pytest.raises(RecipeError, match=f"model.options: {arch} does not accept"):
        build(described(arch, options=options), 3, 32)


def test_options_reach_the_network():
    assert (
        build(
            described("test_resnet", head="keep", options={"drop_rate": 0.3}), 3, 32
        ).network.drop_rate
        == 0.3
    )


def test_the_default_head_is_fastais():
    assert Head() == Head(pool="concat", hidden=(512,), dropout=0.5)
