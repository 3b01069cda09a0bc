"""Folders and tables of ids, of parts of the set, and of several columns of 0 and 1."""

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

IDS = [f"{i * 2741 + 4096:05x}" for i in range(24)]
BY_ID = [f"train/{name[0]}/{name[1]}/{name}.jpg" for name in IDS]
TRAIN = [f"train/{i}.png" for i in range(12)]
VIEWS = [f"train/patient{i}/view.png" for i in range(12)]


def choices(understood):
    return [option for question in understood.questions for option, _ in question.choices]


def test_folders_named_by_how_ids_begin_are_asked_about_beside_a_table(layout):
    rows = ["id,landmark", *(f"{name},{i % 3}" for i, name in enumerate(IDS))]
    root = layout(BY_ID, {"train.csv": rows})
    assert choices(understand(root)) == ["--label landmark", "--label folders"]
    assert understand(root, Options(yes=True)).labeling.classes == ("0", "1", "2")


@pytest.mark.parametrize("names", [("7", "8"), ("cat", "dog")])
def test_class_folders_whose_images_begin_with_the_class_are_the_labels(names, layout, classes):
    images = classes("train", *names)
    rows = ["id,age", *(f"{image.rpartition('/')[2]},{i % 3}" for i, image in enumerate(images))]
    understood = understand(layout(images, {"train.csv": rows}))
    assert (understood.questions, understood.labeling.source) == ((), "folders")


def test_ids_that_begin_with_the_folder_of_another_machine_are_matched(layout, ens):
    rows = ["path,label", *(f"Set-v1/train/patient{i}/view.png,{'ab'[i % 2]}" for i in range(12))]
    root = layout(VIEWS, {"train.csv": rows})
    understood = understand(root)
    assert understood.labeling.by_path == {name: "ab"[i % 2] for i, name in enumerate(VIEWS)}
    assert any("without the ids' leading path" in note for note in understood.notes)
    ens("init", root, "--name", "a")
    images = load(Recipe.load("recipes/a_resnet.yaml").data)
    label_of = dict(zip(images.train.files, images.train.classes, strict=True))
    assert all(label == "ab"[int(file.parent.name[7:]) % 2] for file, label in label_of.items())


def test_a_list_of_partitions_is_no_table_of_labels(layout):
    lists = {"list_eval_partition.txt": [f"{i}.png {i // 4}" for i in range(12)]}
    with pytest.raises(DataError, match="column 2 is no label by its name"):
        understand(layout(TRAIN, lists))


def test_a_column_of_partitions_is_no_choice(layout):
    rows = ["id,color,partition", *(f"{i},{'rgb'[i % 3]},{i // 4}" for i in range(12))]
    understood = understand(layout(TRAIN, {"a.csv": rows}))
    assert (understood.questions, understood.labeling.columns) == ((), ("color",))


@pytest.mark.parametrize("says", ["01", ("-1", "1"), ("false", "True"), ("0.0", "1.0")])
def test_several_columns_of_0_and_1_may_be_the_labels_together(says, layout, ens):
    ones = {i: (i % 2, i // 2 % 2, i // 3 % 2) for i in range(12)}
    rows = ["id,N,D,G", *(f"{i},{','.join(says[one] for one in ones[i])}" for i in ones)]
    root = layout(TRAIN, {"a.csv": rows})
    assert choices(understand(root)) == ["--label columns", "--label N", "--label D", "--label G"]
    ens("init", root, "--name", "a", "--label", "columns")
    images = load(Recipe.load("recipes/a_resnet.yaml").data)
    assert (images.classes, images.target) == (("D", "G", "N"), "labels")
    for part in (images.train, images.valid):
        for file, label in zip(part.files, part.classes, strict=True):
            held = {name for name, one in zip("NDG", ones[int(file.stem)], strict=True) if one}
            assert set(filter(None, label.split("\x1f"))) == held
    assert understand(root, Options(label="D")).labeling.classes == tuple(sorted(says))


def test_a_plural_after_another_word_and_a_clear_mark_are_several_labels(layout):
    cells = ("No Finding", "Edema|Mass", "Mass")
    rows = ["Image Index,Finding Labels", *(f"{i}.png,{cells[i % 3]}" for i in range(12))]
    understood = understand(layout(TRAIN, {"a.csv": rows}))
    assert (understood.questions, understood.labeling.target) == ((), "labels")
    assert understood.labeling.label_names == ("Edema", "Mass", "No Finding")


@pytest.mark.parametrize("folder", ["labels", "train/labels"])
@pytest.mark.parametrize("suffix", ["xml", "json", "txt"])
def test_a_file_of_labels_for_each_image_is_named(folder, suffix, layout):
    images = [f"{folder.replace('labels', 'images')}/{i}.png" for i in range(12)]
    files = {f"{folder}/{i}.{suffix}": ["{}"] for i in range(12)}
    with pytest.raises(DataError, match=f"{folder}/0.{suffix}: a file for each image is not read"):
        understand(layout(images, files))


def test_file_names_with_what_label_studio_puts_first_are_matched(layout):
    marks = [f"{0xAB3F90 * (i + 7):08x}" for i in range(12)]
    rows = [f"/data/upload/3/{marks[i]}-{i:02d}.png,{'ab'[i % 2]},{i + 90}" for i in range(12)]
    root = layout([f"images/{i:02d}.png" for i in range(12)], {"a.csv": ["image,choice,id", *rows]})
    understood = understand(root)
    assert understood.labeling.by_path == {f"images/{i:02d}.png": "ab"[i % 2] for i in range(12)}
    assert any("that Label Studio puts first" in note for note in understood.notes)


def test_pictures_in_other_formats_are_told_with_what_to_do(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "train.csv").write_text("id,label\n0,a\n1,b\n2,a\n")
    with pytest.raises(DataError, match=r"3 \.dcm.*: save the pictures as PNG or JPEG"):
        understand(tmp_path)


@pytest.mark.parametrize("folder", ["labels", "train"])
def test_boxes_of_single_images_are_no_tables_of_labels(folder, layout):
    boxes = {
        f"{folder}/{i}.txt": [f"{k % 3} 0.{i}5 0.5 0.1 0.2" for k in range(3)] for i in range(12)
    }
    with pytest.raises(DataError, match=r"\d\.txt: a file for each image is not read as labels"):
        understand(layout([f"train/{i}.png" for i in range(12)], boxes))


def test_a_folder_that_the_ids_name_wins_over_one_of_the_same_files(layout):
    images = [f"images_{size}/{i}.png" for size in (224, 512) for i in range(12)]
    rows = ["path,label", *(f"images_224/{i}.png,{'ab'[i % 2]}" for i in range(12))]
    understood = understand(layout(images, {"train.csv": rows}), Options(label="label"))
    assert understood.labeling.by_path == {f"images_224/{i}.png": "ab"[i % 2] for i in range(12)}


def test_tables_label_the_images_in_their_own_folders(layout):
    images = [f"{s}/images/{i}.png" for s in ("day1", "day2", "day3") for i in range(6)]
    truth = {name: "ab"[i % 2 ^ int(name[3] == "2")] for i, name in enumerate(images)}
    tables = {
        f"{day}/labels.csv": [
            "file,label",
            *(f"{name[12:]},{label}" for name, label in truth.items() if name.startswith(day)),
        ]
        for day in ("day1", "day2", "day3")
    }
    understood = understand(layout(images, tables), Options(label="day1/labels.csv:label"))
    assert understood.labeling.by_path == truth
