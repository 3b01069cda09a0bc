"""Pixels whose labels are in a table of their own, and pixels whose columns have no names."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

PIXELS = [f"pixel{i}" for i in range(4)]


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stored:
        writer = csv.writer(stored)
        writer.writerows([header, *rows] if header else rows)


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


def classes_of_images(folder, part="train"):
    """The class of each image by its first pixel: what a stranger who reads the PNG files sees."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stored:
        rows = list(csv.DictReader(stored))
    return {int(pixels(folder / part / row["id"])[0, 0]): row["label"] for row in rows}


@pytest.fixture
def fresh(tmp_path_factory):
    """A function that makes a new folder: hypothesis calls a test many times."""
    return lambda: tmp_path_factory.mktemp("set")


@pytest.mark.parametrize(
    ("images", "answers"),
    [
        ("train_x", "train_y"),
        ("X_train", "y_train"),
        ("train", "train_labels"),
        ("X", "y"),
        ("csvTrainImages 4x1", "csvTrainLabel 4x1"),
    ],
)
@pytest.mark.parametrize("header", [["label"], ["0"], []])
def test_labels_in_a_table_of_one_column_go_row_by_row(
    tmp_path, converted, images, answers, header
):
    root = tmp_path / "in"
    write(root / f"{images}.csv", PIXELS, [[10 + i, 0, 0, 0] for i in range(4)])
    write(root / f"{answers}.csv", header, [["c"], ["a"], ["b"], ["c"]])
    conversion, folder = converted(root)
    assert classes_of_images(folder) == {10: "c", 11: "a", 12: "b", 13: "c"}
    assert conversion.notes == (f"{images}.csv: the labels are in {answers}.csv, row by row",)
    assert not (folder / f"{answers}.csv").exists()


@given(st.permutations(range(8)), st.permutations(range(8)), st.sampled_from(["id", ""]))
def test_labels_are_joined_by_the_id_in_any_order(fresh, pixel_rows, label_rows, key):
    root, folder = fresh(), fresh()
    rows = [[f"a{i}", 10 + i, 0, 0, 0] for i in pixel_rows]
    write(root / "train.csv", [key, *PIXELS], rows)
    write(root / "train_labels.csv", [key, "label"], [[f"a{i}", f"c{i}"] for i in label_rows])
    conversion_of(root).write(folder, lambda done, total: None)
    assert classes_of_images(folder) == {10 + i: f"c{i}" for i in range(8)}


@pytest.mark.parametrize("first", [0, 1])
def test_labels_whose_ids_count_the_rows_in_order(tmp_path, converted, first):
    root = tmp_path / "in"
    write(root / "train.csv", PIXELS, [[10 + i, 0, 0, 0] for i in range(3)])
    rows = [[first + i, "abc"[i]] for i in range(3)]
    write(root / "train_labels.csv", ["id", "label"], rows)
    assert classes_of_images(converted(root)[1]) == {10: "a", 11: "b", 12: "c"}


def test_every_part_has_its_own_labels(tmp_path, converted, names, labels):
    root = tmp_path / "in"
    for part, n in (("train", 3), ("valid", 2), ("test", 2)):
        write(root / f"X_{part}.csv", PIXELS, [[10 + i, 0, 0, 0] for i in range(n)])
        write(root / f"y_{part}.csv", ["y"], [[i] for i in range(n)])
    _, folder = converted(root)
    assert names(folder / "test") == ["0/1.png", "1/2.png"]
    assert labels(folder) == {
        **{"01.png": "0", "02.png": "1", "03.png": "2"},
        **{"valid-01.png": "0", "valid-02.png": "1"},
    }


def test_test_pixels_need_no_labels(tmp_path, converted, names):
    root = tmp_path / "in"
    write(root / "train_x.csv", PIXELS, [[1, 2, 3, 4], [2, 2, 3, 4]])
    write(root / "train_y.csv", ["label"], [[0], [1]])
    write(root / "test_x.csv", PIXELS, [[1, 2, 3, 4]])
    assert names(converted(root)[1] / "test") == ["1.png"]


