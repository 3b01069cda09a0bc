"""Any images by a stored run or blend: the run's own numbers again, unreadable images named, the network off."""

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ensemble.blending import Options, make_blend
from ensemble.engines.local import train_all
from ensemble.errors import DamagedError, DataError, RunError, SubmissionError
from ensemble.events import ignore
from ensemble.inference import Predictor, predict
from ensemble.inference.blocks import BLOCK
from ensemble.inference.inputs import input_images
from ensemble.metrics import predicted
from ensemble.metrics.decision import ExpectedGain
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of
from ensemble.submission import write_submission
from ensemble.submission.verify import verified

torch.set_num_threads(1)

TINY = """
data: {{source: folder, path: {images}, valid: {{folds: 2}}, test: test, size: 40}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}}
seeds: [0, 1]
refit: true
tta: [flip]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_images):
    """A folder with images of 32 px, one test image that is none, and two finished runs: two folds, a refit, views."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENS_CACHE", str(folder / "cache"))
        tiny_images(folder / "images" / "train")
        for path in sorted((folder / "images" / "train").rglob("1?.png")):
            home = folder / "images" / "test"
            home.mkdir(exist_ok=True)
            path.rename(home / f"{path.parent.name}-{path.name}")
        (folder / "images" / "test" / "broken.jpg").write_text("no picture")
        (folder / "tiny.yaml").write_text(TINY.format(images=folder / "images"))
        runs, failures = train_all(
            jobs_of([Recipe.load(folder / "tiny.yaml")]), RunStore(folder / "runs"), ignore
        )
    assert failures == []
    assert runs[0].training.preprocessing["stored"] == [32, 32]  # enlarged to 40 px on the device
    return folder


@pytest.fixture
def store(made):
    return RunStore(made / "runs")


def read(path):
    """Ids, columns and numbers of a written CSV."""
    with path.open(newline="") as stored:
        header, *rows = csv.reader(stored)
    return (
        [row[0] for row in rows],
        tuple(header[1:]),
        np.array([[float(cell) for cell in row[1:]] for row in rows]),
    )


def check_same(path, expected, atol=1e-6):
    ids, classes, probs = read(path)
    assert (ids, classes) == (expected.ids.tolist(), expected.classes)
    np.testing.assert_allclose(probs, expected.probs, atol=atol)


def test_a_run_says_of_its_own_test_images_what_its_test_npz_says(made, store, tmp_path):
    for run in store.finished():
        predicted = predict(
            [made / "images" / "test"], Predictor.of_run(run), tmp_path / f"{run.id}.csv", ignore
        )
        assert predicted.n_networks == 2
        check_same(predicted.path, run.test().canonical())
        for part in run.folds:
            path = predict(
                [made / "images" / "test"],
                Predictor.of_run(part),
                tmp_path / f"{part.id}.csv",
                ignore,
            ).path
            check_same(path, part.test().canonical())
        path = predict(
            [made / "images" / "test"],
            Predictor.of_run(run, True),
            tmp_path / "refit.csv",
            ignore,
            None,
            True,
        )
        check_same(path.path, run.test_refit().canonical())
    assert np.abs(run.test().probs - run.test_refit().probs).max() > 1e-4


def test_large_photos_are_decoded_as_they_were_for_training(tmp_path, tiny_images, monkeypatch):
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    tiny_images(tmp_path / "images" / "train")
    for path in list((tmp_path / "images").rglob("*.png")):
        Image.open(path).resize((300, 200), Image.Resampling.BICUBIC).save(path.with_suffix(".jpg"))
        path.unlink()
    (tmp_path / "large.yaml").write_text(
        TINY.format(images=tmp_path / "images").replace("{folds: 2}, test: test", "0.2, test: 0.2")
    )
    said = ("data.size=32", "seeds=[0]", "refit=false")
    store = RunStore(tmp_path / "runs")
    (run,), _ = train_all(jobs_of([Recipe.load(tmp_path / "large.yaml", said)]), store, ignore)
    stored = run.test().canonical()
    files = {
        path.relative_to(tmp_path / "images" / "train").with_suffix("").as_posix(): path
        for path in (tmp_path / "images" / "train").rglob("*.jpg")
    }
    (tmp_path / "list.txt").write_text(
        "\n".join(str(files[name.removesuffix(".jpg")]) for name in stored.ids)
    )
    path = predict(
        [tmp_path / "list.txt"], Predictor.of_run(run), tmp_path / "out.csv", ignore
    ).path
    np.testing.assert_allclose(read(path)[2], stored.probs, atol=1e-6)


