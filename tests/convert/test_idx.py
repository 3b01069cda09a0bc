"""MNIST's files: every pixel and label comes back, and damaged ones are refused."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from ensemble.convert.array_files import array_files, stored_arrays
from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def idx(array, code=8):
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + lengths + array.astype(TYPES[code]).tobytes()


@pytest.fixture
def mnist(tmp_path, rng):
    """The pixels and labels of each part, stored as MNIST is in tmp_path / "raw"."""
    (tmp_path / "raw").mkdir()
    parts = {}
    for name, n in (("train", 7), ("t10k", 5)):
        pixels, labels = rng.integers(0, 256, (n, 6, 5)), np.arange(n) % 3
        (tmp_path / f"raw/{name}-images-idx3-ubyte").write_bytes(idx(pixels))
        (tmp_path / f"raw/{name}-labels-idx1-ubyte").write_bytes(idx(labels))
        parts[name] = pixels, labels
    return parts


@pytest.mark.parametrize("form", ["plain", "packed", "both"])
def test_every_pixel_and_label_comes_back(form, mnist, tmp_path):
    for path in sorted((tmp_path / "raw").iterdir()) if form != "plain" else []:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink() if form == "packed" else None
    conversion = conversion_of(tmp_path / "raw")
    (tmp_path / "out").mkdir()
    conversion.write(tmp_path / "out", lambda *_: None)
    assert conversion.n_images == 12
    rows = dict(
        line.split(",") for line in (tmp_path / "out/labels.csv").read_text().splitlines()[1:]
    )
    pixels, labels = mnist["train"]
    for row in range(7):
        name = f"{row + 1:02d}.png"
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out/train" / name)), pixels[row])
        assert rows[name] == str(labels[row])
    pixels, labels = mnist["t10k"]
    for row in range(5):
        path = tmp_path / f"out/test/{labels[row]}/{row + 1}.png"
        assert np.array_equal(np.asarray(Image.open(path)), pixels[row])


@pytest.mark.parametrize("code", TYPES)
def test_numbers_of_every_type_are_read(code, tmp_path):
    array = np.array([[1, 2, 3], [100, 0, 7]])
    path = tmp_path / "a.idx2-float"
    path.write_bytes(idx(array, code))
    (stored,) = stored_arrays(path)
    assert (stored.shape, stored.dtype) == ((2, 3), np.dtype(TYPES[code]))
    assert np.array_equal(np.stack(list(stored.rows())), array)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "does not begin as IDX does"),
        (b"\0\0\x08", "does not begin as IDX does"),
        (b"\0\1\x08\1\0\0\0\0", "does not begin as IDX does"),
        (b"\0\0\x07\1\0\0\0\0", "does not begin as IDX does"),
        (b"\0\0\x08\0", "does not begin as IDX does"),
        (b"\0\0\x08\3\0\0\0\1", "cut off"),
        (idx(np.zeros((2, 3, 3)))[:-1], "needs 18 bytes, it has 17"),
        (idx(np.zeros((2, 3, 3))) + b"1", "needs 18 bytes, it has 19"),
        (b"\0\0\x08\3" + b"\xff" * 12, "it has 0"),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_damaged_file_is_refused(content, problem, is_packed, tmp_path):
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' if is_packed else ''}"
    path.write_bytes(gzip.compress(content) if is_packed else content)
    with pytest.raises(DataError, match=problem):
        stored_arrays(path)


def test_a_damaged_package_is_refused(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.zeros((2, 3, 3))))[:-9])
    with pytest.raises(DataError, match="not a readable array"):
        stored_arrays(path)


def test_other_packed_files_are_no_arrays(tmp_path):
    assert array_files([tmp_path / "train.csv.gz", tmp_path / "idx.gz"]) == []
