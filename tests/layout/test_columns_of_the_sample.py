"""A sample submission whose columns have the same text around every class."""

import pytest

from ensemble.errors import SubmissionError
from ensemble.layout.questions import Options
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


ANIMALS = ["cat", "dog", "polar bear", "sea lion"]


def animals(layout, cell):
    names = [f"train/{name}/{i}_{name[:3]}.png" for name in ANIMALS for i in range(10)]
    tables = {"sample_submission.csv": ["id,animal", *(f"e{i},{cell}" for i in range(6))]}
    return layout([*names, *(f"test/e{i}.png" for i in range(6))], tables)


def test_class_names_whose_words_the_sample_joins_are_no_doubt(layout):
    assert understand(animals(layout, "polar_bear")).doubts == ()
    (doubt,) = understand(animals(layout, "polar_bears")).doubts
    assert "'polar_bears', which is none of the classes" in doubt
    best = understand(animals(layout, "polar_bear cat"), Options(answer="top_k"))
    assert (best.cells.answer, best.cells.metric) == ("top_k", "map@2")


def test_they_are_folders_inside_kinds(layout):
    kinds = {"pear": "fruit", "kale": "leaf", "plum": "fruit", "beet": "root"}
    images = [f"train/{kinds[name]}/{name}/{i}.png" for name in kinds for i in range(6)]
    tables = {
        "sample_submission.csv": ["id,kale,beet,plum,pear", *(f"e{i},0,0,0,1" for i in range(6))]
    }
    understood = understand(layout([*images, *(f"test/e{i}.png" for i in range(6))], tables))
    assert (understood.questions, understood.cells.answer) == ((), "probabilities")
    assert understood.counts == dict.fromkeys(sorted(kinds), 6)


@pytest.mark.parametrize(("cells", "is_doubt"), [("012", True), ("123", False), ("000", False)])
def test_numbers_in_the_sample_of_which_some_are_no_class_are_a_doubt(cells, is_doubt, layout):
    rows = ["id,label", *(f"t{i},{1 + i % 4}" for i in range(40))]
    asked = ["id,label", *(f"e{i},{cells[i % 3]}" for i in range(6))]
    images = [*(f"train/t{i}.png" for i in range(40)), *(f"test/e{i}.png" for i in range(6))]
    doubts = understand(layout(images, {"train.csv": rows, "sample.csv": asked})).doubts
    assert any("such as '0', which is none of the classes 1, 2, 3" in d for d in doubts) == is_doubt


def test_names_that_hold_the_mark_between_them_are_refused_before_training(layout):
    with pytest.raises(SubmissionError, match="'polar bear' holds ' ', which is between the names"):
        understand(animals(layout, "cat dog"))


@pytest.mark.parametrize("are_columns", [False, True])
def test_a_column_of_unknown_ones_without_a_training_image_is_a_doubt(are_columns, layout):
    skins = ["MEL", "NV", "BCC"]
    if are_columns:
        ones = [",".join(str(float(i % 3 == j)) for j in range(4)) for i in range(36)]
        train = ["image,MEL,NV,BCC,UNK", *(f"s{i},{row}" for i, row in enumerate(ones))]
    else:
        train = ["image,kind", *(f"s{i},{skins[i % 3]}" for i in range(36))]
    images = [*(f"train/s{i}.png" for i in range(36)), *(f"test/e{i}.png" for i in range(6))]
    cells = ["image,MEL,NV,BCC,UNK", *(f"e{i},0.25,0.25,0.25,0.25" for i in range(6))]
    understood = understand(layout(images, {"train.csv": train, "sample_submission.csv": cells}))
    assert understood.questions == ()
    (doubt,) = understood.doubts
    assert "has a column 'UNK', of which there is no training image" in doubt
    assert understood.cells.answer == "probabilities"
    assert understood.labeling.label_names == tuple(sorted(skins))
