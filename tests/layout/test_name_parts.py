"""Labels in a part of the file names: a question, and the part that --label says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.labels import labels_in_names
from ensemble.errors import DataError, EnsembleError
from ensemble.layout.name_parts import by_parts
from ensemble.layout.questions import Options
from ensemble.layout.survey import Folder
from ensemble.layout.understanding import understand

CHESTS = [f"CXR/CHNCXR_{i:04d}_{i % 2}.png" for i in range(24)]
FACES = [f"faces/{20 + i % 9}_{i % 2}_{i % 3}_2017{i:09d}.jpg" for i in range(36)]


@pytest.mark.parametrize(
    ("images", "parts"), [(CHESTS, ["part3"]), (FACES, ["part1", "part2", "part3"])]
)
def test_which_part_is_the_label_is_a_question(images, parts, layout):
    root = layout(images, {})
    (question,) = understand(root).questions
    assert [option for option, _ in question.choices] == [f"--label {part}" for part in parts]
    assert understand(root, Options(yes=True)).questions == (question,)
    with pytest.raises(EnsembleError, match="--label 'part4': does not fit here\nallowed: part"):
        understand(root, Options(label="part4"))


def test_the_part_that_the_user_names_is_the_label(layout):
    understood = understand(layout(FACES, {}), Options(label="part3"))
    assert understood.questions == ()
    assert understood.labeling.labels == {
        name.partition("/")[2]: name.split("_")[2] for name in FACES
    }


@given(
    st.lists(
        st.tuples(*[st.sampled_from(["a", "bb", "0", "7", "é", "x y", "a-b"])] * 3),
        min_size=4,
        max_size=30,
    ),
    st.sampled_from("_."),
)
def test_a_pattern_finds_what_stands_in_its_part(rows, mark):
    names = {mark.join([*row, str(i)]): row for i, row in enumerate(rows)}
    folder = Folder("photos", tuple(f"{name}.png" for name in names))
    files = [Path(f"{name}.png") for name in names]
    for labeling in by_parts(folder):
        labels = {f"{name}.png": row[labeling.part - 1] for name, row in names.items()}
        assert labeling.labels == labels
        by_pattern = labels_in_names(files, labeling.pattern)
        assert {str(file): label for file, label in by_pattern.items()} == labels


@pytest.mark.parametrize(
    "images",
    [
        [f"photos/IMG_202101{10 + i % 9}_{100000 + i}.jpg" for i in range(36)],
        [f"photos/img_{i:04d}.jpg" for i in range(36)],
        [*FACES[:-1], "faces/20_1_2017.jpg"],
    ],
)
def test_dates_running_numbers_and_names_that_differ_in_form_are_no_labels(images, layout):
    with pytest.raises(DataError, match="nor classes in the file names"):
        understand(layout(images, {}))


def test_a_table_that_fits_no_image_is_told_and_not_passed_over(layout):
    with pytest.raises(DataError, match=r"labels\.csv"):
        understand(layout(CHESTS, {"labels.csv": ["id,label", *(f"x{i},1" for i in range(24))]}))
