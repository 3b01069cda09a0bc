"""Images that a table names by two columns, their folder and their file in it."""

import pytest

from ensemble.dataset.load import load
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

IMAGES = [f"train/P{p:02d}/{i}.png" for p in range(12) for i in range(3)]
BY_TABLE = Options(label="label")
LABELS = {name: "ab"[int(name[7:9]) % 2] for name in IMAGES}


def rows(header, cells):
    return [header, *(cells(name[6:9], name[10:], LABELS[name]) for name in IMAGES)]


@pytest.mark.parametrize("suffix", [".png", ""])
def test_a_folder_and_a_file_are_one_name(suffix, layout, ens):
    def cells(folder, file, label):
        return f"{folder},{file.removesuffix('.png')}{suffix},{label}"

    root = layout(IMAGES, {"train.csv": rows("patient,file,label", cells)})
    assert understand(root, BY_TABLE).labeling.by_path == LABELS
    ens("init", root, "--name", "a", "--label", "label")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    groups = [set(images.groups) for images in (data.train, data.valid, data.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 12
    read = {
        file.relative_to(root).as_posix(): label
        for images in (data.train, data.valid, data.test)
        for file, label in zip(images.files, images.classes, strict=True)
    }
    assert read == LABELS


def test_splits_may_be_the_folders_of_the_same_names(layout):
    images = [f"{p}/{i}.png" for p, n in (("train", 12), ("test", 6)) for i in range(n)]
    table = [
        f"{name.split('/')[1]},{'ab'[i % 2]},{name.split('/')[0]}" for i, name in enumerate(images)
    ]
    understood = understand(layout(images, {"labels.csv": ["id,label,split", *table]}))
    assert (understood.n_train, understood.n_test) == (12, 6)
    assert understood.labeling.by_path == {f"train/{i}.png": "ab"[i % 2] for i in range(12)}


def test_a_column_of_paths_needs_no_second_one(layout):
    def cells(folder, file, label):
        return f"{folder},{folder}/{file},{label}"

    understood = understand(
        layout(IMAGES, {"train.csv": rows("patient,path,label", cells)}), BY_TABLE
    )
    assert understood.labeling.table.form == "rows"
    assert (understood.questions, understood.labeling.by_path) == ((), LABELS)


def test_patients_that_no_column_names_are_told(layout):
    def cells(folder, file, label):
        return f"{folder}/{file},{label}"

    understood = understand(layout(IMAGES, {"train.csv": rows("path,label", cells)}), BY_TABLE)
    assert (understood.questions, understood.labeling.by_path) == ((), LABELS)
    assert any("lie in 12 folders such as P00, each with one" in d for d in understood.doubts)