def digits(n, n_classes, side=8, first=0):
    """(label, pixels) of rows: black, with a spot whose value is the number of the row."""
    images = np.zeros((n, side * side), int)
    images[:, 20] = np.arange(n) % 256
    images[:, 21] = 200
    return [(first + i % n_classes, image.tolist()) for i, image in enumerate(images)]


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize(("n_classes", "first"), [(2, 0), (10, 0), (26, 1), (62, 0)])
def test_a_table_without_a_header_whose_end_column_is_surely_the_label(
    tmp_path, converted, n_classes, first, is_first, is_packed
):
    root = tmp_path / "in"
    rows = digits(150, n_classes, first=first)
    lines = [[label, *image] if is_first else [*image, label] for label, image in rows]
    write(root / "emnist-train.csv", [], lines)
    if is_packed:
        raw = (root / "emnist-train.csv").read_bytes()
        (root / "emnist-train.csv.gz").write_bytes(gzip.compress(raw))
        (root / "emnist-train.csv").unlink()
    conversion, folder = converted(root)
    end = "first" if is_first else "last"
    name = "emnist-train.csv.gz" if is_packed else "emnist-train.csv"
    assert conversion.notes == (
        f"{name}: no header; the label is the {end} column, which has {n_classes} classes",
    )
    with (folder / "labels.csv").open() as stored:
        rows_written = list(csv.DictReader(stored))
    assert [int(row["label"]) for row in rows_written] == [label for label, _ in rows]
    image = pixels(folder / "train" / rows_written[7]["id"])
    assert image.ravel().tolist() == rows[7][1]


def test_columns_named_by_numbers_alone_with_the_label_among_them(tmp_path, converted):
    root = tmp_path / "in"
    lines = [[label, *image] for label, image in digits(60, 3, side=20)]
    write(root / "train.csv", list(range(401)), lines)
    conversion, _ = converted(root)
    assert conversion.n_images == 60
    assert conversion.notes == (
        "train.csv: no names of columns; the label is the first column, which has 3 classes",
    )


def test_pixels_and_labels_without_any_header(tmp_path, converted):
    root = tmp_path / "in"
    rows = digits(40, 4)
    write(root / "X_train.csv", [], [image for _, image in rows])
    write(root / "y_train.csv", [], [[label] for label, _ in rows])
    conversion, folder = converted(root)
    assert conversion.notes == (
        "X_train.csv: no header; all 64 columns are pixels",
        "X_train.csv: the labels are in y_train.csv, row by row",
    )
    with (folder / "labels.csv").open() as stored:
        assert [row["label"] for row in csv.DictReader(stored)] == [str(label) for label, _ in rows]
    assert pixels(folder / "train" / "009.png").ravel().tolist() == rows[8][1]


def test_pixels_that_numpy_wrote_as_floats(tmp_path, converted):
    root = tmp_path / "in"
    rows = digits(12, 2)
    root.mkdir()
    np.savetxt(root / "X_train.csv", [image for _, image in rows], delimiter=",")
    np.savetxt(root / "y_train.csv", [label for label, _ in rows], fmt="%d")
    _, folder = converted(root)
    assert pixels(folder / "train" / "009.png").ravel().tolist() == rows[8][1]


@given(st.integers(2, 9), st.integers(0, 3), st.randoms(use_true_random=False))
def test_a_label_is_found_at_one_end_or_refused(fresh, n_classes, corner_values, random):
    """Whatever the corner pixels are, labels are right or the table is refused."""
    root, folder = fresh(), fresh()
    rows = digits(30, n_classes)
    for _, image in rows:
        image[-1] = random.randrange(corner_values + 1)
    write(root / "train.csv", [], [[label, *image] for label, image in rows])
    try:
        conversion = conversion_of(root)
    except DataError:
        return
    conversion.write(folder, lambda done, total: None)
    with (folder / "labels.csv").open() as stored:
        assert [row["label"] for row in csv.DictReader(stored)] == [str(label) for label, _ in rows]
