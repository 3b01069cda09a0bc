"""Image tables from class folders, labels files and the digits."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset import class_folders as folders
from ensemble.dataset.class_folders import class_folders
from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.labels import labelled_files
from ensemble.dataset.scan import image_files
from ensemble.dataset.tables import digits_folder, ids_of
from ensemble.errors import DataError
from ensemble.recipe import LabelsFile


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def labels(folder, text, name="labels.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def refusal(call, *args):
    with pytest.raises(DataError) as refused:
        call(*args)
    assert str(refused.value).count("\n") < 3
    return str(refused.value)


def test_class_folders_give_labels_and_ids_without_suffix(tmp_path):
    make(
        tmp_path,
        "cat/1.JPG",
        "dog/deep/2.png",
        "dog/1.png",
        "dog/notes.txt",
        ".git/x.png",
        "cat/._1.jpg",
    )
    images = class_folders(tmp_path)
    assert images.ids == ("cat/1", "dog/1", "dog/deep/2")
    assert images.labels == ("cat", "dog", "dog")
    assert images.files == (
        tmp_path / "cat/1.JPG",
        tmp_path / "dog/1.png",
        tmp_path / "dog/deep/2.png",
    )


def test_a_suffix_stays_where_two_files_differ_by_it_alone(tmp_path):
    make(tmp_path, "a/1.png", "a/1.jpg", "a/2.png", "b/3.png.jpg", "b/3.png", "b/3.gif")
    assert class_folders(tmp_path).ids == (
        "a/1.jpg",
        "a/1.png",
        "a/2",
        "b/3.gif",
        "b/3.png",
        "b/3.png.jpg",
    )


@given(
    st.lists(st.from_regex(r"([ab]/){0,2}[ab]{1,2}(\.png|\.jpg){1,3}", fullmatch=True), unique=True)
)
def test_ids_are_unique_and_the_same_in_any_order_of_the_files(names):
    files = [Path("root") / name for name in names]
    ids = ids_of(files, Path("root"))
    assert len(set(ids)) == len(ids)
    assert all(
        name == key or name.rpartition(".")[0] == key for name, key in zip(names, ids, strict=True)
    )
    assert dict(zip(files[::-1], ids_of(files[::-1], Path("root")), strict=True)) == dict(
        zip(files, ids, strict=True)
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["x.png"], "expected one folder per class, found none"),
        (["a/1.png", "b/readme.txt"], "/b: no image in this class folder (1 such folders)"),
        (["a/1.png", "b/1.png", "2.png"], "/2.png: an image outside the class folders (1 of them)"),
    ],
)
def test_a_folder_that_is_not_class_folders_is_told_with_the_place(files, said, tmp_path):
    assert said in refusal(class_folders, make(tmp_path / "train", *files))


def test_a_missing_folder_is_told_with_what_is_there_instead(tmp_path):
    make(tmp_path, "training/a.png", "valid/b.png")
    message = refusal(image_files, tmp_path / "train")
    assert message == f"{tmp_path}/train: no such folder\n{tmp_path} holds: training, valid"
    assert "does not exist either" in refusal(image_files, tmp_path / "no" / "train")


def test_a_file_name_that_is_not_utf_8_is_refused_by_name(tmp_path):
    try:
        with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert "caf\\udce9.png': its name is not text in UTF-8\nrename the file" in refusal(
        image_files, tmp_path
    )


def test_names_of_any_script_and_odd_characters_are_fine(tmp_path):
    names = ["ça va.png", "鸟.png", "screen\u202fshot.png", "a,b;c'd.png"]
    assert {file.name for file in image_files(make(tmp_path, *names))} == set(names)


def test_a_test_folder_is_labelled_only_where_every_image_lies_in_a_known_class(tmp_path):
    known = make(tmp_path / "known", "cat/1.png", "dog/2.png")
    images, line = folders.test_folder(known, ["cat", "dog", "owl"])
    assert (images.labels, line) == (("cat", "dog"), "")
    images, line = folders.test_folder(known, ["cat"])
    assert images.labels is None
    assert line == "test images are used without labels: folder 'dog' is not a class"
    flat, line = folders.test_folder(make(tmp_path / "flat", "0002.png", "0001.png"), ["cat"])
    assert (flat.ids, flat.labels, line) == (("0001", "0002"), None, "")
    (tmp_path / "empty").mkdir()
    assert "no image in the test folder" in refusal(
        folders.test_folder, tmp_path / "empty", ["cat"]
    )


def test_rows_can_be_taken_by_position(tmp_path):
    images = class_folders(make(tmp_path, "a/1.png", "b/2.png", "b/3.png"))
    taken = images.take(np.array([2, 0]))
    assert (taken.ids, taken.labels, len(taken)) == (("b/3", "a/1"), ("b", "a"), 2)


def test_a_labels_file_joins_by_text_and_keeps_leading_zeros(tmp_path):
    make(tmp_path, "train/001.png", "train/1.png", "train/sub/2.jpg", "train/unnamed.png")
    labels(tmp_path, "\ufeffid,label,part\r\n1,007,x\r\nsub/2.jpg,NA,y\r\n\r\n001,no,z\r\n")
    labelled = labelled_files(tmp_path, "train", "labels.csv")
    images = labelled.images
    assert images.ids == ("001", "1", "sub/2.jpg")
    assert images.labels == ("no", "007", "NA")
    assert images.files == (
        tmp_path / "train/001.png",
        tmp_path / "train/1.png",
        tmp_path / "train/sub/2.jpg",
    )
    assert labelled.column("part", "data.group") == ("z", "x", "y")


def test_columns_can_be_named(tmp_path):
    make(tmp_path, "train/a.png")
    labels(tmp_path, "breed,n,file\npug,1,a\n", "meta.csv")
    named = LabelsFile(file="meta.csv", id="file", label="breed")
    assert labelled_files(tmp_path, "train", named).images.labels == ("pug",)
    message = refusal(
        labelled_files, tmp_path, "train", LabelsFile(file="meta.csv", id="file", label="bread")
    )
    assert "meta.csv: no column 'bread'; it has breed, n, file" in message


@given(st.permutations(range(6)))
def test_the_order_of_a_labels_file_does_not_matter(tmp_path_factory, order):
    folder = make(tmp_path_factory.mktemp("csv"), *[f"train/{i}.png" for i in range(6)])
    labels(folder, "id,label\n" + "".join(f"{i},c{i % 2}\n" for i in order))
    images = labelled_files(folder, "train", "labels.csv").images
    assert (images.ids, images.labels) == (tuple("012345"), ("c0", "c1") * 3)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,cat\n9,dog\n", "labels.csv:3: id '9' has no file in"),
        ("1,cat\n01,dog\n", "labels.csv:3: id '01' has no file in"),
        ("1,cat\n2,dog\n", "labels.csv:3: id '2' fits 2 files in"),
        ("1,cat\n1,dog\n", "labels.csv:3: id '1' appears twice"),
        ("1,cat\n1.png,dog\n", "labels.csv:3: id '1.png' appears twice"),
        ("1,\n", "labels.csv:2: '1' has an empty label"),
        ("1,cat\n3,dog,big\n", "labels.csv: row 3 has 3 cells, the header 2"),
        ('1,"cat\n', "labels.csv: not a readable CSV"),
        ("", "labels.csv: a CSV needs a header and at least one row"),
    ],
)
def test_a_wrong_row_is_told_with_file_line_and_id(rows, said, tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "train/2.jpg", "train/3.png")
    labels(tmp_path, "id,label\n" + rows)
    assert said in refusal(labelled_files, tmp_path, "train", "labels.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id\n1\n", "needs two columns, id and label; it has only 'id'"),
        (b"id,id\n1,2\n", "a column name appears twice in id, id"),
        (b"\x89PNG\xff", "not a readable CSV in UTF-8"),
        (b"", "a CSV needs a header"),
    ],
)
def test_a_file_that_is_no_labels_file_is_told(content, said, tmp_path):
    make(tmp_path, "train/1.png")
    (tmp_path / "labels.csv").write_bytes(content)
    assert said in refusal(labelled_files, tmp_path, "train", "labels.csv")


def test_a_missing_labels_file_is_told_with_what_is_there(tmp_path):
    make(tmp_path, "train/1.png", "train.csv")
    assert refusal(read_csv, tmp_path / "labels.csv").endswith(
        f"no such file\n{tmp_path} holds: train, train.csv"
    )


def test_rows_about_the_other_folder_are_passed_over_and_rows_about_both_are_refused(tmp_path):
    make(tmp_path, "train/1.png", "train/2.png", "val/3.png")
    labels(tmp_path, "id,label\n1,a\n2,b\n3,a\n")
    assert labelled_files(tmp_path, "train", "labels.csv", "val").images.ids == ("1", "2")
    assert labelled_files(tmp_path, "val", "labels.csv", "train").images.ids == ("3",)
    make(tmp_path, "val/1.png")
    message = refusal(labelled_files, tmp_path, "train", "labels.csv", "val")
    assert "labels.csv:2: id '1' has a file in" in message


def test_the_digits_are_written_once_as_images_and_labels(tmp_path):
    folder = digits_folder()
    images = labelled_files(folder, "train", "labels.csv").images
    assert len(images) == 1797
    assert sorted(set(images.labels)) == [str(i) for i in range(10)]
    (folder / "mark").touch()
    assert digits_folder() == folder
    assert (folder / "mark").exists()
    assert [child.name for child in folder.parent.iterdir()] == [folder.name]


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"  # é as one character, and as macOS writes it


@pytest.mark.parametrize(("on_disk", "in_csv"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_a_labels_file_finds_its_images_in_either_unicode_form_and_keeps_its_own_spelling(
    on_disk, in_csv, tmp_path
):
    (tmp_path / "train").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / f"{on_disk}.png")
    (tmp_path / "labels.csv").write_text(f"id,label\n{in_csv},{in_csv}\n", encoding="utf-8")
    images = labelled_files(tmp_path, "train", "labels.csv").images
    assert images.ids == images.labels == (in_csv,)


def test_two_files_in_two_forms_are_told_apart_by_exact_names(tmp_path):
    (tmp_path / "train").mkdir()
    for name in (COMPOSED, DECOMPOSED):
        Image.new("RGB", (4, 4)).save(tmp_path / "train" / f"{name}.png")
    (tmp_path / "labels.csv").write_text(
        f"id,label\n{COMPOSED},a\n{DECOMPOSED},b\n", encoding="utf-8"
    )
    images = labelled_files(tmp_path, "train", "labels.csv").images
    assert dict(zip(images.labels, images.files, strict=True))["b"].name == f"{DECOMPOSED}.png"
