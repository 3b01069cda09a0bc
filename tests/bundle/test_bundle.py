"""A bundle predicts in a notebook without a network what the blend predicts here."""

import csv
import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ensemble
from ensemble.blending import make_blend
from ensemble.bundle.bundle import make_bundle
from ensemble.bundle.wheels import PACKAGES, pack_ens, pack_wheels
from ensemble.cli import app
from ensemble.errors import EnsembleError, RunError, SubmissionError
from ensemble.events import ignore
from ensemble.inference import Predictor, predict
from ensemble.runs import RunStore
from ensemble.submission import write_submission


def predicted(predictor, images, out, sample=None):
    return predict([images], predictor, out, ignore, sample).path.read_text()


def probabilities(text):
    return np.array([row[1:] for row in csv.reader(text.splitlines()[1:])], float)


@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_the_notebook_writes_what_ens_predict_writes(blended, new_images, execute, tmp_path):
    bundle = make_bundle(blended.manifest, blended.store, tmp_path / "mine-bundle")
    home = new_images / "datasets" / "me" / "mine-bundle"
    home.mkdir(parents=True)
    with zipfile.ZipFile(bundle.archive) as stored:
        stored.extractall(home)
    text = (home / "inference.ipynb").read_text()
    assert "/kaggle/input" in text
    text = text.replace("/kaggle/input", new_images.as_posix())
    notebook = json.loads(text)
    where = {**notebook["cells"][-1], "id": "where", "source": ["print(ensemble.__file__)"]}
    notebook["cells"].append(where)
    printed = execute(json.dumps(notebook), tmp_path / "working")
    assert printed.splitlines()[-1].startswith(tempfile.gettempdir()), "ens is not the wheel's"
    competition = new_images / "competitions" / "birds"
    predictor = Predictor.of_submission(blended.manifest, blended.store)
    expected = predicted(
        predictor, competition / "test", tmp_path / "a.csv", competition / "sample_submission.csv"
    )
    assert (tmp_path / "working" / "submission.csv").read_text() == expected
    assert len(set(expected.splitlines()[1:])) == 9
    assert [path.name for path in (tmp_path / "working").iterdir()] == ["submission.csv"]


@pytest.mark.parametrize("fp16", [False, True])
def test_a_bundle_predicts_as_its_blend(blended, new_images, tmp_path, fp16):
    bundle = make_bundle(blended.manifest, blended.store, tmp_path / "bundle", fp16)
    images = new_images / "competitions" / "birds" / "test"
    store = RunStore(bundle.folder / "runs")
    carried = Predictor.of_submission(bundle.folder / "mine.json", store)
    before = Predictor.of_submission(blended.manifest, blended.store)
    texts = [
        predicted(predictor, images, tmp_path / f"{i}.csv")
        for i, predictor in enumerate((before, carried))
    ]
    weights = list(bundle.folder.glob("runs/*/*.safetensors"))
    assert len(weights) == carried_networks(blended)
    assert not list(bundle.folder.rglob("state*"))
    if not fp16:
        assert texts[0] == texts[1]
        assert bundle.change is None
        return
    difference = np.abs(probabilities(texts[0]) - probabilities(texts[1])).max()
    assert 0 < difference < 1e-3
    assert bundle.change.n_images == 30
    assert 0 < bundle.change.largest < 1e-3
    assert bundle.change.n_answers == 0
    sizes = [path.stat().st_size for path in weights]
    originals = [blended.store.root.joinpath(*path.parts[-2:]).stat().st_size for path in weights]
    assert sum(sizes) < 0.6 * sum(originals)


def carried_networks(blended):
    """One network for each fold of a member, or its one refit."""
    content = json.loads(blended.manifest.read_text())
    return len(content["members"]) * (1 if content["refits"] else 2)


