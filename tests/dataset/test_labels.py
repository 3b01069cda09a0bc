"""Labels of tables and of file names, joined with the images: every image its own label, or a word."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble import recipe
from ensemble.dataset.labels import labelled_by_name, labelled_files, labels_in_names
from ensemble.dataset.load import load
from ensemble.dataset.split import split_images
from ensemble.errors import DataError, EnsembleError
from ensemble.recipe import ColumnSplit, Data, LabelsFile, LabelsPattern

NAME_PATTERN = LabelsPattern(pattern=r"(.+)\.\d+")


@pytest.fixture
def make(tmp_path):
    """make(*names): image files by name, empty; returns the folder that holds them."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def refusal(call, *arguments, **settings):
    with pytest.raises(EnsembleError) as refused:
        call(*arguments, **settings)
    assert str(refused.value).count("\n") < 2
    return str(refused.value)


IDS = {
    "floats": ("{}.0", "{}.jpg"),
    "paths of Windows": ("train\\im{:02d}.jpg", "im{:02d}.jpg"),
    "paths of another machine": ("/kaggle/input/pets/train/im{:02d}.jpg", "im{:02d}.jpg"),
    "paths with a drive": ("C:\\me\\train\\im{:02d}.jpg", "im{:02d}.jpg"),
    "paths from elsewhere": ("../pets/train/im{:02d}.jpg", "im{:02d}.jpg"),
    "letters of another case": ("IM{:02d}.jpg", "im{:02d}.jpg"),
    "numbers without zeros": ("{}", "{:04d}.jpg"),
}


@pytest.mark.parametrize("case", IDS)
def test_ids_that_fit_by_a_looser_rule_are_matched_and_the_rule_is_said(case, make):
    as_id, as_file = IDS[case]
    root = make(*(f"train/{as_file.format(i)}" for i in range(12)))
    rows = "".join(f"{as_id.format(i)},c{i % 3}\n" for i in range(12))
    (root / "labels.csv").write_text("id,label\n" + rows)
    labelled = labelled_files(root, "train", "labels.csv")
    label_of = dict(zip(labelled.images.files, labelled.images.classes, strict=True))
    assert label_of == {root / "train" / as_file.format(i): f"c{i % 3}" for i in range(12)}
    (note,) = labelled.notes
    assert note.startswith("labels.csv: ids are matched ")


@pytest.mark.parametrize(
    ("as_id", "as_file"),
    [
        ("./train/{}.jpg", "{}.jpg"),
        ("train/{}.jpg", "{}.jpg"),
        ("{}.jpeg", "{}.jpg"),
        ("{}.JPG", "{}.jpg"),
        ("{}.jpg", "{}.png"),
        ("{}", "deep/down/{}.jpg"),
    ],
)
def test_ids_that_plainly_name_files_are_matched_without_a_word(as_id, as_file, make):
    root = make(*(f"train/{as_file.format(i)}" for i in range(12)))
    rows = "".join(f"{as_id.format(i)},c{i % 3}\n" for i in range(12))
    (root / "labels.csv").write_text("id,label\n" + rows)
    labelled = labelled_files(root, "train", "labels.csv")
    assert labelled.notes == ()
    label_of = dict(zip(labelled.images.files, labelled.images.classes, strict=True))
    assert label_of == {root / "train" / as_file.format(i): f"c{i % 3}" for i in range(12)}


def test_a_looser_rule_that_fits_two_files_is_no_rule(make):
    root = make("train/a1.jpg", "train/A1.jpg", "train/b.jpg")
    if len(list((root / "train").iterdir())) < 3:
        pytest.skip("this file system ignores case")
    (root / "labels.csv").write_text("id,label\nx/a1,cat\nB,dog\n")
    assert "has no file" in refusal(labelled_files, root, "train", "labels.csv")


def test_rows_without_an_image_are_counted_with_an_id_beside_a_file_name(make):
    root = make("train/a.jpg", "train/b.jpg")
    gone = "".join(f"gone{i},cat\n" for i in range(4))
    (root / "labels.csv").write_text("id,label\na,cat\nb,dog\n" + gone)
    message = refusal(labelled_files, root, "train", "labels.csv")
    for text in (
        "labels.csv:4: id 'gone0' has no file in ",
        "4 rows have none: 'gone0', 'gone1', 'gone2'\n",
        "an id: 'gone0', a file: 'a.jpg'",
        "data.skip_missing: true",
    ):
        assert text in message
    labelled = labelled_files(root, "train", "labels.csv", skip_missing=True)
    assert labelled.images.ids == ("a", "b")
    assert labelled.n_missing == 4
    note = "labels.csv: 4 of 6 rows have no image and are left out: 'gone0', 'gone1', 'gone2'"
    assert labelled.notes == (note,)


