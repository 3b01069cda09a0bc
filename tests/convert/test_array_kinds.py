"""Arrays of flat rows, of one column for each class, of 16 bits; and the names that samples ask for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ensemble.convert.plan import conversion_of

SIDE = st.integers(5, 8)


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


@pytest.fixture
def fresh(tmp_path_factory):
    """A function that makes a new folder: hypothesis calls a test many times."""
    return lambda: tmp_path_factory.mktemp("set")


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
