"""Copies, masks, patients and containers inside or beside class folders are never classes."""

import shutil

import pytest

from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand


def labels(understood):
    assert understood.questions == ()
    return understood.labeling.by_path


def choices(understood):
    (question,) = understood.questions
    return [option for option, _ in question.choices]


def test_a_copy_of_all_classes_among_them_is_taken_alone(layout, classes):
    root = layout(classes("cells", "ill", "well"))
    shutil.copytree(root / "cells", root / "copy")
    shutil.move(root / "copy", root / "cells" / "cells")
    understood = understand(root)
    assert (understood.root, understood.labeling.folder.name) == (root / "cells", "cells")
    assert understood.counts == {"ill": 6, "well": 6}


def test_other_images_of_the_same_classes_among_them_are_refused(layout, classes):
    root = layout([*classes("", "ill", "well"), *classes("more", "ill", "well", n=3)])
    with pytest.raises(DataError, match=r"more: holds the classes beside it again"):
        understand(root)
    assert understand(root, Options(train="more")).counts == {"ill": 3, "well": 3}


def test_a_copy_of_the_same_bytes_beside_is_no_second_choice(layout, classes):
    root = layout(classes("natural", "car", "cat"))
    (root / "data").mkdir()
    shutil.copytree(root / "natural", root / "data" / "natural")
    assert understand(root).counts == {"car": 6, "cat": 6}


def test_masks_are_not_images_of_a_class(layout):
    images = [f"{c}/images/{c}{i}.png" for c in ("ill", "well") for i in range(5)]
    masks = [f"{c}/masks/{c}{i}.png" for c in ("ill", "well") for i in range(5)]
    beside = [name.replace(".png", "_mask.png") for name in images]
    assert set(labels(understand(layout([*images, *masks, *beside])))) == set(images)


@pytest.mark.parametrize("names", [("mask", "no_mask"), ("WithMask", "WithoutMask")])
def test_a_class_may_be_called_mask(names, layout, classes):
    assert sorted(understand(layout(classes("faces", *names))).counts) == sorted(names)


@pytest.mark.parametrize("folder", ["", "train/"])
def test_images_and_their_masks_are_no_two_classes(folder, layout):
    root = layout([f"{folder}{kind}/{i}.png" for kind in ("images", "masks") for i in range(6)])
    with pytest.raises(DataError, match="neither class folders"):
        understand(root)


def test_images_beside_annotations_have_the_classes_of_their_names(layout):
    images = [f"images/{c}_{i}.png" for c in ("Bengal", "great_dane") for i in range(4)]
    root = layout([*images, *(f"annotations/trimaps/{name[7:]}" for name in images)])
    assert labels(understand(root)) == {name: name[7:-6] for name in images}


def test_a_logo_and_screenshots_are_no_classes(layout, classes):
    images = classes("dataset", "ants", "bees")
    root = layout([*images, "logo.png", "screenshots/1.png", "screenshots/2.png"])
    assert set(labels(understand(root))) == set(images)


def test_numbered_patients_are_no_classes(layout):
    root = layout([f"train/patient{p:03d}/view{i}.png" for p in range(5) for i in range(2)])
    with pytest.raises(DataError, match="neither class folders"):
        understand(root)


def test_the_same_few_folders_inside_all_folders_are_a_question(layout):
    inside = {8863: "01", 8864: "01", 9022: "0", 10253: "01"}
    root = layout([f"{p}/{c}/{i}.png" for p, names in inside.items() for c in names for i in "ab"])
    assert choices(understand(root)) == ["--label folders", "--label subfolders"]
    assert understand(root, Options(label="subfolders")).counts == {"0": 8, "1": 6}


def test_folders_that_a_table_describes_are_asked_about(layout, classes):
    studies = [f"1.2.{number}" for number in range(6)]
    rows = ["study,fracture", *(f"{name},{i % 2}" for i, name in enumerate(studies))]
    root = layout(classes("train", *studies, n=2), {"train.csv": rows})
    assert choices(understand(root)) == ["--label folders"]
    assert len(understand(root, Options(label="folders")).counts) == 6


def test_an_unusual_folder_beside_the_test_folder_is_asked_about(layout, classes):
    images = [*classes("Training", "apple", "pear"), *classes("Test", "apple", "pear", n=2)]
    root = layout([*images, "test-multiple_fruits/a.png", "test-multiple_fruits/b.png"])
    assert choices(understand(root)) == ["--test Test", "--test test-multiple_fruits"]
    understood = understand(root, Options(test="Test"))
    assert (understood.valid, understood.n_train, understood.n_test) == (None, 12, 4)


def test_thumbnails_inside_the_folders_of_images_are_not_taken_for_them(layout):
    splits = {"train": range(12), "test": range(12, 18)}
    images = [f"{split}/{i}.png" for split, ids in splits.items() for i in ids]
    thumbnails = [name.replace("/", "/thumbs/") for name in images]
    tables = {
        "train.csv": ["id,label", *(f"{i},{'ab'[i % 2]}" for i in splits["train"])],
        "sample_submission.csv": ["id,label", *(f"{i},a" for i in splits["test"])],
    }
    understood = understand(layout([*images, *thumbnails], tables))
    assert understood.labeling.by_path == {f"train/{i}.png": "ab"[i % 2] for i in range(12)}
    assert (understood.test.folder.name, understood.questions) == ("test", ())
