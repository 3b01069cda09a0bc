"""From a competition's folder to its CSV for labels, numbers and several classes in a cell.

Every cell is computed again from the stored predictions of two runs, the manifest's weights and its
decision; the validation rows are compared with the competition's own table.
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import replicas
from sklearn.metrics import cohen_kappa_score

TINY = (
    *("model.arch=test_convnext", "model.pretrained=false", "augment=none", "data.size=32"),
    *("fit.strategy=scratch", "fit.lr=0.01", "fit.epochs=2", "fit.batch_size=4", "seeds=[0, 1]"),
)
# metric, training table, its columns with the answer
REPLICAS = {
    "plant_path_2021": ("f1_samples", "train.csv", ("labels",)),
    "planet": ("f2_samples", "train_v2.csv", ("tags",)),
    "imet2019": ("f2_samples", "train.csv", ("attribute_ids",)),
    "ranzcr": ("roc_auc", "train.csv", ("ETT - Abnormal", "ETT - Normal", "CVC - Normal")),
    "pawpularity": ("rmse", "train.csv", ("Pawpularity",)),
    "hotel2021": ("map@5", "train.csv", ("hotel_id",)),
    "whale_playground": ("map@5", "train.csv", ("Id",)),
}


def bare(image_id):
    """An id without folders and an image's suffix."""
    name = Path(image_id).name
    return name.rsplit(".", 1)[0] if name.endswith((".jpg", ".png")) else name


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as stored:
        return list(csv.reader(stored))


def stored(run, part):
    arrays = np.load(Path("runs") / run / f"{part}.npz")
    return [bare(name) for name in arrays["ids"].tolist()], arrays["classes"].tolist(), arrays


def truths_of(table, columns):
    """What the training table says of each image: its labels, its class, or its value."""
    header, *rows = rows_of(table)
    of_image = {}
    for row in rows:
        by_name = dict(zip(header, row, strict=True))
        texts = [by_name[column] for column in columns]
        of_image[bare(row[0])] = (
            {name for name, text in zip(columns, texts, strict=True) if text == "1"}
            if len(columns) > 1
            else texts[0]
        )
    return of_image


def check_truths(run, truths):
    """The stored targets are those of the table."""
    ids, classes, arrays = stored(run, "valid")
    for image, target in zip(ids, arrays["targets"], strict=True):
        truth = truths[image]
        if arrays["probs"].shape[1] == 1:
            assert float(truth) == target
        elif np.ndim(target):
            names = truth if isinstance(truth, set) else set(truth.split())
            assert {name for name, one in zip(classes, target, strict=True) if one} == names
        else:
            assert classes[target] == truth


def mixed(manifest):
    """The weighted mean of the members' test predictions by image and class or label."""
    mean = {}
    for member in manifest["members"]:
        ids, classes, arrays = stored(member["run"], "test")
        for image, probs in zip(ids, arrays["probs"].astype(float).tolist(), strict=True):
            total = mean.setdefault(image, dict.fromkeys(classes, 0.0))
            for name, prob in zip(classes, probs, strict=True):
                total[name] += member["weight"] * prob
    return mean


def check_cells(answer, header, cells, probs, decision):
    if answer == "labels":
        threshold = decision["threshold"]
        assert cells == [" ".join(sorted(name for name in probs if probs[name] > threshold))]
    elif answer == "top_k":
        best = sorted(probs, key=lambda name: (-probs[name], name))[:5]
        assert cells == [" ".join(best)]
    else:
        names = header[1:] if answer == "probabilities" else list(probs)
        assert [float(cell) for cell in cells] == pytest.approx([probs[name] for name in names])


@pytest.mark.slow
@pytest.mark.parametrize("name", REPLICAS)
def test_every_cell_is_computed_again(name, ens, tmp_path):
    metric, table, columns = REPLICAS[name]
    root = tmp_path / "input" / name
    root.mkdir(parents=True)
    replicas.make(name, root)
    ens("init", root, "--metric", metric)
    ens("train", f"recipes/{name}_resnet.yaml", *[word for key in TINY for word in ("--set", key)])
    shown = json.loads(ens("blend", "--json"))
    assert (shown["metric"], shown["options"]["metric"]) == (metric, metric)
    (submission,) = Path("submissions").glob("*.csv")
    assert "same bytes" in ens("verify", submission)

    manifest = json.loads(submission.with_suffix(".json").read_text(encoding="utf-8"))
    truths = truths_of(root / table, columns)
    for member in manifest["members"]:
        check_truths(member["run"], truths)
    header, *rows = rows_of(submission)
    sample = rows_of(next(root.glob("sample_submission*.csv")))
    assert header == sample[0]
    assert [row[0] for row in rows] == [row[0] for row in sample[1:]]
    mean = mixed(manifest)
    for image, *cells in rows:
        check_cells(manifest["answer"], header, cells, mean[bare(image)], manifest["decision"])


