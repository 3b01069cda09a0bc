"""TFRecords that are damaged, mean harm, or can be read in two ways."""

import gzip
import runpy
import struct
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutated import mutated

from ensemble.convert.example import parse_example
from ensemble.convert.plan import conversion_of
from ensemble.convert.tfrecords import count_records, records
from ensemble.errors import DataError

ENCODER = runpy.run_path(
    str(Path(__file__).parent.parent / "convert" / "record_encoder.py"), run_name="encoder"
)
chunk, example, feature = ENCODER["chunk"], ENCODER["example"], ENCODER["feature"]
framed, masked, varint = ENCODER["framed"], ENCODER["masked"], ENCODER["varint"]
IMAGE = b"\xff\xd8\xff" + bytes(20)


def row(i=0, **more):
    return {"id": b"a%d" % i, "image": IMAGE, "class": i % 2} | more


def good():
    return b"".join(framed(example(row(i))) for i in range(4))


def changed(offset, record=2, mask=1):
    """Four good records, one bit of this one flipped at an offset from its start or its end."""
    contents = [bytearray(framed(example(row(i)))) for i in range(4)]
    contents[record - 1][offset] ^= mask
    return b"".join(contents)


def of_rows(*rows):
    return b"".join(framed(example(features)) for features in rows)


def entry(name, value):
    return chunk(1, chunk(1, name) + chunk(2, value))


def with_length(length):
    header = struct.pack("<Q", length)
    return good() + header + masked(header) + b"short"


