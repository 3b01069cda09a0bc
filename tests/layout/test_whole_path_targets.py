"""From a competition's folder to its CSV for labels, numbers and several classes in a cell.

Every cell is computed again from the stored predictions of two runs, the manifest's weights and its
decision; the validation rows are compared with the competition's own table.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import replicas

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
