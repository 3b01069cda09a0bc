"""Folders named like splits are never classes, however they are spelled and nested."""

import pytest
from PIL import Image

from ensemble.dataset.split_names import split_of_name
from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand


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


def splits(understood):
    folders = (
        understood.labeling.folder,
        understood.valid,
        understood.test and understood.test.folder,
    )
    return tuple(folder and folder.name for folder in folders)


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
    understood = understand(images(f"{train}/cat", f"{train}/dog", test))
    assert splits(understood) == (train, None, test)
    assert understood.counts == {"cat": 3, "dog": 3}
    assert understood.n_test == 3


def test_doubled_and_wrapping_folders_are_looked_through(images):
    root = images(
        "seg_train/seg_train/cat",
        "seg_train/seg_train/dog",
        "seg_test/seg_test/cat",
        "seg_test/seg_test/dog",
        "seg_pred/seg_pred",
    )
    understood = understand(root)
    assert splits(understood) == ("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred")
    assert (understood.n_valid, understood.n_test) == (6, 3)


def test_a_folder_around_the_classes_is_no_class(images):
    understood = understand(images("train/all/cat", "train/all/dog", "testset/testset"))
    assert splits(understood) == ("train/all", None, "testset/testset")
    assert understood.counts == {"cat": 3, "dog": 3}


def test_a_folder_of_classes_beside_a_readme_is_looked_into(images):
    root = images("PetImages/Cat", "PetImages/Dog")
    (root / "readme.txt").write_text("Cats and dogs")
    understood = understand(root)
    assert (splits(understood)[0], understood.counts) == ("PetImages", {"Cat": 3, "Dog": 3})


def test_labels_name_the_images_of_a_training_folder_of_any_spelling(images):
    root = images("train_set", "test_set")
    (root / "labels.csv").write_text("id,label\n00,a\n01,b\n02,a\n")
    understood = understand(root)
    assert splits(understood) == ("train_set", None, "test_set")
    assert understood.counts == {"a": 2, "b": 1}


def test_a_class_may_be_called_like_one_split(images):
    understood = understand(images("test_tube", "beaker", "flask"))
    assert splits(understood) == (".", None, None)
    assert sorted(understood.counts) == ["beaker", "flask", "test_tube"]


def test_two_folders_that_could_be_one_split_are_a_question(images):
    root = images("train_a/cat", "train_a/dog", "train_b/cat", "train_b/dog", "test_set")
    (question,) = understand(root).questions
    assert [option for option, _ in question.choices] == ["--train train_a", "--train train_b"]
    assert splits(understand(root, Options(train="train_b"))) == ("train_b", None, "test_set")


def test_a_single_class_is_refused(images):
    with pytest.raises(DataError, match="'cat' would be the only class"):
        understand(images("train/cat", "test"))


def test_class_folders_beside_a_test_folder_are_the_classes(images):
    understood = understand(images("cat", "dog", "test"))
    assert (understood.counts, understood.n_test) == ({"cat": 3, "dog": 3}, 3)


def test_the_same_classes_in_several_forms_are_a_question(images):
    root = images("color/cat", "color/dog", "grey/cat", "grey/dog")
    for folder in ("color/dog", "grey/cat", "grey/dog"):
        for old, new in zip(sorted((root / folder).iterdir()), "abc", strict=True):
            old.rename(old.with_name(f"{folder[-3:]}{new}.png"))
    for old, new in zip(sorted((root / "color/cat").iterdir()), "abc", strict=True):
        old.rename(old.with_name(f"cat{new}.png"))
    (question,) = understand(root).questions
    options = [option for option, _ in question.choices]
    assert options == ["--train color", "--train grey", "--train ."]


def test_smaller_copies_are_passed_over(images):
    root = images("train_small", "test_small")
    for split in ("train", "test"):
        (root / f"{split}_large").mkdir()
        for file in (root / f"{split}_small").iterdir():
            Image.new("RGB", (32, 32)).save(root / f"{split}_large" / file.name)
    (root / "labels.csv").write_text("id,label\n00,a\n01,b\n02,a\n")
    understood = understand(root)
    assert splits(understood) == ("train_large", None, "test_large")
    assert understood.notes == ("not used: 6 images, such as test_small/10.png",)


def test_folders_inside_class_folders_are_a_question(images):
    root = images("train/fruit/apple", "train/fruit/pear", "train/root/carrot", "train/root/beet")
    (question,) = understand(root).questions
    assert [option for option, _ in question.choices] == ["--label folders", "--label subfolders"]
    assert list(understand(root, Options(label="subfolders")).counts) == [
        *("apple", "beet", "carrot", "pear")
    ]


def test_numbered_folders_are_parts_where_a_table_names_their_images(images):
    root = images("images_part_1", "images_part_2")
    rows = [f"{part}{i},{'ab'[i % 2]},L{i}" for part in (0, 1) for i in range(3)]
    (root / "metadata.csv").write_text("\n".join(["image_id,dx,lesion_id", *rows]) + "\n")
    understood = understand(root)
    assert (splits(understood)[0], understood.counts) == (".", {"a": 4, "b": 2})
    assert [group.column for group in understood.groups] == ["lesion_id"]


