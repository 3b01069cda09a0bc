"""Labels in a table of their own, and pixel tables without a header, that say too little."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutated import mutated

from ensemble.convert.plan import conversion_of

UNLABELLED = "pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n5,6,7,8\n9,9,9,9\n"
LABELLED_APART = {
    "one label too few": (
        {"y_train.csv": "label\na\n"},
        ["y_train.csv: 1 rows of labels, X_train.csv has 3"],
    ),
    "one label too many": (
        {"y_train.csv": "label\na\nb\na\nb\n"},
        ["y_train.csv: 4 rows of labels, X_train.csv has 3"],
    ),
    "a name and a label that is lost": (
        {"y_train.csv": "label\na\nb\n"},
        ["y_train.csv: 2 rows of labels, X_train.csv has 3"],
    ),
    "a name that pandas gave and a label that is lost": (
        {"y_train.csv": "0\n0\n1\n"},
        ["y_train.csv: 2 rows of labels, X_train.csv has 3"],
    ),
    "no name and pixels that are lost": (
        {"y_train.csv": "a\nb\na\nb\n"},
        ["y_train.csv: 4 rows of labels, X_train.csv has 3"],
    ),
    "an empty label": (
        {"y_train.csv": "label,n\na,1\nb,1\n,1\n"},
        ["y_train.csv: its ids in 'label' are not the numbers of the rows"],
    ),
    "two tables of labels": (
        {"y_train.csv": "label\na\nb\na\n", "train_labels.csv": "label\na\na\nb\n"},
        ["train_labels.csv and y_train.csv: each could be the labels"],
    ),
    "ids that are not the rows' numbers": (
        {"y_train.csv": "id,label\n5,a\n6,b\n7,a\n"},
        ["y_train.csv: its ids in 'id' are not the numbers of the rows"],
    ),
    "numbers of rows in another order": (
        {"y_train.csv": "id,label\n2,a\n0,b\n1,a\n"},
        ["not the numbers of the rows, in order"],
    ),
    "ids without ids beside the pixels": (
        {"y_train.csv": "id,label\nx,a\ny,b\nz,a\n"},
        ["not the numbers of the rows, in order"],
    ),
    "two columns that could be the label": (
        {"y_train.csv": "id,a,b\n0,a,a\n1,b,b\n2,a,b\n"},
        ["y_train.csv", "each of a, b could be the label"],
    ),
    "an id that has no label": (
        {
            "X_train.csv": "id,pixel0,pixel1,pixel2,pixel3\nx,1,2,3,4\ny,1,2,3,4\nq,1,2,3,4\n",
            "y_train.csv": "id,label\nx,a\ny,b\nz,a\n",
        },
        ["X_train.csv:4", "'q' is not in y_train.csv"],
    ),
    "an index of pandas that appears twice": (
        {
            "X_train.csv": ",pixel0,pixel1,pixel2,pixel3\n0,1,2,3,4\n1,1,2,3,4\n0,1,2,3,4\n",
            "y_train.csv": ",label\n0,a\n1,b\n2,a\n",
        },
        ["X_train.csv:4", "'0' appears twice"],
    ),
    "labels whose ids repeat": (
        {
            "X_train.csv": "id,pixel0,pixel1,pixel2,pixel3\nx,1,2,3,4\ny,1,2,3,4\nz,1,2,3,4\n",
            "y_train.csv": "id,label\nx,a\nx,b\nz,a\n",
        },
        ["y_train.csv: its ids in 'id' repeat"],
    ),
    "a row with one cell too many": (
        {"y_train.csv": "id,label\n0,a\n1,b,c\n2,a\n"},
        ["y_train.csv:3", "not 2 cells"],
    ),
    "labels of other rows": (
        {"y_test.csv": "label\na\nb\na\n"},
        ["X_train.csv", "none is a label"],
    ),
    "a sample submission alone": (
        {"sample_submission_train.csv": "id,label\n0,a\n1,b\n2,a\n"},
        ["X_train.csv", "none is a label"],
    ),
    "no labels for validation": (
        {
            "y_train.csv": "label\na\nb\na\n",
            "X_valid.csv": UNLABELLED,
        },
        ["X_valid.csv: no labels", "as y_train.csv"],
    ),
    "labels that are no text": (
        {"y_train.csv": b"label\na\n\xff\nb\n"},
        ["y_train.csv:3", "not a readable CSV"],
    ),
}


@pytest.mark.parametrize("case", LABELLED_APART)
def test_labels_in_a_table_of_their_own_that_do_not_fit(case, work, write, not_converted):
    files, texts = LABELLED_APART[case]
    for name, content in {"X_train.csv": UNLABELLED, **files}.items():
        write(f"in/{name}", content)
    not_converted(Path("in"), "in", *texts)


def nameless(*ends, n=64, pixel="7"):
    """Rows without a header: (first cell, last cell) around n - 1 other pixels."""
    middle = ",".join([pixel] * (n - 1))
    return "".join(f"{first},{middle},{last}\n" for first, last in ends)


NAMELESS = {
    "both ends have few values": (nameless(*[(i % 2, i % 2) for i in range(20)]), ["65 columns"]),
    "an end of one value": (nameless(*[(0, 0)] * 20), ["65 columns"]),
    "ends of many values": (nameless(*[(i, 255 - i) for i in range(20)]), ["65 columns"]),
    "classes that are not counted": (nameless(*[(3 + 4 * (i % 2), 0) for i in range(20)]), ["65"]),
    "a class that is a text": (nameless(*[("ab"[i % 2], 0) for i in range(20)]), ["65 columns"]),
    "as many pixels as another image has with a label": (
        nameless(*[(i % 2, 0) for i in range(20)], n=675),
        ["676 columns"],
    ),
    "two columns beside the pixels": (nameless(*[(i % 2, 0) for i in range(20)], n=65), ["66"]),
    "a pixel of 256": (
        nameless(*[(i % 2, 0) for i in range(20)]) + nameless((1, 256)),
        ["train.csv:21", "256"],
    ),
    "a row that is too short": (
        nameless(*[(i % 2, 0) for i in range(20)]) + "0,0\n",
        ["train.csv:21", "2 cells"],
    ),
    "a fraction as a class": (
        nameless(*[(0.5 * (i % 2), 0) for i in range(20)]),
        ["65 columns", "no header"],
    ),
}


@pytest.mark.parametrize("case", NAMELESS)
def test_tables_without_a_header_that_say_too_little(case, work, write, not_converted):
    text, texts = NAMELESS[case]
    write("in/train.csv", text)
    not_converted(Path("in"), "in", *texts)


def convert(root, folder):
    conversion = conversion_of(root)
    if conversion is not None:
        conversion.write(folder, lambda done, total: None)


@given(st.data())
def test_any_labels_apart_are_joined_or_a_data_error(tmp_path_factory, lines_of_refusal, data):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    (root / "X_train.csv").write_text(UNLABELLED)
    raw = data.draw(mutated([b"id,label\n0,a\n1,b\n2,a\n"]) | st.binary(max_size=60))
    (root / "y_train.csv").write_bytes(raw)
    assert len(lines_of_refusal(convert, root, folder)) <= 3


@given(st.data())
def test_any_table_without_a_header_is_converted_or_a_data_error(
    tmp_path_factory, lines_of_refusal, data
):
    root, folder = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    raw = data.draw(mutated([nameless(*[(i % 2, 0) for i in range(6)]).encode()]))
    (root / "train.csv").write_bytes(raw)
    assert len(lines_of_refusal(convert, root, folder)) <= 3


CASES = LABELLED_APART | NAMELESS
