"""From a competition's folder to its CSV as a user types it; every cell against the answer key.

A tiny network learns the color of each class from the images that the recipe finds, so that a wrong
row, class or file between the folder and the CSV gives a wrong cell.
"""

import csv
import json
import math
from pathlib import Path, PurePosixPath

import answer_key
import numpy as np
import pytest
import replicas
from pydantic import TypeAdapter
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from ensemble.metrics import metric_named
from ensemble.metrics.decision import Decision
from ensemble.predictions import aligned
from ensemble.runs import RunStore

EXPECTED_FILE = Path(replicas.__file__).with_name("expected.csv")
EXPECTED = {
    row["name"]: row for row in csv.DictReader(EXPECTED_FILE.read_text("utf-8").splitlines())
}
TINY = (
    *("model.arch=test_convnext", "model.pretrained=false", "augment=none", "data.size=32"),
    *("data.skip_unreadable=true", "fit.strategy=scratch", "fit.lr=0.01", "fit.epochs=20"),
    "fit.batch_size=8",
)


def bare(image_id):
    """The last part of an id, without an image's suffix and leading zeros."""
    stem, _, suffix = PurePosixPath(image_id).name.rpartition(".")
    is_image = suffix.lower() in ("jpg", "jpeg", "png", "tif", "bmp")
    return (stem if is_image else PurePosixPath(image_id).name).lstrip("0")


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as stored:
        return list(csv.reader(stored))


def key_of(name, ids, drawn):
    """The true class of each id: of the drawn test image whose name it is."""
    key = {}
    for image_id in ids:
        folder = image_id.rpartition("/")[0]
        files = [file for file in drawn if bare(file) == bare(image_id) and folder in file]
        files = [file for file in files if "test" in file.lower()] or files
        (key[image_id],) = {answer_key.true_class(name, file) for file in files}
    return key


def probabilities(run):
    """A run's probabilities by bare id and class."""
    stored = np.load(run / "test.npz")
    return {
        bare(image_id): dict(zip(stored["classes"].tolist(), probs.tolist(), strict=True))
        for image_id, probs in zip(stored["ids"].tolist(), stored["probs"], strict=True)
    }


def check_cells(answer, header, cells, probs, truth):
    """Check one row: computed again from the probabilities, and right by the answer key."""
    best = max(probs, key=probs.get)
    assert best == truth
    if answer == "class_name":
        assert cells == [best]
        return
    positive = "dog" if "dog" in probs else max(probs, key=float) if len(header) == 2 else None
    names = [positive] if positive else header[1:]
    for name, cell in zip(names, cells, strict=True):
        assert math.isclose(float(cell), probs[name], rel_tol=1e-6, abs_tol=1e-12)
        assert (float(cell) > 0.5) == (name == truth)


def drawn_replica(name, folder):
    """The folder of a replica whose images show their class, and the files in the order of drawing."""
    root, drawn, draw = folder / "input" / name, [], answer_key.drawing_of(name)
    root.mkdir(parents=True)

    def listed(file, size):
        drawn.append(file)
        return draw(file, size)

    replicas.make(name, root, listed)
    return root, drawn


def shipped_sample(root):
    """The sample submission's rows, None without one."""
    files = [path for path in root.iterdir() if path.suffix in (".csv", ".txt")]
    named = [path for path in files if "sample" in path.name.lower() or "Format" in path.name]
    return rows_of(named[0]) if named else None


