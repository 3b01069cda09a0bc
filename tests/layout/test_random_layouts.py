"""What `ens init` makes of random data sets is true, or it asks. ENS_LAYOUTS=1000 draws as many."""

import os
from pathlib import Path

import pytest
from random_layouts import Maker

from ensemble.dataset.split import split_images
from ensemble.errors import EnsembleError
from ensemble.hardware import Machine
from ensemble.init import write_recipes
from ensemble.layout.questions import Options
from ensemble.recipe import Recipe
from ensemble.submission.shape import Meaning, matched_rows, shape_of_sample

N_LAYOUTS = int(os.environ.get("ENS_LAYOUTS", "60"))
MACHINE = Machine.here()


def contents(files):
    return [Path(file).read_bytes() for file in files]


def check_labels(layout, splits):
    """Check that the images for training and validation are all those with a label, and no others."""
    labels = {}
    for images in (splits.train, splits.valid):
        labels |= dict(zip(contents(images.files), images.classes, strict=True))
    if layout.answer:  # without a sample, test images may be held out of those with a label
        assert labels == layout.labels
    assert labels.items() <= layout.labels.items()


def check_rows(layout, data, splits, root):
    """Check that the sample is used, and that each of its rows is about its own image."""
    test = dict(zip(splits.test.ids, contents(splits.test.files), strict=True))
    assert set(test.values()) == layout.test
    classes = sorted(set(splits.train.classes))
    meaning = Meaning(data.answer, data.metric, data.positive)
    shape = shape_of_sample(root / data.sample_submission, classes, meaning, splits.test.ids)
    rows, _ = matched_rows(shape, splits.test.ids)
    by_id = {name: test[splits.test.ids[row]] for name, row in zip(shape.ids, rows, strict=True)}
    assert by_id == layout.rows
    assert shape.answer == layout.answer


@pytest.mark.parametrize("seed", range(N_LAYOUTS))
def test_a_random_layout_is_understood_or_a_question(seed, tmp_path, monkeypatch):
    layout = Maker(seed, tmp_path / "input").make()
    monkeypatch.chdir(tmp_path)
    classes = layout.words["classes"]
    options = Options(positive=classes[0] if layout.answer == "positive_probability" else None)
    try:
        written = write_recipes(str(layout.root), "x", tmp_path / "recipes", MACHINE, options)
    except EnsembleError:
        return
    data = Recipe.load(written.files[1]).data
    root = written.understanding.root
    splits = split_images(data, root)
    doubts = " ".join(written.understanding.doubts)
    if "is taken as a class" in doubts:
        return
    check_labels(layout, splits)
    if layout.answer:
        assert data.sample_submission, f"the sample is not used: {layout.words}"
        check_rows(layout, data, splits, root)


def test_most_random_layouts_are_understood(tmp_path, monkeypatch):
    """So that the test above tests something."""
    monkeypatch.chdir(tmp_path)
    n_written = 0
    for seed in range(20):
        layout = Maker(seed, tmp_path / str(seed)).make()
        options = Options(positive=layout.words["classes"][0])
        try:
            n_written += bool(
                write_recipes(str(layout.root), "x", tmp_path / f"r{seed}", MACHINE, options).files
            )
        except EnsembleError:
            continue
    assert n_written >= 12