def test_a_table_about_other_images_is_refused_even_where_missing_ones_are_skipped(make):
    root = make("train/a.jpg", "train/b.jpg")
    (root / "labels.csv").write_text("id,label\nx,cat\ny,dog\n")
    message = refusal(labelled_files, root, "train", "labels.csv", skip_missing=True)
    assert "labels.csv:2: id 'x' has no file in " in message


def test_what_is_left_out_reaches_the_notes_of_the_data_set(tmp_path, tiny_images):
    tiny_images(tmp_path / "by-class")
    (tmp_path / "comp" / "train").mkdir(parents=True)
    rows = ["id, label", "gone, red"]
    for number, path in enumerate(sorted((tmp_path / "by-class").rglob("*.png"))):
        path.rename(tmp_path / "comp" / "train" / f"{number:02d}.png")
        if number > 2:
            rows.append(f"{number:02d}, {path.parent.name}")
    (tmp_path / "comp" / "labels.csv").write_text("\n".join(rows))
    data = load(Data(source="csv", path=str(tmp_path / "comp"), skip_missing=True, valid=0.25))
    assert data.classes == ("blue", "green", "red")
    assert data.n_missing == 1
    assert data.notes == (
        "labels.csv: blanks around 59 cells are left out: ' red' is 'red'",
        "labels.csv: 1 of 58 rows have no image and are left out: 'gone'",
        "train: 3 of 60 images have no row in labels.csv and are left out",
    )


def test_images_without_a_row_are_not_counted_where_they_are_the_test_images(make):
    root = make(*(f"train/{i}.jpg" for i in range(8)))
    (root / "labels.csv").write_text("id,label\n" + "".join(f"{i},c{i % 2}\n" for i in range(6)))
    splits = split_images(Data(source="csv", path="x", test="train", valid=0.5), root)
    assert splits.test.ids == ("6", "7")
    assert splits.notes == ()


def test_a_blank_that_the_file_has_too_stays_in_the_id(make):
    root = make("train/ a.jpg", "train/a.jpg")
    (root / "labels.csv").write_text("id,label\n a,cat\na,dog\n")
    images = labelled_files(root, "train", "labels.csv").images
    assert images.ids == (" a", "a")
    assert images.labels == ("cat", "dog")
    assert images.files == (root / "train/ a.jpg", root / "train/a.jpg")


def test_labels_named_as_missing_values_are_kept_and_said(make):
    root = make(*(f"train/{i}.jpg" for i in range(4)))
    (root / "labels.csv").write_text("id,label\n0,nan\n1,nan\n2,cat\n3,NaN\n")
    labelled = labelled_files(root, "train", "labels.csv")
    assert set(labelled.images.classes) == {"nan", "cat", "NaN"}
    assert labelled.notes == (
        "1 images are labeled 'NaN': a class, or a label that is missing?",
        "2 images are labeled 'nan': a class, or a label that is missing?",
    )


def test_a_first_row_that_names_an_image_is_no_header(make):
    root = make("train/a.jpg", "train/b.jpg", "train/id.jpg")
    for text in ("a.jpg,cat\nb.jpg,dog\n", "a,cat\nb,cat\n", "cat,a.jpg\ndog,b.jpg\n"):
        (root / "labels.csv").write_text(text)
        message = refusal(labelled_files, root, "train", "labels.csv")
        assert "seems to have no header\nwrite the names of the columns" in message
    (root / "labels.csv").write_text("id,label\na,cat\nb,dog\n")
    assert labelled_files(root, "train", "labels.csv").images.ids == ("a", "b")


def test_an_unnamed_first_column_is_not_taken_for_the_ids_unless_it_is_named_so(make):
    root = make("train/0.jpg", "train/1.jpg")
    (root / "labels.csv").write_text(",image,label\n0,1.jpg,cat\n1,0.jpg,dog\n")
    assert "an index, or the ids?" in refusal(labelled_files, root, "train", "labels.csv")
    columns = LabelsFile(file="labels.csv", id="image", label="label")
    assert labelled_files(root, "train", columns).images.labels == ("dog", "cat")


