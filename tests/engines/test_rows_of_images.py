"""Several images for each row of the submission: their predictions are averaged, and scored so."""

import csv
from collections import Counter
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from PIL import Image

from ensemble.inference import blocks
from ensemble.predictions import Predictions
from ensemble.runs import RunStore

RECIPE = """
data:
  source: csv
  path: set
  train: images
  labels: {file: train.csv, id: image, label: label}
  group: GROUP
  valid: VALID
  test: {file: test.csv, id: image, ROW label: label}
  sample_submission: SAMPLE
  size: 32
augment: none
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}
resources: {cpu: 1}
"""


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture
def rows_set(tmp_path, monkeypatch, rng):
    """A set of 20 labeled and 8 test rows of one to three images each, in shuffled tables."""
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    tables = {"train": [], "test": []}
    for number in range(28):
        split = "train" if number < 20 else "test"
        for k in range(1 + number % 3):
            name, level = f"{rng.integers(10**6)}_{number}{k}", 60 + 120 * (number % 2)
            pixels = rng.normal(level, 60, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / f"{name}.png")
            tables[split].append([name, f"r{number:02d}", "ab"[number % 2]])
    for split, rows in tables.items():
        write(
            root / f"{split}.csv", "image,row,label", [rows[i] for i in rng.permutation(len(rows))]
        )
    asked = sorted({row for _, row, _ in tables["test"]}, reverse=True)
    write(root / "sample.csv", "row,label", [[row, "a"] for row in asked])
    names = sorted(name for name, _, _ in tables["test"])
    write(root / "sample_of_images.csv", "image,label", [[name, "a"] for name in names])
    return root


