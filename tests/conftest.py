"""Made-up predictions, runs and images; every test keeps its files in its own tmp_path."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from ensemble.files import sha256
from ensemble.metrics import accuracy as accuracy_of
from ensemble.metrics import log_loss
from ensemble.predictions import Predictions
from ensemble.runs import FORMAT, DataInfo, Run, Scores, publish

settings.register_profile(
    "quick",
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("quick")

COLOURS = {"blue": (60, 60, 180), "green": (60, 180, 60), "red": (180, 60, 60)}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ENS_DATA", raising=False)
    monkeypatch.delenv("ENS_RUNS", raising=False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _made_up(rng, n=200, classes=("a", "b", "c"), accuracy=0.9, ids=None):
    c = len(classes)
    ids = np.array([f"{i:05d}" for i in range(n)] if ids is None else ids)
    targets = np.arange(len(ids)) % c
    named = targets.copy()
    wrong = rng.permutation(len(ids))[: round(len(ids) * (1 - accuracy))]
    named[wrong] = (named[wrong] + rng.integers(1, c, len(wrong))) % c
    probs = rng.dirichlet(np.ones(c), len(ids))
    probs[np.arange(len(ids)), named] += 1
    return Predictions(ids, tuple(classes), (probs / probs.sum(1, keepdims=True)).astype(np.float32), targets)


@pytest.fixture(scope="session")
def made_up():
    """made_up(rng, n, classes, accuracy, ids): predictions that are right on exactly this share of the rows.

    The targets depend on the number of rows and classes alone, so several of them are about the same images.
    """
    return _made_up


def _content(predictions):
    rows = sorted(zip(predictions.ids.tolist(), predictions.targets.tolist(), strict=True))
    return f"{zlib.crc32(repr([predictions.classes, rows]).encode()):08x}"


def _fake_run(store_root, name, accuracy=0.9, arch="resnet18", predictions=None, test=None, **said):
    folder = Path(store_root) / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    valid = predictions or _made_up(rng, accuracy=accuracy)
    if test is None:
        guess = _made_up(rng, 50, valid.classes, accuracy)
        test = Predictions(np.array([f"t{key}" for key in guess.ids]), guess.classes, guess.probs)
    valid.save(folder / "valid.npz")
    test.save(folder / "test.npz")
    content = _content(valid)
    values = {
        "format": FORMAT,
        "id": name,
        "recipe": name.split("-")[0],
        "digest": f"{zlib.crc32(name.encode()):08x}",
        "arch": arch,
        "strategy": "fine_tune",
        "seed": 0,
        "scores": Scores(
            accuracy=accuracy_of(valid.probs, valid.targets), log_loss=log_loss(valid.probs, valid.targets)
        ),
        "classes": valid.classes,
        "data": DataInfo(
            name="made-up",
            fingerprint=content,
            valid=content,
            n_train=4 * len(valid.ids),
            n_valid=len(valid.ids),
            n_test=len(test.ids),
            majority=float(np.bincount(valid.targets).max() / len(valid.ids)),
        ),
        "preprocessing": {"size": 32},
        "batch_size": 64,
        "lr": 1e-3,
        "best_epoch": 2,
        "n_epochs": 3,
        "n_parameters": 1000,
        "n_trainable": 1000,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        "seconds": {"train": 2.0, "predict": 0.5},
        "images_per_second": 100.0,
        "versions": {"ensemble": "0.1.0"},
        "files": {file: sha256(folder / file) for file in ("valid.npz", "test.npz")},
        "created": "2024-01-01T00:00:00+00:00",
        "folder": folder,
    }
    run = Run.model_validate(values | said)
    publish(run)
    return run


@pytest.fixture(scope="session")
def fake_run():
    """fake_run(store_root, name, accuracy, arch, predictions, test, **said): a finished run's folder, without torch."""
    return _fake_run


def _tiny_images(folder):
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.normal(0, 30, (32, 32, 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_images():
    """tiny_images(folder): 60 pictures, 32 × 32, in the class folders blue, green and red; returns the folder."""
    return _tiny_images
