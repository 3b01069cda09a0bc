"""Samples whose ids are no names of images, but in a column beside them of a table of test images."""

import csv
import json
from pathlib import Path

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.survey import survey
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

TRAIN = [f"train/p{i}.png" for i in range(12)]
SHUFFLED = [(5 * i + 3) % 6 for i in range(6)]  # the image of each of the sample's rows
LABELS = ["image,label", *(f"p{i}.png,{'ab'[i % 2]}" for i in range(12))]


def listed(kind, ids, names):
    """The table of the test images by its file's name."""
    rows = list(zip(ids, names, strict=True))
    if kind == "csv":
        return {"test.csv": ["ID,image", *(f"{i},{name}" for i, name in rows)]}
    if kind == "no header":
        return {"test.csv": [f"{name},{i}" for i, name in rows]}
    entries = [{"id": int(i), "file_name": name} for i, name in rows]
    content = {"images": entries, "annotations": []} if kind == "coco" else entries
    return {"test.json": [json.dumps(content)]}


def sample(ids):
    return {"sample_submission.csv": ["Id,label", *(f"{i},a" for i in ids)]}


def data_of(root, ens, *options):
    ens("init", root, "--name", "a", *options)
    return load(Recipe.load("recipes/a_resnet.yaml").data)


@pytest.mark.parametrize("kind", ["csv", "no header", "list", "coco"])
@pytest.mark.parametrize("first", [0, 268_243])
def test_each_row_is_predicted_from_its_image(kind, first, layout, ens):
    ids = [str(first + i) for i in range(6)]
    names = [f"q{i}.png" for i in SHUFFLED]
    tables = {"train.csv": LABELS} | listed(kind, ids, names) | sample(reversed(ids))
    data = data_of(layout([*TRAIN, *(f"test/q{i}.png" for i in range(6))], tables), ens)
    read = {i: file.name for i, file in zip(data.test.ids, data.test.files, strict=True)}
    assert read == dict(zip(ids, names, strict=True))
    assert data.sample is not None


def test_images_that_are_called_like_other_rows_are_asked_about(layout, ens):
    ids = [str(i) for i in range(6)]
    names = [f"{i}.png" for i in SHUFFLED]
    tables = {"train.csv": LABELS} | listed("csv", ids, names) | sample(ids)
    root = layout([*TRAIN, *(f"test/{i}.png" for i in range(6))], tables)
    assert [q.choices[0][0] for q in understand(root).questions] == ["--id ID"]
    read = data_of(root, ens, "--id", "image").test
    assert dict(zip(read.ids, (f.name for f in read.files), strict=True)) == dict(
        zip(ids, names, strict=True)
    )


def test_ids_that_are_the_names_need_no_table(layout):
    names = [f"q{i}.png" for i in range(6)]
    tables = {"train.csv": LABELS} | listed("csv", [n[:2] for n in names], names)
    root = layout([*TRAIN, *(f"test/{n}" for n in names)], tables | sample([n[:2] for n in names]))
    test = understand(root, Options()).test
    assert (test.names_sample, test.rows) == (True, ())


def test_an_image_without_an_id_of_the_sample_is_refused(layout, ens):
    ids, names = [str(i + 7) for i in range(6)], [f"q{i}.png" for i in range(6)]
    tables = {"train.csv": LABELS} | listed("list", ids, names) | sample(ids)
    data_of(layout([*TRAIN, *(f"test/{n}" for n in names)], tables), ens)
    written = Path("recipes/a.test.csv")
    with written.open(newline="") as stored:
        header, *rows = csv.reader(stored)
    rows[3][header.index("row")] = ""
    written.write_text("".join(f"{','.join(row)}\n" for row in (header, *rows)))
    with pytest.raises(DataError, match="row is empty"):
        load(Recipe.load("recipes/a_resnet.yaml").data)


def test_ids_may_stand_behind_the_answers(layout, classes, ens):
    rows = [f"{'ab'[i % 2]},t{i}.png" for i in reversed(range(6))]
    tables = {"sample_submission_file.csv": ["Category,Id", *rows]}
    images = [*classes("train", "a", "b"), *(f"test/0/t{i}.png" for i in range(6))]
    root = layout(images, tables)
    assert understand(root).questions == ()
    assert data_of(root, ens).sample is not None


