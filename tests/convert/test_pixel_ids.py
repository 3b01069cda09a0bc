"""Rows of pixels under ids of any name, headers that only count, and columns in another order."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

SIDE = 8
PIXELS = [f"p{i}" for i in range(SIDE * SIDE)]


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE * SIDE)).tolist()


def write(path, header, rows):
    with path.open("w", newline="") as stored:
        csv.writer(stored).writerows([header, *rows])


def train(root, header=("label", *PIXELS)):
    write(root / "train.csv", header, [[i % 2, *row] for i, row in enumerate(images(6))])


def converted(root, out):
    out.mkdir(exist_ok=True)
    conversion = conversion_of(root)
    conversion.write(out, lambda done, total: None)
    return conversion


def pixels_of(path):
    with Image.open(path) as stored:
        return np.array(stored).ravel().tolist()


@given(
    st.permutations(range(1, 7)),
    st.sampled_from(["ImageId", "row_id", "number", "Key"]),
    st.booleans(),
    st.booleans(),
)
def test_a_column_with_the_sample_s_ids_names_the_rows_whatever_its_name(
    tmp_path_factory, ids, name, is_last, is_named_alike
):
    root, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    train(root)
    test = images(6, seed=1)
    header = [*PIXELS, name] if is_last else [name, *PIXELS]
    rows = zip(ids, test, strict=True)
    write(root / "test.csv", header, [[*row, i] if is_last else [i, *row] for i, row in rows])
    asked = name.lower() if is_named_alike else "Id"
    write(root / "sample_submission.csv", [asked, "label"], [[i, 0] for i in range(1, 7)])
    converted(root, out)
    for i, row in zip(ids, test, strict=True):
        assert pixels_of(out / "test" / f"{i}.png") == row


def test_other_columns_of_test_rows_are_said_to_be_unused(tmp_path):
    train(tmp_path)
    rows = [[90, *row] for row in images(6, seed=1)]
    write(tmp_path / "test.csv", ["angle", *PIXELS], rows)
    notes = conversion_of(tmp_path).notes
    assert "test.csv: columns that are not used: angle" in notes


@pytest.mark.parametrize("first", [0, 1])
def test_a_header_that_counts_is_no_image(first, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    train(root, range(first, first + 1 + SIDE * SIDE))
    conversion = converted(root, tmp_path / "out")
    assert conversion.n_images == 6
    assert [pixels_of(path) for path in sorted((tmp_path / "out" / "train").iterdir())] == images(6)


@pytest.mark.parametrize("columns", [PIXELS[::-1], PIXELS[5:], [*PIXELS[:9], "mean", *PIXELS[9:]]])
def test_pixels_in_another_order_or_number_than_the_training_table_s_are_refused(columns, tmp_path):
    train(tmp_path)
    write(tmp_path / "test.csv", columns, [list(range(len(columns)))])
    with pytest.raises(DataError, match="test.csv: its pixel columns are not those of train.csv"):
        conversion_of(tmp_path)
