"""Copies, masks, patients and containers inside or beside class folders are never classes."""

import shutil

import pytest
from PIL import Image

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe


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


@pytest.mark.parametrize(("cell", "n_classes"), [("cat", 4), ("animal", 2)])
def test_the_cells_of_a_sample_say_which_folders_are_classes(cell, n_classes, layout, classes):
    images = classes("train/animal", "cat", "dog") + classes("train/plant", "oak", "fir")
    rows = ["id,label", *(f"t{i}.png,{cell}" for i in range(5))]
    root = layout([*images, *(f"test/t{i}.png" for i in range(5))], {"sample_submission.csv": rows})
    understood = understand(root, Options(yes=True))
    assert len(understood.counts) == n_classes
    assert (understood.cells.answer, understood.sample.file) == (
        "class_name",
        "sample_submission.csv",
    )


@pytest.mark.parametrize("n_missing", [1, 3])
def test_ids_of_a_sample_without_images_are_counted(n_missing, layout, classes):
    rows = ["id,label", *(f"t{i}.png,cat" for i in range(10))]
    test = [f"test/t{i}.png" for i in range(10 - n_missing)]
    root = layout([*classes("train", "cat", "dog"), *test], {"sample_submission.csv": rows})
    (question,) = understand(root).questions
    first = f"{n_missing} of 10 ids in sample_submission.csv have no image in test, such as "
    assert question.text.startswith(f"{first}'t{10 - n_missing}.png'")


def test_folders_that_a_table_describes_are_asked_about(layout, classes):
    studies = [f"1.2.{number}" for number in range(6)]
    rows = ["study,fracture", *(f"{name},{i % 2}" for i, name in enumerate(studies))]
    root = layout(classes("train", *studies, n=2), {"train.csv": rows})
    assert choices(understand(root)) == ["--label fracture", "--label folders"]
    assert choices(understand(root, Options(yes=True))) == ["--label fracture", "--label folders"]
    assert len(understand(root, Options(label="folders")).counts) == 6
    understood = understand(root, Options(label="fracture"))
    assert understood.counts == {"0": 6, "1": 6}
    assert [group.column for group in understood.groups] == ["study"]


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


@pytest.mark.parametrize("side", [4, 8])
def test_small_copies_in_a_folder_inside_a_class_are_not_used(side, layout):
    images = [f"{c}/{c}{i}.png" for c in ("ill", "well") for i in range(5)]
    inside = [f"{c}/more/{c}{i}.png" for c in ("ill", "well") for i in range(5)]
    root = layout([*images, *inside])
    for name in inside:
        Image.open(root / name).resize((side, side)).save(root / name)
    understood = understand(root)
    assert set(labels(understood)) == {*images, *(inside if side == 8 else ())}
    told = "not used: 10 images, such as ill/more/ill0.png"
    assert (told in understood.notes) == (side == 4)


@pytest.mark.parametrize("root", ["", "train/"])
def test_class_folders_beside_a_folder_of_images_are_asked_about(root, layout):
    images = [f"{root}labeled/{c}/{i}.png" for c in ("ill", "well") for i in range(6)]
    images += [f"{root}unlabeled/{i}.png" for i in range(6)]
    folder = layout(images)
    nested = f"{root}labeled"
    assert choices(understand(folder)) == [f"--train {root.strip('/') or '.'}", f"--train {nested}"]
    assert understand(folder, Options(train=nested)).counts == {"ill": 6, "well": 6}
    outer = understand(folder, Options(train=root.strip("/") or "."))
    assert (outer.questions, set(outer.counts)) == ((), {"labeled", "unlabeled"})


def test_kinds_of_which_one_has_a_single_kind_inside_are_asked_about(layout):
    kinds = ["apple/fuji", "apple/gala", "pear/bosc", "pear/anjou", "kiwi/kiwi"]
    root = layout([f"train/{kind}/{i}.png" for kind in kinds for i in range(5)])
    assert choices(understand(root)) == ["--label folders", "--label subfolders"]
    told = "5 folders such as train/apple/fuji lie in class folders: their class is 'apple'"
    assert told.replace("train/", "") in understand(root, Options(label="folders")).doubts


