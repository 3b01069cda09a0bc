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


def smooth(n, side):
    """(n, side, side, 3): neighbors are alike, channels are not."""
    ramp = np.add.outer(np.arange(side), np.arange(side))
    images = ramp[None, :, :, None] + np.array([0, 90, 180]) + np.arange(n)[:, None, None, None]
    return images.astype(np.uint8)


def folder_with(folder, **arrays):
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("shape", [(64,), (64, 1), (1, 64)])
@given(images=hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(8), st.just(8))))
def test_flat_rows_come_back_as_squares(fresh, images, shape):
    images[0, 0, :2] = 7  # one 1 among zeros would be a class
    root, folder = fresh() / "in", fresh()
    folder_with(root, X=images.reshape(-1, *shape), y=np.arange(len(images)))
    conversion_of(root).write(folder, lambda done, total: None)
    expected = images * 255 if images.max() == 1 else images
    written = sorted((folder / "train").iterdir())
    assert np.array_equal(np.stack([pixels(path) for path in written]), expected)


@pytest.mark.parametrize("are_planes", [False, True])
def test_the_order_of_three_channels_in_flat_rows_is_the_smooth_one(
    tmp_path, converted, are_planes
):
    images = smooth(4, 8)
    flat = images.transpose(0, 3, 1, 2) if are_planes else images
    root = folder_with(
        tmp_path / "in",
        x_train=flat[:3].reshape(3, -1),
        y_train=[0, 1, 0],
        x_test=flat[3:].reshape(1, -1),
    )
    _, folder = converted(root)
    assert np.array_equal(pixels(folder / "train" / "02.png"), images[1])
    assert np.array_equal(pixels(folder / "test" / "1.png"), images[3])


def test_features_in_flat_rows_beside_images_are_not_used_and_said(tmp_path, converted):
    images = np.full((3, 10, 10), 9, np.uint8)
    root = folder_with(tmp_path / "in", x_train=images, y_train=[0, 1, 0], rows=np.zeros((3, 64)))
    assert converted(root)[0].notes == (f"arrays that are not used: {root / 'rows.npy'}",)


IMAGES = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
CLASSES = [2, 0, 1, 2]


@given(
    st.integers(2, 20).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), min_size=1, max_size=9))
    ),
    st.sampled_from([np.uint8, np.int64, np.float32, np.bool_]),
)
def test_a_column_for_each_class_is_the_number_of_the_class(fresh, case, dtype):
    n_classes, classes = case
    root, folder = fresh() / "in", fresh()
    images = np.full((len(classes), 5, 5), 9, np.uint8)
    folder_with(root, x_train=images, y_train=np.eye(n_classes, dtype=dtype)[classes])
    conversion_of(root).write(folder, lambda done, total: None)
    rows = (folder / "labels.csv").read_text().split()[1:]
    assert [row.split(",")[1] for row in rows] == list(map(str, classes))


@pytest.mark.parametrize("names", ["classes", "label_names", "class_names"])
def test_an_array_of_names_says_what_the_columns_are(tmp_path, converted, labels, names):
    root = folder_with(
        tmp_path / "in",
        images=IMAGES,
        labels=np.eye(3)[CLASSES],
        **{names: np.array(["a", "b", "c"])},
    )
    conversion, folder = converted(root)
    assert list(labels(folder).values()) == ["c", "a", "b", "c"]
    assert conversion.notes[-1].endswith(f"classes are named by {root / names}.npy")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\nc\n", ["c", "a", "b", "c"]),
        ("a\r\nb b\r\n\r\nc", ["c", "a", "b b", "c"]),
        ("a\nb\n", ["2", "0", "1", "2"]),
        ("a\nb\nb\n", ["2", "0", "1", "2"]),
        ("0 a\n1 b\n2 c\n", ["2", "0", "1", "2"]),
        ("0,a\n1,b\n2,c\n", ["2", "0", "1", "2"]),
    ],
)
def test_a_text_of_as_many_lines_names_the_columns(tmp_path, converted, labels, text, expected):
    root = folder_with(tmp_path / "in", x_train=IMAGES, y_train=np.eye(3)[CLASSES])
    (root / "classes.txt").write_text(text)
    assert list(labels(converted(root)[1]).values()) == expected


