"""CSVs of pixels become PNG files: every value, name, label and part as the table has it."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ensemble.convert.part_names import first_number
from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError

SIDES = st.integers(1, 6)


def columns(n, start=0):
    return [f"pixel{i}" for i in range(start, start + n)]


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stored:
        writer = csv.writer(stored)
        writer.writerow(header)
        writer.writerows(rows)


def pixels(path):
    with Image.open(path) as opened:
        return np.array(opened)


def smooth(n, side):
    """(n, side, side, 3): neighbors are alike, channels are not."""
    ramp = np.add.outer(np.arange(side), np.arange(side))
    images = ramp[None, :, :, None] + np.array([0, 100, 200]) + np.arange(n)[:, None, None, None]
    return images.astype(np.uint8)


@pytest.fixture
def fresh(tmp_path_factory):
    """A function that makes a new folder: hypothesis calls a test many times."""
    return lambda: tmp_path_factory.mktemp("set")


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), SIDES).map(lambda s: (s[0], s[1], s[1]))),
    st.booleans(),
    st.sampled_from([0, 1]),
)
def test_every_array_of_images_comes_back_from_a_table(fresh, images, is_quoted, start):
    root, folder = fresh(), fresh()
    n_values = images[0].size
    with (root / "train.csv").open("w", encoding="utf-8", newline="") as stored:
        writer = csv.writer(stored, quoting=csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL)
        writer.writerow([*columns(n_values, start), "label"])
        writer.writerows([*image.ravel().tolist(), i] for i, image in enumerate(images))
    conversion = conversion_of(root)
    conversion.write(folder, lambda done, total: None)
    expected = images * 255 if images.max() == 1 else images
    written = sorted((folder / "train").iterdir())
    assert np.array_equal(np.stack([pixels(path) for path in written]), expected)
    assert (folder / "labels.csv").read_text().split()[1:] == [
        f"{path.name},{i}" for i, path in enumerate(written)
    ]


@given(hnp.arrays(np.uint8, st.integers(1, 5).map(lambda n: (n, 4, 4))))
def test_every_array_of_images_comes_back_from_texts_of_numbers(fresh, images):
    root, folder = fresh(), fresh()
    rows = [[i, " ".join(map(str, image.ravel())), "Training"] for i, image in enumerate(images)]
    write(root / "fer.csv", ["emotion", "pixels", "Usage"], rows)
    conversion_of(root).write(folder, lambda done, total: None)
    expected = images * 255 if images.max() == 1 else images
    written = [pixels(path) for path in sorted((folder / "train").iterdir())]
    assert np.array_equal(np.stack(written), expected)


def test_rows_are_named_as_the_sample_submission_counts(tmp_path, converted, names, labels):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[i % 2, 9, i, 0, 0] for i in range(12)])
    write(root / "test.csv", columns(4), [[i, 0, 9, 0] for i in range(3)])
    write(root / "sample_submission.csv", ["ImageId", "Label"], [[i, 0] for i in (1, 2, 3)])
    conversion, folder = converted(root)
    assert (conversion.kind, conversion.n_images) == ("4 pixel columns", 15)
    assert conversion.notes == ("test images are named 1 to 3, as in sample_submission.csv",)
    assert names(folder / "test") == ["1.png", "2.png", "3.png"]
    assert pixels(folder / "test" / "3.png").tolist() == [[2, 0], [9, 0]]
    assert names(folder / "train") == [f"{i:03}.png" for i in range(1, 13)]
    assert pixels(folder / "train" / "012.png").tolist() == [[9, 11], [0, 0]]
    assert labels(folder) == {f"{i + 1:03}.png": str(i % 2) for i in range(12)}


@pytest.mark.parametrize("first", [0, 1, 60001])
def test_a_sample_that_counts_from_another_number_is_followed(tmp_path, converted, names, first):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[0, 1, 2, 3, 4]])
    write(root / "test.csv", columns(4), [[i, 0, 9, 0] for i in range(3)])
    write(root / "sampleSubmission.csv", ["id", "y"], [[first + i, 0] for i in (2, 0, 1)])
    _, folder = converted(root)
    assert names(folder / "test") == [f"{first + i}.png" for i in range(3)]
    assert pixels(folder / "test" / f"{first}.png")[0, 0] == 0


def test_training_rows_are_never_named_like_test_rows(tmp_path, converted, names):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[0, 1, 2, 3, 4]] * 100)
    write(root / "test.csv", columns(4), [[9, 0, 9, 0]] * 1000)
    _, folder = converted(root)
    train, test = set(names(folder / "train")), set(names(folder / "test"))
    assert len(train) + len(test) == len(train | test) == 1100


def test_an_id_column_names_the_images(tmp_path, converted, labels, names):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [["7", 1, 2, 3, 4]])
    write(root / "test.csv", ["id", *columns(4)], [[f"q{i}.png", 0, 9, 0, 0] for i in range(2)])
    _, folder = converted(root)
    assert names(folder / "test") == ["q0.png", "q1.png"]


def test_the_usage_column_says_the_part(tmp_path, converted, names, labels):
    root = tmp_path / "in"
    usage = ["Training", "PublicTest", "PrivateTest", "Training"]
    rows = [[i, " ".join(["7"] * 16), part] for i, part in enumerate(usage)]
    write(root / "fer2013.csv", ["emotion", "pixels", "Usage"], rows)
    conversion, folder = converted(root)
    assert conversion.kind == "a column of 16 numbers"
    assert conversion.notes[0].startswith("fer2013.csv: Usage says the part of each row")
    assert names(folder) == [
        *("labels.csv", "test/2/03.png", "train/01.png", "train/04.png", "valid/02.png")
    ]
    assert labels(folder) == {"01.png": "0", "02.png": "1", "04.png": "3"}


def test_spaces_in_the_header_and_train_valid_test_as_words(tmp_path, converted, names):
    root = tmp_path / "in"
    rows = [[i, part, " ".join(["7"] * 16)] for i, part in enumerate(["train", "valid", "test"])]
    write(root / "faces.csv", ["emotion", " Usage", " pixels"], rows)
    assert names(converted(root)[1])[1:] == ["test/2/03.png", "train/01.png", "valid/02.png"]


def test_names_of_rows_and_columns_give_the_shape(tmp_path, converted):
    root = tmp_path / "in"
    header = ["label", *(f"{y}x{x}" for y in (1, 2) for x in (1, 2, 3))]
    write(root / "mnist_train.csv", header, [[5, 1, 2, 3, 4, 5, 6]])
    _, folder = converted(root)
    assert pixels(folder / "train" / "01.png").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_columns_of_plain_numbers_are_pixels_where_there_are_many(tmp_path, converted):
    root = tmp_path / "in"
    write(root / "train.csv", ["digit", *range(64)], [[3, *range(64)]])
    _, folder = converted(root)
    assert pixels(folder / "train" / "01.png").ravel().tolist() == list(range(64))


def test_a_table_of_other_numbers_is_not_one_of_pixels(tmp_path):
    write(tmp_path / "train.csv", ["label", *(f"x{i}" for i in range(16))], [[3, *range(16)]])
    assert conversion_of(tmp_path) is None


def test_numbers_from_0_to_1_are_multiplied_and_said(tmp_path, converted):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[3, 0, 0.2, 0.5, 1], [3, "1.0", 0, 0, 0]])
    conversion, folder = converted(root)
    assert conversion.notes == ("pixels are numbers from 0 to 1; they are multiplied by 255",)
    assert pixels(folder / "train" / "01.png").ravel().tolist() == [0, 51, 128, 255]


def test_whole_numbers_with_a_point_are_whole_numbers(tmp_path, converted):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[3, "0.0", "255.0", "1.0", " 7 "]])
    conversion, folder = converted(root)
    assert conversion.notes == ()
    assert pixels(folder / "train" / "01.png").ravel().tolist() == [0, 255, 1, 7]


@pytest.mark.parametrize("are_planes", [False, True])
def test_the_order_of_three_channels_is_the_smooth_one(tmp_path, converted, are_planes):
    root, images = tmp_path / "in", smooth(3, 8)
    flat = images.transpose(0, 3, 1, 2) if are_planes else images
    header = ["label", *columns(192)]
    write(root / "train.csv", header, [[i, *image.ravel()] for i, image in enumerate(flat)])
    _, folder = converted(root)
    assert np.array_equal(pixels(folder / "train" / "02.png"), images[1])


def test_the_label_is_what_the_sample_submission_asks_for(tmp_path, converted, labels):
    root = tmp_path / "in"
    header = ["writer", "label", "kind", *columns(4)]
    write(root / "train.csv", header, [["w", "x", "cat", 1, 2, 3, 4]])
    write(root / "sample_submission.csv", ["id", "kind"], [[1, "cat"]])
    conversion, folder = converted(root)
    assert labels(folder) == {"01.png": "cat"}
    assert conversion.notes == (
        "train.csv: the label is kind",
        "train.csv: columns that are not used: writer, label",
    )


def test_the_only_column_that_the_test_table_lacks_is_the_label(tmp_path, converted, labels):
    root = tmp_path / "in"
    write(root / "train.csv", ["writer", "glyph", *columns(4)], [["w", "a", 1, 2, 3, 4]])
    write(root / "test.csv", ["writer", *columns(4)], [["w", 1, 2, 3, 4]])
    assert labels(converted(root)[1]) == {"01.png": "a"}


def test_an_index_that_pandas_wrote_is_nothing(tmp_path, converted, labels):
    root = tmp_path / "in"
    write(root / "train.csv", ["", "label", *columns(4)], [[0, "a", 1, 2, 3, 4]])
    assert labels(converted(root)[1]) == {"01.png": "a"}


@pytest.mark.parametrize(
    ("index", "ids", "expected"),
    [
        ([0, 1, 2], [0, 1, 2], {0: "0", 1: "1", 2: "2"}),
        ([0, 1, 2], [2, 1, 0], {0: "0", 1: "1", 2: "2"}),
        ([0, 1, 2], [1, 2, 3], {0: "1", 1: "2", 2: "3"}),
        ([7, 3, 40], [3, 40, 7], {0: "7", 1: "3", 2: "40"}),
        ([7, 3, 40], [1, 2, 3], {0: "1", 1: "2", 2: "3"}),
    ],
)
def test_an_index_of_test_rows_is_the_id_where_the_sample_has_it(
    tmp_path, converted, index, ids, expected
):
    root = tmp_path / "in"
    write(root / "train.csv", ["", "label", *columns(4)], [[0, "a", 1, 2, 3, 4]])
    write(root / "test.csv", ["", *columns(4)], [[k, i, 9, 9, 9] for i, k in enumerate(index)])
    write(root / "sample_submission.csv", ["id", "label"], [[k, "a"] for k in ids])
    _, folder = converted(root)
    written = {int(pixels(path)[0, 0]): path.stem for path in (folder / "test").iterdir()}
    assert written == expected


def test_an_index_of_test_rows_that_counts_in_another_order_is_a_question(tmp_path):
    write(tmp_path / "train.csv", ["", "label", *columns(4)], [[0, "a", 1, 2, 3, 4]])
    write(tmp_path / "test.csv", ["", *columns(4)], [[k, 9, 9, 9, 9] for k in (2, 0, 1)])
    write(tmp_path / "sample_submission.csv", ["ImageId", "label"], [[k, "a"] for k in range(3)])
    with pytest.raises(DataError, match="another order\nname it ImageId"):
        conversion_of(tmp_path)


def test_a_table_whose_name_says_no_part_is_left_out_and_said(tmp_path, converted):
    root = tmp_path / "in"
    for name in ("train", "Dig-MNIST"):
        write(root / f"{name}.csv", ["label", *columns(4)], [[3, 1, 2, 3, 4]])
    conversion, _ = converted(root)
    assert conversion.notes == ("Dig-MNIST.csv: left out, the name says no part",)


def test_a_validation_table_has_names_of_its_own(tmp_path, converted, labels):
    root = tmp_path / "in"
    for name in ("train", "valid"):
        write(root / name / "pixels.csv", ["label", *columns(4)], [[name, 1, 2, 3, 4]])
    assert labels(converted(root)[1]) == {"01.png": "train", "valid-01.png": "valid"}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_empty_lines_and_compressed_tables(tmp_path, converted, delimiter):
    root = tmp_path / "in"
    root.mkdir()
    lines = ["﻿label,pixel0,pixel1,pixel2,pixel3", "", "a,1,2,3,4", ",,,,", "b,5,6,7,8", "", ""]
    text = "\r\n".join(lines).replace(",", delimiter)
    (root / "train.csv.gz").write_bytes(gzip.compress(text.encode()))
    conversion, folder = converted(root)
    assert conversion.n_images == 2
    assert pixels(folder / "train" / "02.png").ravel().tolist() == [5, 6, 7, 8]


def test_other_tables_are_copied(tmp_path, converted, names):
    root = tmp_path / "in"
    write(root / "train.csv", ["label", *columns(4)], [[3, 1, 2, 3, 4]])
    write(root / "classes.csv", ["number", "name"], [[3, "three"]])
    (root / "notes.txt").write_text("x")
    (root / "more.tsv").write_text("a\tb\n")
    (root / ".hidden.csv").write_text("a,b\n")
    assert names(converted(root)[1]) == [
        *("classes.csv", "labels.csv", "more.tsv", "notes.txt", "train/01.png")
    ]


def test_records_and_pixels_in_one_folder_are_a_question(tmp_path):
    write(tmp_path / "train.csv", ["label", *columns(4)], [[3, 1, 2, 3, 4]])
    write(tmp_path / "train2.csv", ["label", *columns(4)], [[3, 1, 2, 3, 4]])
    with pytest.raises(DataError, match=r"train.csv and train2.csv: each could hold the train"):
        conversion_of(tmp_path)


@given(st.integers(0, 10**6), st.integers(1, 50), st.randoms())
def test_numbers_in_a_row_are_known_in_any_order(first, n, random):
    ids = [str(first + i) for i in range(n)]
    random.shuffle(ids)
    assert first_number(ids) == first
    assert first_number([*ids, ids[0]]) is None
    assert first_number([*ids, "a"]) is None