DAMAGED = ["train.tfrec", "download it again"]
FRAMES = {
    "a flipped bit in a length": (changed(0), ["record 2", "checksum of its length", *DAMAGED]),
    "a flipped bit in the checksum of a length": (
        changed(8),
        ["record 2", "checksum of its length"],
    ),
    "a flipped bit in the content": (changed(30), ["record 2", "checksum of its content"]),
    "a flipped bit in the checksum of the content": (
        changed(-1, mask=128),
        ["record 2", "checksum of its content"],
    ),
    "a last record that is cut off": (good()[:-9], ["record 4", "needs"]),
    "a checksum that is cut off": (good()[:-1], ["record 4", "needs"]),
    "a header that is cut off": (good() + b"\1\0\0", ["record 5", "ends after 3 bytes"]),
    "a length of 2^60": (with_length(1 << 60), ["record 5", "1,152,921,504,606,846,976 bytes"]),
    "a length of 2^64 - 1": (
        with_length((1 << 64) - 1),
        ["record 5", "bytes, the file has 5 more"],
    ),
    "a length one too long": (with_length(2), ["record 5", "needs 2 bytes"]),
    "one byte": (b"x", ["record 1", "ends after 1 bytes"]),
    "a text": (b"id,label\na,1\nb,2\n", ["record 1", "checksum of its length"]),
    "zeros": (bytes(64), ["record 1", "checksum of its length"]),
    "no byte": (b"", ["no record"]),
    "another compression": (b"BZh9" + bytes(60), ["record 1", "checksum of its length"]),
    "a gzip that is cut off": (gzip.compress(good())[:-20], ["train.tfrec", "cannot be read"]),
    "a gzip of another sum": (
        gzip.compress(good())[:-8] + bytes(8),
        ["train.tfrec", "cannot be read"],
    ),
    "a gzip of zeros": (gzip.compress(bytes(1 << 20)), ["record 1", "checksum of its length"]),
    "a gzip that ends in a record": (gzip.compress(good()[:-9]), ["record 4", "ends inside it"]),
    "a gzip with a length of 2^60": (
        gzip.compress(with_length(1 << 60)),
        ["record 5", "1,152,921,504,606,846,976 bytes"],
    ),
    "a gzip with a length of 200 MB": (
        gzip.compress(with_length(200_000_000)),
        ["record 5", "ends inside it"],
    ),
}
MESSAGES = {
    "no Example": (b"hello", "wire type"),
    "a field number of 0": (b"\0\0", "number 0"),
    "a group": (b"\x0b", "wire type 3"),
    "features that are a number": (b"\x08\1", "wire type 0"),
    "a number that never ends": (b"\xff" * 40, "never ends"),
    "a number of 70 bits": (b"\x0a" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
    "a length beyond the end": (b"\x0a\x7f", "needs 127 bytes"),
    "a length of 2^62": (b"\x0a" + varint(1 << 62), "4,611,686,018,427,387,904 bytes"),
    "a feature without a name": (chunk(1, chunk(1, chunk(2, b""))), "0 names"),
    "a feature with two names": (
        chunk(1, chunk(1, chunk(1, b"a") + chunk(1, b"b") + chunk(2, b""))),
        "2 names",
    ),
    "a feature that appears twice": (chunk(1, entry(b"a", b"") * 2), "'a' appears twice"),
    "a name that is not UTF-8": (chunk(1, entry(b"\xff", b"")), "not UTF-8"),
    "a feature of bytes and numbers": (
        chunk(1, entry(b"a", feature([b"x"]) + feature([1]))),
        "more than one type",
    ),
    "a list that is a number": (chunk(1, entry(b"a", b"\x08\1")), "wire type 0"),
    "floats of 3 bytes": (chunk(1, entry(b"a", chunk(2, chunk(1, b"abc")))), "floats"),
    "bytes that are a number": (chunk(1, entry(b"a", chunk(1, b"\x08\1"))), "list of bytes"),
    "numbers that are fixed": (chunk(1, entry(b"a", chunk(3, b"\x0d" + bytes(4)))), "whole"),
    "packed numbers that never end": (
        chunk(1, entry(b"a", chunk(3, chunk(1, b"\x80\x80")))),
        "never ends",
    ),
}
ROWS = {
    "a slash in an id": ([row(), row(id=b"a/b")], ["record 2", "'a/b'", "'/'"]),
    "an id that climbs": ([row(), row(id=b"../../evil")], ["record 2", "hidden"]),
    "an id of two dots": ([row(), row(id=b"..")], ["record 2", "hidden"]),
    "an id that would be hidden": ([row(), row(id=b".a")], ["record 2", "hidden"]),
    "a backslash in an id": ([row(), row(id=b"a\\b")], ["record 2", "contains"]),
    "a drive in an id": ([row(), row(id=b"C:a")], ["record 2", "contains ':'"]),
    "an empty id": ([row(), row(id=b"")], ["record 2", "is empty"]),
    "an id of a space": ([row(), row(id=b" ")], ["record 2", "space"]),
    "a NUL in an id": ([row(), row(id=b"a\0b")], ["record 2", "not printable"]),
    "a line end in an id": ([row(), row(id=b"a\nb")], ["record 2", "not printable"]),
    "an id that is too long": ([row(), row(id=b"a" * 300)], ["record 2", "longer than 200 bytes"]),
    "an id that is not UTF-8": ([row(), row(id=b"\xff")], ["'id'", "not UTF-8"]),
    "an id that appears twice": ([row(0), row(1), row(0)], ["record 3", "'a0' appears twice"]),
    "a record without an image": (
        [*map(row, range(8)), {"id": b"x", "class": 1}],
        ["record 9", "'image' is missing"],
    ),
    "an image that is a text": (
        [*map(row, range(8)), row(8, image=b"hello")],
        ["record 9", "does not begin as an image"],
    ),
    "two images in a record": (
        [*map(row, range(8)), row(8, image=[IMAGE, IMAGE])],
        ["record 9", "'image'"],
    ),
    "a record without a label": (
        [*map(row, range(8)), {"id": b"x", "image": IMAGE}],
        ["record 9", "no feature 'class'"],
    ),
    "two labels in a record": (
        [*map(row, range(8)), row(8, **{"class": [0, 1]})],
        ["record 9", "2 values"],
    ),
    "two labels in all records": ([row(0, **{"class": [0, 2]})], ["'class' has several values"]),
    "a list of the classes 0 and 1": ([row(0, **{"class": [0, 1]})], ["'class' has several"]),
    "two ones among zeros": ([row(0, **{"class": [1, 0, 1]})], ["'class' has several values"]),
    "zeros alone": ([row(0, **{"class": [0, 0, 0]})], ["'class' has several values"]),
    "lists of two lengths": (
        [row(0, **{"class": [0, 1, 0]}), row(1, **{"class": [0, 1]})],
        ["'class' has several values"],
    ),
    "two ones after one-hot records": (
        [*(row(i, **{"class": [0, 1, 0]}) for i in range(8)), row(8, **{"class": [0, 1, 1]})],
        ["record 9", "'class' is not one 1 among 3"],
    ),
    "a number after one-hot records": (
        [*(row(i, **{"class": [0, 1, 0]}) for i in range(8)), row(8)],
        ["record 9", "'class' is not one 1 among 3"],
    ),
    "a text beside one-hot classes that differ": (
        [row(i, label=b"cat" if i < 9 else b"dog", **{"class": [0, 1, 0]}) for i in range(12)],
        ["record 10", "in an earlier record with another"],
    ),
    "pixels that do not fit their size": (
        [row(image=bytes(63), height=8, width=8)],
        ["no feature holds a JPEG", "height × width pixels"],
    ),
    "pixels of four bytes each": (
        [row(image=bytes(4 * 64), height=8, width=8, depth=1)],
        ["no feature holds a JPEG", "height × width pixels"],
    ),
    "pixels of two channels": (
        [row(image=bytes(2 * 64), height=8, width=8, depth=2)],
        ["no feature holds a JPEG", "height × width pixels"],
    ),
    "pixels of another size in a later record": (
        [
            *(row(i, image=bytes(64), height=8, width=8) for i in range(8)),
            row(8, image=bytes(65), height=8, width=8),
        ],
        ["record 9", "'image': 65 bytes are not 8 × 8 pixels"],
    ),
    "pixels without a width in a later record": (
        [
            *(row(i, image=bytes(64), height=8, width=8) for i in range(8)),
            row(8, image=bytes(64), height=8),
        ],
        ["record 9", "width is not a number of pixels"],
    ),
    "a height of 2^62": (
        [row(image=bytes(64), height=1 << 62, width=1 << 62)],
        ["no feature holds a JPEG"],
    ),
    "a height of 0": ([row(image=b"", height=0, width=8)], ["no feature holds a JPEG"]),
    "a height below 0": ([row(image=bytes(64), height=-8, width=-8)], ["no feature holds a JPEG"]),
    "a height that is a text": (
        [row(image=bytes(64), height=b"8", width=8)],
        ["no feature holds a JPEG"],
    ),
    "colors in an order that is not clear": (
        [row(image=bytes(192), height=8, width=8, depth=3)],
        ["train.tfrec: image", "not clearly in which order"],
    ),
    "two features of pixels": (
        [{"id": b"a", "class": 1, "left": bytes(64), "right": bytes(64), "height": 8, "width": 8}],
        ["could be the image: left, right"],
    ),
    "a label that is not a number": (
        [row(0, **{"class": 0.5}), row(1, **{"class": float("nan")})],
        ["record 2", "nan"],
    ),
    "an empty label": (
        [row(0, **{"class": b"a"}), row(1, **{"class": b""})],
        ["record 2", "empty"],
    ),
    "a label with a line end": ([row(0, **{"class": b"a\nb"})], ["record 1", "not printable"]),
    "no image at all": ([{"id": b"a", "class": 1}], ["no feature holds a JPEG", "class, id"]),
    "pixels that are no file": ([row(image=bytes(64))], ["no feature holds a JPEG"]),
    "no label at all": ([{"id": b"a", "image": IMAGE}], ["no feature looks like a label"]),
    "two images": (
        [{"id": b"a", "class": 1, "left": IMAGE, "right": IMAGE}],
        ["could be the image: left, right"],
    ),
    "no feature": ([{}], ["the records have no feature"]),
    "a text with two numbers": (
        [row(i, label=b"cat" if i < 9 else b"dog", **{"class": 0}) for i in range(12)],
        ["record 10", "in an earlier record with another"],
    ),
}


def folder_of(raw):
    path = Path("in/train.tfrec")
    path.parent.mkdir()
    path.write_bytes(raw)
    return path.parent


@pytest.mark.parametrize("case", FRAMES)
def test_a_file_of_records_that_is_damaged(case, work, not_converted):
    raw, texts = FRAMES[case]
    not_converted(folder_of(raw), "in", *texts)


@pytest.mark.parametrize("case", MESSAGES)
def test_a_record_that_is_no_example(case, work, not_converted):
    content, text = MESSAGES[case]
    not_converted(folder_of(framed(content)), "train.tfrec: record 1: not a tf.train.Example", text)


@pytest.mark.parametrize("case", ROWS)
def test_records_that_cannot_become_images(case, work, not_converted):
    rows, texts = ROWS[case]
    not_converted(folder_of(of_rows(*rows)), "in/train.tfrec", *texts)


def written(**rows_of_files):
    for name, rows in rows_of_files.items():
        path = Path("in", name.replace("__", "/").replace("_of_", "-of-") + ".tfrec")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(of_rows(*rows))
    return Path("in")


FILES = {
    "the same id in training and validation": (
        {"train": [row(0)], "valid": [row(0)]},
        ["valid.tfrec: record 1", "'a0' appears twice"],
    ),
    "a name that says no part": (
        {"train": [row(0)], "more": [row(1)]},
        ["in/more.tfrec", "does not say train"],
    ),
    "a name that says two parts": (
        {"train__test_0": [row(0)], "test__0": [row(1)]},
        ["train/test_0.tfrec", "more than one part: test, train"],
    ),
    "test records alone": ({"test": [row(0)]}, ["no TFRecords for training"]),
    "some test images with labels": (
        {"train": [row(0)], "test": [row(1), {"id": b"b", "image": IMAGE}]},
        ["test.tfrec: record 2", "unlike the ones before"],
    ),
    "a test label that names no folder": (
        {"train": [row(0, **{"class": b"a"})], "test": [row(1, **{"class": b"a/b"})]},
        ["test.tfrec: record 1", "'a/b' cannot name a folder"],
    ),
    "sizes of other sets": (
        {"a8x8__train": [row(0)], "a16x16__train": [row(0), row(1)]},
        ["16x16", "8x8", "differ in their numbers of records"],
    ),
    "a size beside no size": (
        {"a8x8__train": [row(0)], "train": [row(0), row(1)]},
        ["8x8", "no stated size"],
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_files_of_records_that_do_not_fit_together(case, work, not_converted):
    rows_of_files, texts = FILES[case]
    not_converted(written(**rows_of_files), *texts)


def test_a_sample_submission_is_no_table_of_labels(work, write, not_converted):
    folder_of(of_rows({"id": b"a", "image": IMAGE}))
    write("in/sample_submission.csv", "id,label\na,0\n")
    not_converted(Path("in"), "no feature looks like a label")


def test_a_missing_shard_is_named(work, not_converted):
    Path("in").mkdir()
    for shard in (0, 2):
        Path(f"in/train.tfrecord-0000{shard}-of-00003").write_bytes(of_rows(row(shard)))
    not_converted(Path("in"), "train.tfrecord-00001-of-00003", "missing")


def test_a_file_that_ends_between_records_is_known_by_its_name(work, not_converted):
    Path("in").mkdir()
    for part in range(3):
        rows = [row(10 * part + i) for i in range(4 if part != 1 else 3)]
        Path(f"in/train0{part}-4.tfrec").write_bytes(of_rows(*rows))
    not_converted(Path("in"), "train01-4.tfrec: 3 records, its name says 4")


def test_a_huge_length_takes_no_memory(tmp_path):
    path = tmp_path / "a.tfrec"
    for raw in (with_length(1 << 60), gzip.compress(with_length(250_000_000))):
        path.write_bytes(raw)
        tracemalloc.start()
        for read in (count_records, lambda path: list(records(path))):
            with pytest.raises(DataError):
                read(path)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 8_000_000


mutated_bytes = partial(mutated, put=st.binary(max_size=8), longest=30, most_repeats=20)


@given(st.binary(max_size=400) | mutated_bytes([good(), gzip.compress(good())]))
def test_any_bytes_are_records_or_a_data_error(tmp_path, lines_of_refusal, raw):
    path = tmp_path / "train.tfrec"
    path.write_bytes(raw)
    for read in (count_records, lambda path: list(records(path))):
        assert len(lines_of_refusal(read, path)) <= 3


@given(st.binary(max_size=200) | mutated_bytes([example(row() | {"f": [1.5, 2.0], "n": [1, -1]})]))
def test_any_bytes_are_an_example_or_a_data_error(lines_of_refusal, content):
    assert len(lines_of_refusal(parse_example, content, "here")) <= 3


def convert(root, folder):
    conversion_of(root).write(folder, lambda done, total: None)


RAW = {"image_raw": bytes(range(64)), "height": 8, "width": 8, "depth": 1, "label": [0, 1, 0]}


@given(st.data())
def test_any_record_of_plain_pixels_is_converted_or_a_data_error(
    tmp_path_factory, lines_of_refusal, data
):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    contents = [example(RAW), *(data.draw(mutated_bytes([example(RAW)])) for _ in range(2))]
    (root / "train.tfrec").write_bytes(b"".join(map(framed, contents)))
    assert len(lines_of_refusal(convert, root, folder)) <= 3


@given(st.data())
def test_any_example_in_a_good_frame_is_converted_or_a_data_error(
    tmp_path_factory, lines_of_refusal, data
):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    contents = [data.draw(mutated_bytes([example(row(i))])) for i in range(3)]
    (root / "train.tfrec").write_bytes(b"".join(map(framed, contents)))
    assert len(lines_of_refusal(convert, root, folder)) <= 3


CASES = FRAMES | MESSAGES | ROWS | FILES
