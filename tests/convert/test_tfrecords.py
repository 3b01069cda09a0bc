"""TFRecords become image files: the bytes as they are, named and labeled by the records."""

import gzip
import io
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.example import parse_example
from ensemble.convert.plan import conversion_of
from ensemble.convert.record_features import roles_of
from ensemble.convert.tfrecords import count_records, masked_checksum, records
from ensemble.errors import DataError

ENCODER = runpy.run_path(str(Path(__file__).with_name("record_encoder.py")))
example, framed, tfrecord = ENCODER["example"], ENCODER["framed"], ENCODER["tfrecord"]

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(width=32, allow_nan=False)
VALUES = (
    st.lists(st.binary(max_size=30), max_size=4)
    | st.lists(INT64, max_size=4)
    | st.lists(FLOATS, max_size=4)
)


def image(value=0, form="JPEG", size=(8, 8)):
    stored = io.BytesIO()
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(stored, form)
    return stored.getvalue()


def rows(n=4, first=0, **more):
    return [
        {"id": f"a{first + i}".encode(), "image": image(first + i), "class": i % 2} | more
        for i in range(n)
    ]


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=6), st.booleans())
def test_every_example_is_read_as_it_was_written(features, packed):
    expected = {name: tuple(values) for name, values in features.items()}
    assert parse_example(example(features, packed), "here") == expected


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_every_record_is_read_as_it_was_framed(tmp_path, contents, is_packed):
    raw = b"".join(map(framed, contents))
    path = tmp_path / "a.tfrec"
    path.write_bytes(gzip.compress(raw) if is_packed else raw)
    assert list(records(path)) == contents
    assert count_records(path) == len(contents)


@given(st.binary(max_size=200))
def test_checksums_are_those_of_the_format(content):
    assert struct.pack("<I", masked_checksum(content)) == ENCODER["masked"](content)


def test_fields_that_are_not_known_are_passed_over():
    chunk, varint = ENCODER["chunk"], ENCODER["varint"]
    unknown = varint(9 << 3) + varint(300) + varint(9 << 3 | 1) + bytes(8) + varint(9 << 3 | 5)
    content = unknown + bytes(4) + chunk(9, b"more") + example({"a": [1, -1]})
    assert parse_example(content, "here") == {"a": (1, -1)}


def test_the_parts_are_folders_and_the_image_bytes_stay(tmp_path, converted, names, labels):
    root = tmp_path / "petals"
    tfrecord(root / "train" / "00-8x8-4.tfrec", rows(4))
    tfrecord(root / "val" / "00-8x8-2.tfrec", rows(2, first=10))
    tests = [{"id": f"t{i}".encode(), "image": image(i, "PNG")} for i in range(3)]
    tfrecord(root / "test" / "00-8x8-3.tfrec", tests)
    (root / "sample_submission.csv").write_text("id,label\nt0,0\nt1,0\nt2,0\n")
    conversion, folder = converted(root)
    assert (conversion.kind, conversion.n_images, conversion.notes) == ("TFRecords", 9, ())
    assert names(folder / "train") == ["a0.jpg", "a1.jpg", "a2.jpg", "a3.jpg"]
    assert names(folder / "valid") == ["a10.jpg", "a11.jpg"]
    assert names(folder / "test") == ["t0.png", "t1.png", "t2.png"]
    assert (folder / "train" / "a2.jpg").read_bytes() == image(2)
    assert labels(folder) == {
        **{f"a{i}.jpg": str(i % 2) for i in range(4)},
        **{"a10.jpg": "0", "a11.jpg": "1"},
    }
    assert (folder / "sample_submission.csv").read_text().count("\n") == 4


def test_names_of_files_say_the_part_too(tmp_path, converted, names):
    tfrecord(tmp_path / "in" / "ld_train00-2.tfrec", rows(2))
    tfrecord(tmp_path / "in" / "ld_test00-1.tfrec", [{"id": b"t", "image": image()}])
    _, folder = converted(tmp_path / "in")
    assert names(folder) == ["labels.csv", "test/t.jpg", "train/a0.jpg", "train/a1.jpg"]


def test_files_without_a_part_in_their_names_are_for_training(tmp_path, converted, names):
    tfrecord(tmp_path / "in" / "flowers.tfrecord", rows(2))
    assert "train/a1.jpg" in names(converted(tmp_path / "in")[1])


