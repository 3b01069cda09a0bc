"""Arrays of ids beside arrays of images: no image is called by its row where its id is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

IMAGES = np.arange(6 * 25, dtype=np.uint8).reshape(6, 5, 5)
SPELLED = {
    "numbers": lambda ids: np.array(ids),
    "texts": lambda ids: np.array([f"{i}" for i in ids]),
    "files": lambda ids: np.array([f"images/{i}.jpg" for i in ids]),
    "bytes": lambda ids: np.array([f"{i}".encode() for i in ids]),
    "columns": lambda ids: np.array(ids)[:, None],
}


def first_pixels(folder):
    """The first pixel of each image by its name."""
    return {path.stem: np.array(Image.open(path))[0, 0] for path in folder.iterdir()}


@given(st.permutations(range(1, 7)), st.sampled_from(list(SPELLED)), st.sampled_from(["", "npy"]))
def test_each_image_is_called_by_its_id_whatever_the_sample_counts(
    tmp_path_factory, ids, kind, form
):
    root, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    stored = SPELLED[kind](ids)
    if form == "npy":
        arrays = {"x_train": IMAGES, "y_train": [0, 1] * 3, "x_test": IMAGES, "test_ids": stored}
        for name, array in arrays.items():
            np.save(root / f"{name}.npy", array)
    else:
        np.savez(root / "train.npz", images=IMAGES, labels=[0, 1] * 3, image_id=stored)
        np.savez(root / "test.npz", images=IMAGES, image_id=stored)
    rows = "".join(f"{i},0\n" for i in range(1, 7))
    (root / "sample_submission.csv").write_text(f"id,label\n{rows}")
    conversion_of(root).write(out, lambda done, total: None)
    by_id = {str(i): 25 * row for row, i in enumerate(ids)}
    assert first_pixels(out / "test") == by_id
    if form != "npy":
        labels = dict(row.split(",") for row in (out / "labels.csv").read_text().split()[1:])
        assert labels == {f"{i}.png": str(row % 2) for row, i in enumerate(ids)}


def test_a_table_of_labels_is_joined_by_the_ids_not_by_the_rows(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    np.savez(root / "train.npz", images=IMAGES, ids=[3, 1, 2, 6, 5, 4])
    table = "id,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(1, 7))
    (root / "train_labels.csv").write_text(table)
    conversion_of(root).write(out, lambda done, total: None)
    assert first_pixels(out / "train")["3"] == 0
    assert (out / "train_labels.csv").read_text() == table
    assert not (out / "labels.csv").exists()


def test_patients_name_no_images(tmp_path, converted, names):
    root = tmp_path / "in"
    root.mkdir()
    arrays = {"x": IMAGES, "y": [0, 1] * 3, "patient_ids": [1, 1, 2, 2, 3, 3]}
    np.savez(root / "train.npz", **arrays)
    conversion, folder = converted(root)
    assert names(folder / "train") == [f"{i:02}.png" for i in range(1, 7)]
    assert "arrays that are not used: " in conversion.notes[-1]


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"ids": range(5)}, "5 ids, and 6 train images"),
        ({"ids": range(6), "file_names": list("abcdef")}, "each could name the train images"),
        ({"ids": [b"\xff", *b"abcde"]}, "the id .* is no text"),
    ],
)
def test_ids_that_do_not_fit_are_refused(arrays, problem, tmp_path):
    stored = {name: np.array(list(array)) for name, array in arrays.items()}
    np.savez(tmp_path / "train.npz", x=IMAGES, y=[0, 1] * 3, **stored)
    with pytest.raises(DataError, match=problem):
        conversion_of(tmp_path)