def test_a_column_for_each_class_is_not_taken_for_the_labels(make):
    root = make("train/a.jpg", "train/b.jpg")
    for one, zero in (("1", "0"), ("1.0", "0.0")):
        rows = f"a,{one},{zero},3\nb,{zero},{one},4\n"
        (root / "labels.csv").write_text("id,CAT,DOG,fold\n" + rows)
        message = refusal(labelled_files, root, "train", "labels.csv")
        assert "CAT, DOG: a column for each class" in message
    columns = LabelsFile(file="labels.csv", id="id", label="CAT")
    assert labelled_files(root, "train", columns).images.labels == ("1.0", "0.0")


def test_rows_are_shared_out_between_nested_folders_by_whole_names(make):
    root = make("train/sub/1.jpg", "val/1.jpg", "train/2.jpg")
    (root / "labels.csv").write_text("id,label\n1,cat\nsub/1,dog\n2,cat\n")
    assert labelled_files(root, "train", "labels.csv", "val").images.ids == ("2", "sub/1")
    assert labelled_files(root, "val", "labels.csv", "train").images.ids == ("1",)


def test_labels_are_found_in_file_names_alone(make):
    root = make("train/cat.0/dog.1.jpg", "train/cat.2.jpg", "train/big dog.3.jpg")
    images = labelled_by_name(root, "train", r"(.+)\.\d+").images
    assert images.ids == ("big dog.3", "cat.0/dog.1", "cat.2")
    assert images.labels == ("big dog", "dog", "cat")


@given(st.lists(st.sampled_from(["cat", "dog", "a b", "é"]), min_size=1, max_size=20))
def test_a_pattern_gives_every_file_the_class_in_its_name(names):
    files = [Path(f"x/{name}.{number}.jpg") for number, name in enumerate(names)]
    assert list(labels_in_names(files, r"(.+)\.\d+").values()) == names


def test_file_names_that_do_not_fit_are_refused_or_the_test_images_of_the_same_folder(make):
    root = make(*(f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(4)))
    make("train/7.jpg", "train/8.jpg")
    data = Data(source="csv", path="x", labels=NAME_PATTERN, valid=0.5)
    message = refusal(split_images, data, root)
    assert "2 of 10 file names do not fit data.labels: '7.jpg', '8.jpg'\n" in message
    splits = split_images(data.model_copy(update={"test": "train"}), root)
    assert (splits.test.ids, splits.test.labels) == (("7", "8"), None)
    assert len(splits.train) + len(splits.valid) == 8
    assert splits.notes == (
        "2 images that data.labels does not fit are the test images: '7.jpg', '8.jpg'",
    )


def test_a_validation_folder_is_labelled_by_the_same_pattern(make):
    root = make(*(f"{part}/{name}.{i}.jpg" for part in "tv" for name in "ab" for i in range(2)))
    data = Data(source="csv", path="x", train="t", valid="v", labels=NAME_PATTERN)
    splits = split_images(data, root)
    assert splits.valid.labels == splits.train.labels == ("a", "a", "b", "b")
    columns = data.model_copy(update={"valid": ColumnSplit(column="part")})
    assert "data.valid: {column" in refusal(split_images, columns, root)


def test_test_images_can_be_those_that_a_table_names(make):
    root = make(*(f"images/Train_{i}.jpg" for i in range(8)), "images/Test_0.jpg", "more/x.jpg")
    (root / "labels.csv").write_text(
        "id,label\n" + "".join(f"Train_{i},c{i % 2}\n" for i in range(8))
    )
    (root / "test.csv").write_text("image_id\nTest_0\nx\n")
    test = recipe.TestTable(file="test.csv", id="image_id")
    splits = split_images(Data(source="csv", path="x", train="images", valid=0.5, test=test), root)
    assert splits.test.ids == ("Test_0", "x")
    assert splits.test.files == (root / "images/Test_0.jpg", root / "more/x.jpg")
    assert splits.test.labels is None
    assert splits.notes == ()