def test_a_single_image_of_hounsfield_units_is_scaled_by_the_range_of_its_training_set(
    tmp_path, monkeypatch
):
    """By its own range a dark image would look like a light one."""
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for k, name in enumerate(("fat", "lung")):
        (tmp_path / "images" / "train" / name).mkdir(parents=True)
        for i in range(10):
            units = 300 * k - 400 + rng.normal(0, 20, (32, 32))
            Image.fromarray(units.astype(np.int32)).save(
                tmp_path / "images" / "train" / name / f"{i}.tif"
            )
    recipe = TINY.format(images=tmp_path / "images").replace(
        "{folds: 2}, test: test", "0.2, test: 0.2"
    )
    (tmp_path / "ct.yaml").write_text(recipe)
    store, said = RunStore(tmp_path / "runs"), []
    (run,), _ = train_all(
        jobs_of([Recipe.load(tmp_path / "ct.yaml", ("seeds=[0]",))]), store, said.append
    )
    assert any("32-bit values from" in getattr(event, "text", "") for event in said)
    low, high = run.training.preprocessing["ranges"]["I"]
    assert -500 < low < -350
    assert -150 < high < 0
    stored = run.test().canonical()
    for image_id, probs in zip(stored.ids.tolist(), stored.probs, strict=True):
        file = tmp_path / "images" / "train" / f"{image_id}.tif"
        path = predict([file], Predictor.of_run(run), tmp_path / "out.csv", ignore, force=True).path
        np.testing.assert_allclose(read(path)[2][0], probs, atol=1e-6)


def test_a_depth_that_no_training_image_had_and_files_that_are_no_images_are_told(
    made, store, tmp_path
):
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(made / "images" / "test" / "red-11.png", folder / "photo")
    Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(folder / "deep.tif")
    (folder / "film.mp4").write_bytes(b"no image")
    said = []
    path = predict(
        [folder], Predictor.of_run(store.finished()[0]), tmp_path / "out.csv", said.append
    ).path
    assert read(path)[0] == ["deep", "photo"]
    lines = [event.text for event in said if hasattr(event, "text")]
    assert any("more than 8 bits" in line and "deep.tif" in line for line in lines)
    assert any(line.startswith("skipped: 1 .mp4") for line in lines)


@pytest.mark.parametrize(
    "options", [Options(), Options(average="geometric", calibrate=True)], ids=["plain", "warm"]
)
def test_a_blend_says_of_the_test_images_what_it_submitted(options, made, store, tmp_path):
    blend = make_blend(store.finished(), options)
    write_submission(blend, tmp_path, "mine")
    predictor = Predictor.of_submission("mine", store, tmp_path)
    assert predictor.mixture.of_refits
    check_same(
        predict([made / "images" / "test"], predictor, tmp_path / "out.csv", ignore).path,
        blend.predictions,
    )


