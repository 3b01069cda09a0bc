"""Our head on bodies that give no feature maps channels first: tokens, channels-last maps, several outputs.

Real families of timm, shrunk by their own options; `make sweep` trains a network of every one.
"""

import pytest
import timm
import torch
from torch import nn

from ensemble.errors import RecipeError
from ensemble.learn.features import split_network
from ensemble.learn.heads import BodyAndHead, Pool
from ensemble.learn.layer_groups import classifiers, layer_groups
from ensemble.learn.models import build
from ensemble.recipe import Model

SMALL_SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]}
SMALL = {
    "swin_tiny_patch4_window7_224": SMALL_SWIN,
    "swinv2_tiny_window8_256": SMALL_SWIN,
    "test_mambaout": {},
    "sequencer2d_s": {"layers": [1, 1, 1, 1]},
    "test_vit": {},
    "deit_tiny_distilled_patch16_224": {"depth": 2},
    "levit_128s": {},
    "efficientvit_b0": {},
    "coat_tiny": {"serial_depths": [1, 1, 1, 1], "parallel_depth": 1},
    "xcit_nano_12_p8_224": {"depth": 1},
}
WIDTHS = {
    "swin_tiny_patch4_window7_224": 32,
    "swinv2_tiny_window8_256": 32,
    "test_mambaout": 256,
    "sequencer2d_s": 384,
}
WIDTHS |= {
    "test_vit": 64,
    "deit_tiny_distilled_patch16_224": 192,
    "levit_128s": 384,
    "efficientvit_b0": 1280,
}
WIDTHS |= {"coat_tiny": 152, "xcit_nano_12_p8_224": 128}


def described(arch, **keys):
    return Model.model_validate(
        {"arch": arch, "pretrained": False, "options": SMALL.get(arch, {})} | keys
    )


def small(arch, size=32, **keys):
    torch.manual_seed(0)
    return build(described(arch, **keys), 4, size)


def colors(n, size):
    """(4 n, 3, size, size) noisy images of four colors, and their codes."""
    codes = torch.arange(4).repeat(n)
    shades = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1]])
    return shades[codes][:, :, None, None] + 0.2 * torch.randn(4 * n, 3, size, size), codes


@pytest.mark.parametrize("arch", SMALL)
def test_a_body_without_feature_maps_pools_its_channels_and_learns_four_colors(arch):
    made = small(arch, head={"hidden": [], "dropout": 0.0})
    network, (x, y) = made.network, colors(4, 32)
    assert isinstance(network, BodyAndHead)
    assert network.body(x[:2]).shape == (2, WIDTHS[arch])
    assert network.head[-1].in_features == WIDTHS[arch]
    assert made.start == f"random weights; {arch} has its own pooling; model.head.pool is not used"
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
    assert (network(x).argmax(1) == y).all()


@pytest.mark.parametrize("head", ["keep", {}], ids=["keep", "ours"])
@pytest.mark.parametrize("arch", [*SMALL, "rdnet_tiny", "efficientformer_l1", "crossvit_tiny_240"])
def test_every_parameter_is_in_one_group_and_the_last_group_is_exactly_the_head(arch, head):
    with torch.device("meta"):
        network = small(arch, 240 if arch.startswith("cross") else 224, head=head).network
    groups = layer_groups(network)
    grouped = [id(parameter) for group in groups for parameter in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in network.parameters()}
    heads = [network.head] if isinstance(network, BodyAndHead) else classifiers(network)
    assert [id(parameter) for parameter in groups[-1]] == [
        id(weight) for layer in heads for weight in layer.parameters()
    ]
    assert len(groups) >= 3


def test_a_distilled_network_may_keep_its_two_classifiers():
    network = small("deit_tiny_distilled_patch16_224", head="keep").network
    assert len(classifiers(network)) == 2
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize(
    "arch", ["swin_tiny_patch4_window7_224", "deit_tiny_distilled_patch16_224", "levit_128s"]
)
def test_body_and_head_one_after_the_other_compute_the_network(arch):
    network = small(arch).network.eval()
    x, _ = colors(1, 32)
    parts = split_network(network, described(arch))
    parts.head.eval()
    with torch.no_grad():
        torch.testing.assert_close(parts.head(parts.body(x)), network(x))


@pytest.mark.parametrize("arch", ["resnet18", "test_efficientnet", "test_convnext"])
def test_networks_of_feature_maps_are_named_and_drawn_as_ever(arch):
    """Stored runs load by these names, and repeat by these draws."""
    network = small(arch, head={"hidden": [8]}).network
    torch.manual_seed(0)
    body = timm.create_model(arch, num_classes=0)
    body.reset_classifier(0, "")
    width = 2 * body.head_hidden_size
    head = nn.Sequential(
        Pool("concat"),
        nn.BatchNorm1d(width),
        nn.Dropout(0.25),
        nn.Linear(width, 8),
        nn.ReLU(),
        nn.BatchNorm1d(8),
        nn.Dropout(0.5),
        nn.Linear(8, 4),
    )
    expected = {f"body.{name}": tensor for name, tensor in body.state_dict().items()}
    expected |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    state = network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_an_option_that_leaves_no_classifier_is_refused():
    with pytest.raises(
        RecipeError, match="model.options: test_resnet with .*features_only.* is not a classifier"
    ):
        build(described("test_resnet", options={"features_only": True}), 4, 64)
