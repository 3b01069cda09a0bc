"""Which of the given images are of which row of a sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import SubmissionError
from ensemble.submission.given_images import images_of_rows
from ensemble.submission.shape import Shape


def shape_of(ids):
    return Shape(columns=("row", "label"), ids=tuple(ids), answer="class_name")


def table(tmp_path, header, rows):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=8),
    st.sampled_from(["r{row}/{k}", "r{row}_{k}", "x/r{row}/deep/{k}", "r{row}-{k}"]),
    st.randoms(use_true_random=False),
)
def test_each_row_gets_its_own_images_in_any_order(sizes, name, random):
    owner = {name.format(row=row, k=k): row for row, n in enumerate(sizes) for k in range(n)}
    images = random.sample(list(owner), len(owner))
    asked = random.sample(range(len(sizes)), len(sizes))
    rows, line = images_of_rows(shape_of(f"r{row}" for row in asked), images)
    for row, positions in zip(asked, rows, strict=True):
        assert [owner[images[i]] for i in positions] == [row] * sizes[row]
    assert bool(line) == (len(owner) > len(sizes))


def test_an_image_in_several_lines_of_a_table_counts_once(tmp_path):
    path = table(
        tmp_path, "row,image,finding", ["r0,a.png,1", "r0,b.png,1", "r0,a.png,2", "r1,c,1"]
    )
    rows, line = images_of_rows(shape_of(["r1", "r0"]), ["a", "b", "c"], path)
    assert rows == [[2], [0, 1]]
    assert line == "3 images by rows.csv are averaged into 2 rows of the sample"


def test_images_of_no_row_and_loose_matches_are_said(tmp_path):
    path = table(tmp_path, "row,image", ["r0,x/a.png", "r0,x/b.png", "r1,x/c.png"])
    _, line = images_of_rows(shape_of(["r1", "r0"]), ["a", "b", "c", "d"], path)
    assert line == (
        "the sample's ids fit the images only without the ids' leading path; "
        "3 images by rows.csv are averaged into 2 rows of the sample; "
        "1 of 4 images are in no row of the sample"
    )
    assert images_of_rows(shape_of(["a"]), ["a", "b"])[1] == (
        "1 of 2 images are in no row of the sample"
    )


def test_the_line_of_a_table_without_its_image_is_named(tmp_path):
    path = table(tmp_path, "row,image", ["r0,a.png", "r0,b.png", "r1,gone.png"])
    with pytest.raises(
        SubmissionError,
        match=r"csv:4: image 'gone.png' is none of the given images, as 1 of 3 cells",
    ):
        images_of_rows(shape_of(["r0", "r1"]), ["a", "b"], path)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_table_says_whose_an_image_is(tmp_path_factory, sizes, random):
    owner = {f"im{7 * row + k}": row for row, n in enumerate(sizes) for k in range(n)}
    images = [*random.sample(list(owner), len(owner)), "another"]
    lines = [f"r{row},{image}.png" for image, row in random.sample(list(owner.items()), len(owner))]
    path = table(tmp_path_factory.mktemp("t"), "row,image", lines)
    asked = random.sample(range(len(sizes)), len(sizes))
    rows, _ = images_of_rows(shape_of(f"r{row}" for row in asked), images, path)
    for row, positions in zip(asked, rows, strict=True):
        assert sorted(images[i] for i in positions) == sorted(i for i in owner if owner[i] == row)


@pytest.mark.parametrize(
    ("header", "lines", "problem"),
    [
        ("row,image", ["r0,a.png"], "no column has all ids of the sample"),
        ("row,image", ["r0,a.png", "r1,c.png"], "no column names"),
        ("row,image,mask", ["r0,a.png,b.png", "r1,b.png,a.png"], "several columns name"),
        ("row,image", ["r0,a.png", "r1,a.png"], "an image is of two rows"),
        ("row,other,image", ["r0,r0,a.png", "r1,r1,b.png"], ""),
    ],
)
def test_a_table_that_does_not_say_it_is_refused(header, lines, problem, tmp_path):
    path = table(tmp_path, header, lines)
    if not problem:  # the column that is called as the sample's ids counts
        assert images_of_rows(shape_of(["r1", "r0"]), ["a", "b"], path)[0] == [[1], [0]]
        return
    with pytest.raises(SubmissionError, match=problem):
        images_of_rows(shape_of(["r0", "r1"]), ["a", "b"], path)


def test_ids_that_are_names_stay_single_images():
    rows, line = images_of_rows(shape_of(["a_1", "a"]), ["a", "a_1", "a_1_2"])
    assert (rows, line) == ([[1], [0]], "1 of 3 images are in no row of the sample")


def test_an_id_without_images_is_refused_though_others_are_folders():
    with pytest.raises(SubmissionError, match="1 of 2 ids|2 of 2 ids"):
        images_of_rows(shape_of(["r0", "r1"]), ["r0/1", "r0/2"])