def test_what_fp16_changes_is_not_stated_without_images(blended, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(blended.store.root, tmp_path / "runs")
    for path in tmp_path.glob("runs/*/recipe.yaml"):
        path.write_text(path.read_text().replace(str(blended.images), str(tmp_path / "gone")))
        run_json = path.with_name("run.json")
        content = json.loads(run_json.read_text())
        del content["files"]["recipe.yaml"]
        run_json.write_text(json.dumps(content))
    store = RunStore(tmp_path / "runs")
    bundle = make_bundle(blended.manifest, store, tmp_path / "bundle", fp16=True)
    assert bundle.change is None


def test_what_cannot_be_bundled_says_why(blended, tmp_path, fake_run):
    folder = tmp_path / "bundle"
    folder.mkdir()
    with pytest.raises(SubmissionError, match="bundle: exists\nchoose another --out, or remove it"):
        make_bundle(blended.manifest, blended.store, folder)
    with pytest.raises(SubmissionError, match="mine.json: cannot be bundled: 2 members missing"):
        make_bundle(blended.manifest, RunStore(tmp_path / "none"), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["bundle"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_a_zip_that_does_not_fit_leaves_nothing(blended, tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_500_000, hard))  # each wheel fits
    try:
        with pytest.raises(EnsembleError, match=r"bundle: cannot be written \(File too large\)"):
            make_bundle(blended.manifest, blended.store, tmp_path / "bundle")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


@pytest.mark.parametrize("folder", [".", "/", ".."])
def test_a_folder_without_a_name_is_not_replaced(folder, blended):
    with pytest.raises(SubmissionError, match="exists\nchoose another --out"):
        make_bundle(blended.manifest, blended.store, Path(folder))


def test_a_member_without_a_network_is_named(tmp_path, fake_run):
    runs = [fake_run(tmp_path / "runs", name, strategy="imported", training=None) for name in "ab"]
    path = write_submission(make_blend(runs), tmp_path / "submissions", "mine").path
    with pytest.raises(RunError, match="was imported, so it has no network to bundle"):
        make_bundle(path.with_suffix(".json"), RunStore(tmp_path / "runs"), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_wheels_install_and_run_without_a_network(tmp_path):
    wheels, unpacked = pack_wheels(tmp_path / "wheels")
    assert len(wheels) + len(unpacked) == 1 + len(PACKAGES)
    command = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--quiet"]
    subprocess.run([*command, "--target", str(tmp_path / "site"), *map(str, wheels)], check=True)
    where = "import ensemble, timm; print(ensemble.__file__, timm.__file__)"
    run = "import sys; from ensemble.cli import main; sys.argv[1:] = ['recipes']; main()"
    shown = [
        subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                f"import sys; sys.path.insert(0, 'site'); {code}",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for code in (where, run)
    ]
    assert shown[0].count(str(tmp_path / "site")) == 2
    assert "digits_resnet" in shown[1]


@pytest.mark.slow
def test_the_wheel_of_ens_holds_what_pip_would_build(tmp_path):
    clone = Path(ensemble.__file__).parent.parent
    source = tmp_path / "clone"
    shutil.copytree(
        clone,
        source,
        ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "tests", "bench"),
    )
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (built,) = tmp_path.glob("*.whl")
    packed = pack_ens(tmp_path / "packed")
    assert packed.name == built.name
    assert names_in(packed) == {
        name for name in names_in(built) if not name.endswith(("top_level.txt", "LICENSE"))
    }


def names_in(wheel):
    with zipfile.ZipFile(wheel) as stored:
        return {name for name in stored.namelist() if not name.endswith("/")}


def test_ens_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("ensemble.bundle.wheels.NAME", "ens-images-of-nobody")
    with pytest.raises(EnsembleError, match="is not installed, so its wheel cannot be packed"):
        pack_ens(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("blended", ["true"], indirect=True, ids=["refits"])
def test_a_fresh_environment_without_ens_predicts_by_the_bundle(blended, new_images, tmp_path):
    """The environment sees torch and the other compiled packages, but neither ens nor fastai."""
    bundle = make_bundle(blended.manifest, blended.store, tmp_path / "mine-bundle")
    venv = [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")]
    subprocess.run(venv, check=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    (site,) = (tmp_path / "env").glob("[lL]ib/**/site-packages")
    packed = {name.replace("-", "_") for name in (*PACKAGES, "ens-images")}
    for path in sysconfig.get_path("purelib"), sysconfig.get_path("platlib"):
        for entry in Path(path).iterdir():
            is_packed = entry.name.partition("-")[0].lower() in packed
            is_ours = entry.name.startswith(("__editable__", "ensemble"))
            if not (is_packed or is_ours or (site / entry.name).exists()):
                (site / entry.name).symlink_to(entry)
    images = new_images / "competitions" / "birds" / "test"
    cells = json.loads((bundle.folder / "inference.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (tmp_path / "env" / "cells.py").write_text(
        code.replace('IMAGES = ""', f"IMAGES = {str(images)!r}")
    )
    lacking = subprocess.run([python, "-c", "import fastai"], capture_output=True, text=True)
    assert "No module named 'fastai'" in lacking.stderr
    command = [str(python), "-W", "ignore", str(tmp_path / "env" / "cells.py")]
    ended = subprocess.run(command, cwd=bundle.folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    predictor = Predictor.of_submission(blended.manifest, blended.store)
    sample = images.parent / "sample_submission.csv"
    expected = predicted(predictor, images, tmp_path / "a.csv", sample)
    assert (bundle.folder / "submission.csv").read_text() == expected


@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_bundle_and_export_as_json_are_one_value(blended, tmp_path):
    options = ["--runs", str(blended.store.root), "--json"]
    lines = {
        "bundle": [str(blended.manifest), "--out", str(tmp_path / "b"), *options],
        "export": ["--blend", str(blended.manifest), "--to", str(tmp_path / "e"), *options],
    }
    shown = {
        name: json.loads(CliRunner().invoke(app, [name, *words]).stdout)
        for name, words in lines.items()
    }
    assert shown["bundle"]["archive"] == str(tmp_path / "b.zip")
    assert shown["bundle"]["bytes"].keys() == {"runs", "wheels"}
    assert shown["bundle"]["fp16_change"] is None
    (graph,) = shown["export"]
    assert graph["path"] == str(tmp_path / "e" / "mine.onnx")
    assert 0 <= graph["difference"] < 1e-4
