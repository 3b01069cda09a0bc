"""Small recipes about the tiny images, and what training them leaves; one thread, or busy cores wait for each other."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from ensemble.dataset.load import load
from ensemble.dataset.pixel_store import open_store
from ensemble.events import Event, Note
from ensemble.learn import resume
from ensemble.learn.catalog import Catalog, catalog_of
from ensemble.learn.loaders import loaders
from ensemble.learn.preprocess import weights_config
from ensemble.learn.train import train
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.runs import RunStore, Trained
from ensemble.runs.job import Job
from ensemble.runs.writer import discard_states

torch.set_num_threads(1)

TINY = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}}
"""


@pytest.fixture(autouse=True)
def every_state_is_stored(monkeypatch):
    """Epochs of these tests take milliseconds; what goes on after a kill is tested after each."""
    monkeypatch.setattr(resume, "STORING_SHARE", math.inf)


@pytest.fixture
def recipe_file(tmp_path, tiny_images):
    """recipe_file(name): a recipe for the 60 tiny images in tmp_path/images (38 train, 10 valid, 12 test)."""

    def recipe_file(name="tiny"):
        images = tmp_path / "images"
        if not images.exists():
            tiny_images(images / "train")
        path = tmp_path / f"{name}.yaml"
        path.write_text(TINY.format(images=images))
        return path

    return recipe_file


@pytest.fixture
def recipe_of(recipe_file):
    """recipe_of("fit.epochs=2", …): the small recipe with these overrides."""
    return lambda *overrides, name="tiny": Recipe.load(recipe_file(name), overrides)


@dataclass(frozen=True)
class Fitted:
    """One training: what it returned, the bytes of the files it left, and the events it sent."""

    trained: Trained
    weights: bytes
    valid: bytes
    test: bytes
    events: list[Event]

    @property
    def files(self):
        """The bytes that must not depend on how they came about."""
        return self.weights, self.valid, self.test

    @property
    def notes(self):
        """The texts of its notes."""
        return [event.text for event in self.events if isinstance(event, Note)]


def _bytes(predictions: Predictions, path):
    predictions.save(path)
    return path.read_bytes()


@pytest.fixture
def fit(recipe_of, tmp_path):
    """fit(*overrides, seed): train the small recipe here and now."""

    def fit(*overrides, seed=0):
        job, events = Job(recipe_of(*overrides), seed), []
        store = RunStore(tmp_path / "runs")
        folder = store.folder(job.run_id)
        trained = train(job, load(job.recipe.data), store, events.append)
        discard_states(folder)
        return Fitted(
            trained,
            (folder / "model.safetensors").read_bytes(),
            _bytes(trained.valid, tmp_path / "valid.npz"),
            _bytes(trained.test, tmp_path / "test.npz"),
            events,
        )

    return fit


@pytest.fixture
def served():
    """served(recipe, batch_size): the catalog of a recipe's images, and fastai's loaders over it."""

    def served(recipe, batch_size=16) -> tuple[Catalog, object]:
        data, preprocess = load(recipe.data), weights_config(recipe)
        store = open_store(data.hashes, preprocess.geometry, lambda done, n: None)
        images = catalog_of(data, store, recipe.data.skip_unreadable)
        return images, loaders(
            images, batch_size, recipe.augmentation, (preprocess.mean, preprocess.std), 0
        )

    return served


def _photo(rng, width, height):
    coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def photo():
    """photo(rng, width, height): a smooth picture of many colours."""
    return _photo