def test_patients_of_the_same_numbers_in_each_class_are_no_classes(layout):
    names = [f"{c}/patient{p}/{i}.png" for c in ("ill", "well") for p in range(4) for i in range(3)]
    understood = understand(layout(names), Options(label="folders"))
    assert understood.counts == {"ill": 12, "well": 12}


@pytest.mark.parametrize(("root", "parts"), [("", "train val test"), ("data/", "train test")])
def test_classes_may_hold_the_splits(root, parts, layout, ens):
    images = [
        f"{root}{c}/{part}/{i}.png"
        for c in ("ill", "well")
        for part in parts.split()
        for i in range(12 if part == "train" else 4)
    ]
    folder = layout(images)
    ens("init", folder, "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    read = {"train": data.train, "valid": data.valid, "test": data.test}
    for split, part in read.items():
        classes = {
            file.parts[-3]: label for file, label in zip(part.files, part.labels, strict=True)
        }
        assert classes == {"ill": "ill", "well": "well"}
        named = {"valid": "val"}.get(split, split) if split[:3] in parts else "train"
        assert {file.parts[-2] for file in part.files} == {named}
    assert sum(map(len, read.values())) == len(images)


def test_what_a_synology_writes_is_no_class(layout, classes):
    images = [*classes("train", "ill", "well"), "train/@eaDir/ill_0.png/thumb.jpg"]
    assert understand(layout(images)).counts == {"ill": 6, "well": 6}


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (["train/preview.png", "train/a/0.png", "train/b/0.png"], "train/preview.png lies beside"),
        (["bus/0.png", "car/0.png", "train/0.png"], "train is a usual name of the train images"),
    ],
)
def test_folders_that_keep_classes_from_being_found_are_told(images, told, layout):
    with pytest.raises(DataError, match=told):
        understand(layout(images))


@pytest.mark.parametrize(
    ("cell", "told"),
    [("{}", "id '0', which fits 2 images"), ("x{}", "id 'x0', which no image has")],
)
def test_ids_that_are_no_images_are_told(cell, told, layout):
    images = [f"train/{i}.{suffix}" for i in range(6) for suffix in ("png", "jpg")]
    rows = ["id,label", *(f"{cell.format(i)},{'ab'[i % 2]}" for i in range(6))]
    with pytest.raises(DataError, match=f"train.csv: {told}"):
        understand(layout(images, {"train.csv": rows}))


@pytest.mark.parametrize("label", ["folders", "subfolders"])
def test_folders_of_the_same_classes_may_be_taken_together(label, layout):
    root = layout(
        [f"{s}/{c}/{s}{i}.png" for s in ("am", "pm") for c in ("a", "b") for i in range(6)]
    )
    assert choices(understand(root)) == ["--train am", "--train pm", "--train ."]
    counts = understand(root, Options(train=".", label=label)).counts
    assert counts == dict.fromkeys(("am", "pm") if label == "folders" else ("a", "b"), 12)


@pytest.mark.parametrize(
    ("form", "label"),
    [("{label}_{n:02d}", True), ("{label}{n}", True), ("p{n}_{label}", True), ("{n}-{label}", True)]
    + [("s{n}", False), ("kind{label}", False)],
)
def test_folders_of_numbered_cases_are_doubted(form, label, layout, classes):
    names = {form.format(label=("benign", "malignant")[n % 2], n=n) for n in range(8)}
    doubts = understand(layout(classes("train", *names, n=12))).doubts
    assert any("or is 'benign' the class of both?" in doubt for doubt in doubts) == label


def test_kinds_of_one_word_and_cars_of_a_year_are_classes_without_a_doubt(layout, classes):
    names = ["red_rose", "wild_rose", "red_tulip", "wild_tulip", "Audi S4 2012", "BMW 3 2007"]
    assert understand(layout(classes("train", *names, n=12))).doubts == ()


@pytest.mark.parametrize("folder", ["$RECYCLE.BIN", "lost+found", "System Volume Information"])
def test_folders_of_systems_are_no_classes(folder, layout, classes):
    root = layout([*classes("", "cat", "dog"), f"{folder}/x.png"])
    assert understand(root).counts == {"cat": 6, "dog": 6}
