"""Splits that lists, columns and tables state, and the recipes that keep to them."""

import json
from pathlib import Path

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.init import write_recipes
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """loaded(root): by split, the label of each file as the written recipes load it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def loaded(root, **options):
        files = write_recipes(str(root), None, Path("recipes"), options=Options(**options)).files
        dataset = load(Recipe.load(files[1]).data)
        splits = {"train": dataset.train, "valid": dataset.valid, "test": dataset.test}
        return {
            split: {
                Path(file).relative_to(root).as_posix(): label
                for file, label in zip(images.files, images.labels or images.ids, strict=True)
            }
            for split, images in splits.items()
            if images is not None
        }

    return loaded


def test_lists_of_class_folders_keep_the_test_images_apart(layout, classes, loaded):
    images = classes("images", "pie", "ribs", n=9)
    names = [name.removeprefix("images/").removesuffix(".png") for name in images]
    tables = {"meta/train.txt": names[::3] + names[1::3], "meta/test.txt": names[2::3]}
    splits = loaded(layout(images, {**tables, "meta/classes.txt": ["pie", "ribs"]}))
    assert splits["test"] == {name: name.split("/")[1] for name in images[2::3]}
    assert {**splits["train"], **splits["valid"]} == {
        name: name.split("/")[1] for name in [*images[::3], *images[1::3]]
    }


def test_images_in_no_list_are_left_out(layout, classes):
    images = classes("Images", "inn", "pub", n=8)
    names = [name.removeprefix("Images/") for name in images]
    tables = {"TrainImages.txt": names[::2], "TestImages.txt": names[1::4]}
    understood = understand(layout(images, tables))
    assert (understood.n_train, understood.n_test) == (8, 4)


def test_a_list_of_some_images_of_the_test_folder_names_the_rows(layout, loaded):
    images = [f"{folder}/{folder[1]}{i}.png" for folder in ("train", "test") for i in range(12)]
    tables = {
        "train.csv": ["id,label", *(f"r{i},{'ab'[i % 2]}" for i in range(12))],
        "test.csv": ["id", *(f"e{i}" for i in (9, 2, 5))],
    }
    root = layout(images, tables)
    assert sorted(loaded(root)["test"]) == ["test/e2.png", "test/e5.png", "test/e9.png"]
    doubt = "test.csv lists 3 images, test has 12: the others are not used"
    assert understand(root).doubts[0] == doubt


def test_a_list_whose_ids_are_training_images_too_names_no_rows_but_is_said(layout, loaded):
    images = [f"{folder}/{i}.png" for folder in ("train", "test") for i in range(12)]
    tables = {
        "train.csv": ["id,label", *(f"{i},{'ab'[i % 2]}" for i in range(12))],
        "test.csv": ["id", "9", "2", "5"],
    }
    root = layout(images, tables)
    assert len(loaded(root)["test"]) == 12
    assert understand(root).doubts[0] == "test.csv lists 3 images, test has 12: all are used"


def test_lists_that_overlap_are_not_used(layout, classes):
    images = classes("images", "banded", "braided")
    names = [name.removeprefix("images/") for name in images]
    tables = {"train1.txt": names[:8], "test1.txt": names[8:], "train2.txt": names[4:]}
    understood = understand(layout(images, tables))
    assert (understood.n_train, understood.n_test) == (12, 0)


def test_a_labeled_list_of_a_test_folder_is_no_second_test_set(layout, loaded):
    images = {p: [f"{p}/{i}.png" for i in range(12)] for p in ("train", "valid", "test")}
    tables = {
        f"{p}/_classes.csv": [
            "filename, cat, dog",
            *(f"{i}.png, {(i + k) % 2}, {1 - (i + k) % 2}" for i in range(12)),
        ]
        for k, p in enumerate(images)
    }
    splits = loaded(layout([name for names in images.values() for name in names], tables))
    assert splits == {
        p: {f"{p}/{i}.png": ["dog", "cat"][(i + k) % 2] for i in range(12)}
        for k, p in enumerate(images)
    }


def test_tables_inside_the_folders_of_splits_are_about_these(layout):
    images = [f"{p}/images/{i}.png" for p in ("train", "val") for i in range(6)]
    tables = {
        f"{p}/labels.csv": ["file,class", *(f"{i}.png,{'ab'[(i + k) % 2]}" for i in range(6))]
        for k, p in enumerate(("train", "val"))
    }
    understood = understand(layout(images, tables))
    assert understood.labeling.by_path == {
        f"{p}/images/{i}.png": "ab"[(i + k) % 2]
        for k, p in enumerate(("train", "val"))
        for i in range(6)
    }
    assert (understood.n_train, understood.n_valid) == (6, 6)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("is_valid", "False True"),
        ("set", "Train Test"),
        ("is_train", "True False"),
        ("is_training_image", "1 0"),
        ("Usage", "Training PrivateTest"),
        ("phase", "trainval eval"),
        ("split", "tr te"),
    ],
)
def test_a_column_states_two_splits(name, words, layout, loaded):
    images = [f"images/{i:02d}.png" for i in range(24)]
    cells = [words.split()[i % 4 == 0] for i in range(24)]
    rows = [f"{i:02d}.png,{'ab'[i % 2 or i % 8 == 4]},{cells[i]}" for i in range(24)]
    splits = loaded(layout(images, {"labels.csv": [f"file,label,{name}", *rows]}))
    apart = {f"images/{i:02d}.png" for i in range(0, 24, 4)}
    assert set(splits["valid" if name == "is_valid" else "test"]) == apart


@pytest.mark.parametrize(
    ("name", "words"), [("split", "0 1"), ("train", "1 0"), ("subset", "train holdout")]
)
def test_a_column_that_may_state_splits_is_told(name, words, layout):
    images = [f"images/{i:02d}.png" for i in range(24)]
    rows = [f"{i:02d}.png,{'ab'[i % 2]},{words.split()[i % 4 == 0]}" for i in range(24)]
    understood = understand(layout(images, {"labels.csv": [f"file,label,{name}", *rows]}))
    told = f"labels.csv: column {name} may say which images are for what: not used"
    assert any(doubt.startswith(told) for doubt in understood.doubts)
    assert understood.n_train == 24


def test_notes_with_words_for_splits_state_none(layout):
    images = [f"images/{i:02d}.png" for i in range(24)]
    rows = [
        f"{i:02d}.png,{'ab'[i % 2]},{['train ride', 'test ride'][i // 2 % 2]}" for i in range(24)
    ]
    understood = understand(layout(images, {"labels.csv": ["file,label,note", *rows]}))
    assert (understood.n_train, understood.n_test) == (24, 0)


def test_annotations_of_validation_images_without_a_header_label_them(layout, classes):
    names = ("n014", "n016")
    images = [f"train/{c}/images/{c}_{i}.png" for c in names for i in range(5)]
    valid = [f"val/images/val_{i}.png" for i in range(4)]
    rows = [f"val_{i}.png\t{names[i % 2]}\t0\t0\t62\t62" for i in range(4)]
    understood = understand(layout([*images, *valid], {"val/val_annotations.txt": rows}))
    assert (understood.n_train, understood.n_valid) == (10, 4)
    assert understood.labeling.by_path["val/images/val_1.png"] == "n016"


def test_train_and_validation_lists_without_test_images_hold_nothing_out(layout, loaded):
    images = [f"images/{p}_{i}.png" for p in ("train", "val") for i in range(6)]
    tables = {
        f"{p}.csv": [
            "path,label",
            *(f"/home/me/images/{p}_{i}.png,{'ab'[i % 2]}" for i in range(6)),
        ]
        for p in ("train", "val")
    }
    splits = loaded(layout(images, tables))
    assert {split: len(files) for split, files in splits.items()} == {"train": 6, "valid": 6}


def test_a_validation_folder_may_spell_the_classes_in_another_case(layout, classes, loaded):
    root = layout([*classes("train", "cat", "dog"), *classes("valid", "Cat", "DOG", n=3)])
    splits = loaded(root)
    assert splits["valid"] == {
        f"valid/{folder}/{folder}_{i}.png": folder.lower()
        for folder in ("Cat", "DOG")
        for i in range(3)
    }


def test_a_validation_folder_with_another_class_is_not_used_and_said(layout, classes):
    images = [*classes("train", "cat", "dog"), *classes("valid", "cat", "dog", "emu", n=3)]
    understood = understand(layout(images))
    doubt = "valid is not used for validation: its folder 'emu' is no training class"
    assert (understood.n_valid, understood.doubts[0]) == (0, doubt)


@pytest.mark.parametrize("has_sample", [True, False])
def test_test_rows_without_labels_are_the_test_set(has_sample, layout, loaded):
    images = [f"images/{i}.png" for i in range(24)]
    splits = [("train", "train", "valid", "test")[i % 4] for i in range(24)]
    cells = ["" if split == "test" else "ab"[i % 2] for i, split in enumerate(splits)]
    rows = [
        f"{i},{cell},{split}" for i, (cell, split) in enumerate(zip(cells, splits, strict=True))
    ]
    tables = {"data.csv": ["id,label,split", *rows]}
    if has_sample:
        tables["sample_submission.csv"] = ["id,label", *(f"{i},a" for i in range(3, 24, 4))]
    found = loaded(layout(images, tables))
    assert sorted(found["test"]) == sorted(images[3::4])
    assert found["valid"] == {f"images/{i}.png": "a" for i in range(2, 24, 4)}
    assert len(found["train"]) == 12


def test_lists_that_no_recipe_uses_are_told(layout, classes):
    images = classes("images", "pie", "ribs", n=9)
    names = [name.removeprefix("images/") for name in images]
    shifted = names[1:] + names[:1]
    tables = {
        f"labels/{split}{part}.txt": listed[start::3]
        for part, listed in enumerate((names, shifted), start=1)
        for start, split in enumerate(("train", "val", "test"))
    }
    understood = understand(layout(images, tables))
    assert (understood.n_train, understood.n_test) == (18, 0)
    assert any("4 lists such as labels/test1.txt say" in doubt for doubt in understood.doubts)


@pytest.mark.parametrize("part", [0, 1])
def test_a_list_of_parts_by_number_is_told(part, layout, classes):
    images = classes("images", "pie", "ribs")
    tables = {"train_test_split.txt": [f"{i} {(i + part + 1) % 2}" for i in range(1, 13)]}
    (doubt,) = (line for line in understand(layout(images, tables)).doubts if "split.txt" in line)
    assert doubt.startswith("train_test_split.txt says which images are for what: not used")


def test_validation_labels_in_a_table_leave_no_doubt_about_the_folder(layout, classes):
    images = [*classes("train", "pie", "ribs", n=12), *(f"val/images/v{i}.png" for i in range(6))]
    tables = {"val/val_annotations.txt": [f"v{i}.png\t{['pie', 'ribs'][i % 2]}" for i in range(6)]}
    understood = understand(layout(images, tables))
    assert understood.n_valid == 6
    assert not [doubt for doubt in understood.doubts if "val" in doubt]


def test_a_column_of_two_groups_is_no_rival_of_patients(layout):
    rows = [f"p{i}.png,{'ab'[i % 2]},{i // 2},{'MF'[i // 2 % 2]}" for i in range(40)]
    tables = {"train.csv": ["image,label,Patient ID,Patient Gender", *rows]}
    understood = understand(layout([f"train/p{i}.png" for i in range(40)], tables))
    assert understood.used_group is not None
    assert understood.used_group.column == "Patient ID"


@pytest.mark.parametrize("kind", ["two tables", "class folders", "a column"])
def test_classes_of_test_images_in_a_table_are_read(kind, layout, classes, loaded):
    names = [f"test/q{i}.png" for i in range(6)]
    truth = {name: "ab"[i // 2 % 2] for i, name in enumerate(names)}
    tables = {"test.csv": ["path,label", *(f"{name},{truth[name]}" for name in names)]}
    images = classes("train", "a", "b", n=12)
    if kind == "a column":
        images = [f"train/{'ab'[i % 2]}{i}.png" for i in range(24)]
    of_train = [f"{name},{name.split('/')[1][0]}" for name in images]
    if kind == "two tables":
        tables["train.csv"] = ["path,label", *of_train]
    if kind == "a column":
        rows = [*(f"{row},train" for row in of_train), *(f"{n},{truth[n]},test" for n in names)]
        tables = {"labels.csv": ["path,label,split", *rows]}
    splits = loaded(layout([*images, *names], tables))
    assert splits["test"] == truth
    labeled = {**splits["train"], **splits["valid"]}
    assert labeled == {name: name.split("/")[1][0] for name in images}


@pytest.mark.parametrize("cell", ["a", "?"])
def test_cells_that_stand_for_the_answers_are_no_classes_of_test_images(cell, layout, loaded):
    images = [f"{part}/{part[1]}{i}.png" for part in ("train", "test") for i in range(12)]
    tables = {
        "train.csv": ["id,label", *(f"r{i},{'ab'[i % 2]}" for i in range(12))],
        "test.csv": ["id,label", *(f"e{i},{cell}" for i in range(12))],
    }
    splits = loaded(layout(images, tables), sample="none")
    assert splits["test"] == {f"test/e{i}.png": f"e{i}" for i in range(12)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"e3": "c"}, "label 'c' is no class"), ({"e3": ""}, "label '' is no class")],
)
def test_a_class_of_a_test_image_must_be_one_of_training(change, problem, layout, loaded):
    images = [f"{part}/{part[1]}{i}.png" for part in ("train", "test") for i in range(12)]
    of_test = {f"e{i}": "ab"[i % 2] for i in range(12)}
    tables = {
        "train.csv": ["id,label", *(f"r{i},{'ab'[i % 2]}" for i in range(12))],
        "test.csv": ["id,label", *(f"{i},{label}" for i, label in of_test.items())],
    }
    root = layout(images, tables)
    loaded(root)
    written = Path("recipes/set.test.csv")
    changed = [f"test/{i}.png,{i},{label}" for i, label in (of_test | change).items()]
    written.write_text("".join(f"{row}\n" for row in ["id,row,label", *changed]))
    with pytest.raises(DataError, match=problem):
        load(Recipe.load("recipes/set_resnet.yaml").data)


def test_columns_of_labels_of_each_split_are_joined(layout, loaded):
    cells = {
        f"{split}/p{i}.rf.png": [i % 2, i // 2 % 2, int(i == 3)]
        for split in ("train", "valid", "test")
        for i in range(6)
    }
    tables = {
        f"{split}/_classes.csv": [
            "filename, no finding, mass, edema",
            *(
                f"{name.split('/')[1]},{','.join(map(str, ones))}"
                for name, ones in cells.items()
                if name.startswith(split)
            ),
        ]
        for split in ("train", "valid", "test")
    }
    splits = loaded(layout(list(cells), tables), label="columns")
    assert sorted(map(len, splits.values())) == [6, 6, 6]
    names = ("no finding", "mass", "edema")
    for split, images in splits.items():
        for name, label in images.items():
            assert name.startswith(split)
            held = {names[k] for k, one in enumerate(cells[name]) if one}
            assert set(filter(None, label.split("\x1f"))) == held, (name, label)


LABELED = {
    "folders": lambda images: {},
    "a table": lambda images: {
        "labels.csv": ["image,label", *(f"{Path(i).name},{Path(i).parent.name}" for i in images)]
    },
}


@pytest.mark.parametrize("kind", ["csv", "csv of paths", "json"])
@pytest.mark.parametrize("labels", LABELED)
def test_a_column_of_splits_in_a_table_of_its_own_is_kept(kind, labels, layout, classes, loaded):
    images = classes("img", "pie", "ribs", n=9)
    tables = LABELED[labels](images)
    if labels == "a table":
        images = [f"img/{name}" for name in tables["labels.csv"][1:]]
        images = [name.split(",")[0] for name in images]
        tables["labels.csv"] = [row.replace(".png", "") for row in tables["labels.csv"]]
    stated = {name: ("train", "val", "test")[i % 3] for i, name in enumerate(images[::-1])}
    short = {Path(name).name: split for name, split in stated.items()}
    if kind == "json":
        by_split = {s: [n for n, of in short.items() if of == s] for s in ("train", "val", "test")}
        tables["splits.json"] = [json.dumps(by_split)]
    else:
        rows = stated if "paths" in kind else short
        tables["splits.csv"] = ["file,split", *(f"{name},{s}" for name, s in rows.items())]
    splits = loaded(layout(images, tables))
    for name, split in stated.items():
        assert splits["valid" if split == "val" else split][name] in ("pie", "ribs")
    assert sum(map(len, splits.values())) == len(images)


def test_a_column_of_splits_for_some_of_the_images_is_told(layout, classes):
    images = classes("img", "pie", "ribs", n=9)
    rows = [f"{Path(n).name},{('train', 'test')[i % 2]}" for i, n in enumerate(images[3:])]
    understood = understand(layout(images, {"splits.csv": ["file,split", *rows]}))
    assert "splits.csv says which images are for what: not used" in " ".join(understood.doubts)


@pytest.mark.parametrize("words", [("1", "0"), ("True", "False"), ("1.0", "0.0")])
def test_a_column_that_says_no_to_training_keeps_images_out(words, layout, loaded):
    rows = [f"t{i}.png,{'ab'[i % 2]},{words[i % 3 == 0]}" for i in range(18)]
    images = [f"all/t{i}.png" for i in range(18)]
    splits = loaded(layout(images, {"all.csv": ["image,label,is_train", *rows]}))
    assert sorted(splits["test"]) == sorted(f"all/t{i}.png" for i in range(0, 18, 3))


def test_a_label_called_train_is_a_label(layout):
    rows = [f"t{i}.png,{i % 2},{i // 2 % 2},{i % 3 % 2}" for i in range(18)]
    table = {"labels.csv": ["image,car,train,bus", *rows]}
    labeling = understand(layout([f"all/t{i}.png" for i in range(18)], table)).labeling
    assert labeling.columns == ("car", "train", "bus")


@pytest.mark.parametrize(
    ("name", "words"), [("fold", "0123"), ("split", "012"), ("phase", ("train", "gallery"))]
)
@pytest.mark.parametrize("is_apart", [False, True])
def test_a_column_of_other_words_for_splits_is_told(name, words, is_apart, layout):
    parts = [words[i % len(words)] for i in range(18)]
    labels = [f"t{i}.png,{'ab'[i % 2]}" for i in range(18)]
    if is_apart:
        rows = [f"t{i}.png,{part}" for i, part in enumerate(parts)]
        tables = {"labels.csv": ["image,label", *labels], "parts.csv": [f"image,{name}", *rows]}
    else:
        rows = [f"{row},{part}" for row, part in zip(labels, parts, strict=True)]
        tables = {"labels.csv": [f"image,label,{name}", *rows]}
    doubts = " ".join(understand(layout([f"all/t{i}.png" for i in range(18)], tables)).doubts)
    assert "which images are for what: not used, the split is a new one" in doubts


def test_a_column_of_splits_beside_a_validation_folder_is_no_doubt(layout, classes):
    images = [*classes("train", "pie", "ribs", n=9), *classes("val", "pie", "ribs", n=3)]
    rows = [f"{name},{name.split('/')[1]},{name.startswith('val')}" for name in images]
    understood = understand(layout(images, {"all.csv": ["path,label,is_valid", *rows]}))
    assert (understood.n_train, understood.n_valid) == (18, 6)
    assert "which images are for what" not in " ".join(understood.doubts)
