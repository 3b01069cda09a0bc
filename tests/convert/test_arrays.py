"""Arrays of images become PNG files, with the labels of the arrays or tables beside them."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

SIDE = st.integers(5, 8)


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


@pytest.fixture
def fresh(tmp_path_factory):
    """A function that makes a new folder: hypothesis calls a test many times."""
    return lambda: tmp_path_factory.mktemp("set")


@given(
    st.tuples(st.integers(1, 4), SIDE, SIDE, st.sampled_from([0, 1, 3, 4])).flatmap(
        lambda shape: hnp.arrays(np.uint8, shape[:3] if shape[3] == 0 else shape)
    ),
    st.sampled_from(["npy", "npz", "compressed"]),
)
def test_every_array_of_images_comes_back(fresh, images, form):
    root, folder = fresh(), fresh()
    labels = np.arange(len(images))
    if form == "npy":
        np.save(root / "x_train.npy", images)
        np.save(root / "y_train.npy", labels)
    else:
        save = np.savez if form == "npz" else np.savez_compressed
        save(root / "set.npz", x_train=images, y_train=labels)
    conversion_of(root).write(folder, lambda done, total: None)
    expected = images * 255 if images.max() == 1 else images
    written = sorted((folder / "train").iterdir())
    stored = np.stack([pixels(path) for path in written]).reshape(images.shape)
    assert np.array_equal(stored, expected)
    rows = (folder / "labels.csv").read_text().split()[1:]
    assert rows == [f"{path.name},{i}" for i, path in enumerate(written)]


def test_train_and_test_of_one_file(tmp_path, converted, names, labels):
    root = tmp_path / "in"
    root.mkdir()
    images = np.arange(4 * 25, dtype=np.uint8).reshape(4, 5, 5)
    np.savez(
        root / "mnist.npz",
        x_train=images,
        y_train=np.array([3, 1, 3, 1], np.uint8),
        x_test=images[:2],
        y_test=np.array([[1], [3]]),
    )
    conversion, folder = converted(root)
    assert (conversion.kind, conversion.n_images) == ("arrays", 6)
    assert names(folder / "test") == ["1/1.png", "3/2.png"]
    assert labels(folder) == {"01.png": "3", "02.png": "1", "03.png": "3", "04.png": "1"}
    assert np.array_equal(pixels(folder / "train" / "03.png"), images[2])


@pytest.mark.parametrize(
    ("train", "answers", "test"),
    [
        ("X_train", "y_train", "X_test"),
        ("train_images", "train_labels", "test_images"),
        ("Xtrain", "Ytrain", "Xtest"),
        ("kmnist-train-imgs", "kmnist-train-labels", "kmnist-test-imgs"),
    ],
)
def test_names_of_files_say_the_part(tmp_path, converted, names, labels, train, answers, test):
    root = tmp_path / "in"
    root.mkdir()
    np.save(root / f"{train}.npy", np.full((2, 6, 7, 3), 9, np.uint8))
    np.save(root / f"{answers}.npy", np.array(["cat", "dog"]))
    np.savez(root / f"{test}.npz", np.full((1, 6, 7, 3), 9, np.uint8))
    _, folder = converted(root)
    assert labels(folder) == {"01.png": "cat", "02.png": "dog"}
    assert names(folder / "test") == ["1.png"]


def test_channels_first_and_columns_first_are_read_right(tmp_path, converted):
    root = tmp_path / "in"
    root.mkdir()
    images = np.arange(2 * 5 * 6 * 3, dtype=np.uint8).reshape(2, 5, 6, 3)
    np.save(root / "x_train.npy", np.asfortranarray(images.transpose(0, 3, 1, 2)))
    np.save(root / "y_train.npy", np.array([0.0, 1.0]))
    _, folder = converted(root)
    assert np.array_equal(pixels(folder / "train" / "02.png"), images[1])


def test_a_large_array_is_read_row_by_row(tmp_path):
    images = np.zeros((300, 200, 200), np.uint8)
    images[:, 0, 0] = 9
    np.savez_compressed(tmp_path / "x_train.npz", images)
    np.save(tmp_path / "x_test.npy", np.asfortranarray(images))
    np.save(tmp_path / "y_train.npy", np.zeros(300))
    del images
    folder = tmp_path / "out"
    folder.mkdir()
    tracemalloc.start()
    conversion_of(tmp_path).write(folder, lambda done, total: None)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 6_000_000  # of 12 MB in each of the two


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1_are_multiplied_and_said(tmp_path, converted, dtype):
    root = tmp_path / "in"
    root.mkdir()
    images = np.arange(256).reshape(1, 16, 16)
    np.savez(root / "train.npz", x=(images / 255).astype(dtype), y=[1])
    conversion, folder = converted(root)
    assert conversion.notes == ("pixels are numbers from 0 to 1; they are multiplied by 255",)
    assert np.array_equal(pixels(folder / "train" / "01.png"), images[0])


def test_truth_values_become_black_and_white(tmp_path, converted):
    root = tmp_path / "in"
    root.mkdir()
    np.savez(root / "train.npz", x=np.eye(5, dtype=bool)[None], y=[True])
    assert np.array_equal(pixels(converted(root)[1] / "train" / "01.png"), np.eye(5) * 255)


@pytest.mark.parametrize("first", [0, 1])
def test_a_table_labels_rows_where_its_ids_are_their_numbers(tmp_path, converted, labels, first):
    root = tmp_path / "in"
    root.mkdir()
    images = np.arange(3 * 25, dtype=np.uint8).reshape(3, 5, 5)
    np.save(root / "train_images.npy", images)
    rows = "".join(f"{first + i},{'abc'[i]}\n" for i in (2, 0, 1))
    (root / "train_labels.csv").write_text(f"id,label\n{rows}")
    (root / "._train_labels.csv").write_bytes(b"\0\5\x16\7 attributes \xff")  # of macOS
    _, folder = converted(root)
    assert labels(folder) == {f"{first + i:02}.png": "abc"[i] for i in range(3)}
    assert np.array_equal(pixels(folder / "train" / f"{first + 2:02}.png"), images[2])


def test_other_lists_beside_the_labels_are_said(tmp_path, converted):
    root = tmp_path / "in"
    root.mkdir()
    np.savez(root / "train.npz", images=np.full((2, 5, 5), 9), labels=[0, 1], hours=[3, 4])
    notes = converted(root)[0].notes
    assert notes[0] == f"arrays that are not used: {root / 'train.npz'}: hours"


def test_arrays_of_stored_runs_and_of_other_things_are_nothing(tmp_path):
    np.savez(tmp_path / "features.npz", features=np.zeros((3, 5)), names=np.array(["a"]))
    (tmp_path / "runs" / "r").mkdir(parents=True)
    np.savez(tmp_path / "runs" / "r" / "valid.npz", x=np.zeros((3, 5, 5)))
    (tmp_path / "runs" / "r" / "run.json").write_text("{}")
    assert conversion_of(tmp_path) is None


def test_arrays_beside_pixel_tables_are_said(tmp_path):
    (tmp_path / "train.csv").write_text("label,pixel0,pixel1,pixel2,pixel3\na,1,2,3,4\n")
    np.save(tmp_path / "mean.npy", np.zeros(4))
    note = "1 files of arrays are not used, such as mean.npy"
    assert conversion_of(tmp_path).notes == (note,)


def test_labels_of_other_images_are_not_taken(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=np.zeros((2, 5, 5)), y_test=[1, 2])
    with pytest.raises(DataError, match="2 labels, and 0 test images"):
        conversion_of(tmp_path)