def recipe(name, path, valid="0.3", group="row", has_rows=True):
    text = RECIPE.replace("VALID", valid).replace("GROUP", group)
    text = text.replace("ROW", "row: row," if has_rows else "")
    text = text.replace("SAMPLE", "sample.csv" if has_rows else "sample_of_images.csv")
    (path / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def stored(prefix, name):
    (run,) = [run for run in RunStore().all().runs if run.recipe == prefix]
    return Predictions.load(run.folds[0].folder / f"{name}.npz")


def row_of(root, split):
    with (root / f"{split}.csv").open(newline="") as file:
        return {line["image"]: line["row"] for line in csv.DictReader(file)}


def test_rows_are_the_means_of_their_images(rows_set, tmp_path, run_ens, ens):
    by_row, by_image = recipe("rows", tmp_path), recipe("images", tmp_path, has_rows=False)
    status, out, err = run_ens("train", by_row, by_image)
    assert (status, "validation images in " in out) == (0, True)
    assert "for 8 values of row, 1 to 3 each: the predictions of one value are averaged" in err
    for part, split in (("valid", "train"), ("test", "test")):
        rows, images = stored("rows", part), stored("images", part)
        owner = np.array([row_of(rows_set, split)[image_id] for image_id in images.ids])
        assert rows.ids.tolist() == sorted(set(owner.tolist()))
        expected = np.array([images.probs[owner == row].mean(0) for row in rows.ids])
        np.testing.assert_allclose(rows.probs, expected, rtol=1e-5, atol=1e-7)
        truth = {row: images.targets[owner == row][0] for row in rows.ids}
        assert rows.targets.tolist() == [truth[row] for row in rows.ids]
    (run,) = [run for run in RunStore().all().runs if run.recipe == "rows"]
    share = (rows_of_valid := stored("rows", "valid")).probs.argmax(1) == rows_of_valid.targets
    assert run.scores.accuracy == pytest.approx(share.mean())
    assert run.data.n_rows == len(rows_of_valid.ids) < run.data.n_valid

    out = ens("blend", "rows", "--weights", "equal", "--name", "a")
    assert "8 rows, class_name, checked" in out
    with open("submissions/a.csv", newline="") as file:
        written = [(line["row"], line["label"]) for line in csv.DictReader(file)]
    test = stored("rows", "test")
    answers = dict(
        zip(test.ids.tolist(), np.array(test.classes)[test.probs.argmax(1)], strict=True)
    )
    assert written == [(row, answers[row]) for row in sorted(answers, reverse=True)]
    assert "same bytes" in ens("verify", "submissions/a.csv")
    assert "report.html" in ens("report")


@pytest.mark.parametrize("block", [2, 7, 256])
def test_given_images_of_rows_are_predicted_as_the_test_set(
    block, rows_set, tmp_path, ens, run_ens, monkeypatch
):
    rows = row_of(rows_set, "test")
    counts = Counter(rows.values())
    damaged = next(image for image, row in rows.items() if counts[row] == 3)
    (rows_set / "images" / f"{damaged}.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    ens("train", recipe("rows", tmp_path, valid="{folds: 2}"))
    ens("blend", "--name", "a")
    monkeypatch.setattr(blocks, "BLOCK", block)
    given = ("predict", rows_set / "images", "--blend", "a", "--sample", rows_set / "sample.csv")
    ens(*given, "--rows", rows_set / "test.csv", "--out", "b.csv")
    assert Path("b.csv").read_bytes() == Path("submissions/a.csv").read_bytes()
    assert Path("b.unreadable.csv").read_text().splitlines()[1].startswith(damaged)
    status, _, err = run_ens(*given, "--out", "c.csv")
    assert (status, "--rows" in err) == (1, True)

    for image, row in rows.items():  # the same by folders, and by how names begin
        for name in (f"folders/{row}/{image}.png", f"names/{row}_{image.partition('_')[2]}.png"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(rows_set / "images" / f"{image}.png", tmp_path / name)
    for folder in ("folders", "names"):
        ens("predict", folder, *given[2:], "--out", f"{folder}.csv")
        assert Path(f"{folder}.csv").read_bytes() == Path("submissions/a.csv").read_bytes()


def test_folds_validate_each_row_once(rows_set, tmp_path, ens):
    ens("train", recipe("folds", tmp_path, valid="{folds: 2}"))
    (run,) = RunStore().all().runs
    validated = run.valid()
    assert sorted(validated.ids.tolist()) == [f"r{i:02d}" for i in range(20)]
    hits = (validated.probs.argmax(1) == validated.targets).mean()
    assert run.scores.accuracy == pytest.approx(hits)
    assert (run.data.n_rows, run.data.n_valid) == (20, len(row_of(rows_set, "train")))


def test_an_unreadable_image_counts_only_where_its_row_has_no_other(rows_set, tmp_path, ens):
    rows = row_of(rows_set, "test")
    counts = Counter(rows.values())
    alone = next(image for image, row in rows.items() if counts[row] == 1)
    one_of_several = next(image for image, row in rows.items() if counts[row] == 3)
    for image in (alone, one_of_several):
        (rows_set / "images" / f"{image}.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    ens("train", recipe("rows", tmp_path), recipe("images", tmp_path, has_rows=False))
    test, images = stored("rows", "test"), stored("images", "test")
    assert test.ids.tolist() == sorted(counts)
    readable = [i for i in images.ids if rows[i] == rows[one_of_several] and i != one_of_several]
    expected = images.probs[np.isin(images.ids, readable)].mean(0)
    np.testing.assert_allclose(test.probs[test.ids == rows[one_of_several]][0], expected, rtol=1e-5)
    of_alone = test.probs[test.ids == rows[alone]][0]
    np.testing.assert_allclose(of_alone, images.probs[images.ids == alone][0], rtol=1e-5)


def test_images_are_scored_alone_where_groups_are_others(rows_set, tmp_path, run_ens):
    status, _, err = run_ens("train", recipe("others", tmp_path), "--set", "data.group=null")
    assert (status, "scores are of single images: data.group: row" in err) == (0, True)
    assert set(stored("others", "valid").ids.tolist()) <= set(row_of(rows_set, "train"))


def test_images_of_a_validation_folder_are_scored_alone(rows_set, tmp_path, run_ens):
    (rows_set / "more").mkdir()
    with (rows_set / "train.csv").open("a", newline="") as file:
        for number in range(6):
            level = 60 + 120 * (number % 2)
            Image.new("RGB", (32, 32), (level,) * 3).save(rows_set / "more" / f"v{number}.png")
            csv.writer(file).writerow([f"v{number}", f"v{number // 2}", "ab"[number % 2]])
    status, _, err = run_ens(
        "train", recipe("folder", tmp_path, valid="more"), "--set", "data.group=null"
    )
    assert (status, "scores are of single images: those in more have no row" in err) == (0, True)
    assert len(stored("folder", "valid").ids) == 6


def test_labels_of_one_row_must_agree(rows_set, tmp_path, failing_ens):
    table = rows_set / "test.csv"
    lines = table.read_text().splitlines()
    several = Counter(line.split(",")[1] for line in lines).most_common(1)[0][0]
    at = next(i for i, line in enumerate(lines) if line.split(",")[1] == several)
    lines[at] = lines[at][:-1] + {"a": "b", "b": "a"}[lines[at][-1]]
    table.write_text("\n".join(lines) + "\n")
    error = failing_ens(1, "train", recipe("rows", tmp_path))
    assert f"the images of '{several}' have two labels" in error


def test_pseudo_labels_need_one_image_for_each_row(rows_set, tmp_path, failing_ens, ens):
    teacher = recipe("rows", tmp_path)
    ens("train", teacher)
    text = (
        (tmp_path / teacher)
        .read_text()
        .replace("batch_size: 16", "batch_size: 16, pseudo: {from: rows}")
    )
    (tmp_path / "student.yaml").write_text(text)
    assert "several images of one" in failing_ens(1, "train", "student.yaml")


def test_labels_of_images_are_not_ranked_by_rows(rows_set, tmp_path, failing_ens, ens):
    ens("train", recipe("folds", tmp_path, valid="{folds: 2}"))
    (run,) = RunStore().all().runs
    assert "means over the images of a row" in failing_ens(1, "inspect", "--labels", run.id)
