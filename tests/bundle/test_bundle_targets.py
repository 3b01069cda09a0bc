"""Bundles of blends of several labels, of numbers, and of grades as classes and as numbers."""

import csv
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.bundle.bundle import make_bundle
from ensemble.engines.local import train_all
from ensemble.events import ignore
from ensemble.inference import Predictor, predict
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of
from ensemble.submission import write_submission
from ensemble.submission.verify import verified

RECIPE = """
data: {{source: csv, path: {images}, train: train, test: test, valid: {{folds: 2}}, size: 32,
  labels: {{file: truth.csv, id: id, label: {column}}}, target: {target},
  sample_submission: sample_{column}.csv}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 2, lr: 0.01, batch_size: 16}}
seeds: [0, 1]
refit: {refit}
"""
TAGS = {"blue": "cool", "green": "cool;grassy", "red": ""}
GRADES = {"blue": 0, "green": 1, "red": 2}
# the targets of the recipes, and whether their refits predict
BLENDS = {
    "labels, folds": (("labels",), "false"),
    "labels, refits": (("labels",), "true"),
    "numbers, folds": (("number",), "false"),
    "grades, folds": (("class", "number"), "false"),
    "grades, refits": (("class", "number"), "true"),
}

NOTEBOOKS = {name: BLENDS[name] for name in ("labels, folds", "grades, refits")}


def colored(folder, tiny_images):
    """A competition's folder: 30 images to train, 30 to test, truth.csv and a sample of each kind."""
    tiny_images(folder / "by_color")
    for split in ("train", "test"):
        (folder / split).mkdir()
    rows, ids = [], []
    for path in sorted(folder.glob("by_color/*/*.png")):
        color, name = path.parent.name, f"{path.parent.name}-{path.stem}"
        is_test = path.stem >= "10"
        path.rename(folder / ("test" if is_test else "train") / f"{name}.png")
        if is_test:
            ids.append(name)
        else:
            rows.append(f"{name},{TAGS[color]},{GRADES[color]}")
    (folder / "truth.csv").write_text("\n".join(["id,tags,grade", *rows]) + "\n")
    write_samples(folder, ids)


def write_samples(folder, ids):
    for column, cell in (("tags", "cool;grassy"), ("grade", "0")):
        rows = "".join(f"{image_id},{cell}\n" for image_id in ids)
        (folder / f"sample_{column}.csv").write_text(f"id,{column}\n{rows}")


@pytest.fixture(scope="module", params=BLENDS.values(), ids=BLENDS)
def blended(request, tmp_path_factory, tiny_images):
    """A blend called mine of runs of two folds each, whose networks or whose refits predict."""
    folder = tmp_path_factory.mktemp("blended")
    targets, refit = request.param
    column = "tags" if targets == ("labels",) else "grade"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENS_CACHE", str(folder / "cache"))
        colored(folder / "colors", tiny_images)
        recipes = []
        for target in targets:
            path = folder / f"{target}.yaml"
            settings = {"images": folder / "colors", "column": column, "refit": refit}
            path.write_text(RECIPE.format(target=target, **settings))
            recipes.append(Recipe.load(path))
        store = RunStore(folder / "runs")
        runs, failures = train_all(jobs_of(recipes), store, ignore)
        assert failures == []
        assert {run.data.separator for run in runs} == {";" if column == "tags" else None}
        blend = make_blend(runs, Options(weights="equal"))
        assert len(blend.members) == 2 * len(targets)
        assert blend.group.n_graded == (2 if "class" in targets else 0)
        path = write_submission(blend, folder / "submissions", "mine").path
        assert len(verified(path, store).runs) == len(blend.members)
        yield SimpleNamespace(
            store=store, manifest=path.with_suffix(".json"), column=column, images=folder / "colors"
        )


def predicted(predictor, images, out, sample=None):
    return predict([images], predictor, out, ignore, sample).path.read_text()


def numbers_of(text):
    return np.array([row[1:] for row in csv.reader(text.splitlines()[1:])], float)


@pytest.mark.parametrize("blended", NOTEBOOKS.values(), ids=NOTEBOOKS, indirect=True)
def test_the_notebook_writes_what_ens_predict_writes(blended, new_images, execute, tmp_path):
    bundle = make_bundle(blended.manifest, blended.store, tmp_path / "mine-bundle")
    home = new_images / "datasets" / "me" / "mine-bundle"
    home.mkdir(parents=True)
    with zipfile.ZipFile(bundle.archive) as stored:
        stored.extractall(home)
    competition = new_images / "competitions" / "birds"
    (competition / "sample_submission.csv").unlink()
    write_samples(competition, [path.stem for path in sorted((competition / "test").iterdir())])
    sample = competition / f"sample_{blended.column}.csv"
    sample.rename(competition / "sample_submission.csv")
    for other in competition.glob("sample_*s.csv"):
        other.unlink()
    text = (home / "inference.ipynb").read_text().replace("/kaggle/input", new_images.as_posix())
    execute(text, tmp_path / "working")
    predictor = Predictor.of_submission(blended.manifest, blended.store)
    sample = competition / "sample_submission.csv"
    expected = predicted(predictor, competition / "test", tmp_path / "a.csv", sample)
    assert (tmp_path / "working" / "submission.csv").read_text() == expected
    assert expected.startswith(f"id,{blended.column}\nnew0,")


@pytest.mark.parametrize("fp16", [False, True])
def test_a_bundle_predicts_as_its_blend(blended, tmp_path, fp16):
    bundle = make_bundle(blended.manifest, blended.store, tmp_path / "bundle", fp16)
    carried = Predictor.of_submission(bundle.folder / "mine.json", RunStore(bundle.folder / "runs"))
    before = Predictor.of_submission(blended.manifest, blended.store)
    texts = [
        predicted(predictor, blended.images / "test", tmp_path / f"{i}.csv")
        for i, predictor in enumerate((before, carried))
    ]
    content = json.loads(blended.manifest.read_text())
    n_networks = len(content["members"]) * (1 if content["refits"] else 2)
    assert len(list(bundle.folder.glob("runs/*/*.safetensors"))) == n_networks
    if not fp16:
        assert texts[0] == texts[1]
        return
    difference = np.abs(numbers_of(texts[0]) - numbers_of(texts[1])).max()
    assert 0 < difference < 2e-3
    assert (bundle.change.n_images, bundle.change.n_answers) == (30, None)
    assert bundle.change.largest == pytest.approx(difference, abs=1e-9)


def test_predicting_the_test_images_gives_the_submission_again(blended, tmp_path):
    sample = blended.images / f"sample_{blended.column}.csv"
    predictor = Predictor.of_submission(blended.manifest, blended.store)
    text = predicted(predictor, blended.images / "test", tmp_path / "p.csv", sample)
    assert text == blended.manifest.with_suffix(".csv").read_text()