def test_folders_that_are_numbered_parts_of_a_split_are_no_classes(layout):
    images = [f"train-00000{part}/{part}{i}.png" for part in range(2) for i in range(8)]
    texts = {image.replace(".png", ".cls"): [str(i % 2)] for i, image in enumerate(images)}
    with pytest.raises(DataError, match=r"00\.cls: a file for each image is not read as labels"):
        understand(layout(images, texts))


def test_a_table_of_masks_and_images_is_about_the_images(layout):
    names = [f"{breed}_{i}" for breed in ("abys", "pug") for i in range(8)]
    images = [f"{folder}/{name}.png" for folder in ("images", "notes/trimaps") for name in names]
    rows = {name: f"{name} {1 + (name < 'b')} 1 {i % 3}" for i, name in enumerate(names)}
    tables = {
        "notes/trainval.txt": [rows[name] for name in names[::2]],
        "notes/test.txt": [rows[name] for name in names[1::2]],
    }
    understood = understand(layout(images, tables), Options(label="notes/trainval.txt:column 2"))
    assert not understood.questions
    assert understood.labeling.by_path == {
        f"images/{name}.png": str(1 + (name < "b")) for name in names[::2]
    }
    assert (understood.test.folder.name, understood.n_test) == ("images", 8)


@pytest.mark.parametrize("sample", ["id,label", "id,cat,dog"])
@pytest.mark.parametrize("outer", ["", "data/"])
def test_the_folder_of_the_sample_s_images_is_no_class(outer, sample, layout, classes):
    n_cells = sample.count(",")
    rows = [f"{i},{'cat' if n_cells == 1 else '0.5,0.5'}" for i in range(7)]
    images = [*classes(outer.strip("/"), "cat", "dog"), *(f"{outer}quiz/{i}.png" for i in range(7))]
    understood = understand(layout(images, {"sample_submission.csv": [sample, *rows]}))
    assert understood.questions == ()
    assert understood.labeling.classes == ("cat", "dog")
    assert (understood.test.folder.last_name, understood.n_test) == ("quiz", 7)


def test_a_folder_beside_the_training_folder_is_the_test_set_by_the_sample(layout, classes):
    images = [*classes("labeled", "cat", "dog"), *(f"quiz/{i}.png" for i in range(5))]
    rows = ["id,label", *(f"{i},cat" for i in range(5))]
    understood = understand(layout(images, {"sample_submission.csv": rows}))
    assert (understood.labeling.folder.name, understood.test.folder.name) == ("labeled", "quiz")


def test_a_class_folder_that_fits_the_sample_is_no_test_set(layout):
    """Three folders hold 0.png to 4.png, of which the sample's cells name two."""
    images = [f"{name}/{i}.png" for name in ("cat", "dog", "quiz") for i in range(5)]
    rows = ["id,label", *(f"{i},{'cat' if i else 'dog'}" for i in range(5))]
    understood = understand(layout(images, {"sample_submission.csv": rows}))
    assert understood.test.folder.name == "quiz"
    rows = ["id,label", *(f"{i},0.5" for i in range(5))]
    understood = understand(layout(images, {"sample_submission.csv": rows}))
    assert any("asks for ids such as" in doubt for doubt in understood.doubts)


def test_test_images_in_the_only_folder_beside_its_class_folders(layout, classes):
    images = [*classes("data", "cat", "dog"), *(f"data/test/{i}.png" for i in range(5))]
    understood = understand(layout(images, {"notes.csv": ["a,b", "1,2"]}))
    assert understood.labeling.classes == ("cat", "dog")
    assert understood.test.folder.name == "data/test"


def test_classes_in_folders_of_numbered_subjects(layout):
    images = [
        f"Subject {n:02d}/{c}/{i}.png" for n in range(12) for c in ("palm", "fist") for i in "ab"
    ]
    understood = understand(layout(images))
    assert understood.labeling.classes == ("fist", "palm")
    assert understood.n_train == 48
    assert understood.used_group.n_groups == 12


@pytest.mark.parametrize("name", ["quiz", "public images", "docs", "unlabeled_data", "results"])
def test_a_folder_beside_classes_that_is_called_like_no_class_is_a_doubt(name, layout, classes):
    understood = understand(layout([*classes("", "cat", "dog"), f"{name}/0.png", f"{name}/1.png"]))
    assert f"the folder {name!r} is taken as a class" in " ".join(understood.doubts)


@pytest.mark.parametrize("copy", ["small", "resized_64"])
def test_a_smaller_copy_of_the_whole_is_not_used(copy, layout):
    images = [f"train/{i}.png" for i in range(24)] + [f"test/t{i}.png" for i in range(6)]
    rows = ["id,label", *(f"{i},{'ab'[i % 2]}" for i in range(24)), *(f"t{i},?" for i in range(6))]
    root = layout(images, {"labels.csv": rows})
    for name in images:
        (root / copy / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / copy / name)
    understood = understand(root)
    assert set(understood.labeling.by_path) == set(images[:24])
    assert understood.test.folder.name == "test"
    assert any(f"not used: 30 images, such as {copy}/" in note for note in understood.notes)
