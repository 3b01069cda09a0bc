"""Records of plain pixels and of one-hot classes."""

import io
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.example import parse_example
from ensemble.convert.plan import conversion_of
from ensemble.convert.record_features import roles_of
from ensemble.errors import DataError

ENCODER = runpy.run_path(str(Path(__file__).with_name("record_encoder.py")))
example, tfrecord = ENCODER["example"], ENCODER["tfrecord"]


def image(value=0):
    stored = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(stored, "JPEG")
    return stored.getvalue()


def roles(folder, train):
    read = [parse_example(example(row), "here") for row in train]
    return roles_of(folder, "here", read, [])


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


def raw_rows(images, names=("height", "width", "depth"), **more):
    """Records of plain pixels: channels last."""
    return [
        {"image_raw": one.tobytes(), "label": i % 2}
        | dict(zip(names, one.shape, strict=False))
        | more
        for i, one in enumerate(images)
    ]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.randoms(use_true_random=False))
def test_plain_pixels_come_back_from_records(tmp_path_factory, height, width, n, random):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    values = bytes(random.randrange(256) for _ in range(n * height * width))
    images = np.frombuffer(values, np.uint8).reshape(n, height, width, 1)
    tfrecord(root / "train.tfrecords", raw_rows(images))
    conversion_of(root).write(folder, lambda done, total: None)
    written = sorted((folder / "train").iterdir())
    assert np.array_equal(np.stack([pixels(path) for path in written]), images[..., 0])
    assert (folder / "labels.csv").read_text().split()[1:] == [
        f"{path.name},{i % 2}" for i, path in enumerate(written)
    ]


@pytest.mark.parametrize("are_planes", [False, True])
@pytest.mark.parametrize("has_depth", [False, True])
def test_the_order_of_plain_colors_is_the_smooth_one(tmp_path, converted, are_planes, has_depth):
    ramp = np.add.outer(np.arange(8), np.arange(8))
    images = (ramp[..., None] + np.array([0, 90, 180]) + np.arange(3)[:, None, None, None]).astype(
        np.uint8
    )
    records = raw_rows(
        images, names=("image/height", "image/width", "image/channels")[: 2 + has_depth]
    )
    if are_planes:
        for record, one in zip(records, images, strict=True):
            record["image_raw"] = one.transpose(2, 0, 1).tobytes()
    tfrecord(tmp_path / "in" / "train.tfrec", records)
    conversion, folder = converted(tmp_path / "in")
    assert conversion.notes == (
        "image feature: image_raw, plain pixels of image/height × image/width",
    )
    assert np.array_equal(pixels(folder / "train" / "train-2.png"), images[1])


def test_an_image_file_wins_over_bytes_that_fit_a_size(tmp_path):
    contents = [
        {"image": image(), "mask": bytes(64), "height": 8, "width": 8, "label": i} for i in range(3)
    ]
    assert roles(tmp_path, contents).image == "image"


def test_a_list_with_one_1_is_the_number_of_the_class(tmp_path, converted, labels):
    contents = [{"image": image(), "label": [int(i == n) for n in range(3)]} for i in (2, 0, 1)]
    tfrecord(tmp_path / "in" / "train.tfrec", contents)
    conversion, folder = converted(tmp_path / "in")
    assert labels(folder) == {"train-1.jpg": "2", "train-2.jpg": "0", "train-3.jpg": "1"}
    assert conversion.notes == ("label feature: label has a number for each of 3 classes",)


def test_of_one_hot_numbers_and_a_text_that_agree_the_text_is_the_class(
    tmp_path, converted, labels
):
    contents = [
        {"image": image(), "label": [1.0 - i, float(i)], "label_text": [b"cat", b"dog"][i]}
        for i in (1, 0, 1)
    ]
    tfrecord(tmp_path / "in" / "train.tfrec", contents)
    _, folder = converted(tmp_path / "in")
    assert list(labels(folder).values()) == ["dog", "cat", "dog"]


def test_one_hot_numbers_that_agree_with_a_class_number_are_that_number(tmp_path):
    contents = [
        {"image": image(), "label": i, "class": [int(i == n) for n in range(3)]} for i in range(3)
    ]
    assert set(roles(tmp_path, contents).labels) == {"label", "class"}


def test_one_hot_numbers_that_disagree_with_a_class_number_are_refused(tmp_path):
    contents = [
        {"image": image(), "label": i + 1, "class": [int(i == n) for n in range(3)]}
        for i in range(3)
    ]
    with pytest.raises(DataError, match="could be the label: class, label"):
        roles(tmp_path, contents)
