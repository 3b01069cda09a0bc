"""ONNX graphs say what ens says of the same images, and carry what a program needs to use them."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from ensemble.blending import Options, make_blend
from ensemble.bundle.export import export_blend, export_run
from ensemble.dataset.decode import decode_image
from ensemble.dataset.geometry import Geometry
from ensemble.errors import SubmissionError
from ensemble.events import ignore
from ensemble.inference import Predictor, predict
from ensemble.metrics.decision import ExpectedGain
from ensemble.runs import RunStore
from ensemble.submission import write_submission

GAIN = ExpectedGain(("blue", "green", "red"), 1.0, (1.0,) * 3, (1.0, 2.0, 1.0), (0.0,) * 3)
DOCS = Path(__file__).resolve().parents[2] / "docs"


def predicted(predictor, images, out):
    """(images, classes) of `ens predict`, classes sorted by name."""
    predict(images, predictor, out, ignore)
    with out.open(newline="") as stored:
        header, *rows = csv.reader(stored)
    assert header[1:] == sorted(header[1:])
    return np.array([[float(cell) for cell in row[1:]] for row in rows])


def by_graph(path, images):
    """(images, classes) of a graph, for images prepared as its metadata say."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    geometry = Geometry(**json.loads(about["preprocessing"]))
    pixels = [np.asarray(geometry.apply(decode_image(image).image)) for image in images]
    return session.run(["probs"], {"pixels": np.stack(pixels)})[0], about


@pytest.fixture
def both(blended, tmp_path, monkeypatch):
    """A blend of both runs with equal weights, geometric and calibrated, and a copy of the runs."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.copytree(blended.store.root, tmp_path / "runs")
    store = RunStore(tmp_path / "runs")
    blend = make_blend(store.finished(), Options(weights="equal", average="geometric"))
    manifest = write_submission(blend, tmp_path / "submissions", "both").path.with_suffix(".json")
    content = json.loads(manifest.read_text())
    content["calibration"] = {"temperature": 0.7, "floor": 0.01}
    content["decision"] = asdict(GAIN)
    manifest.write_text(json.dumps(content))
    images = sorted((blended.images / "test").iterdir())
    return manifest, store, images


@pytest.mark.slow
@pytest.mark.parametrize("blended", ["false", "true"], indirect=True, ids=["folds", "refits"])
def test_a_blend_is_one_graph_where_its_members_take_the_same_pixels(both, tmp_path):
    manifest, store, images = both
    (exported,) = export_blend(manifest, store, tmp_path / "exported")
    assert exported.path == tmp_path / "exported" / "both.onnx"
    assert exported.difference <= 1e-4
    probs, about = by_graph(exported.path, images)
    expected = predicted(Predictor.of_submission(manifest, store), images, tmp_path / "a.csv")
    np.testing.assert_allclose(probs, expected, atol=1e-5)
    assert json.loads(about["classes"]) == ["blue", "green", "red"]
    assert json.loads(about["decision"]) == json.loads(json.dumps(asdict(GAIN)))
    assert len(json.loads(about["normalization"])) == len(json.loads(about["members"])) == 2


@pytest.mark.slow
@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_members_that_take_other_pixels_become_graphs_of_their_own(both, tmp_path):
    manifest, store, images = both
    run_jsons = sorted((tmp_path / "runs").glob("*-s1-f*/run.json"))
    assert len(run_jsons) == 2
    for path in run_jsons:
        content = json.loads(path.read_text())
        content["training"]["preprocessing"] |= {"size": 48, "stored": None}
        path.write_text(json.dumps(content))
    exported = export_blend(manifest, store, tmp_path / "exported")
    about = json.loads((tmp_path / "exported" / "both.json").read_text())
    assert [graph.path.name for graph in exported] == sorted(about["members"])
    assert about["average"] == "geometric"
    logs = sum(
        weight * np.log(by_graph(tmp_path / "exported" / name, images)[0])
        for name, weight in about["members"].items()
    )
    probs = np.exp(logs / about["calibration"]["temperature"])
    probs = np.maximum(probs / probs.sum(1, keepdims=True), about["calibration"]["floor"])
    expected = predicted(Predictor.of_submission(manifest, store), images, tmp_path / "a.csv")
    np.testing.assert_allclose(probs / probs.sum(1, keepdims=True), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_the_lines_of_the_documentation_run_a_graph(blended, tmp_path):
    run = blended.store.finished()[0]
    exported = export_run(run, tmp_path / "model.onnx")
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "export.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(code)
    image, turned = tmp_path / "turned.png", Image.Exif()
    turned[0x112] = 6  # a photo of a phone held upright
    pixels = np.zeros((48, 40, 3), np.uint8)
    pixels[:12] = 255
    Image.fromarray(pixels).save(image, exif=turned)
    command = [sys.executable, str(tmp_path / "example.py"), str(exported.path), str(image)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (expected,) = predicted(Predictor.of_run(run), [image], tmp_path / "a.csv")
    probs = json.loads(shown)
    assert list(probs) == ["blue", "green", "red"]
    np.testing.assert_allclose(list(probs.values()), expected, atol=1e-5)


@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_what_is_not_exported_says_why(blended, tmp_path):
    run = blended.store.finished()[0]
    (tmp_path / "there.onnx").write_text("a model")
    with pytest.raises(SubmissionError, match="there.onnx: exists\nchoose another --to"):
        export_run(run, tmp_path / "there.onnx")
    with pytest.raises(SubmissionError, match=r"--to .*model: not a file that ends with \.onnx"):
        export_run(run, tmp_path / "model")
    data = run.data.model_copy(update={"target": "labels"})
    labels = run.model_copy(update={"data": data})
    with pytest.raises(
        SubmissionError, match="predicts several labels per image; only networks of one class"
    ):
        export_run(labels, tmp_path / "model.onnx")
    assert (tmp_path / "there.onnx").read_text() == "a model"


@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_a_blend_of_ranks_is_not_exported(both, tmp_path):
    manifest, store, _ = both
    content = json.loads(manifest.read_text())
    content["options"]["average"] = "rank"
    manifest.write_text(json.dumps(content))
    with pytest.raises(SubmissionError, match="cannot be exported: it averages ranks"):
        export_blend(manifest, store, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
