"""A blend of real runs, with folds or refits, its images, and notebooks executed without a network."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ensemble.blending import make_blend
from ensemble.engines.local import train_all
from ensemble.events import ignore
from ensemble.recipe import Recipe
from ensemble.runs import RunStore
from ensemble.runs.job import jobs_of
from ensemble.submission import write_submission

torch.set_num_threads(1)

RECIPE = """
data: {{source: folder, path: {images}, valid: {{folds: 2}}, test: test, size: 32,
  sample_submission: sample_submission.csv, answer: class_name}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 2, lr: 0.01, batch_size: 16}}
seeds: [0, 1]
refit: {refit}
"""
OFFLINE = """
import sys

def refuse(event, arguments):
    outside = event == "socket.connect" and str(arguments[1][0]) not in ("127.0.0.1", "::1", "/")
    if outside or event in ("socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError(f"the network is off: {event} {arguments}")

sys.addaudithook(refuse)
"""
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def trained(folder, tiny_images, refit):
    """Runs, a blend called mine, and images in folder."""
    images = folder / "birds"
    tiny_images(images / "train")
    (images / "test").mkdir()
    for path in sorted((images / "train").rglob("1?.png")):
        path.rename(images / "test" / f"{path.parent.name}-{path.name}")
    ids = sorted(path.stem for path in (images / "test").iterdir())
    rows = "".join(f"{image_id},red\n" for image_id in ids)
    (images / "sample_submission.csv").write_text(f"id,label\n{rows}")
    (folder / "tiny.yaml").write_text(RECIPE.format(images=images, refit=refit))
    store = RunStore(folder / "runs")
    runs, failures = train_all(jobs_of([Recipe.load(folder / "tiny.yaml")]), store, ignore)
    assert failures == []
    written = write_submission(make_blend(runs), folder / "submissions", "mine")
    manifest = written.path.with_suffix(".json")
    return SimpleNamespace(folder=folder, images=images, store=store, manifest=manifest)


@pytest.fixture(scope="session", params=["false", "true"], ids=["folds", "refits"])
def blended(request, tmp_path_factory, tiny_images):
    """A blend of two runs of two folds each, whose networks or whose refits predict."""
    folder = tmp_path_factory.mktemp("blended")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENS_CACHE", str(folder / "cache"))
        return trained(folder, tiny_images, request.param)


@pytest.fixture
def new_images(tmp_path):
    """/kaggle/input of a competition whose hidden test images are other ones than before."""
    rng, folder = np.random.default_rng(1), tmp_path / "input" / "competitions" / "birds"
    (folder / "test").mkdir(parents=True)
    ids = [f"new{i}" for i in range(9)]
    for i, image_id in enumerate(ids):
        color = np.array([(180, 60, 60), (60, 60, 180), (60, 180, 60)][i % 3])
        pixels = (color + rng.normal(0, 40, (40, 50, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "test" / f"{image_id}.png")
    rows = "".join(f"{image_id},red\n" for image_id in ids)
    (folder / "sample_submission.csv").write_text(f"id,label\n{rows}")
    return tmp_path / "input"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """execute(notebook text, folder): what its cells print, run in the folder without a network."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(OFFLINE)
    monkeypatch.setenv("PYTHONPATH", str(site))  # so that ens comes from the wheel alone
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def execute(text, folder):
        import nbformat

        folder.mkdir(parents=True, exist_ok=True)
        source, executed = tmp_path / "source.ipynb", tmp_path / "executed.ipynb"
        Path(source).write_text(text)
        command = [sys.executable, "-c", EXECUTE, str(source), str(executed)]
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
        assert ended.returncode == 0, ended.stderr[-3000:]
        cells = nbformat.read(executed, 4).cells
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        return "".join(output.get("text", "") for output in outputs)

    return execute
