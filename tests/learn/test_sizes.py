"""Image sizes: timm is told them where a network needs it, and one that cannot be is told with those that can."""

import pytest
import torch
from safetensors.torch import save_file

from ensemble.errors import RecipeError
from ensemble.learn.models import build
from ensemble.learn.sizes import size_options, takes
from ensemble.learn.weights import Weights
from ensemble.recipe import Model

SHALLOW = {"depth": 1}
SMALL_SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]}
FIXED = {
    "vit_tiny_patch16_224": SHALLOW,
    "swin_tiny_patch4_window7_224": SMALL_SWIN,
    "deit_tiny_distilled_patch16_224": SHALLOW,
    "mixer_s32_224": {},
    "levit_128s": {},
}


def described(arch, **keys):
    return Model.model_validate(
        {"arch": arch, "pretrained": False, "options": FIXED.get(arch, {})} | keys
    )


@pytest.mark.parametrize("head", ["keep", {"hidden": []}], ids=["keep", "ours"])
@pytest.mark.parametrize("arch", FIXED)
def test_a_network_of_fixed_size_is_made_for_the_recipes(arch, head):
    network = build(described(arch, head=head), 3, 96).network
    assert network(torch.zeros(2, 3, 96, 96)).shape == (2, 3)


def test_only_where_it_must_is_a_network_made_for_another_size():
    assert size_options(described("vit_tiny_patch16_224"), 96) == {"img_size": 96}
    assert size_options(described("vit_tiny_patch16_224"), 224) == {}
    assert size_options(described("resnet18"), 96) == {}
    assert size_options(described("test_vit"), 96) == {}  # it resamples its positions at every pass
    dynamic = described("vit_tiny_patch16_224", options={**SHALLOW, "dynamic_img_size": True})
    assert size_options(dynamic, 96) == {}


def test_options_that_are_wrong_are_not_taken_for_a_wrong_size():
    with pytest.raises(
        RecipeError, match="model.options: vit_tiny_patch16_224 does not accept {'nonsense': 1}"
    ):
        build(described("vit_tiny_patch16_224", options={"nonsense": 1}), 3, 96)


def test_trying_sizes_draws_nothing():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert takes(described("vit_tiny_patch16_224"), 96)
    assert torch.equal(torch.rand(3), expected)


REFUSED = {
    "a side that patches do not fill": (
        "vit_tiny_patch16_224",
        70,
        {},
        "data.size: ",
        "such as 64, 96, 224 (auto)",
    ),
    "too small": ("inception_v3", 32, {}, "data.size: ", "such as 96, 299 (auto)"),
    "only one size": ("efficientformer_l1", 96, {}, "data.size: ", "such as 224 (auto)"),
    "a size of its own": (
        "vit_tiny_patch16_224",
        96,
        {"img_size": 64},
        "model.options: img_size is 64",
        "leave img_size",
    ),
    "gray": ("resnet18", 96, {"in_chans": 1}, "model.options: in_chans is 1", "leave in_chans out"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_size_that_does_not_fit_is_an_error_with_the_key_to_set(case):
    arch, size, options, key, next_step = REFUSED[case]
    with pytest.raises(RecipeError) as refused:
        build(described(arch, options=options), 3, size)
    lines = str(refused.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(key)
    assert next_step in lines[1]


@pytest.mark.parametrize("head", ["keep", {"hidden": []}], ids=["keep", "ours"])
@pytest.mark.parametrize("arch", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_weights_of_another_image_size_are_resampled_and_it_is_said(arch, head):
    trained = build(described(arch, head=head), 3, 224).network.state_dict()
    made = build(described(arch, head=head), 3, 32, Weights("file mine", trained))
    assert "; resampled to this image size" in made.start
    state = made.network.state_dict()
    same = [name for name in state if state[name].shape == trained[name].shape]
    assert len(same) >= len(state) - 2
    assert all(torch.equal(state[name], trained[name]) for name in same)


def test_hub_weights_that_timm_cannot_resample_are_an_error(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(build(described("levit_128s", head="keep"), 1000, 224).network.state_dict(), path)
    weights = Weights("hub", hub_file=path)
    assert build(described("levit_128s"), 3, 224, weights).start.startswith("weights: hub")
    with pytest.raises(
        RecipeError, match="data.size: timm cannot resample the weights of levit_128s to 96 px"
    ):
        build(described("levit_128s"), 3, 96, weights)
