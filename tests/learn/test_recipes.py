"""Every shipped recipe builds its network and trains on generated images of its layout, and trains what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ensemble.dataset.load import load
from ensemble.engines.local import train_one
from ensemble.errors import RecipeError
from ensemble.events import ignore
from ensemble.learn.train import train
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import Job

torch.set_num_threads(1)
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NAMES = sorted(
    path.stem
    for path in RECIPES.glob("*.yaml")
    if not path.name.endswith(".base.yaml")
    and not path.name.startswith("digits_")  # tests/test_quickstart.py
)
CLASSES = {"cats_dogs": ("cat", "dog"), "hymenoptera_data": ("ants", "bees")}


def pictures(folder, names):
    """Small noisy pictures under these names."""
    rng = np.random.default_rng(0)
    for name in names:
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)


def generate(data, root):
    """A data set in the layout that a recipe describes."""
    classes = CLASSES.get(data.path, ("a", "b", "c", "d"))
    named = [(name, f"{name}{i}") for name in classes for i in range(8 if len(classes) == 2 else 5)]
    folder = root / data.path
    if data.source == "folder":
        for part in (data.train, data.valid, data.test):
            if isinstance(part, str):
                pictures(folder / part, [f"{label}/{name}" for label, name in named])
        return
    pictures(folder / data.train, [name for _, name in named])
    pictures(folder / data.test, ["t1", "t2"])
    (folder / data.labels).write_text(
        "id,breed\n" + "".join(f"{name},{label}\n" for label, name in named)
    )
    rows = "".join(f"t{i}{',0.25' * len(classes)}\n" for i in (1, 2))
    (folder / data.sample_submission).write_text(f"id,{','.join(classes)}\n{rows}")


def small(name, tmp_path, monkeypatch, *more):
    """The recipe with its images generated, random weights, one epoch a phase and timm's networks at 96 px at most."""
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    said = [
        "model.pretrained=false",
        "fit.lr=0.001",
        "fit.epochs=1",
        "fit.batch_size=4",
        "data.sample=1.0",
        *more,
    ]
    recipe = Recipe.load(RECIPES / f"{name}.yaml", said)
    said += ["fit.frozen_epochs=1"] if recipe.fit.frozen_epochs else []
    is_large = recipe.data.size == "auto" or recipe.data.size > 96
    said += ["data.size=96"] if is_large and not recipe.model.arch.startswith("scratch_") else []
    if not (tmp_path / "data" / recipe.data.path).exists():
        generate(recipe.data, tmp_path / "data")
    return Recipe.load(RECIPES / f"{name}.yaml", said)


PUBLISHED = {"cats_dogs_scratch": (1_209_058, 1_209_058), "cats_dogs_vgg16": (8_194, 134_268_738)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_trains_what_it_says(name, tmp_path, monkeypatch):
    recipe = small(name, tmp_path, monkeypatch)
    data = load(recipe.data)
    made = train(Job(recipe, 0), data, RunStore(tmp_path / "runs"))
    assert np.isfinite(made.valid.probs).all()
    assert (made.test is not None) == (recipe.data.test is not None)
    trainable, everything = made.record.n_trainable, made.record.n_parameters
    if name in PUBLISHED:
        assert (trainable, everything) == PUBLISHED[name]
    elif recipe.fit.strategy in ("scratch", "fine_tune"):
        assert trainable == everything
    elif recipe.fit.strategy in ("feature_extract", "linear_probe"):
        assert trainable < 0.3 * everything
    else:
        frozen = recipe.fit.model_copy(
            update={"strategy": "feature_extract", "unfreeze_from": None}
        )
        alone = recipe.model_copy(update={"fit": frozen})
        head_alone = train(Job(alone, 0), data, RunStore(tmp_path / "runs")).record.n_trainable
        assert head_alone < trainable < everything


def fitted(recipe, seed, store):
    """A finished run."""
    job = Job(recipe, seed)
    store.folder(job.run_id).mkdir(parents=True, exist_ok=True)
    return train_one(job, store, load(recipe.data), ignore)


@pytest.mark.slow
def test_a_recipe_starts_from_the_run_of_another(tmp_path, monkeypatch):
    store = RunStore(tmp_path / "runs")
    first = fitted(small("dog_breed_mobilenetv2", tmp_path, monkeypatch), 0, store)
    later = small(
        "dog_breed_mobilenetv2_block16",
        tmp_path,
        monkeypatch,
        "model.pretrained=run:dog_breed_mobilenetv2",
    )
    second = fitted(later, 0, store)
    assert "run:dog_breed_mobilenetv2 (" in second.training.start
    before, after = (load_file(run.folder / "model.safetensors") for run in (first, second))
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {
        name
        for name in before
        if name.startswith(("body.conv_stem", "body.blocks.0", "body.blocks.5"))
    } <= same
    assert not same & {
        name
        for name in before
        if name.startswith("body.blocks.6") and name.endswith("conv_pw.weight")
    }
    other = small("dog_breed_mobilenetv2", tmp_path, monkeypatch, "fit.weight_decay=0.5")
    fitted(other, 0, store)
    with pytest.raises(
        RecipeError,
        match="run:dog_breed_mobilenetv2 is ambiguous: dog_breed_mobilenetv2-.*write the id",
    ):
        fitted(later.model_copy(update={"seeds": (1,)}), 1, store)