def test_a_blends_decision_answers_any_images_as_it_answered_the_test_images(made, store, tmp_path):
    """The decision is set by hand: the digits of tiny networks teach none that changes an answer."""
    blend = make_blend(store.finished(), Options(metric="f1_macro"))
    ones = (1.0,) * 3
    probs = blend.predictions.canonical().probs
    weights = tuple((1 / probs.mean(0) ** 8).tolist())
    decision = ExpectedGain(blend.predictions.classes, 1.0, ones, weights, (0.0,) * 3)
    mixture = replace(blend.mixture, decision=decision)
    runs = {member.run.id: member.run for member in blend.members}
    blend = replace(blend, mixture=mixture, answered=mixture.of_test(runs))
    answers = decision.apply(probs)
    assert (answers != predicted(probs)).any()
    ids = blend.predictions.canonical().ids.tolist()
    sample = tmp_path / "sample.csv"
    sample.write_text("id,color\n" + "".join(f"{image_id},red\n" for image_id in ids))
    path = write_submission(blend, tmp_path, "mine", chosen=sample, answer="class_name").path
    assert len(verified(path, store).runs) == 2
    predictor = Predictor.of_submission("mine", store, tmp_path)
    images, out = [made / "images" / "test"], tmp_path / "out.csv"
    predict(images, predictor, out, ignore, sample=sample)
    assert out.read_text() == path.read_text()
    rows = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert rows == [[i, decision.classes[k]] for i, k in zip(ids, answers, strict=True)]


def test_unreadable_images_are_listed_and_get_the_class_shares(made, store, tmp_path):
    run = store.finished()[0]
    predicted = predict(
        [made / "images" / "test"], Predictor.of_run(run), tmp_path / "out.csv", ignore
    )
    assert list(predicted.unreadable) == ["broken"]
    assert predicted.unreadable_path.read_text().startswith("id,reason\nbroken,")
    ids, _, probs = read(predicted.path)
    np.testing.assert_allclose(
        probs[ids.index("broken")], np.mean([part.prior() for part in run.folds], axis=0)
    )
    assert run.data.class_counts == {"blue": 10, "green": 10, "red": 10}
    (tmp_path / "readable").mkdir()
    shutil.copy(made / "images" / "test" / "red-10.png", tmp_path / "readable")
    again = predict(
        [tmp_path / "readable"], Predictor.of_run(run), tmp_path / "out.csv", ignore, force=True
    )
    assert (again.unreadable_path, (tmp_path / "out.unreadable.csv").exists()) == (None, False)


def test_more_images_than_a_block_and_of_many_sizes_stay_in_their_rows(made, store, tmp_path):
    rng, folder = np.random.default_rng(0), tmp_path / "many"
    folder.mkdir()
    tests = sorted((made / "images" / "test").glob("*.png"))
    for i in range(BLOCK + 30):
        if i % 3:
            shutil.copy(tests[i % len(tests)], folder / f"{i:03d}.png")
        else:
            sides = rng.integers(20, 90, 2)
            Image.fromarray(rng.integers(0, 255, (*sides, 3), dtype=np.uint8)).save(
                folder / f"{i:03d}.png"
            )
    run = store.finished()[0]
    ids, _, probs = read(
        predict([folder], Predictor.of_run(run), tmp_path / "many.csv", ignore).path
    )
    assert ids == [f"{i:03d}" for i in range(BLOCK + 30)]
    known = dict(zip(run.test().ids.tolist(), run.test().probs, strict=True))
    for i in range(BLOCK + 30):
        if i % 3:
            np.testing.assert_allclose(probs[i], known[tests[i % len(tests)].stem], atol=1e-6)
    alone = [folder / f"{i:03d}.png" for i in (279, 0, 100)]
    few = read(predict(alone, Predictor.of_run(run), tmp_path / "few.csv", ignore).path)[2]
    np.testing.assert_allclose(few, probs[[279, 0, 100]], atol=1e-6)


