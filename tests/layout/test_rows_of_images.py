"""Rows of a sample that are each about several images: of a patient, an observation, a video."""

import random
from collections import Counter
from zlib import crc32

import pytest

from ensemble.dataset.load import load
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

KEYS = [f"k{i:02d}" for i in range(26)]
LABEL_OF = {key: "ab"[i % 3 == 0] for i, key in enumerate(KEYS[:20])}
N_IMAGES = {key: 1 + i % 3 for i, key in enumerate(KEYS)}


def shuffled(rows, seed=0):
    return random.Random(seed).sample(rows, len(rows))


def images_by(name):
    """The images of each key; name(split, key, k) is the path of its k-th image."""
    splits = {key: "train" if key in LABEL_OF else "test" for key in KEYS}
    return {key: [name(splits[key], key, k) for k in range(N_IMAGES[key])] for key in KEYS}


def tables_of(header="key,label"):
    labels = [f"{key},{label}" for key, label in LABEL_OF.items()]
    asked = [f"{key},a" for key in KEYS[20:]]
    return {
        "train.csv": [header, *shuffled(labels)],
        "sample_submission.csv": [header, *shuffled(asked, 1)],
    }


def by_tables(images):
    """The tables of images and their keys, beside those of labels and the sample."""
    of_split = {
        split: [
            f"{path.rpartition('/')[2]},{key}"
            for key in KEYS
            for path in images[key]
            if path.startswith(split)
        ]
        for split in ("train", "test")
    }
    return {
        f"{split}_images.csv": ["image,key", *shuffled(rows)] for split, rows in of_split.items()
    }


def by_one_table(images):
    """One table of all images and their keys."""
    rows = [f"{path.rpartition('/')[2]},{key}" for key in KEYS for path in images[key]]
    return {"images.csv": ["image,key", *shuffled(rows)]}


def by_folder_columns(tables):
    """The tables of labels and of test rows with the folder of each row."""
    header, *labels = tables["train.csv"]
    asked = [row.partition(",")[0] for row in tables["sample_submission.csv"][1:]]
    return {
        "train.csv": [f"{header},folder", *(f"{row},train/d{row[1:3]}" for row in labels)],
        "test.csv": ["key,folder", *shuffled([f"{key},./test/d{key[1:]}" for key in asked], 2)],
    }


def set_of(kind, header):
    """The images by key, and the tables, of a layout."""
    if kind == "folders":
        images = images_by(lambda split, key, k: f"{split}/{key}/{k}.png")
    elif kind == "deep folders":
        images = images_by(lambda split, key, k: f"{split}/{key}/view{k}/{k}.png")
    elif kind == "marks":
        images = images_by(lambda split, key, k: f"{split}/{key}_{k}.png")
    elif kind == "frames":
        images = images_by(lambda split, key, k: f"{split}/{key}_frame_{k:04d}.png")
    elif kind == "sides":
        images = images_by(lambda split, key, k: f"{split}/{key}-{('left', 'right', '2')[k]}.png")
    else:
        images = images_by(lambda split, key, k: f"{split}/{crc32(f'{key} {k}'.encode())}.png")
    if kind == "folder columns":
        images = images_by(lambda split, key, k: f"{split}/d{key[1:]}/{k}.png")
    tables = tables_of(header)
    if kind == "folder columns":
        return images, tables | by_folder_columns(tables)
    of_images = {"tables": by_tables, "one table": by_one_table}.get(kind, lambda images: {})
    return images, tables | of_images(images)


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        *((kind, "key,label") for kind in ("folders", "deep folders", "marks", "sides", "frames")),
        *((kind, "key,label") for kind in ("tables", "one table", "folder columns")),
        *(("folders", header) for header in ("id,label", "image,label", "split,label")),
    ],
)
def test_each_image_has_its_rows_label_and_its_rows_id(kind, header, layout, ens):
    images, tables = set_of(kind, header)
    root = layout([path for paths in images.values() for path in paths], tables)
    out = ens("init", root, "--name", "a")
    assert "6 rows of the sample" in out
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    key_of = {str(root / path): key for key, paths in images.items() for path in paths}
    assert Counter(key_of[str(file)] for file in data.test.files) == {
        key: N_IMAGES[key] for key in KEYS[20:]
    }
    rows = zip(data.test.files, data.test.rows, strict=True)
    assert all(key_of[str(file)] == row for file, row in rows)
    for part in (data.train, data.valid):
        labeled = zip(part.files, part.labels, part.groups, strict=True)
        assert all(
            (label, group) == (LABEL_OF[key_of[str(file)]], key_of[str(file)])
            for file, label, group in labeled
        )
    assert len(data.train) + len(data.valid) == sum(N_IMAGES[key] for key in LABEL_OF)
    assert data.validates_rows


