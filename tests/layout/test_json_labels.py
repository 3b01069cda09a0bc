"""Labels in plain JSON: a list of objects, JSON lines, an object with a value for each image."""

import json

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

TRAIN = [f"train/{i}.png" for i in range(12)]
TEST = [f"test/{i}.png" for i in range(12, 18)]
LABELS = {f"{i}.png": ("cat", "dog", "dog")[i % 3] for i in range(12)}
OBJECTS = [{"file_name": file, "label": label} for file, label in LABELS.items()]
BY_CLASS = {
    name: [file for file, label in LABELS.items() if label == name] for name in ("dog", "cat")
}
LINES = "\n".join(map(json.dumps, OBJECTS))
FILES = {
    "a list of objects": ("train.json", OBJECTS),
    "one list in an object": ("a.json", {"version": 2, "data": OBJECTS, "names": ["cat", "dog"]}),
    "a label for each image": ("labels.json", LABELS),
    "an object for each image": (
        "a.json",
        {f: {"label": c, "width": 8} for f, c in LABELS.items()},
    ),
    "a list of one label": ("a.json", {file: [label] for file, label in LABELS.items()}),
    "ids without suffix": ("a.json", {file[:-4]: label for file, label in LABELS.items()}),
    "images of each class": ("a.json", BY_CLASS),
    "a list for each column": (
        "a.json",
        {"names": list(LABELS), "label": list(LABELS.values())},
    ),
    "a class without images": ("a.json", {**BY_CLASS, "owl": []}),
    "columns as pandas writes them": (
        "a.json",
        {
            "id": {str(row): file for row, file in enumerate(LABELS)},
            "label": {str(row): label for row, label in enumerate(LABELS.values())},
        },
    ),
    "lines": ("train.jsonl", LINES),
    "lines beside the images": ("train/metadata.jsonl", f"\ufeff{LINES}\r\n\r\n"),
    "objects in objects": ("a.json", [{**fields, "box": {"x": 1}} for fields in OBJECTS]),
}
OTHERS = {
    "damaged": ("labels.json", "{"),
    "damaged lines": ("labels.jsonl", f"{LINES}\n{{"),
    "an image twice": ("labels.json", '{"0.png": "cat", "0.png": "dog"}'),
    "two lists": ("labels.json", {"a": OBJECTS, "b": OBJECTS}),
    "numbers": ("labels.json", [1, 2]),
    "lists of two lengths": ("labels.json", {"names": list(LABELS), "label": ["cat"]}),
    "nothing": ("labels.json", {}),
}


@pytest.fixture
def stored(layout):
    """stored(file, content, images): the root of images beside a JSON file."""

    def stored(file, content, images=(*TRAIN, *TEST)):
        text = content if isinstance(content, str) else json.dumps(content)
        return layout(images, {file: [text]})

    return stored


@pytest.mark.parametrize("case", FILES)
def test_the_labels_of_plain_json_are_read(case, stored):
    understood = understand(stored(*FILES[case]))
    assert understood.questions == ()
    assert understood.labeling.by_path == {f"train/{file}": c for file, c in LABELS.items()}
    assert (understood.n_train, understood.n_test) == (12, 6)


@pytest.mark.parametrize("case", OTHERS)
def test_other_json_is_named_and_not_read(case, stored):
    file, content = OTHERS[case]
    with pytest.raises(DataError, match=f"{file} is not read as labels: save it as a CSV"):
        understand(stored(file, content))


def test_lists_are_several_labels(stored):
    several = {f"{i}.png": ["red", "blue", "old"][i % 4 :] for i in range(12)}
    understood = understand(stored("a.json", several))
    assert (understood.questions, understood.labeling.target) == ((), "labels")
    assert understood.labeling.label_names == ("blue", "old", "red")
    assert understood.labeling.by_path["train/3.png"] == ""


def test_json_beside_class_folders_that_says_otherwise_is_asked_about(stored, classes):
    images = classes("train", "cat", "dog")
    labels = {image.rpartition("/")[2]: ("cat", "dog")[i % 2] for i, image in enumerate(images)}
    (question,) = understand(stored("labels.json", labels, images)).questions
    assert {option for option, _ in question.choices} == {"--label folders", "--label label"}


def test_lists_of_each_split_are_splits(layout):
    tables = {
        "train.json": [json.dumps(OBJECTS)],
        "val.json": [
            json.dumps(
                [{"file_name": f"{i}.png", "label": LABELS[f"{i - 18}.png"]} for i in range(18, 21)]
            )
        ],
        "test.json": [json.dumps([{"file_name": f"{i}.png"} for i in range(12, 18)])],
    }
    root = layout([f"images/{i}.png" for i in range(21)], tables)
    understood = understand(root)
    assert (understood.n_train, understood.n_valid, understood.n_test) == (12, 3, 6)


@pytest.mark.parametrize("case", ["lines", "a label for each image"])
def test_the_recipes_read_a_table_that_is_written(case, stored, ens):
    ens("init", stored(*FILES[case]), "--name", "a")
    images = load(Recipe.load("recipes/a_resnet.yaml").data)
    read = {
        file.name: label
        for part in (images.train, images.valid)
        for file, label in zip(part.files, part.classes, strict=True)
    }
    assert read == LABELS
    assert len(images.test) == 6


def test_a_list_of_few_numbers_is_a_column_of_labels_though_images_are_called_so(stored):
    """The labels 1 and 2 are images' names, too, and the ids are written in another case."""
    names = [f"{i}.PNG" for i in range(12)]
    content = {"image": names, "label": [i % 2 + 1 for i in range(12)]}
    understood = understand(stored("train.json", content, TRAIN))
    assert understood.labeling.by_path == {f"train/{i}.png": str(i % 2 + 1) for i in range(12)}
