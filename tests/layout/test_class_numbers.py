"""A sample submission of numbers, and classes that are words: which number stands for which class."""

import json

import pytest

from ensemble.dataset.load import load
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

SAMPLE = ["id,label", *(f"t{i},0" for i in range(6))]
TEST = [f"test/t{i}.png" for i in range(6)]
NUMBERS = {"dog": 0, "cat": 1, "ant": 2}
FILES = {
    "names to numbers": ("class_to_idx.json", [json.dumps(NUMBERS)]),
    "numbers to names": ("map.json", [json.dumps({str(n): name for name, n in NUMBERS.items()})]),
    "a table without header": ("classes.txt", ["0 dog", "1 cat", "2 ant"]),
    "a table": ("classes.csv", ["name,code,note", "dog,0,big", "cat,1,old", "Ant,2,six"]),
}
OTHER_FILES = {
    "a class is missing": ("map.json", [json.dumps({"dog": 0, "cat": 1})]),
    "a number twice": ("map.json", [json.dumps({"dog": 0, "cat": 1, "ant": 1})]),
    "no numbers": ("map.json", [json.dumps({"dog": "d", "cat": "c", "ant": "a"})]),
    "a list": ("map.json", [json.dumps(["dog", "cat", "ant"])]),
    "two columns of numbers": ("map.csv", ["name,a,b", "dog,0,2", "cat,1,1", "ant,2,0"]),
    "damaged": ("map.json", ["{"]),
}
CLASS_NUMBER = Options(answer="class_number")


@pytest.fixture
def pets(layout, classes):
    """pets(tables, *names): class folders and a sample of numbers."""

    def pets(tables=(), *names, more=()):
        images = classes("train", *(names or ("ant", "cat", "dog")))
        return layout([*images, *TEST, *more], {"sample.csv": SAMPLE, **dict(tables)})

    return pets


def choices(root):
    (question,) = understand(root).questions
    return dict(question.choices), question.text


@pytest.mark.parametrize("names", [("001.cat", "002.dog"), ("cat-1", "dog-2"), ("1. a10", "2. b")])
def test_numbers_in_the_names_are_a_choice(names, pets):
    offered, _ = choices(pets((), *names))
    meaning = f"the number in its name, 1 = {names[0]}, 2 = {names[1]}"
    assert offered["--answer class_number"] == meaning
    assert "--answer class_index" in offered
    assert understand(pets((), *names), CLASS_NUMBER).cells.answer == "class_number"


def test_positions_that_are_the_numbers_in_the_names_are_one_choice(pets):
    assert list(choices(pets((), "0_cat", "1_dog", "2_ant"))[0]) == [
        "--answer class_number",
        "--answer class_name",
    ]


@pytest.mark.parametrize(
    "names", [("cat", "dog"), ("1_cat", "dog"), ("1_cat", "1_dog"), ("a", "b1")]
)
def test_names_without_a_number_each_have_no_such_choice(names, pets):
    assert "--answer class_number" not in choices(pets((), *names))[0]


@pytest.mark.parametrize("case", FILES)
def test_numbers_in_a_file_are_the_first_choice_and_name_the_classes(case, pets):
    root = pets([FILES[case]])
    offered, _ = choices(root)
    meaning = f"its number in {FILES[case][0]}, 0 = dog, 1 = cat, 2 = ant"
    assert next(iter(offered.items())) == ("--answer class_number", meaning)
    for options in (CLASS_NUMBER, Options(yes=True)):
        understood = understand(root, options)
        assert understood.labeling.classes == ("0_dog", "1_cat", "2_ant")
        assert understood.labeling.by_path["train/cat/cat_0.png"] == "1_cat"
        assert (understood.cells.answer, understood.questions) == ("class_number", ())


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_that_does_not_number_every_class_is_no_choice(case, pets):
    assert "--answer class_number" not in choices(pets([OTHER_FILES[case]]))[0]


def test_files_that_number_the_classes_otherwise_are_named(pets):
    others = {"a.json": [json.dumps(NUMBERS)], "b.json": [json.dumps({**NUMBERS, "ant": 3})]}
    offered, text = choices(pets(others))
    assert "--answer class_number" not in offered
    assert text.endswith("; other numbers are in a.json and in b.json")


def test_a_file_beside_numbers_in_the_names_is_named(pets):
    offered, text = choices(pets({"a.json": ['{"1_cat": 5, "2_dog": 6}']}, "1_cat", "2_dog"))
    assert offered["--answer class_number"].startswith("the number in its name")
    assert text.endswith("; other numbers are in a.json")


@pytest.mark.parametrize("folder", ["", "val"])
def test_the_recipes_read_the_classes_with_their_numbers(folder, pets, classes, ens):
    more = classes("val", "Ant", "cat", "dog", n=3) if folder else ()
    root = pets({"class_to_idx.json": [json.dumps(NUMBERS)]}, more=more)
    ens("init", root, "--name", "a", "--answer", "class_number")
    images = load(Recipe.load("recipes/a_resnet.yaml").data)
    assert images.classes == ("0_dog", "1_cat", "2_ant")
    labels = {
        f"{file.parent.parent.name} {file.parent.name}": label
        for part in (images.train, images.valid)
        for file, label in zip(part.files, part.classes, strict=True)
    }
    folders = {"train ant": "2_ant", "train cat": "1_cat", "train dog": "0_dog"}
    assert labels == folders | (
        {"val Ant": "2_ant", "val cat": "1_cat", "val dog": "0_dog"} if folder else {}
    )