@pytest.mark.parametrize("filler", ["", "unknown", "-1", "nan", "0"])
def test_what_a_table_fills_in_for_the_samples_images_is_no_label(filler, layout, ens):
    images = [f"images/{i}.png" for i in range(18)]
    rows = [f"{i},{i % 3 if i < 12 else filler}" for i in range(18)]
    tables = {
        "data.csv": ["id,label", *rows],
        "sample_submission.csv": ["id,label", *(f"{i},0" for i in range(12, 18))],
    }
    data = data_of(layout(images, tables), ens, "--metric", "accuracy")
    assert (data.target, data.classes, data.test.labels) == ("class", ("0", "1", "2"), None)
    assert {file.stem for file in data.test.files} == {str(i) for i in range(12, 18)}
    labels = {
        f: c
        for part in (data.train, data.valid)
        for f, c in zip(part.files, part.classes, strict=True)
    }
    assert {file.stem: label for file, label in labels.items()} == {
        str(i): str(i % 3) for i in range(12)
    }


@pytest.mark.parametrize("ids", [range(12, 18), range(12, 18, 3)])
def test_a_sample_of_labeled_images_is_told(ids, layout):
    tables = {
        "data.csv": ["id,label", *(f"{i},{'abc'[i % 3]}" for i in range(18))],
        "sample_submission.csv": ["id,label", *(f"{i},a" for i in ids)],
    }
    understood = understand(layout([f"images/{i}.png" for i in range(18)], tables))
    assert understood.doubts[0] == (
        "sample_submission.csv asks for ids such as '12', which has a label"
    )


def test_a_list_of_names_of_several_words_is_no_list_of_labels(layout):
    """`sea lion` is a class; a cell of three classes is read as that, or asked about."""
    images = [f"{'train' if i < 12 else 'test'}/{i}.png" for i in range(18)]
    classes = ("sea lion", "fox", "dog", "owl")
    labels = ["id,label", *(f"{i},{classes[i % 4]}" for i in range(12))]
    sample = ["id,label", *(f"{i},fox sea lion dog" for i in range(12, 18))]
    understood = understand(layout(images, {"train.csv": labels, "sample.csv": sample}))
    assert understood.labeling.target == "class"
    assert understood.labeling.classes == tuple(sorted(classes))
    (question,) = understood.questions
    assert [option for option, _ in question.choices] == ["--answer top_k", "--answer class_name"]


@pytest.mark.parametrize("has_valid", [False, True])
def test_the_sample_of_rows_that_a_column_says_are_for_testing_is_used(has_valid, layout):
    images = [f"images/{i}.png" for i in range(24)]
    split = ["train"] * 12 + ["val" if has_valid else "train"] * 6 + ["test"] * 6
    labels = ["id,label,split", *(f"{i},{'ab'[i % 2]},{split[i]}" for i in range(24))]
    sample = ["id,label", *(f"{i},a" for i in reversed(range(18, 24)))]
    understood = understand(layout(images, {"data.csv": labels, "sample.csv": sample}))
    assert understood.sample is not None
    assert understood.test.rows == tuple(map(str, reversed(range(18, 24))))
    assert understood.test.ids == tuple(f"images/{i}.png" for i in reversed(range(18, 24)))
    assert understood.test.labels == tuple("ab"[i % 2] for i in reversed(range(18, 24)))
    assert (understood.n_train, understood.n_valid) == ((12, 6) if has_valid else (18, 0))


def test_a_header_above_columns_of_0_and_1_is_one_though_images_are_called_so(layout):
    images = [f"images/{i}.png" for i in range(12)]
    rows = [
        "image,0,1,sex",
        *(f"images/{i}.png,{i % 2},{1 - i % 2},{'MF'[i % 2]}" for i in range(12)),
    ]
    table = survey(layout(images, {"labels.csv": rows})).tables[0]
    assert (table.has_header, table.header) == (True, ("image", "0", "1", "sex"))


@pytest.mark.parametrize("mark", ["|", ", ", " "])
def test_labels_in_a_cell_under_a_sample_of_a_column_each(mark, layout):
    images = [f"{'train' if i < 12 else 'test'}/{i}.png" for i in range(18)]
    cells = [
        mark.join(name for k, name in enumerate(("haze", "rain", "sky")) if (i + k) % 3)
        for i in range(12)
    ]
    labels = ["id;finding", *(f"{i};{cell}" for i, cell in enumerate(cells))]
    sample = ["id,sky,haze,rain", *(f"{i},0.5,0.5,0.5" for i in range(12, 18))]
    understood = understand(layout(images, {"train.csv": labels, "sample.csv": sample}))
    assert understood.questions == ()
    assert understood.labeling.target == "labels"
    assert understood.labeling.label_names == ("haze", "rain", "sky")
    assert understood.cells.answer == "probabilities"