def test_the_largest_of_several_sizes_is_taken_and_said(tmp_path, converted):
    for side in (8, 16):
        contents = [row | {"image": image(i, size=(side, side))} for i, row in enumerate(rows(3))]
        tfrecord(tmp_path / "in" / f"jpeg-{side}x{side}" / "train" / "0.tfrec", contents)
    conversion, folder = converted(tmp_path / "in")
    assert conversion.notes == ("the images are there in 2 sizes: 16x16 is taken, not 8x8",)
    with Image.open(folder / "train" / "a1.jpg") as opened:
        assert opened.size == (16, 16)


def test_shards_and_records_without_ids_are_named_by_file_and_number(tmp_path, converted, names):
    for shard in range(2):
        without = [{"image": image(), "label": i} for i in range(10)]
        tfrecord(tmp_path / "in" / f"set-train.tfrecord-0000{shard}-of-00002", without)
    _, folder = converted(tmp_path / "in")
    assert names(folder / "train")[0] == "set-train-00000-of-00002-01.jpg"
    assert names(folder / "train")[-1] == "set-train-00001-of-00002-10.jpg"


def test_equal_file_names_in_two_folders_are_told_apart(tmp_path, converted, names):
    for part in "ab":
        tfrecord(tmp_path / "in" / part / "0.tfrec", [{"image": image(), "label": b"cat"}])
    _, folder = converted(tmp_path / "in")
    assert names(folder / "train") == ["a-0-1.jpg", "b-0-1.jpg"]


def test_an_id_loses_the_suffix_of_an_image(tmp_path, converted, names):
    named = [{"image/encoded": image(), "image/filename": b"x.png", "image/class/label": 1}]
    tfrecord(tmp_path / "in" / "train.tfrecords", named)
    assert names(converted(tmp_path / "in")[1]) == ["labels.csv", "train/x.jpg"]


def test_labeled_test_images_become_class_folders(tmp_path, converted, names, labels):
    tfrecord(tmp_path / "in" / "train.tfrec", rows(2))
    tfrecord(tmp_path / "in" / "test.tfrec", rows(2, first=5))
    _, folder = converted(tmp_path / "in")
    assert names(folder / "test") == ["0/a5.jpg", "1/a6.jpg"]
    assert list(labels(folder)) == ["a0.jpg", "a1.jpg"]


def test_a_label_of_minus_one_in_a_test_record_is_none(tmp_path, converted, names):
    tfrecord(tmp_path / "in" / "train.tfrec", rows(2))
    tfrecord(tmp_path / "in" / "test.tfrec", rows(1, first=5, **{"class": -1}))
    assert names(converted(tmp_path / "in")[1] / "test") == ["a5.jpg"]


def test_records_without_labels_keep_the_labels_of_a_table(tmp_path, converted, names):
    tfrecord(tmp_path / "in" / "train.tfrec", [{"id": b"a", "image": image()}])
    (tmp_path / "in" / "train.csv").write_text("id,target\na,1\n")
    assert names(converted(tmp_path / "in")[1]) == ["train.csv", "train/a.jpg"]


def test_a_table_named_like_the_labels_is_copied_under_another_name(tmp_path, converted, names):
    tfrecord(tmp_path / "in" / "train.tfrec", rows(1))
    (tmp_path / "in" / "labels.csv").write_text("number,name\n0,cat\n")
    conversion, folder = converted(tmp_path / "in")
    assert conversion.notes == ("labels.csv is copied as original-labels.csv",)
    assert (folder / "original-labels.csv").read_text() == "number,name\n0,cat\n"


def roles(folder, train, test=()):
    read = [parse_example(example(row), "here") for row in train]
    return roles_of(folder, "here", read, [parse_example(example(row), "here") for row in test])


def test_the_only_feature_that_begins_as_an_image_is_the_image(tmp_path):
    contents = [{"pixels": image(i), "note": b"PNG", "label": i} for i in range(3)]
    assert roles(tmp_path, contents).image == "pixels"


def test_a_mask_beside_the_image_is_not_the_image(tmp_path):
    contents = [{"image": image(), "mask": image(form="PNG"), "label": 1}]
    assert roles(tmp_path, contents).image == "image"


