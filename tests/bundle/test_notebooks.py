"""The notebooks run from their first cell to their CSV, on small images and without a network."""

import csv
import os
import re
from pathlib import Path

import answer_key
import pytest
import replicas

from ensemble.bundle.wheels import pack_ens

pytestmark = pytest.mark.slow
NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
SMALL = [
    "model={arch: test_resnet, pretrained: false, head: keep}",
    "fit={strategy: scratch, epochs: 2, lr: 0.05, batch_size: 4}",
    "data.size=32",
    "data.valid={folds: 2}",
]


@pytest.fixture
def cells(execute, tmp_path, monkeypatch):
    """cells(notebook, settings): what it prints; pip installs ens apart, from a wheel packed here."""
    site = tmp_path / "installed"
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}{os.pathsep}{site}")
    monkeypatch.setenv("PATH", f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    for option, setting in {"TARGET": site, "NO_DEPS": 1, "NO_INDEX": 1}.items():
        monkeypatch.setenv(f"PIP_{option}", str(setting))
    train = "".join(f" --set '{key}'" for key in SMALL)

    def cells(name, settings):
        text = (NOTEBOOKS / name).read_text(encoding="utf-8")
        settings = {"ENS": pack_ens(tmp_path), "TRAIN": train} | settings
        for key, setting in settings.items():
            text, n = re.subn(rf'"{key} = \\".*?\\"', f'"{key} = \\\\"{setting}\\\\"', text)
            assert n == 1, key
        return execute(text, tmp_path / "working")

    return cells


def rows_of(path):
    with path.open(newline="") as stored:
        return list(csv.reader(stored))


def test_a_competition_gets_its_csv(cells, tmp_path):
    root = tmp_path / "input" / "competitions" / "dog-breed"
    root.mkdir(parents=True)
    replicas.make("dog_breed", root, answer_key.drawing_of("dog_breed"))
    printed = cells("kaggle.ipynb", {"INPUT": tmp_path / "input", "ANSWERS": "--metric log_loss"})
    sample, rows = (
        rows_of(path)
        for path in (root / "sample_submission.csv", tmp_path / "working" / "submission.csv")
    )
    assert rows[0] == sample[0]
    assert [row[0] for row in rows] == [row[0] for row in sample]
    assert all(abs(sum(map(float, row[1:])) - 1) < 1e-5 for row in rows[1:])
    check_progress(printed)


def test_photos_get_predictions(cells, tiny_images, tmp_path):
    tiny_images(tmp_path / "photos")
    new = tmp_path / "new"
    new.mkdir()
    for path in sorted((tmp_path / "photos").rglob("1?.png")):
        path.rename(new / f"{path.parent.name}-{path.name}")
    printed = cells("colab.ipynb", {"PHOTOS": tmp_path / "photos", "NEW": new})
    header, *rows = rows_of(tmp_path / "working" / "predictions.csv")
    classes = sorted(path.name for path in (tmp_path / "photos").iterdir())
    assert header == ["id", *classes]
    assert len(rows) == len(list(new.iterdir()))
    assert (tmp_path / "working" / "report.html").is_file()
    check_progress(printed)


def check_progress(printed):
    """A line for each epoch, and no bar: a notebook stores every frame of one."""
    assert printed.count("train loss") >= 2 * 2 * 2
    assert "\x1b[2K" not in printed
    assert "\x1b[1A" not in printed
    assert not re.search("[━╸]", printed)
    assert len(printed.splitlines()) < 150


def test_a_command_that_fails_stops_the_notebook(cells, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(AssertionError, match="ended with status 1: read what it says above"):
        cells("colab.ipynb", {"PHOTOS": tmp_path / "photos"})
