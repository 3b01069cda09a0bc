"""The recipes that come with ens: listed, copied, and taken where a command names one that is not here."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ensemble.errors import EnsembleError
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import copy_shipped, recipes_folder, shipped_matching, shipped_recipes

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def ens(tmp_path, monkeypatch, run_ens):
    """ens(*words): exit status, stdout and stderr of a command in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return run_ens


def test_every_recipe_but_the_bases_is_listed_with_what_it_says_and_its_images():
    listed = {recipe.name: recipe for recipe in shipped_recipes()}
    names = {path.stem for path in (ROOT / "recipes").glob("*.yaml") if ".base" not in path.name}
    assert listed.keys() == names
    assert all(
        len(recipe.description) > 20 and ":" not in recipe.description[:5]
        for recipe in listed.values()
    )
    assert listed["digits_resnet"].source == "digits"
    assert (listed["cifar10_densenet"].path, listed["cifar10_densenet"].get) == (
        "cifar10",
        "cifar10",
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem
)
def test_a_shipped_recipe_begins_with_a_line_about_itself(path):
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize(
    ("pattern", "n"),
    [
        ("digits_vgg", 1),
        ("digits_vgg.yaml", 1),
        ("recipes/digits_vgg.yaml", 1),
        ("./recipes/digits_vgg.yaml", 1),
        ("recipes/digits_*.yaml", 4),
        ("recipes/digits_?gg.yaml", 1),
        ("recipes/digits.base.yaml", 0),
        ("mine/digits_vgg.yaml", 0),
        ("/recipes/digits_vgg.yaml", 0),
        ("../recipes/digits_vgg.yaml", 0),
        ("recipes/Digits_vgg.yaml", 0),
        ("recipes/digits_vgg.yml", 0),
        ("recipes", 0),
        ("", 0),
    ],
)
def test_a_name_or_a_path_into_recipes_means_shipped_ones_and_no_other_path_does(pattern, n):
    assert len(shipped_matching(pattern)) == n


def test_a_copy_is_the_recipe_with_all_of_its_bases(tmp_path):
    is_new = copy_shipped("cifar10_scratch_vgg19", tmp_path)
    assert [path.name for path in is_new] == [
        "cifar10_scratch_vgg19.yaml",
        "cifar10_scratch.base.yaml",
        "cifar10.base.yaml",
    ]
    assert set(is_new.values()) == {True}
    assert all(path.read_bytes() == (recipes_folder() / path.name).read_bytes() for path in is_new)
    shipped = Recipe.load(recipes_folder() / "cifar10_scratch_vgg19.yaml")
    assert Recipe.load(tmp_path / "cifar10_scratch_vgg19.yaml") == shipped


def test_a_copy_overwrites_nothing(tmp_path):
    (tmp_path / "digits.base.yaml").write_text("mine")
    with pytest.raises(
        EnsembleError, match=r"digits.base.yaml: exists and differs .*nothing was written"
    ):
        copy_shipped("digits_vgg", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["digits.base.yaml"]
    shutil.copy(recipes_folder() / "digits.base.yaml", tmp_path)
    assert list(copy_shipped("digits_vgg", tmp_path).values()) == [True, False]
    assert list(copy_shipped("digits_vgg", tmp_path).values()) == [False, False]


def test_a_name_that_does_not_ship_is_an_error(ens):
    assert ens("recipes", "--copy", "nope") == (
        1,
        "",
        "error: --copy nope: ens ships no recipe of that name\n`ens recipes` lists them\n",
    )


def test_the_listing_as_a_table_and_as_json(ens):
    code, out, err = ens("recipes")
    assert (code, err) == (0, "")
    assert "digits_resnet" in out
    assert "cifar10/ (ens data get cifar10)" in out
    listed = json.loads(ens("recipes", "--json")[1])
    assert {"name", "description", "source", "path", "get"} == listed[0].keys()


def test_a_command_takes_a_shipped_recipe_where_it_is_not_here_and_says_so(ens):
    note = (
        "recipes/cifar10_densenet.yaml does not exist: using cifar10_densenet as shipped with ens\n"
    )
    for command in ("inspect", "lr-find", "train", "tune"):
        code, _, err = ens(command, "recipes/cifar10_densenet.yaml")
        assert code == 1
        assert err.startswith(note)
        assert "`ens data get cifar10` fetches it" in err


def test_a_recipe_that_is_here_is_the_one_that_is_taken(ens, tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "cifar10_densenet.yaml").write_text(
        "data: {source: folder, path: mine}\nmodel: {arch: vgg11}"
    )
    code, _, err = ens("train", "recipes/cifar10_densenet.yaml")
    assert code == 1
    assert "shipped" not in err
    assert "data.path: mine does not exist" in err


def test_a_pattern_that_no_shell_expanded_means_all_that_match(ens):
    _, _, err = ens("train", "recipes/flowers102_*.yaml")
    assert err.startswith(
        "recipes/flowers102_*.yaml does not exist: using flowers102_features, flowers102_finetune as"
    )
    for command in ("inspect", "lr-find", "tune"):
        assert (
            "recipes/flowers102_*.yaml: no such recipe\n`ens recipes` lists"
            in ens(command, "recipes/flowers102_*.yaml")[2]
        )


def test_the_wheel_carries_the_recipes_and_works_without_a_clone(tmp_path):
    clone, empty = tmp_path / "clone", tmp_path / "empty"
    for folder in (clone, empty):
        folder.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    for name in ("ensemble", "recipes"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(tmp_path),
        ".",
    ]
    subprocess.run(
        [sys.executable, *build], cwd=clone, check=True, capture_output=True, timeout=120
    )
    shutil.rmtree(clone)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    site = tmp_path / "site"
    scripts = next(site.glob("*.dist-info/entry_points.txt")).read_text()
    assert {"ens = ensemble.cli:main", "ens-images = ensemble.cli:main"} <= set(
        scripts.splitlines()
    )
    for path in (ROOT / "recipes").glob("*.yaml"):
        assert (site / "ensemble" / "shipped_recipes" / path.name).read_bytes() == path.read_bytes()
    assert not (site / "recipes").exists()
    script = f"import sys; sys.path.insert(0, {str(site)!r}); from ensemble.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "recipes", "--copy", "digits_vgg"],
        cwd=empty,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith(
        "recipes/digits_vgg.yaml: written\nrecipes/digits.base.yaml: written\n"
    )
    assert (empty / "recipes" / "digits.base.yaml").is_file()