@pytest.mark.slow
@pytest.mark.parametrize("name", answer_key.CLASSES)
def test_every_cell_of_the_csv_is_that_of_its_image(name, ens, tmp_path):
    expected, (root, drawn) = EXPECTED[name], drawn_replica(name, tmp_path)
    positive = ("--positive", "dog") if name.startswith("dogs_redux") else ()
    ens("init", root, "--metric", expected["metric"], *positive)
    ens("train", f"recipes/{name}_resnet.yaml", *[word for key in TINY for word in ("--set", key)])
    ens("blend")
    (submission,) = Path("submissions").glob("*.csv")
    ens("verify", submission)

    (run,) = (path for path in Path("runs").iterdir() if (path / "run.json").exists())
    probs, (header, *rows) = probabilities(run), rows_of(submission)
    sample = shipped_sample(root)
    if sample is not None:
        assert header == sample[0]
        assert [row[0] for row in rows] == [row[0] for row in sample[1:]]
    else:
        assert header == ["id", "label"]
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    undamaged = [row for row in rows if row[0] not in ("Cat/666", "Dog/11702")]
    assert len(undamaged) == int(expected["test"]) or name == "pet_images"
    key = key_of(name, [row[0] for row in undamaged], drawn)
    for image_id, *cells in undamaged:
        answer = expected["answer"] or "class_name"
        check_cells(answer, header, cells, probs[bare(image_id)], key[image_id])
    assert len(set(key.values())) > 1 or len(key) == 1


SCORED = {"aptos": "quadratic_kappa", "histopathologic": "roc_auc", "iwildcam2019": "f1_macro"}


def by_sklearn(metric, targets, probs, labels, classes):
    """The metric of true and answered classes, of two classes' probabilities for the area."""
    if metric == "roc_auc":
        return roc_auc_score(targets, probs[:, 1])
    if metric == "quadratic_kappa":
        steps = range(len(classes))
        return cohen_kappa_score(targets, labels, weights="quadratic", labels=steps)
    return f1_score(targets, labels, average="macro", zero_division=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORED)
def test_the_score_of_the_csv_and_of_the_blend_are_scikit_learns(name, ens, tmp_path):
    """From `ens init` to `ens verify` by the competition's metric, two seeds, three folds."""
    metric, (root, drawn) = SCORED[name], drawn_replica(name, tmp_path)
    ens("init", root, "--metric", metric)
    settings = (*TINY, "fit.epochs=3", "seeds=[0,1]", "data.valid={folds: 3}")
    ens("train", f"recipes/{name}_resnet.yaml", *[w for key in settings for w in ("--set", key)])
    shown = json.loads(ens("blend", "--metric", metric, "--weights", "greedy", "--json"))
    (submission,) = Path("submissions").glob("*.csv")
    ens("verify", submission)

    manifest = json.loads(submission.with_suffix(".json").read_text())
    store, weights = RunStore(), {row["run"]: row["weight"] for row in manifest["members"]}
    members = {run: store.get(run).valid for run in weights}
    valid = list(aligned(members))
    mixed = sum(weights[run] * member.probs for run, member in zip(members, valid, strict=True))
    decision = TypeAdapter(Decision).validate_python(manifest["decision"])
    classes, targets = valid[0].classes, valid[0].targets
    expected = by_sklearn(metric, targets, mixed, decision.apply(mixed), classes)
    assert shown["in_sample"][metric] == pytest.approx(expected, abs=1e-9)
    assert shown["decision"] == manifest["decision"]

    header, *rows = rows_of(submission)
    truth = key_of(name, [row[0] for row in rows], drawn)
    key = np.array([classes.index(truth[row[0]]) for row in rows])
    cells = [row[1] for row in rows]
    probs, labels = np.eye(len(classes))[np.zeros(len(rows), int)], key
    if metric == "roc_auc":
        positive = np.array(cells, dtype=float)
        probs = np.column_stack([1 - positive, positive])
        graded = metric_named(metric, classes).values(probs, key)
    else:
        labels = np.array([classes.index(cell) for cell in cells])
        graded = metric_named(metric, classes).values_of(labels, key)
    assert graded == pytest.approx(by_sklearn(metric, key, probs, labels, classes), abs=1e-12)


def test_the_key_has_every_replica_that_is_trained():
    trained = [
        name
        for name, row in EXPECTED.items()
        if row["target"] == "class" and row["answer"] != "top_k"
    ]
    assert sorted(answer_key.CLASSES) == sorted(trained)