def test_listed_test_images_of_class_folders_and_names_leave_the_training_images(make):
    root = make(*(f"train/{name}/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(4)))
    (root / "test.csv").write_text("id\ncat/cat.3\ndog.0\n")
    test = recipe.TestTable(file="test.csv", id="id")
    for settings in ({"source": "folder"}, {"source": "csv", "labels": NAME_PATTERN}):
        splits = split_images(Data(path="x", valid=0.5, test=test, **settings), root)
        assert splits.test.ids == ("cat/cat.3", "dog.0")
        assert splits.test.labels == ("cat", "dog")
        files = {*splits.train.files, *splits.valid.files}
        assert len(files) == 6
        assert files.isdisjoint(splits.test.files)


def test_listed_test_images_of_which_only_some_have_a_label_are_used_without(make):
    root = make(*(f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(4)))
    make("train/9.jpg")
    (root / "test.csv").write_text("id\n9\ncat.0\n")
    data = Data(
        source="csv",
        path="x",
        valid=0.5,
        labels=NAME_PATTERN,
        test=recipe.TestTable(file="test.csv", id="id"),
    )
    splits = split_images(data, root)
    assert splits.test.labels is None
    assert splits.notes == ("test images are used without labels: 1 of 2 names hold one",)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("t0\ngone1\ngone2\n", "test.csv:3: id 'gone1' has no file in "),
        ("t0\ngone1\ngone2\n", "2 rows have none: 'gone1', 'gone2'\n"),
        ("t0\n0\n", "test.csv:3: 1 test images have a label in labels.csv: '0'\n"),
        ("t0\nt0.jpg\n", "test.csv:3: id 't0.jpg' appears twice"),
        ("t1\n", "test.csv:2: id 't1' fits 2 files: a/t1.jpg and b/t1.jpg"),
    ],
)
def test_a_table_of_test_images_that_fits_badly_is_refused(rows, expected, make):
    root = make(*(f"train/{i}.jpg" for i in range(4)), "train/t0.jpg", "a/t1.jpg", "b/t1.jpg")
    (root / "labels.csv").write_text("id,label\n0,a\n1,b\n2,a\n3,b\n")
    (root / "test.csv").write_text("id\n" + rows)
    test = recipe.TestTable(file="test.csv", id="id")
    assert expected in refusal(split_images, Data(source="csv", path="x", test=test), root)


def test_bare_ids_that_fit_a_training_and_another_image_are_not_guessed(make):
    root = make(*(f"train/{name}/{i}{name}.jpg" for name in "ab" for i in range(3)), "test/0a.jpg")
    (root / "test.csv").write_text("id\n0a\n")
    data = Data(source="folder", path="x", test=recipe.TestTable(file="test.csv", id="id"))
    assert "'0a' fits 2 files: test/0a.jpg and train/a/0a.jpg" in refusal(split_images, data, root)
    (root / "test.csv").write_text("id\ntest/0a\n")
    splits = split_images(data, root)
    assert splits.test.files == (root / "test/0a.jpg",)


def test_classes_in_another_case_are_the_same_where_that_is_unique(tmp_path, tiny_images):
    root = tmp_path / "set"
    for part in ("train", "val", "test"):
        tiny_images(root / part)
    (root / "val" / "red").rename(root / "val" / "Red")
    (root / "test" / "blue").rename(root / "test" / "BLUE")
    data = load(Data(source="folder", path=str(root), valid="val", test="test"))
    assert set(data.valid.classes) == set(data.test.classes) == {"blue", "green", "red"}
    assert data.notes == (
        "validation classes in another case: 'Red' is 'red'",
        "test classes in another case: 'BLUE' is 'blue'",
    )
    (root / "test" / "BLUE").rename(root / "test" / "azure")
    data = load(Data(source="folder", path=str(root), valid="val", test="test"))
    assert data.test.labels is None
    assert data.notes[0] == "test images are used without labels: folder 'azure' is not a class"


def test_letters_of_both_cases_are_two_classes(tmp_path, tiny_images):
    root = tmp_path / "set"
    for part in ("train", "val"):
        tiny_images(root / part)
        (root / part / "red").rename(root / part / "a")
        (root / part / "blue").rename(root / part / "A")
    data = load(Data(source="folder", path=str(root), valid="val"))
    assert data.classes == ("A", "a", "green")
    assert data.notes == ()
    (root / "val" / "green").rename(root / "val" / "b")
    with pytest.raises(DataError, match="validation has classes without training images: b"):
        load(Data(source="folder", path=str(root), valid="val"))


def test_listed_test_images_leave_a_validation_folder_too(make):
    root = make(
        *(f"{part}/{name}/{i}{part}{name}.jpg" for part in "tv" for name in "ab" for i in range(3))
    )
    (root / "test.csv").write_text("id\n0va\n1vb\n")
    test = recipe.TestTable(file="test.csv", id="id")
    splits = split_images(Data(source="folder", path="x", train="t", valid="v", test=test), root)
    assert (splits.test.ids, splits.test.labels) == (("0va", "1vb"), ("a", "b"))
    assert len(splits.valid) == 4
    assert set(splits.valid.files).isdisjoint(splits.test.files)
    (root / "test.csv").write_text("id\n" + "".join(f"{i}v{k}\n" for i in range(3) for k in "ab"))
    data = Data(source="folder", path="x", train="t", valid="v", test=test)
    assert "data.test: test.csv names every image in" in refusal(split_images, data, root)
