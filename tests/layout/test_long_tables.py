"""Tables of several rows for an image: for each image and class, or for each of its labels."""

import csv

import pytest

from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

NAMES = ("ant", "cat", "dog")
TRAIN = [f"train/{i}.png" for i in range(12)]
TEST = [f"test/{i}.png" for i in range(12, 18)]
WIDE_SAMPLE = ["id,ant,cat,dog", *(f"{i},0.3,0.3,0.4" for i in range(12, 18))]
LISTS = ["id,label", *(f"{i},cat dog" for i in range(12, 18))]


def is_one(i, k, n=3):
    return int((i + k) % n == 0)


def long(header, *, joined=False, n=3, ids=range(12)):
    """A row for each image and class, the last first."""
    rows = [
        f"{i}{'_' if joined else ','}{c},{is_one(i, k, n)}"
        for i in ids
        for k, c in enumerate(NAMES)
    ]
    return [header, *reversed(rows)]


def pairs(header="id,label", more=""):
    """A row for each label of an image, of which some have two."""
    rows = [(i, c) for i in range(12) for k, c in enumerate(NAMES) if (i + k) % 2]
    return [header, *(f"{i},{c}{more and ',' + more[i % len(more)]}" for i, c in rows)]


def expected(n):
    return {
        f"train/{i}.png": "\n".join(
            c for k, c in reversed(list(enumerate(NAMES))) if is_one(i, k, n)
        )
        for i in range(12)
    }


LONG = {
    "a class": long("image,class,value"),
    "a class by the sample's columns": long("image,finding,value"),
    "one text": long("ID,Label", joined=True),
}


@pytest.mark.parametrize("n", [3, 2])
@pytest.mark.parametrize("case", LONG)
def test_a_row_for_each_image_and_class_is_read(case, n, layout):
    header, *_ = LONG[case]
    labels = long(header, joined="Label" in header, n=n)
    root = layout([*TRAIN, *TEST], {"train.csv": labels, "sample.csv": WIDE_SAMPLE})
    understood = understand(root)
    assert understood.questions == ()
    assert understood.labeling.by_path == expected(n)
    assert understood.labeling.target == ("class" if n == 3 else "labels")
    assert understood.cells.answer == "probabilities"


def test_raters_are_no_classes(layout):
    with pytest.raises(DataError, match="two labels, .*\nleave one row for each image; or name"):
        understand(layout(TRAIN, {"train.csv": long("image,rater,label")}))


def test_one_row_of_a_class_missing_is_no_such_table(layout):
    with pytest.raises(DataError, match="an image has two labels"):
        understand(layout(TRAIN, {"train.csv": long("image,class,value")[:-1]}))


def test_probabilities_of_each_class_are_refused(layout):
    rows = [f"{i},{c},0.{k + 1}" for i in range(12) for k, c in enumerate(NAMES)]
    with pytest.raises(DataError, match="a column of 0 and 1 must say which of its rows"):
        understand(layout(TRAIN, {"train.csv": ["image,class,value", *rows]}))


@pytest.mark.parametrize("joined", [False, True])
def test_such_a_sample_is_refused_with_what_to_do(joined, layout, classes):
    images = [*classes("train", *NAMES), *TEST]
    header = "id,value" if joined else "id,class,value"
    sample = long(header, joined=joined, ids=range(12, 18))
    root = layout(images, {"sample_submission.csv": sample})
    with pytest.raises(DataError, match=r"a row for each image and class, .*\n.*\(pandas: pivot\)"):
        understand(root)


@pytest.mark.parametrize("sample", [None, LISTS])
def test_a_row_for_each_label_is_read_on_request(sample, layout):
    root = layout(
        [*TRAIN, *TEST], {"train.csv": pairs(), **({"sample.csv": sample} if sample else {})}
    )
    with pytest.raises(DataError, match="two labels, 1.png: .*\n.*add --answer labels"):
        understand(root)
    understood = understand(root, Options(answer="labels"))
    assert (understood.questions, understood.cells.answer) == ((), "labels")
    assert understood.labeling.label_names == NAMES
    assert understood.labeling.by_path["train/1.png"] == "ant,dog"


@pytest.mark.parametrize("cells", ["10", ["0.2", "0.9"], ["False", "True"]])
def test_rows_that_may_not_hold_are_no_labels(cells, layout):
    """As in Open Images, where a person looked for a label and did not find it."""
    root = layout(TRAIN, {"train.csv": pairs("id,label,confidence", cells)})
    with pytest.raises(DataError, match="column confidence is .* an image does not have"):
        understand(root, Options(answer="labels"))


def test_another_column_is_not_the_label_since_images_have_several(layout):
    with pytest.raises(DataError, match="column label: an image has two labels"):
        understand(layout(TRAIN, {"train.csv": pairs("id,label,place", "xyz")}))


@pytest.mark.parametrize("kind", ["pairs", "long"])
def test_the_recipes_read_a_table_that_is_written(kind, layout, ens):
    labels = pairs() if kind == "pairs" else long("image,class,value", n=2)
    root = layout([*TRAIN, *TEST], {"train.csv": labels})
    ens("init", root, "--name", "a", *(["--answer", "labels"] if kind == "pairs" else []))
    images = load(Recipe.load("recipes/a_resnet.yaml").data)
    assert images.classes == NAMES
    with open("recipes/a.labels.csv", newline="") as stored:
        assert len(list(csv.reader(stored))) == 13
    assert len(images.train) + len(images.valid) == 12