def number_recipe():
    """A recipe that learns the grades of aptos as numbers, beside those of its classes."""
    base = Path("recipes/aptos.base.yaml").read_text(encoding="utf-8")
    as_numbers = re.sub(r"\n  answer:.*", "\n  answer: values\n  target: number", base)
    assert as_numbers != base
    Path("recipes/number.base.yaml").write_text(as_numbers, encoding="utf-8")
    recipe = Path("recipes/aptos_resnet.yaml").read_text(encoding="utf-8")
    recipe = recipe.replace("base: aptos.base.yaml", "base: number.base.yaml")
    Path("recipes/aptos_number.yaml").write_text(recipe, encoding="utf-8")


def grades_by_image(members, part):
    """The weighted mean of values, and of grades by their probability, by image."""
    mean = {}
    for run, weight in members.items():
        ids, classes, arrays = stored(run, part)
        grades = [1.0] if len(classes) == 1 else [float(name) for name in classes]
        for image, probs in zip(ids, arrays["probs"].astype(float), strict=True):
            share = probs if len(classes) == 1 else probs / probs.sum()
            mean[image] = mean.get(image, 0.0) + weight * float(share @ grades)
    return mean


@pytest.mark.slow
@pytest.mark.parametrize("valid", ["0.4", "{folds: 2}"])
def test_runs_on_grades_as_classes_and_as_numbers_blend(valid, ens, tmp_path):
    root = tmp_path / "input" / "aptos"
    root.mkdir(parents=True)
    replicas.make("aptos", root)
    ens("init", root, "--metric", "quadratic_kappa")
    number_recipe()
    settings = [word for key in (*TINY, f"data.valid={valid}") for word in ("--set", key)]
    ens("train", "recipes/aptos_resnet.yaml", "recipes/aptos_number.yaml", *settings)
    shown = ens("blend", "--weights", "equal", "--name", "both")
    assert "4 runs on aptos" in shown
    assert "2 on classes as expected grades" in shown
    submission = Path("submissions/both.csv")
    assert "computed again from 4 members" in ens("verify", submission)

    manifest = json.loads(submission.with_suffix(".json").read_text(encoding="utf-8"))
    members = {member["run"]: member["weight"] for member in manifest["members"]}
    folds = 2 if "folds" in valid else 1
    of_folds = {
        f"{run}-f{fold}" if folds > 1 else run: weight / folds
        for run, weight in members.items()
        for fold in range(folds)
    }
    assert {weight for weight in members.values()} == {0.25}
    mean, decision = grades_by_image(of_folds, "test"), manifest["decision"]
    assert decision["rule"] == "grade cuts"
    header, *rows = rows_of(submission)
    assert (header, len(rows)) == (["id_code", "diagnosis"], 6)
    for image, cell in rows:
        reached = sum(mean[image] >= cut for cut in decision["cuts"])
        assert float(cell) == decision["lowest"] + reached

    truths = truths_of(root / "train.csv", ("diagnosis",))
    for run in of_folds:
        check_truths(run, truths)
    n_folds = folds if folds > 1 else 1
    of_rows = grades_by_image({run: w * n_folds for run, w in of_folds.items()}, "valid")
    true = np.array([float(truths[image]) for image in of_rows])
    cuts = decision["cuts"]
    answers = [decision["lowest"] + sum(value >= cut for cut in cuts) for value in of_rows.values()]
    kappa = cohen_kappa_score(true, answers, weights="quadratic", labels=list(range(5)))
    in_sample = manifest["scores"]["in_sample"]["quadratic_kappa"]
    assert in_sample == pytest.approx(kappa)

    sample = root / "sample_submission.csv"
    ens(*("predict", root / "test_images", "--blend", "both", "--sample", sample, "--out", "p.csv"))
    assert Path("p.csv").read_bytes() == submission.read_bytes()
    ens("report")
    assert "both.csv" in Path("report.html").read_text(encoding="utf-8")
