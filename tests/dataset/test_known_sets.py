"""The table of known sets agrees with the recipes, and the list of sets with this machine."""

from pathlib import Path

import pytest
from PIL import Image

from ensemble.dataset.known_sets import SETS, list_sets, set_named
from ensemble.errors import DataError
from ensemble.recipe import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def test_every_set_has_hashes_and_the_name_that_its_recipe_uses():
    for name, dataset in SETS.items():
        data = Recipe.load(RECIPES.parent / dataset.recipe).data
        assert (data.get, data.path) == (name, dataset.folder)
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert len(bytes.fromhex(file.sha256)) == 32


def test_every_recipe_that_names_a_set_finds_it_at_the_path_of_the_set():
    recipes = [
        Recipe.load(path)
        for path in sorted(RECIPES.glob("*.yaml"))
        if not path.name.endswith(".base.yaml")
    ]
    with_set = [recipe.data for recipe in recipes if recipe.data.get]
    assert len(with_set) > 5
    for data in with_set:
        assert set_named(data.get).folder == data.path


@pytest.mark.parametrize(
    "name", ["cifar100", "kaggle:", "kaggle:../x", "kaggle:https://www.kaggle.com/c/x"]
)
def test_an_unknown_set_is_refused_with_the_known_ones(name):
    with pytest.raises(
        DataError,
        match=r"cifar10, flowers102, hymenoptera, kaggle:<slug>|not the name of a competition",
    ):
        set_named(name)


def test_the_list_shows_what_is_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "sets"))
    flowers = tmp_path / "sets" / "flowers102"
    flowers.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(flowers / "1.png")
    Path("hymenoptera_data").mkdir()
    statuses = {status.name: status for status in list_sets()}
    assert list(statuses) == list(SETS)
    assert (statuses["cifar10"].here, statuses["cifar10"].n_bytes) == ("", 170_052_171)
    assert (statuses["flowers102"].here, statuses["flowers102"].n_found) == (str(flowers), 1)
    hymenoptera = statuses["hymenoptera"]
    assert (hymenoptera.here, hymenoptera.n_found) == ("hymenoptera_data", 0)
    assert statuses["cifar10"].url == "https://www.cs.toronto.edu/~kriz"