def test_a_list_keeps_its_order_and_a_sample_submission_gives_shape_and_order(
    made, store, tmp_path
):
    paths = [str(made / "images" / "test" / name) for name in ("red-11.png", "blue-15.png")]
    (tmp_path / "list.txt").write_text("\n".join(paths) + "\n")
    run = store.finished()[0]
    ids, _, probs = read(
        predict([tmp_path / "list.txt"], Predictor.of_run(run), tmp_path / "a.csv", ignore).path
    )
    assert ids == [path.removesuffix(".png") for path in paths]
    sample = tmp_path / "sample_submission.csv"
    sample.write_text(
        "image,red,blue,green\nred-11.png,0,0,0\nbroken.jpg,0,0,0\nblue-15.png,0,0,0\n"
    )
    asked = predict(
        [made / "images" / "test"], Predictor.of_run(run), tmp_path / "b.csv", ignore, sample
    )
    ids, columns, shaped = read(asked.path)
    assert (ids, columns) == (["red-11.png", "broken.jpg", "blue-15.png"], ("red", "blue", "green"))
    np.testing.assert_allclose(shaped[[0, 2]], probs[:, [2, 0, 1]], atol=1e-6)
    sample.write_text("image,label\nyellow-1.png,red\n")
    with pytest.raises(SubmissionError) as raised:
        predict(
            [made / "images" / "test"], Predictor.of_run(run), tmp_path / "c.csv", ignore, sample
        )
    assert "name the folder of the images" in str(raised.value)
    assert "data.test" not in str(raised.value)
    sample.write_text("image,label\nblue-15.png,red\n")
    asked = predict(
        [made / "images" / "test"], Predictor.of_run(run), tmp_path / "c.csv", ignore, sample
    )
    assert (
        asked.path.read_text()
        == f"image,label\nblue-15.png,{('blue', 'green', 'red')[int(probs[1].argmax())]}\n"
    )


def test_no_sample_submission_and_no_other_file_is_written_over(made, store, tmp_path):
    predictor = Predictor.of_run(store.finished()[0])
    for name in ("sampleSubmission.csv", "there.csv"):
        (tmp_path / name).write_text("id\n")
        with pytest.raises(SubmissionError, match="choose another --out"):
            predict(
                [made / "images" / "test"],
                predictor,
                tmp_path / name,
                ignore,
                force=name.startswith("sample"),
            )
        assert (tmp_path / name).read_text() == "id\n"
    (tmp_path / "template.csv").write_text("id,label\nred-11,red\n")
    for given, sample in (
        ([made / "images" / "test"], tmp_path / "template.csv"),
        ([tmp_path / "template.csv"], None),
    ):
        with pytest.raises(SubmissionError, match="template.csv: is an input of this prediction"):
            predict(given, predictor, tmp_path / "template.csv", ignore, sample, force=True)


def test_the_list_of_unreadable_images_is_checked_like_the_prediction(made, store, tmp_path):
    predictor = Predictor.of_run(store.finished()[0])
    beside = tmp_path / "mine.unreadable.csv"
    beside.write_text("image,label\nred-11,red\n")
    before = beside.read_bytes()
    with pytest.raises(SubmissionError, match="mine.unreadable.csv: exists; --force replaces it"):
        predict([made / "images" / "test"], predictor, tmp_path / "mine.csv", ignore)
    with pytest.raises(
        SubmissionError, match="mine.unreadable.csv: is an input of this prediction"
    ):
        predict(
            [made / "images" / "test"], predictor, tmp_path / "mine.csv", ignore, beside, force=True
        )
    sample = tmp_path / "sample_submission.unreadable.csv"
    sample.write_text("id\n")
    for name in ("sample_submission", "sample_submission.tsv"):
        with pytest.raises(SubmissionError, match="has the name of a sample submission"):
            predict([made / "images" / "test"], predictor, tmp_path / name, ignore, force=True)
    assert (beside.read_bytes(), sample.read_text()) == (before, "id\n")
    assert not (tmp_path / "mine.csv").exists()
    predict([made / "images" / "test"], predictor, tmp_path / "mine.csv", ignore, force=True)
    assert beside.read_text().startswith("id,reason\n")


