"""The four recipes of the quickstart: small, from scratch, of four families, about the same images; no training."""

import subprocess
import sys

import pytest

from ensemble.errors import EnsembleError
from ensemble.events import ignore
from ensemble.quickstart import NAMES, run_quickstart
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import recipes_folder
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of

FAMILIES = ("vgg", "resnet", "densenet", "efficientnet")


@pytest.fixture(scope="module")
def recipes():
    return {name: Recipe.load(recipes_folder() / f"{name}.yaml") for name in NAMES}


def test_there_are_four_and_they_are_named_after_their_files(recipes):
    assert len(recipes) == 4
    assert [recipe.name for recipe in recipes.values()] == list(NAMES)
    assert len(jobs_of(list(recipes.values()))) == 4


@pytest.mark.parametrize("name", ["quickstart.csv", "quickstart.json"])
def test_a_submission_of_that_name_that_is_somebodys_own_is_kept_and_told_before_any_training(
    name, tmp_path
):
    (tmp_path / name).write_text('{"command": ["ens", "blend", "--name", "quickstart"]}')
    before = (tmp_path / name).read_bytes()
    with pytest.raises(EnsembleError, match=f"{name}: `ens quickstart` did not write it\n.*--out"):
        run_quickstart(RunStore(tmp_path / "runs"), tmp_path, ignore)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(name, before)]


def test_they_are_of_the_four_families(recipes):
    found = [
        [family for family in FAMILIES if family in recipe.model.arch]
        for recipe in recipes.values()
    ]
    assert sorted(family for (family,) in found) == sorted(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_small_and_starts_from_scratch(name, recipes):
    recipe = recipes[name]
    assert recipe.data.source == "digits"
    assert 16 <= recipe.data.size <= 32
    assert recipe.model.pretrained is False
    assert recipe.fit.strategy == "scratch"
    assert recipe.fit.epochs <= 12
    assert not recipe.augmentation.flip  # a mirrored 2 is no 2


def test_they_see_the_same_images_so_that_they_blend(recipes):
    first, *others = (recipe.data for recipe in recipes.values())
    assert all(other == first for other in others)
    assert isinstance(first.test, float)
    assert isinstance(first.valid, float)


def test_asking_for_them_needs_no_torch():
    ask = "import sys; from ensemble import quickstart as q; q.recipes_folder(); print('torch' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", ask], check=True, capture_output=True, text=True
        ).stdout
        == "False\n"
    )