def test_an_id_that_repeats_is_not_taken_where_another_does_not(tmp_path):
    contents = [{"image": image(), "image_name": f"{i}".encode(), "id": 7} for i in range(3)]
    assert roles(tmp_path, contents).id == "image_name"


def test_two_ids_that_mean_the_same_are_one(tmp_path):
    contents = [{"image": image(), "filename": b"%d.jpg" % i, "id": i} for i in range(3)]
    assert roles(tmp_path, contents).id == "id"


def test_the_sample_submission_decides_between_two_ids(tmp_path):
    (tmp_path / "sample_submission.csv").write_text("x,y\n10,0\n11,0\n")
    contents = [{"image": image(), "id": i, "image_id": i + 10} for i in range(2)]
    assert roles(tmp_path, contents, contents).id == "image_id"


def test_a_feature_called_like_the_sample_s_ids_is_the_id(tmp_path):
    train = [{"Serial": i, "image": image(i), "class": i % 2} for i in range(4)]
    assert roles(tmp_path, train).id is None
    (tmp_path / "sample_submission.csv").write_text("serial,class\n7,0\n")
    assert roles(tmp_path, train).id == "Serial"


def test_two_ids_that_differ_are_refused_by_name(tmp_path):
    contents = [{"image": image(), "id": i, "image_id": i + 10} for i in range(2)]
    with pytest.raises(DataError, match="each of these features could be the id: id, image_id"):
        roles(tmp_path, contents)


PAIRS = [
    {"image": image(), "label": i % 2, "image/class/text": [b"cat", b"dog"][i % 2]}
    for i in range(4)
]


def test_of_a_number_and_a_text_that_agree_the_text_is_the_class(tmp_path):
    assert roles(tmp_path, PAIRS).labels == ("image/class/text", "label")


@pytest.mark.parametrize(
    ("sample", "first"),
    [
        ("id,answer\na,0\n", "label"),
        ("id,answer\na,cat\n", "image/class/text"),
        ("id,label\na,cat\n", "label"),
        ("id,cat,dog\na,0.5,0.5\n", "image/class/text"),
    ],
)
def test_the_sample_submission_decides_between_number_and_text(tmp_path, sample, first):
    (tmp_path / "sample_submission.csv").write_text(sample)
    assert roles(tmp_path, PAIRS).labels[0] == first


def test_labels_that_contradict_each_other_are_refused_by_name(tmp_path):
    contents = [{"image": image(), "label": i % 2, "target": i % 3} for i in range(6)]
    with pytest.raises(DataError, match="each of these features could be the label: label, target"):
        roles(tmp_path, contents)


def test_records_beside_image_folders_are_nothing(tmp_path):
    for part in "ab":
        (tmp_path / "train" / part).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "train" / part / f"{i}.jpg").write_bytes(image())
    (tmp_path / "train.tfrec").write_bytes(b"x")
    assert conversion_of(tmp_path) is None


def test_an_image_beside_the_records_is_said(tmp_path):
    tfrecord(tmp_path / "train.tfrec", rows(2))
    (tmp_path / "logo.png").write_bytes(image(form="PNG"))
    conversion = conversion_of(tmp_path)
    assert conversion.notes == ("1 images beside them are not used, such as logo.png",)


@pytest.mark.parametrize(("n_records", "is_converted"), [(100, True), (99, False)])
def test_an_image_in_a_subfolder_is_a_preview_beside_a_hundred_records(
    tmp_path, n_records, is_converted
):
    tfrecord(tmp_path / "train.tfrec", rows(n_records))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "preview.png").write_bytes(image(form="PNG"))
    conversion = conversion_of(tmp_path)
    assert (conversion is not None) == is_converted
    if conversion:
        note = "1 images beside them are not used, such as docs/preview.png"
        assert conversion.notes == (note,)


def test_ten_images_are_what_to_learn_from_however_many_records_there_are(tmp_path):
    tfrecord(tmp_path / "train.tfrec", [{"image": image(), "label": 1}] * 1001)
    (tmp_path / "docs").mkdir()
    for i in range(10):
        (tmp_path / "docs" / f"{i}.png").write_bytes(image(form="PNG"))
    assert conversion_of(tmp_path) is None


def test_a_folder_of_other_files_is_not_converted(tmp_path):
    (tmp_path / "train.csv").write_text("id,label\na,1\n")
    (tmp_path / "readme.txt").write_text("x")
    assert conversion_of(tmp_path) is None