def test_no_image_that_is_predicted_is_written_over(made, store, tmp_path):
    image = tmp_path / "photos" / "red.png"
    image.parent.mkdir()
    shutil.copy(made / "images" / "test" / "red-11.png", image)
    before = image.read_bytes()
    link = tmp_path / "link.png"
    link.symlink_to(image)
    for given in (image.parent, image, link):
        with pytest.raises(SubmissionError, match="is an input of this prediction"):
            predict([given], Predictor.of_run(store.finished()[0]), image, ignore, force=True)
    assert image.read_bytes() == before


def test_what_cannot_predict_says_why(made, store, tmp_path, fake_run):
    run = store.finished()[0]
    fake_run(tmp_path / "runs", "a-1-s0", strategy="imported")
    with pytest.raises(RunError, match="a-1-s0 was imported, so it has no network"):
        predict(
            [made / "images"],
            Predictor.of_run(RunStore(tmp_path / "runs").get("a-1-s0")),
            tmp_path / "a.csv",
            ignore,
        )
    shutil.copytree(made / "runs", tmp_path / "others")
    weights = tmp_path / "others" / run.folds[0].id / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\1\1")
    other = RunStore(tmp_path / "others")
    with pytest.raises(DamagedError, match="is not the file that run.json was written for"):
        predict([made / "images"], Predictor.of_run(other.get(run.id)), tmp_path / "a.csv", ignore)
    path = write_submission(make_blend(store.finished()), tmp_path, "mine").path
    with pytest.raises(SubmissionError, match=r"no such manifest\n.* holds mine"):
        Predictor.of_submission("your", store, tmp_path)
    refit = tmp_path / "others" / run.folds[0].id / "refit.safetensors"
    refit.write_bytes(b"other")
    with pytest.raises(
        SubmissionError, match="mine.json: cannot predict: .* is not the file that the submission"
    ):
        Predictor.of_submission(str(path), other)
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.write(made / "images" / "test" / "red-11.png", "red-11.png")
    for inputs, message in (
        ([tmp_path / "none"], "1 of 1 images are not files"),
        ([path], "not an image, neither by its name nor by its content$"),
        ([archive], "not an image.*; unpack it: ens data unpack .*photos.zip$"),
        ([], "no image is named"),
        ([made / "images" / "test" / "red-11.png"] * 2, "red-11.png"),
    ):
        with pytest.raises(DataError, match=message):
            input_images(inputs)


OFFLINE = """
import socket, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print("network:", event, arguments, file=sys.stderr)
        raise OSError("the network is off")

sys.addaudithook(refuse)
from ensemble.cli import main
main()
"""


def test_a_blend_predicts_where_there_is_no_network_no_data_and_nothing_else_can_be_written(
    made, store, tmp_path
):
    """The README's notebook without internet: run folders and a manifest, brought along as a data set."""
    write_submission(make_blend(store.finished()), tmp_path / "input" / "birds", "final")
    shutil.copytree(store.root, tmp_path / "input" / "birds" / "runs")
    shutil.copytree(made / "images" / "test", tmp_path / "input" / "hidden")
    (tmp_path / "input" / "hidden" / "broken.jpg").unlink()
    for run_json in (tmp_path / "input" / "birds" / "runs").glob("*/run.json"):
        assert json.loads(run_json.read_text())["files"]["model.safetensors"]
    sample = tmp_path / "input" / "sample_submission.csv"
    sample.write_text(
        "id,label\n"
        + "".join(f"{path.stem},red\n" for path in Path(made / "images/test").glob("*.png"))
    )
    (tmp_path / "working").mkdir()
    command = [
        sys.executable,
        "-c",
        OFFLINE,
        "predict",
        "../input/hidden",
        "--blend",
        "../input/birds/final.json",
    ]
    command += [
        "--runs",
        "../input/birds/runs",
        "--sample",
        "../input/sample_submission.csv",
        "--out",
        "submission.csv",
    ]
    ended = subprocess.run(
        command, cwd=tmp_path / "working", capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "network:" not in ended.stderr
    assert [path.name for path in (tmp_path / "working").iterdir()] == ["submission.csv"]
    assert len((tmp_path / "working" / "submission.csv").read_text().splitlines()) == 31
