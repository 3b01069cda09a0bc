"""A small recipe about the tiny images, and what must not depend on where it was trained."""

import os

import pytest
import torch

from ensemble.engines.local import train_all
from ensemble.events import ignore
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of

torch.set_num_threads(1)  # on busy cores two threads wait for each other

TINY = """
data: {source: folder, path: images, valid: 0.2, test: 0.2, size: 32}
augment: light
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 2, lr: 0.003, batch_size: 16}
resources: {cpu: 1}
"""


@pytest.fixture
def tiny(tmp_path, tiny_images, monkeypatch):
    """tiny(name, *overrides): a recipe whose images lie under the current folder, which is tmp_path."""
    tiny_images(tmp_path / "images" / "train")
    monkeypatch.chdir(tmp_path)

    def tiny(name, *overrides):
        (tmp_path / f"{name}.yaml").write_text(TINY)
        return Recipe.load(tmp_path / f"{name}.yaml", overrides)

    return tiny


@pytest.fixture
def one_by_one(tmp_path):
    """one_by_one(recipes): the same runs made in this process, one after the other."""

    def one_by_one(recipes):
        runs, failures = train_all(jobs_of(recipes), RunStore(tmp_path / "one-by-one"), ignore)
        assert failures == []
        return runs

    return one_by_one


@pytest.fixture(scope="session")
def content():
    """content(runs): by id what must not depend on where a run was trained."""
    names = ("model.safetensors", "valid.npz", "test.npz", "recipe.yaml", "test_refit.npz")

    def content(runs):
        parts = [part for run in runs for part in run.folds]
        return {
            part.id: ({name: part.files.get(name) for name in names}, part.training.threads)
            for part in parts
        }

    return content


@pytest.fixture
def give_to_another_user(monkeypatch):
    """give_to_another_user(path): from now on the path does not belong to the user of this process."""

    def give(path):
        if os.getuid() == 0:
            os.chown(path, 12345, 12345, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "getuid", lambda: 12345)

    return give
