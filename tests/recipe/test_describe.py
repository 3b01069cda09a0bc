"""`ens describe`: every key of the schema, with defaults that a recipe accepts and that change nothing."""

import json

import pytest

from ensemble.recipe import Recipe
from ensemble.recipe.describe import recipe_keys
from ensemble.recipe.explain import _all_keys

RECIPE = """
data: {source: folder}
model: {arch: resnet18}
"""
KEYS = {key.key: key for key in recipe_keys()}
WITHIN_MAPS = (
    "augment.",
    "fit.pseudo.",
    "data.valid.",
    "data.labels.",
    "data.test.",
    "data.group.",
    "fit.lr.",
    "fit.penalty.",
    "fit.early_stop.",
)


def test_every_key_is_described_once_for_each_type():
    keys = {key.replace(".NAME.", ".") for key in KEYS}
    assert keys == set(_all_keys(Recipe)) - {"name"}
    assert all(key.meaning and key.type for key in KEYS.values())
    pairs = [(key.key, key.type) for key in recipe_keys()]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize(
    "key",
    [key for key in KEYS.values() if not (key.required or key.key.startswith(WITHIN_MAPS))],
    ids=lambda key: key.key,
)
def test_setting_a_key_to_its_default_changes_nothing(key, tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(RECIPE)
    overridden = Recipe.load(path, [f"{key.key}={json.dumps(key.default)}"])
    assert overridden == Recipe.load(path)


def test_types_say_what_is_allowed():
    assert KEYS["data.source"].type == "folder or csv or digits"
    assert KEYS["data.source"].required
    assert KEYS["fit.lr"].type == "find or map of find or number > 0 ≤ 10"
    assert KEYS["seeds"].type.startswith("list of integer ≥ 0")
    assert KEYS["model.options"].default == {}