def test_names_that_differ_are_not_used(tmp_path, converted, labels):
    root = folder_with(
        tmp_path / "in",
        x_train=IMAGES,
        y_train=np.eye(3)[CLASSES],
        classes=np.array(["a", "b", "c"]),
    )
    (root / "labels.txt").write_text("a\nc\nb\n")
    assert list(labels(converted(root)[1]).values()) == ["2", "0", "1", "2"]


def test_a_sample_submission_of_numbers_asks_for_numbers(tmp_path, converted, labels):
    root = folder_with(
        tmp_path / "in",
        x_train=IMAGES,
        y_train=np.eye(3)[CLASSES],
        x_test=IMAGES[:2],
        classes=np.array(["a", "b", "c"]),
    )
    (root / "sample_submission.csv").write_text("id,label\n0001,0\n0002,0\n")
    assert list(labels(converted(root)[1]).values()) == ["2", "0", "1", "2"]


@pytest.mark.parametrize("first", [0, 1, 98])
def test_the_names_of_test_images_have_the_zeros_of_the_sample(tmp_path, converted, names, first):
    root = folder_with(tmp_path / "in", x_train=IMAGES, y_train=CLASSES, x_test=IMAGES)
    rows = [f"{first + i:04},0\n" for i in (2, 0, 3, 1)]
    (root / "sample_submission.csv").write_text(f"id,label\n{''.join(rows)}")
    _, folder = converted(root)
    assert names(folder / "test") == [f"{first + i:04}.png" for i in range(4)]
    assert np.array_equal(pixels(folder / "test" / f"{first + 2:04}.png"), IMAGES[2])
    assert not set(names(folder / "train")) & set(names(folder / "test"))


def test_a_sample_with_zeros_on_some_numbers_alone_is_not_followed(tmp_path, converted, names):
    root = folder_with(tmp_path / "in", x_train=IMAGES, y_train=CLASSES, x_test=IMAGES[:3])
    (root / "sample_submission.csv").write_text("id,label\n09,0\n10,0\n011,0\n")
    assert names(converted(root)[1] / "test") == ["1.png", "2.png", "3.png"]


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 4), SIDE, SIDE)))
def test_gray_images_of_16_bits_keep_every_value(fresh, images):
    root, folder = fresh() / "in", fresh()
    images[0, 0, 0] = 256
    folder_with(root, x_train=images, y_train=np.arange(len(images)))
    conversion = conversion_of(root)
    assert conversion.notes == (
        "pixels have more than 8 bits; they are written to PNG files of 16 bits",
    )
    conversion.write(folder, lambda done, total: None)
    written = [pixels(path) for path in sorted((folder / "train").iterdir())]
    assert np.array_equal(np.stack(written), images)
    with Image.open(folder / "train" / "01.png") as opened:
        assert opened.mode == "I;16"


def test_16_bits_that_hold_8_stay_8(tmp_path, converted):
    root = folder_with(tmp_path / "in", x_train=IMAGES.astype(np.uint16), y_train=CLASSES)
    with Image.open(converted(root)[1] / "train" / "01.png") as opened:
        assert opened.mode == "L"


def test_one_deep_image_after_many_others_is_seen(tmp_path, converted):
    images = np.zeros((700, 40, 40), np.uint16)
    images[-1, 3, 4] = 60_000
    root = folder_with(tmp_path / "in", x_train=images, y_train=np.arange(700) % 2)
    assert pixels(converted(root)[1] / "train" / "0700.png")[3, 4] == 60_000


def test_the_only_array_that_is_not_for_testing_is_for_training_and_said(
    tmp_path, converted, labels
):
    root = folder_with(tmp_path / "in", X=IMAGES, y=CLASSES, X_test=IMAGES[:2], y_test=CLASSES[:2])
    conversion, folder = converted(root)
    assert labels(folder) == {f"0{i + 1}.png": str(label) for i, label in enumerate(CLASSES)}
    assert conversion.notes[0] == f"{root / 'X.npy'}: for training, since the others are not"


def test_names_of_classes_beside_class_numbers_are_not_used_and_said(tmp_path, converted, labels):
    root = folder_with(
        tmp_path / "in", x_train=IMAGES, y_train=CLASSES, classes=np.array(["a", "b", "c"])
    )
    conversion, folder = converted(root)
    assert list(labels(folder).values()) == ["2", "0", "1", "2"]
    assert conversion.notes == (f"arrays that are not used: {root / 'classes.npy'}",)