def test_a_table_of_images_may_have_the_rows_and_the_labels(layout, ens):
    images = images_by(lambda split, key, k: f"{split}/{key}{k}x.png")
    rows = [(key, path.rpartition("/")[2]) for key in KEYS for path in images[key]]
    tables = tables_of() | {
        "train.csv": [
            "file,key,label",
            *shuffled([f"{f},{key},{LABEL_OF[key]}" for key, f in rows if key in LABEL_OF]),
        ],
        "test.csv": [
            "file,key",
            *shuffled([f"{file},{key}" for key, file in rows if key not in LABEL_OF]),
        ],
    }
    root = layout([path for paths in images.values() for path in paths], tables)
    ens("init", root, "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    pairs = zip(data.test.files, data.test.rows, strict=True)
    assert all(file.name.startswith(row) for file, row in pairs)
    assert sorted(set(data.test.rows)) == KEYS[20:]
    assert data.validates_rows


@pytest.mark.parametrize(("form", "is_read"), [("p{}", True), ("{}", False)])
def test_rows_of_another_name_are_read_where_they_are_no_chance(form, is_read, layout, classes):
    """Five numbers are in any column of numbers."""
    rows = [f"t{i}.png,{form.format(i // 2)},{7 * i}" for i in range(10)]
    sample = ["Id,label", *(f"{form.format(i)},a" for i in range(5))]
    tables = {"test.csv": ["image,person,age", *rows], "sample_submission.csv": sample}
    images = [*classes("train", "a", "b"), *(f"test/t{i}.png" for i in range(10))]
    understood = understand(layout(images, tables))
    assert (understood.sample is not None, not understood.questions) == (is_read, is_read)
    assert understood.test.n_rows == (5 if is_read else 10)


@pytest.mark.parametrize("name", ["{key}/{k}.png", "{key}_{k}.png", "{key}/part/{k}.png"])
def test_rows_inside_class_folders_stay_together(name, layout, ens):
    images = {
        key: [
            ("train/" + LABEL_OF[key] if key in LABEL_OF else "test")
            + f"/{name.format(key=key, k=k)}"
            for k in range(1 + i % 3)
        ]
        for i, key in enumerate(KEYS)
    }
    sample = ["video,label", *(f"{key},a" for key in shuffled(KEYS[20:]))]
    paths = [path for of_key in images.values() for path in of_key]
    ens("init", layout(paths, {"sample_submission.csv": sample}), "--name", "s")
    data = load(Recipe.load("recipes/s_resnet.yaml").data)
    key_of = {path: key for key, of_key in images.items() for path in of_key}

    def keys(part):
        return [key_of[file.as_posix().partition("/set/")[2]] for file in part.files]

    assert keys(data.test) == list(data.test.rows)
    assert data.validates_rows
    assert not set(keys(data.train)) & set(keys(data.valid))
    for part in (data.train, data.valid):
        assert list(part.labels) == [LABEL_OF[key] for key in keys(part)]


def test_that_nothing_says_which_training_images_belong_together_is_a_doubt(layout, classes):
    test = [f"test/v{i}_{k}.png" for i in range(5) for k in range(2)]
    sample = ["video,label", *(f"v{i},a" for i in range(5))]
    root = layout([*classes("train", "a", "b"), *test], {"sample_submission.csv": sample})
    understood = understand(root)
    assert understood.test.n_rows == 5
    assert any("nothing says which images in train belong together" in d for d in understood.doubts)


def test_scores_are_of_images_where_labels_have_no_column_of_rows(layout, ens):
    train = [f"train/p{i}_{view}.png" for i in range(20) for view in "LR"]
    test = [f"test/{i}.png" for i in range(8)]
    tables = {
        "train.csv": [
            "image,patient_id,label",
            *(f"{p[6:]},{p[6:-6]},{'ab'[i % 4 > 1]}" for i, p in enumerate(train)),
        ],
        "test.csv": ["image,breast", *(f"{i}.png,r{i // 2}" for i in range(8))],
        "sample_submission.csv": ["breast,label", *(f"r{i},a" for i in range(4))],
    }
    ens("init", layout([*train, *test], tables), "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    assert set(data.test.rows) == {"r0", "r1", "r2", "r3"}
    assert not data.validates_rows
    assert any(
        line.startswith("scores are of single images: data.group: breast") for line in data.notes
    )


def test_rows_without_images_are_named(layout):
    images, tables = set_of("folders", "key,label")
    kept = [path for key, paths in images.items() if key not in ("k03", "k04") for path in paths]
    understood = understand(layout(kept, tables))
    assert "2 rows of train.csv have no image: k04, k03" in understood.doubts


def test_a_row_of_the_sample_without_images_is_asked_about(layout):
    images, tables = set_of("folders", "key,label")
    kept = [path for key, paths in images.items() if key != "k23" for path in paths]
    (question,) = understand(layout(kept, tables)).questions
    assert question.text.startswith(
        "1 of 6 ids in sample_submission.csv have no image in test, such as 'k23'"
    )


def test_a_number_in_each_folder_is_no_name_of_an_image_in_it(layout):
    images = [f"train/{key}/{k}.png" for key in LABEL_OF for k in range(3)]
    rows = [f"{key},{i % 3}" for i, key in enumerate(LABEL_OF)]
    root = layout(images, {"train.csv": ["video,label", *rows]})
    understood = understand(root, Options(label="label"))
    assert understood.counts == {"0": 21, "1": 21, "2": 18}


def test_folders_of_kinds_stay_classes_where_a_table_describes_them(layout, classes):
    names = {"cat": "felis", "dog": "canis", "jay": "garrulus"}
    root = layout(
        classes("", *names), {"names.csv": ["class,latin", *map(",".join, names.items())]}
    )
    understood = understand(root)
    assert (understood.labeling.source, understood.questions) == ("folders", ())


def test_numbers_of_rows_that_are_also_names_of_images_name_none(layout):
    """Observations 0 to 35 of images 1.png to 60.png, as in contests of snakes and fungi."""
    observations = [number for number in range(36) for _ in range(1 + number % 3)]
    files = [f"{i + 1}.png" for i in range(len(observations))]
    pairs = list(zip(observations, files, strict=True))
    images = [f"{'train' if number < 30 else 'test'}/{file}" for number, file in pairs]
    tables = {
        "train.csv": [
            "observation,kind,file",
            *shuffled([f"{n},{'ab'[n % 2]},2020/{file}" for n, file in pairs if n < 30]),
        ],
        "test.csv": [
            "observation,file",
            *shuffled([f"{n},2020/{file}" for n, file in pairs if n >= 30]),
        ],
        "sample_submission.csv": ["observation,kind", *(f"{n},a" for n in range(30, 36))],
    }
    understood = understand(layout(images, tables))
    of = {f"2020/{file}": number for number, file in pairs}
    assert understood.labeling.labels == {
        file: "ab"[number % 2] for number, file in pairs if number < 30
    }
    rows = zip(understood.test.table["file"].cells, understood.test.rows, strict=True)
    assert all(str(of[file]) == row for file, row in rows)
    assert (understood.test.n_rows, understood.questions) == (6, ())


@pytest.mark.parametrize("name", ["{}/image.png", "{}_1.png"])
def test_rows_may_be_of_one_image_each(name, layout, ens):
    images = {key: f"{'train' if key in LABEL_OF else 'test'}/{name.format(key)}" for key in KEYS}
    root = layout(images.values(), tables_of())
    ens("init", root, "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    key_of = {str(root / path): key for key, path in images.items()}
    files = map(str, (*data.train.files, *data.valid.files))
    labels = (*data.train.labels, *data.valid.labels)
    assert dict(zip(map(key_of.get, files), labels, strict=True)) == LABEL_OF
    rows = data.test.rows or data.test.ids
    assert [key_of[str(file)] for file in data.test.files] == list(rows)
    assert sorted(rows) == KEYS[20:]
