"""The network's input: the weights' own configuration, and the recipe's wishes over it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg

from ensemble.dataset.depth import Ranges
from ensemble.dataset.geometry import Geometry
from ensemble.errors import RecipeError
from ensemble.learn.preprocess import Preprocess, weights_config

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("arch", "geometry", "stats"),
    [
        ("tf_efficientnet_lite0", Geometry(224, "crop", 0.875, "bicubic"), HALVES),
        ("resnet34", Geometry(224, "crop", 0.95, "bicubic"), IMAGENET),
        ("vgg19", Geometry(224, "crop", 0.875, "bilinear"), IMAGENET),
        ("inception_v3", Geometry(299, "crop", 0.875, "bicubic"), HALVES),
    ],
)
def test_auto_is_what_the_weights_were_made_for(arch, geometry, stats, recipe_of):
    said = weights_config(
        recipe_of(f"model.arch={arch}", "model.pretrained=true", "data.size=auto")
    )
    assert said == Preprocess(geometry, *stats)
    theirs = resolve_data_config(pretrained_cfg=get_pretrained_cfg(arch).to_dict(), model=None)
    assert (theirs["crop_pct"], theirs["interpolation"]) == (
        geometry.crop_pct,
        geometry.interpolation,
    )
    assert (theirs["mean"], theirs["std"]) == stats


@pytest.mark.parametrize("pretrained", ["true", "package", "mine.pth", "run:a-1-s0"])
def test_weights_from_any_source_get_their_own_preprocessing(pretrained, recipe_of):
    said = weights_config(
        recipe_of("model.arch=tf_efficientnet_lite0", f"model.pretrained={pretrained}")
    )
    assert said.geometry == Geometry(32, "crop", 0.875, "bicubic")


def test_the_ranges_of_deep_images_are_kept_as_numbers(recipe_of):
    ranges = Ranges((("F", 0.5, 1.5), ("I;16", 0.0, 4000.0)))
    stored = json.loads(json.dumps(replace(weights_config(recipe_of()), ranges=ranges).as_json()))
    assert stored["ranges"] == {"F": [0.5, 1.5], "I;16": [0, 4000]}
    assert Preprocess.of(SimpleNamespace(preprocessing=stored)).ranges == ranges


def test_from_scratch_nothing_is_cut_off_the_short_side(recipe_of):
    said = weights_config(recipe_of("model.arch=tf_efficientnet_lite0", "data.size=auto"))
    assert said.geometry == Geometry(224, "crop", 1.0, "bicubic")


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_the_recipe_wins(resize, recipe_of):
    said = weights_config(
        recipe_of(
            "model.arch=resnet34", "model.pretrained=true", "data.size=100", f"data.resize={resize}"
        )
    )
    assert said.geometry == Geometry(100, resize, 1.0, "bicubic")
    said = weights_config(
        recipe_of("model.arch=resnet34", "model.pretrained=true", "data.resize=crop")
    )
    assert said.geometry == Geometry(32, "crop", 0.95, "bicubic")


def test_weights_trained_on_squished_images_get_them(recipe_of):
    arch = "convnext_tiny.in12k_ft_in1k_384"  # crop_mode squash
    assert (
        weights_config(recipe_of(f"model.arch={arch}", "model.pretrained=true")).geometry.resize
        == "squish"
    )
    assert (
        weights_config(recipe_of(f"model.arch={arch}", "data.resize=crop")).geometry.resize
        == "crop"
    )


def test_what_run_json_says_is_plain_and_complete(recipe_of):
    said = weights_config(recipe_of("model.arch=vgg19", "model.pretrained=true")).as_json()
    assert json.loads(json.dumps(said)) == {
        "size": 32,
        "resize": "crop",
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "stored": None,
    }


@pytest.mark.parametrize("size", [8, 33])
def test_any_size_from_eight_pixels_is_taken(size, recipe_of):
    assert weights_config(recipe_of(f"data.size={size}")).geometry.size == size
    with pytest.raises(RecipeError, match="data.size"):
        recipe_of("data.size=7")
