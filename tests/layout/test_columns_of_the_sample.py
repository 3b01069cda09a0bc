"""A sample submission whose columns have the same text around every class."""

import pytest

from ensemble.layout.understanding import understand

TRAIN = [f"train/{i}.png" for i in range(12)]
TEST = [f"test/{i}.png" for i in range(12, 18)]
COLUMNS = ["cat,dog", "prob_cat,prob_dog", "cat_prob,dog_prob", "p(cat),p(dog)", "isDog,isCat"]


def sample(columns):
    return [f"id,{columns}", *(f"{i},0.5,0.5" for i in range(12, 18))]


def rows(header, *cells):
    return [header, *(",".join([str(i), *(cell(i) for cell in cells)]) for i in range(12))]


def meaning(understood):
    assert understood.questions == ()
    return understood.labeling.label_names, understood.cells.answer, understood.labeling.target


@pytest.mark.parametrize("columns", COLUMNS)
def test_they_are_the_class_folders(columns, layout, classes):
    root = layout([*classes("train", "cat", "dog"), *TEST], {"sample.csv": sample(columns)})
    assert meaning(understand(root)) == (("cat", "dog"), "probabilities", "class")


@pytest.mark.parametrize("columns", COLUMNS)
def test_they_are_the_cells_of_the_labels(columns, layout):
    labels = rows("id,kind,place", lambda i: ("cat", "dog")[i % 2], lambda i: "abc"[i % 3])
    root = layout([*TRAIN, *TEST], {"train.csv": labels, "sample.csv": sample(columns)})
    assert meaning(understand(root)) == (("cat", "dog"), "probabilities", "class")


@pytest.mark.parametrize("columns", COLUMNS)
def test_they_are_columns_of_0_and_1_beside_another_one(columns, layout):
    labels = rows("id,dog,cat,big", *(lambda i, k=k: str(i // k % 2) for k in (1, 2, 3)))
    root = layout([*TRAIN, *TEST], {"train.csv": labels, "sample.csv": sample(columns)})
    assert meaning(understand(root)) == (("cat", "dog"), "probabilities", "labels")


def test_the_text_may_be_around_the_columns_of_the_labels_instead(layout):
    labels = rows("id,is_dog,is_cat", *(lambda i, k=k: str(i // k % 2) for k in (1, 2)))
    root = layout([*TRAIN, *TEST], {"train.csv": labels, "sample.csv": sample("cat,dog")})
    assert meaning(understand(root)) == (("is_cat", "is_dog"), "probabilities", "labels")


@pytest.mark.parametrize("column", ["dog", "Dog", "prob_dog", "is_dog", "P(dog)"])
def test_a_column_of_fractions_that_is_named_by_a_class_is_its_probability(column, layout, classes):
    rows = [f"id,{column}", *(f"{i},0.5" for i in range(12, 18))]
    understood = understand(layout([*classes("train", "cat", "dog"), *TEST], {"sample.csv": rows}))
    assert (understood.questions, understood.cells.positive) == ((), "dog")


@pytest.mark.parametrize("column", ["label", "p", "not_dog", "dogs", "dog_cat"])
def test_another_column_of_fractions_is_asked_about(column, layout, classes):
    rows = [f"id,{column}", *(f"{i},0.5" for i in range(12, 18))]
    understood = understand(layout([*classes("train", "cat", "dog"), *TEST], {"sample.csv": rows}))
    (question,) = understood.questions
    assert [option for option, _ in question.choices] == ["--positive cat", "--positive dog"]
