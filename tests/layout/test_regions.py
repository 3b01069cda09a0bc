"""Masks and boxes are refused, and labels that are lists of numbers are not taken for them."""

import pytest

from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand

IMAGES = [f"{split}/{split[1]}{i}.png" for split in ("train", "test") for i in range(12)]
RUNS = [f"{7 * i + 1} 3 {7 * i + 90} {i + 2}" for i in range(12)]


def folder(layout, name, train, sample=None):
    tables = {"train.csv": [f"id,{name}", *(f"r{i},{cell}" for i, cell in enumerate(train))]}
    if sample is not None:
        tables["sample_submission.csv"] = [f"id,{name}", *(f"e{i},{sample}" for i in range(12))]
    return layout(IMAGES, tables)


@pytest.mark.parametrize(
    ("name", "train", "sample", "region"),
    [
        ("EncodedPixels", RUNS, "1 1", "masks"),
        ("EncodedPixels", RUNS, "", "masks"),
        ("rle", ["", *RUNS[1:]], "1 1", "masks"),
        (
            "PredictionString",
            [f"n0{i % 3} 1 2 {i + 9} 12" for i in range(12)],
            "14 1 0 0 1 1",
            "boxes",
        ),
        (
            "PredictionString",
            [f"opacity 1 {i}.5 2 9.25 12" for i in range(12)],
            "none 1 0 0 1 1",
            "boxes",
        ),
        ("bbox", [f'"[{i}.0, 2.0, 9.5, 4.0]"' for i in range(12)], '"[0, 0, 50, 50]"', "boxes"),
    ],
)
def test_what_a_sample_asks_for_is_refused(name, train, sample, region, layout):
    with pytest.raises(DataError, match=rf"sample_submission\.csv: {name} holds {region}"):
        understand(folder(layout, name, train, sample))


@pytest.mark.parametrize("name", ["EncodedPixels", "annotation", "labels"])
def test_runs_of_pixels_are_no_labels(name, layout):
    root = folder(layout, name, RUNS)
    with pytest.raises(DataError, match=rf"train\.csv: .*{name} holds masks"):
        understand(root)
    with pytest.raises(DataError, match=rf"train\.csv: {name} holds masks"):
        understand(root, Options(label=name))


@pytest.mark.parametrize(
    ("train", "sample"),
    [
        (["16 0", "7", "2 5", "0"], "0"),
        (["1 2", "3 4", "1 4", "2 3"], "1 2"),
        (["1 2 3 4", "0 5", "1 5 7 8", "4 5"], "1 2 3 4 5"),
        (["14 21 32 40 50 61", "14 21", "32 40", "50 61"], "14 21 32 40 50 61"),
    ],
)
def test_labels_that_are_lists_of_numbers_stay_labels(train, sample, layout):
    understood = understand(folder(layout, "labels", train * 3, sample))
    assert understood.labeling.target == "labels"
    assert set(understood.labeling.label_names) == {n for cell in train for n in cell.split()}
