"""A recipe that is changed by overrides is the recipe that is loaded with them."""

from pathlib import Path

import pytest

from ensemble.errors import RecipeError
from ensemble.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"
PATHS = sorted(path for path in RECIPES.glob("*.yaml") if not path.name.endswith(".base.yaml"))
OVERRIDES = (
    (),
    ("fit.lr=0.00123", "fit.batch_size=128", "augment=none"),
    ("model.head.dropout=0.25", "fit.early_stop.patience=3", "seeds=[4, 5]", "resources.gpu=0.5"),
    ("model.options.drop_rate=0.1", "data.size=96", "data.normalize=[[0, 0, 0], [1, 1, 1]]"),
    ("augment.rotate=5", "fit.lr={find: slide}", "tta=[flip]", "data.valid={folds: 5}"),
)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
@pytest.mark.parametrize("overrides", OVERRIDES)
def test_overrides_of_a_recipe_mean_what_they_mean_when_it_is_loaded(path, overrides):
    recipe = Recipe.load(path, ("fit.weight_decay=0.02",))
    changed = recipe.with_overrides(overrides)
    loaded = Recipe.load(path, ("fit.weight_decay=0.02", *overrides))
    assert changed == loaded
    assert (changed.name, changed.digest) == (loaded.name, loaded.digest)
    assert changed.model_dump_json() == loaded.model_dump_json()
    assert recipe == Recipe.load(path, ("fit.weight_decay=0.02",))


@pytest.mark.parametrize(
    "override", ["fit.epoch=3", "fit.epochs=many", "name=x", "fit.lr=", "=3", "fit.lr=-1"]
)
def test_a_wrong_override_of_a_recipe_has_the_error_of_loading_it(override):
    path = RECIPES / "digits_resnet.yaml"
    recipe = Recipe.load(path)
    with pytest.raises(RecipeError) as expected:
        Recipe.load(path, (override,))
    with pytest.raises(RecipeError) as error:
        recipe.with_overrides((override,))
    assert str(error.value) == str(expected.value)
