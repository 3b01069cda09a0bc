"""Stores of every kind of runs: with and without images, histories, test sets, second runs."""

import shutil

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.load import load
from ensemble.events import EpochEnded
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.reporting.collect import collect
from ensemble.reporting.page import render
from ensemble.runs import LrFind, RunStore, publish, writer
from ensemble.runs.imported import import_run

RECIPE = "data: {{source: folder, path: '{}', train: ., valid: 0.4}}\nmodel: {{arch: resnet18}}\n"
HOSTILE = ("<script>alert('x')</script>", "日本テリア & <b>", "كلب سلوقي", "x" * 300)
RATES = {"valley": 1e-3, "slide": None, "steep": 2e-3, "minimum": 5e-2}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """trained(run, images): leave what a training leaves in its folder beside run.json."""
    curves = tmp_path_factory.mktemp("curves")
    history = [
        EpochEnded(
            "", "frozen" if i < 2 else "unfrozen", i, 4, 1 / i, 1.1 / i, 0.5 + i / 10, 1.0, True
        )
        for i in range(1, 5)
    ]
    writer.write_history(curves, history)
    points = np.geomspace(1e-5, 1, 30)
    losses = (2 - np.exp(-((np.log10(points) + 2) ** 2))).tolist()
    writer.write_range_test(curves, list(zip(points.tolist(), losses, strict=True)))

    def trained(run, images=None):
        for name in ("history.csv", "lr_find.csv"):
            shutil.copy(curves / name, run.folder)
        if images:
            (run.folder / "recipe.yaml").write_text(RECIPE.format(images))
        lr_find = LrFind(suggestions=RATES, chosen=1e-3, rule="valley", steps=30, share_of_run=0.1)
        changes = {"lr_find": lr_find, "n_epochs": 4, "best_epoch": 4}
        record = run.training.model_copy(update=changes)
        publish(run.model_copy(update={"training": record}))

    return trained


@pytest.fixture(scope="session")
def runs_of(fake_run, made_up, trained):
    """runs_of(root, name, n_classes, n_runs, **as fake_run): runs on the same made-up rows."""

    def make(root, name, n_classes, n_runs, classes=None, n=None, **options):
        names = classes or [f"class_{i:03d}" for i in range(n_classes)]
        for i in range(n_runs):
            guess = made_up(
                np.random.default_rng(i), n or max(20, 4 * n_classes), names, 0.7 + 0.02 * i
            )
            run = fake_run(
                root,
                f"{name}_{i // 2}-{i // 2:08x}-s{i % 2}",
                predictions=guess,
                seed=i % 2,
                digest=f"{i // 2:08x}",
                arch=("resnet50.a1_in1k", "vgg19")[i // 2 % 2],
                **options,
            )
            run = run.model_copy(update={"data": run.data.model_copy(update={"name": name})})
            trained(run)
        return RunStore(root)

    return make


@pytest.fixture(scope="session")
def photos(tmp_path_factory, tiny_images, fake_run, trained):
    """A store of two runs whose images are available; one image appears twice."""
    root = tmp_path_factory.mktemp("photos")
    folder = tiny_images(root / "tiny")
    Image.open(folder / "red" / "00.png").resize((300, 200)).save(folder / "red" / "large.png")
    (folder / "blue" / "copy.png").write_bytes((folder / "red" / "01.png").read_bytes())
    recipe = root / "r.yaml"
    recipe.write_text(RECIPE.format(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENS_CACHE", str(root / "cache"))
        images = load(Recipe.load(recipe).data)
    targets = np.array([images.classes.index(label) for label in images.valid.labels])
    rng = np.random.default_rng(0)
    for name in ("tiny_a-1-s0", "tiny_b-1-s0"):
        probs = rng.dirichlet(np.ones(3), len(targets)) + 0.6 * np.eye(3)[targets]
        guess = Predictions(
            np.array(images.valid.ids), images.classes, probs / probs.sum(1, keepdims=True), targets
        )
        run = fake_run(root / "runs", name, predictions=guess)
        data = run.data.model_copy(
            update={
                "name": "tiny",
                "valid": images.valid_fingerprint,
                "fingerprint": images.fingerprint,
            }
        )
        trained(run.model_copy(update={"data": data}), folder)
    return RunStore(root / "runs")


@pytest.fixture(scope="session")
def odd(tmp_path_factory, runs_of, fake_run):
    """A store with hostile names; runs without a test set, imported, damaged, unfinished."""
    root = tmp_path_factory.mktemp("odd")
    store = runs_of(root / "runs", "breeds", 4, 3, classes=HOSTILE)
    alone = fake_run(root / "runs", "alone-1-s0")
    publish(
        alone.model_copy(
            update={"data": alone.data.model_copy(update={"n_test": 0, "name": "<i>alone</i>"})}
        )
    )
    rows = "".join(
        f"i{k},{0.6 + k / 100:.2f},{0.4 - k / 100:.2f},{'ab'[k % 2]}\n" for k in range(20)
    )
    (root / "outside.csv").write_text("id,a,b,label\n" + rows)
    import_run("elsewhere", "vit", root / "outside.csv", None, store, "others")
    fake_run(root / "runs", "damaged-1-s0").folder.joinpath("valid.npz").write_bytes(b"no")
    fold = fake_run(root / "runs", "folded-1-s0-f0")
    publish(fold.model_copy(update={"fold": 0, "n_folds": 5}))
    return store


@pytest.fixture(scope="session")
def pages(tmp_path_factory, runs_of, photos, odd):
    """Pages by name: 2 and 10 classes, 120 classes of nine runs, available images, odd runs."""
    root = tmp_path_factory.mktemp("shapes")
    stores = {
        str(n): runs_of(root / str(n), "made", n, n_runs)
        for n, n_runs in ((2, 2), (10, 2), (120, 9))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENS_CACHE", str(root / "cache"))
        stores |= {"photos": photos, "odd": odd}
        return {name: _page_of(store) for name, store in stores.items()}


@pytest.fixture(scope="session")
def page_of():
    """page_of(store, submissions): the page about every run of a store."""
    return _page_of


def _page_of(store, submissions=None):
    return render(collect(store.all(check=True), submissions or {}, lambda *_: None))
