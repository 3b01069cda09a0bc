"""Arrays that are damaged, mean harm, or can be read in two ways."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.convert.plan import conversion_of

IMAGES = np.arange(3 * 25, dtype=np.uint8).reshape(3, 5, 5)
LABELS = np.array([0, 1, 0])


class Harm:
    """What a pickle of a hostile file would call."""

    def __reduce__(self):
        return Path.touch, (Path("outside"),)


def npy(array, **options):
    stored = io.BytesIO()
    np.save(stored, array, **options)
    return stored.getvalue()


def npz(**arrays):
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    return stored.getvalue()


def header(text):
    text = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def shaped(shape, dtype="|u1", order=False):
    return header(f"{{'descr': {dtype!r}, 'fortran_order': {order}, 'shape': {shape}, }}")


def members(*contents):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents:
            archive.writestr(name, content)
    return stored.getvalue()


def flipped(raw, offset):
    raw = bytearray(raw)
    raw[offset] ^= 1
    return bytes(raw)


GOOD = {"x_train.npy": npy(IMAGES), "y_train.npy": npy(LABELS)}
PICKLED = npy(np.array([Harm()], object), allow_pickle=True)
NOT_READ = ["not a readable array"]
FAULTS = {
    "a pickled array": ({"x_train.npy": PICKLED}, ["x_train.npy", "pickled"]),
    "a pickle": ({"x_train.npy": b"\x80\4N."}, ["x_train.npy", *NOT_READ]),
    "an npz with pickles": (
        {"set.npz": members(("x_train.npy", npy(IMAGES)), ("y_train.npy", PICKLED))},
        ["set.npz: y_train", "pickled"],
    ),
    "pickled labels": ({"y_train.npy": PICKLED}, ["y_train.npy", "pickled"]),
    "an empty file": ({"x_train.npy": b""}, ["x_train.npy", *NOT_READ]),
    "a text": ({"x_train.npy": b"1,2,3\n"}, ["x_train.npy", *NOT_READ]),
    "an array that is cut off": ({"x_train.npy": npy(IMAGES)[:-1]}, ["x_train.npy", "75 bytes"]),
    "an array that is too long": ({"x_train.npy": npy(IMAGES) + b"x"}, ["needs 75", "has 76"]),
    "a header that is cut off": ({"x_train.npy": npy(IMAGES)[:40]}, ["x_train.npy", *NOT_READ]),
    "a header of Python": (
        {"x_train.npy": header("__import__('os').system('touch outside')")},
        ["x_train.npy", *NOT_READ],
    ),
    "a header without a shape": ({"x_train.npy": header("{'descr': '|u1'}")}, NOT_READ),
    "a header with an unknown type": ({"x_train.npy": shaped((1, 5, 5), "zz")}, NOT_READ),
    "a header of another version": (
        {"x_train.npy": b"\x93NUMPY\7\0" + npy(IMAGES)[8:]},
        ["x_train.npy", "version 7.0", *NOT_READ],
    ),
    "a shape of 2^60 images": ({"x_train.npy": shaped((1 << 60, 5, 5))}, ["bytes, it has 0"]),
    "a shape beyond 64 bits": ({"x_train.npy": shaped((1 << 70, 5, 5))}, ["bytes, it has 0"]),
    "a shape below 0": ({"x_train.npy": shaped((-1, 5, 5))}, NOT_READ),
    "a shape of texts": ({"x_train.npy": shaped("('a', 5, 5)")}, NOT_READ),
    "an npz that is no zip": ({"set.npz": b"PK\3\4hello"}, ["set.npz", *NOT_READ]),
    "an npz that is cut off": (
        {"set.npz": npz(x_train=IMAGES, y_train=LABELS)[:-40]},
        ["set.npz", *NOT_READ],
    ),
    "an npz whose content has another sum": (
        {"set.npz": flipped(npz(x_train=IMAGES, y_train=LABELS), 220)},
        ["set.npz: x_train", "CRC"],
    ),
    "an npz of something else": ({"set.npz": members(("a.txt", b"x"))}, ["set.npz: a.txt"]),
    "an npz whose shape is longer than its content": (
        {"set.npz": members(("x_train.npy", shaped((1 << 40, 5, 5)) + bytes(99)))},
        ["set.npz: x_train", "it has 99"],
    ),
    "columns first in an npz": (
        {"set.npz": npz(x_train=np.asfortranarray(IMAGES), y_train=LABELS)},
        ["set.npz: x_train", "not one after another"],
    ),
    "a value of 256": (
        {"x_train.npy": npy(IMAGES.astype(int) * 4)},
        ["x_train.npy: row 2", "256", "from 0 to 255"],
    ),
    "a value below 0": ({"x_train.npy": npy(IMAGES.astype(int) - 1)}, ["x_train.npy: row 0", "-1"]),
    "a half": ({"x_train.npy": npy(IMAGES / 2)}, ["x_train.npy: row 0", "0.5"]),
    "NaN": ({"x_train.npy": npy(np.full((3, 5, 5), np.nan))}, ["x_train.npy: row 0", "nan"]),
    "infinity": ({"x_train.npy": npy(np.full((3, 5, 5), np.inf))}, ["x_train.npy: row 0", "inf"]),
    "floats from -1 to 1": (
        {"x_train.npy": npy(np.linspace(-1, 1, 75).reshape(3, 5, 5))},
        ["x_train.npy: row 0", "-1.0", "from 0 to 1"],
    ),
    "one scale for training, another for the test": (
        {"x_test.npy": npy(IMAGES / 255)},
        ["x_test.npy: row 0", "from 0 to 255"],
    ),
    "images of texts": ({"x_train.npy": npy(np.full((3, 5, 5), "a"))}, ["x_train.npy", "type"]),
    "complex images": ({"x_train.npy": npy(IMAGES * 1j)}, ["x_train.npy", "complex128"]),
    "images without pixels": ({"x_train.npy": npy(IMAGES[:, :0])}, ["x_train.npy", "(3, 0, 5)"]),
    "no images": ({"x_train.npy": npy(IMAGES[:0])}, ["x_train.npy", "(0, 5, 5)"]),
    "two channels": (
        {"x_train.npy": npy(np.zeros((3, 5, 5, 2)))},
        ["x_train.npy", "no axis has them"],
    ),
    "images of two sizes": (
        {"x_test.npy": npy(np.zeros((2, 6, 6)))},
        ["x_test.npy: images of 6 × 6 × 1", "x_train.npy has 5 × 5 × 1"],
    ),
    "flat rows of another size than the training images": (
        {"x_train.npy": npy(np.zeros((3, 8, 8))), "x_test.npy": npy(np.zeros((2, 81)))},
        ["x_test.npy: images of 9 × 9 × 1", "x_train.npy has 8 × 8 × 1"],
    ),
    "flat rows below 0": (
        {"x_train.npy": npy(np.linspace(-1, 1, 3 * 64).reshape(3, 64))},
        ["x_train.npy: row 0", "-1.0"],
    ),
    "flat colors in an order that is not clear": (
        {"x_train.npy": npy(np.full((3, 192), 7))},
        ["x_train.npy: 192 values", "not clearly in which order"],
    ),
    "colors of 16 bits": (
        {"x_train.npy": npy(np.full((3, 5, 5, 3), 256, np.uint16))},
        ["x_train.npy", "colors of 16 bits"],
    ),
    "16 bits below 0": (
        {"x_train.npy": npy(np.linspace(-1000, 1000, 75).astype(np.int16).reshape(3, 5, 5))},
        ["x_train.npy: row 0", "-1000", "from 0 to 65,535"],
    ),
    "two classes in a row": (
        {"y_train.npy": npy(np.array([[1, 0], [1, 1], [0, 1]]))},
        ["y_train.npy", "labels in 2 columns"],
    ),
    "probabilities as labels": (
        {"y_train.npy": npy(np.full((3, 2), 0.5))},
        ["y_train.npy", "labels in 2 columns"],
    ),
    "two classes in a row after many with one": (
        {
            "x_train.npy": npy(np.zeros((250, 5, 5))),
            "y_train.npy": npy(np.array([[1, 0]] * 249 + [[1, 1]])),
        },
        ["y_train.npy: row 249", "not one 1 among zeros"],
    ),
    "columns for classes in other numbers": (
        {
            "y_train.npy": npy(np.eye(3)),
            "x_test.npy": npy(IMAGES),
            "y_test.npy": npy(np.eye(4)[:3]),
        },
        ["y_test.npy: 4 classes", "y_train.npy has 3"],
    ),
    "as many columns of classes as images, and one too few": (
        {"y_train.npy": npy(np.eye(2))},
        ["y_train.npy: 2 labels, and 3 train images"],
    ),
    "labels as numbers and as columns": (
        {"train_labels_onehot.npy": npy(np.eye(3))},
        ["each could hold the train labels"],
    ),
    "channels that can be first or last": (
        {"x_train.npy": npy(np.zeros((3, 3, 5, 3)))},
        ["x_train.npy", "its second or its last axis"],
    ),
    "fewer labels than images": ({"y_train.npy": npy(LABELS[:2])}, ["y_train.npy", "2 labels"]),
    "more labels than images": ({"y_train.npy": npy([0] * 4)}, ["4 labels, and 3 train images"]),
    "labels of a test set without images": ({"y_test.npy": npy(LABELS)}, ["0 test images"]),
    "a label that is NaN": ({"y_train.npy": npy([0, 1, np.nan])}, ["y_train.npy: row 2", "nan"]),
    "a label that is not UTF-8": ({"y_train.npy": npy([b"a", b"b", b"\xff"])}, ["row 2"]),
    "an empty label": ({"y_train.npy": npy(["a", "", "b"])}, ["x_train.npy: row 1", "is empty"]),
    "a validation set without labels": ({"x_valid.npy": npy(IMAGES)}, ["x_valid.npy", "no labels"]),
    "images for training twice": ({"train_masks.npy": npy(IMAGES)}, ["each could hold the train"]),
    "labels for training twice": (
        {"train_labels.npy": npy(LABELS)},
        ["each could hold the train labels"],
    ),
    "a name that says no part": ({"more.npy": npy(IMAGES)}, ["more.npy", "does not say train"]),
    "a name that says two parts": (
        {"train_test.npz": npz(x=IMAGES)},
        ["train_test.npz", "does not say train"],
    ),
}
NO_LABELS = {
    "no labels": ({}, ["no labels for the 3 training images"]),
    "a table in the same order with other ids": (
        {"train.csv": b"id,label\nx,0\ny,1\nz,0\n"},
        ["train.csv", "not the rows' numbers"],
    ),
    "a table with a number that is missing": (
        {"train.csv": b"id,label\n0,0\n1,1\n3,0\n"},
        ["train.csv", "not the rows' numbers"],
    ),
    "a table with a number twice": (
        {"train.csv": b"id,label\n0,0\n1,1\n1,0\n"},
        ["train.csv", "not the rows' numbers"],
    ),
    "a table that counts from 5": (
        {"train.csv": b"id,label\n5,0\n6,1\n7,0\n"},
        ["train.csv", "not the rows' numbers"],
    ),
    "a table of another length": ({"train.csv": b"id,label\n0,0\n1,1\n"}, ["no labels for the 3"]),
    "two tables": (
        {"a.csv": b"id,label\n0,0\n1,1\n2,0\n", "b.csv": b"id,label\n0,1\n1,1\n2,0\n"},
        ["a.csv and b.csv: each could be the labels"],
    ),
    "a table with two labels": (
        {"a.csv": b"id,age,sex\n0,0,1\n1,1,1\n2,0,1\n"},
        ["a.csv", "age, sex could be the label"],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_arrays_that_cannot_become_images(case, work, write, not_converted):
    files, texts = FAULTS[case]
    replaced = {} if "set.npz" in files else GOOD
    for name, content in {**replaced, **files}.items():
        write(f"in/{name}", content)
    not_converted(Path("in"), "in", *texts)


@pytest.mark.parametrize("case", NO_LABELS)
def test_arrays_whose_labels_are_not_clear(case, work, write, not_converted):
    files, texts = NO_LABELS[case]
    for name, content in {"x_train.npy": npy(IMAGES), **files}.items():
        write(f"in/{name}", content)
    not_converted(Path("in"), "in", *texts)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(work, write, not_converted):
    write("in/set.npz", members(("x_train.npy", npy(IMAGES)), ("x_train.npy", npy(IMAGES))))
    not_converted(Path("in"), "set.npz", "'x_train.npy' appears twice")


def convert(root, folder):
    conversion = conversion_of(root)
    if conversion is not None:
        conversion.write(folder, lambda done, total: None)


@given(
    st.sampled_from([npy(IMAGES), npz(x_train=IMAGES, y_train=LABELS)]),
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 255)), max_size=4),
    st.integers(0, 60),
)
def test_any_array_file_is_converted_or_a_data_error(
    tmp_path_factory, lines_of_refusal, good, flips, n_lost
):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    raw = bytearray(good[: len(good) - n_lost])
    for offset, mask in flips:
        raw[offset % len(raw)] ^= mask
    (root / f"x_train.{'npz' if good.startswith(b'PK') else 'npy'}").write_bytes(raw)
    (root / "y_train.npy").write_bytes(npy(LABELS))
    assert len(lines_of_refusal(convert, root, folder)) <= 3


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 255)), max_size=4),
    st.integers(0, 60),
    st.sampled_from(["x_train", "y_train", "classes"]),
)
def test_any_flat_rows_with_columns_of_classes_are_converted_or_a_data_error(
    tmp_path_factory, lines_of_refusal, flips, n_lost, damaged
):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    arrays = {
        "x_train": np.arange(3 * 64, dtype=np.uint16).reshape(3, 64),
        "y_train": np.eye(3, dtype=np.int8),
        "classes": np.array(["a", "b", "c"]),
    }
    for name, array in arrays.items():
        raw = bytearray(npy(array))
        if name == damaged:
            raw = raw[: len(raw) - n_lost]
            for offset, mask in flips:
                raw[offset % len(raw)] ^= mask
        (root / f"{name}.npy").write_bytes(raw)
    assert len(lines_of_refusal(convert, root, folder)) <= 3


CASES = FAULTS | NO_LABELS
