"""Folders named like splits are never classes, however they are spelled and nested."""

import pytest
from PIL import Image

from ensemble.dataset.detect import detect_layout
from ensemble.dataset.split_folders import split_of_name
from ensemble.errors import DataError


@pytest.fixture
def images(tmp_path):
    """images(*folders): three images in each folder below the root, which is returned."""

    def images(*folders):
        for number, folder in enumerate(folders):
            path = tmp_path / "set" / folder
            path.mkdir(parents=True, exist_ok=True)
            for i in range(3):
                Image.new("RGB", (8, 8), (number, i, 0)).save(path / f"{number}{i}.png")
        return tmp_path / "set"

    return images


def splits(layout):
    return layout.train, layout.valid, layout.test


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in ("train", "Training", "seg_train", "train-jpg", "TrainSet")),
        *((name, "train") for name in ("training_set", "train_features", "trainResized", "trn")),
        *((name, "test") for name in ("test_stg1", "testset", "TestImages", "seg_pred", "eval")),
        *((name, "valid") for name in ("val", "validation_set", "dev")),
        *((name, None) for name in ("strainer", "contest", "latest", "predator", "trainer")),
        *((name, None) for name in ("train_test", "medieval", "images", "forest", "")),
    ],
)
def test_a_name_means_a_split_by_its_words(name, split):
    assert split_of_name(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [("train_set", "test_set"), ("train-jpg", "test-jpg"), ("TrainImages", "TestImages")],
)
def test_class_folders_below_splits_of_any_spelling(images, train, test):
    layout = detect_layout(str(images(f"{train}/cat", f"{train}/dog", test)))
    assert splits(layout) == (train, None, test)
    assert layout.counts == {"cat": 3, "dog": 3}
    assert layout.n_test == 3


def test_doubled_and_wrapping_folders_are_looked_through(images):
    root = images(
        "seg_train/seg_train/cat",
        "seg_train/seg_train/dog",
        "seg_test/seg_test/cat",
        "seg_test/seg_test/dog",
        "seg_pred/seg_pred",
    )
    layout = detect_layout(str(root))
    assert splits(layout) == ("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred")
    assert (layout.n_valid, layout.n_test) == (6, 3)


def test_a_folder_around_the_classes_is_no_class(images):
    layout = detect_layout(str(images("train/all/cat", "train/all/dog", "testset/testset")))
    assert splits(layout) == ("train/all", None, "testset/testset")
    assert layout.counts == {"cat": 3, "dog": 3}


def test_a_folder_of_classes_beside_a_readme_is_looked_into(images):
    root = images("PetImages/Cat", "PetImages/Dog")
    (root / "readme.txt").write_text("Cats and dogs")
    layout = detect_layout(str(root))
    assert (layout.train, layout.counts) == ("PetImages", {"Cat": 3, "Dog": 3})


def test_labels_name_the_images_of_a_training_folder_of_any_spelling(images):
    root = images("train_set", "test_set")
    (root / "labels.csv").write_text("id,label\n00,a\n01,b\n02,a\n")
    layout = detect_layout(str(root))
    assert (layout.source, layout.train, layout.test) == ("csv", "train_set", "test_set")
    assert layout.counts == {"a": 2, "b": 1}


def test_a_class_may_be_called_like_one_split(images):
    layout = detect_layout(str(images("test_tube", "beaker", "flask")))
    assert splits(layout) == (".", None, None)
    assert sorted(layout.counts) == ["beaker", "flask", "test_tube"]


def test_two_folders_that_could_be_one_split_are_refused(images):
    root = images("train_a/cat", "train_a/dog", "train_b/cat", "train_b/dog", "test_set")
    with pytest.raises(DataError, match="train_a, train_b: each could be the train folder"):
        detect_layout(str(root))


def test_a_single_class_is_refused(images):
    with pytest.raises(DataError, match="'cat' would be the only class"):
        detect_layout(str(images("train/cat", "test")))


class TestLabelColumn:
    """The sample submission says which column is asked for."""

    def competition(self, images, labels, sample):
        root = images("train", "test")
        (root / "train.csv").write_text(labels)
        (root / "sample_submission.csv").write_text(sample)
        return str(root)

    def test_it_is_that_of_the_sample(self, images):
        labels = "id,diagnosis,target\n00,x,0\n01,y,1\n02,x,0\n"
        layout = detect_layout(self.competition(images, labels, "id,target\n10,0\n11,0\n12,0\n"))
        assert layout.labels == ("train.csv", "id", "target")

    def test_several_columns_of_the_sample_are_several_labels(self, images):
        labels = "id,wet,cold\n00,1,1\n01,0,1\n02,0,0\n"
        sample = "id,wet,cold\n10,0,0\n11,0,0\n12,0,0\n"
        with pytest.raises(DataError, match="wet, cold: the sample submission asks for all"):
            detect_layout(self.competition(images, labels, sample))

    def test_numbers_to_predict_are_refused(self, images):
        labels = "id,score\n00,20\n01,30\n02,45\n"
        sample = "id,score\n10,31.5\n11,31.5\n12,31.5\n"
        with pytest.raises(DataError, match="score: the sample submission asks for numbers"):
            detect_layout(self.competition(images, labels, sample))

    def test_probabilities_of_a_column_of_two_classes_are_no_numbers_to_predict(self, images):
        labels = "id,score\n00,0\n01,1\n02,1\n"
        sample = "id,score\n10,0.5\n11,0.5\n12,1.0\n"
        assert detect_layout(self.competition(images, labels, sample)).labels[2] == "score"

    def test_class_folders_that_are_not_what_the_sample_asks_for_are_refused(self, images):
        root = images("train/north", "train/south", "test")
        rows = ["00,7", "01,8", "02,7", "10,8", "11,7", "12,8"]
        (root / "train.csv").write_text("\n".join(["image,hotel", *rows]) + "\n")
        (root / "sample_submission.csv").write_text("image,hotel\n20,7\n21,7\n22,7\n")
        with pytest.raises(DataError, match="hotel, which the sample submission asks for, differs"):
            detect_layout(str(root))

    def test_a_table_that_repeats_the_class_folders_is_fine(self, images):
        root = images("train/cat", "train/dog", "test")
        rows = ["00.png,cat", "01.png,cat", "02.png,cat", "10.png,dog", "11.png,dog", "12.png,dog"]
        (root / "train.csv").write_text("\n".join(["image,label", *rows]) + "\n")
        (root / "sample_submission.csv").write_text("image,label\n20.png,cat\n")
        assert detect_layout(str(root)).source == "folder"

    def test_an_index_beside_ids_that_count_too_is_refused_unless_the_sample_names_one(
        self, images
    ):
        labels = ",name,label\n00,02,a\n01,01,b\n02,00,a\n"
        with pytest.raises(DataError, match="the cells of '' and of 'name' both name"):
            detect_layout(self.competition(images, labels, "id,label\n10,a\n11,a\n12,a\n"))
        layout = detect_layout(self.competition(images, labels, "name,label\n10,a\n11,a\n12,a\n"))
        assert layout.labels == ("train.csv", "name", "label")

    def test_two_spellings_of_the_same_ids_are_one(self, images):
        labels = "file,id,label\n00.png,00,a\n01.png,01,b\n02.png,02,a\n"
        layout = detect_layout(self.competition(images, labels, "Id,label\n10,a\n11,a\n12,a\n"))
        assert layout.labels == ("train.csv", "file", "label")
