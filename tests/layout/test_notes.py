"""What `ens init` says about how it read a table: nothing is matched or left out in silence."""

import pytest
from PIL import Image

from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.sample_file import looks_like_sample
from ensemble.layout.understanding import understand


@pytest.fixture
def labeled(tmp_path):
    """labeled(text, names): the understanding of labels.csv with this text beside images."""

    def labeled(text, names=tuple(f"{i:03d}.png" for i in range(4))):
        for i, name in enumerate(names):
            (tmp_path / "train").mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "train" / name)
        (tmp_path / "labels.csv").write_text(text)
        return understand(tmp_path)

    return labeled


@pytest.mark.parametrize("file", ["labels.xlsx", "meta/train.parquet", "devkit/annos.mat"])
def test_a_table_that_is_not_read_is_a_doubt_beside_folders(file, layout, classes):
    root = layout(classes("data", "photos_a", "photos_b", n=12))
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(b"PK\3\4")
    (doubt,) = understand(root).doubts
    assert doubt.startswith(
        f"{file} is not read: where it holds labels or groups, save it as a CSV"
    )
    names = [path.relative_to(root).as_posix() for path in sorted(root.glob("data/*/*.png"))]
    rows = "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names))
    (root / "labels.csv").write_text(f"image,label\n{rows}")
    assert understand(root, Options(label="label")).doubts == ()


def rows(form):
    return "".join(f"{form(i)},{'ab'[i % 2]}\n" for i in range(4))


@pytest.mark.parametrize(
    ("form", "note"),
    [
        (lambda i: f"{i}", "without leading zeros: '0' is '000.png'"),
        (lambda i: f"{i:03d}.0", "without the ids' `.0`: '000.0' is '000.png'"),
        (lambda i: f"C:\\x\\{i:03d}.png", "without the ids' leading path: 'C:\\\\x\\\\000.png' is"),
        (lambda i: f"{i:03d}.PNG", ""),
        (lambda i: f"{i:03d}", ""),
    ],
)
def test_a_loose_match_of_ids_is_said(form, note, labeled):
    understood = labeled("id,label\n" + rows(form))
    assert understood.counts == {"a": 2, "b": 2}
    assert len(understood.notes) == bool(note)
    assert not note or note in understood.notes[0]


def test_a_table_without_a_header_is_said(labeled):
    assert labeled(rows(lambda i: f"{i:03d}.png")).notes == (
        "labels.csv has no header: its first row names an image, too",
    )


def test_blanks_around_cells_are_said(labeled):
    understood = labeled("id, label\n" + "".join(f"{i:03d}, {'ab'[i % 2]}\n" for i in range(4)))
    assert understood.counts == {"a": 2, "b": 2}
    assert understood.notes == ("labels.csv: blanks around 5 cells are left out: ' b' is 'b'",)


@pytest.mark.parametrize(
    ("ends", "with_sample"),
    [(("_red", "_green"), False), (("_red", "_green"), True), (("-a", "-b", "-c"), True)],
)
def test_rows_of_several_images_are_refused_with_one_of_them(ends, with_sample, layout):
    images = [f"train/{i:02d}e{end}.png" for i in range(6) for end in ends]
    tables = {"train.csv": ["Id,Target", "77e,a", *(f"{i:02d}e,{'ab'[i % 2]}" for i in range(6))]}
    if with_sample:
        tables["sample_submission.csv"] = ["Id,Target", "90e,a", "91e,a"]
    begin = rf"Id '00e', with which the names of {len(ends)} images begin, such as 'train/00e"
    with pytest.raises(DataError, match=rf"train\.csv: .*its rows are not images: {begin}"):
        understand(layout(images, tables))


def test_names_that_begin_with_the_ids_of_a_table_are_no_classes_without_a_question(layout):
    images = [f"train/{i:02d}e-{j}.png" for i in range(6) for j in range(3)]
    tables = {"train.csv": ["Id,Target", *(f"{i:02d}e,{'ab'[i % 2]}" for i in range(6))]}
    (question,) = understand(layout(images, tables), Options(yes=True)).questions
    assert question.text == "the file names begin with ids in train.csv: is each a class?"
    assert [option for option, _ in question.choices] == ["--label names"]


@pytest.mark.parametrize(
    ("file", "is_sample"),
    [
        *((name, True) for name in ("sampleEntry", "SubmissionFormat", "all_zeros_benchmark")),
        *(
            (name, True)
            for name in ("test_sample", "sample-submission", "submit_example", "Sample")
        ),
        *((name, False) for name in ("samples", "downsampled", "train", "resampled_labels")),
    ],
)
def test_a_sample_is_told_by_its_name(file, is_sample):
    assert looks_like_sample(f"folder/{file}.csv") is is_sample


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (("Cat", "cat"), "by the case of their letters alone: 'Cat' (10) and 'cat' (10)"),
        (
            ("Ka\u0308se", "K\xe4se"),
            "by their Unicode form alone: 'Ka\\u0308se' (10) and 'K\\xe4se' (10); rename one of them",
        ),
        (("cat", "dog"), None),
    ],
)
def test_class_folders_that_look_the_same_are_said(names, doubt, tmp_path):
    for red, name in enumerate(names):
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.new("RGB", (8, 8), (red, i, 0)).save(tmp_path / name / f"{i}.png")
    assert understand(tmp_path).doubts == ((f"classes differ {doubt}",) if doubt else ())


@pytest.mark.parametrize("name", ["unknown", "unlabeled", "-1"])
def test_classes_that_may_be_missing_labels_are_told(name, layout, classes):
    understood = understand(layout(classes("train", "1", "2", name)))
    told = f"6 images are labeled {name!r}: a class, or a label that is missing?"
    assert told in understood.doubts


def test_classes_in_file_names_that_end_in_numbers_are_told(layout):
    images = [f"{c}_p{p:02d}_{i}.png" for c in ("ill", "well") for p in range(4) for i in range(3)]
    told = "classes such as 'ill_p00' and 'ill_p01': or is 'ill' the class of both?"
    assert told in understand(layout(images)).doubts


def test_several_numbers_in_file_names_are_no_classes_by_themselves(layout):
    images = [f"{20 + i % 4}_{i % 2}_{i}.png" for i in range(24)]
    (question,) = understand(layout(images)).questions
    assert [option for option, _ in question.choices] == ["--label part1", "--label part2"]


def test_dates_are_no_labels(layout):
    rows = ["file,date,state", *(f"{i}.png,2020-0{i % 3 + 1}-01,{'ab'[i % 2]}" for i in range(12))]
    understood = understand(layout([f"train/{i}.png" for i in range(12)], {"meta.csv": rows}))
    assert (understood.questions, understood.labeling.columns) == ((), ("state",))


def test_a_sample_of_two_test_folders_beside_one_of_the_first_is_a_question(layout):
    images = [f"{f}/{f[-1]}{i}.png" for f in ("train", "test_1", "test_2") for i in range(6)]
    rows = {name: [f"{name}{i},a" for i in range(6)] for name in "12"}
    tables = {
        "train.csv": ["id,label", *(f"n{i},{'ab'[i % 2]}" for i in range(6))],
        "sample_submission_1.csv": ["id,label", *rows["1"]],
        "sample_submission_2.csv": ["id,label", *rows["1"], *rows["2"]],
    }
    (question,) = understand(layout(images, tables)).questions
    assert [option for option, _ in question.choices] == [
        "--sample sample_submission_1.csv",
        "--sample sample_submission_2.csv",
    ]
    understood = understand(layout([], tables), Options(sample="sample_submission_2.csv"))
    assert (understood.questions, understood.n_test) == ((), 12)


def test_classes_that_are_the_same_number_are_told(layout):
    rows = ["file,label", *(f"{i}.png,{('1', '1.0', '0')[i % 3]}" for i in range(12))]
    understood = understand(layout([f"train/{i}.png" for i in range(12)], {"labels.csv": rows}))
    assert "classes are the same number: '1' (4) and '1.0' (4)" in understood.doubts


def numbered(folder, begin, step=1):
    return [f"{folder}/{begin}{i:02d}.png" for i in range(0, 12, step)]


def test_a_folder_of_copies_beside_class_folders_is_a_doubt(layout):
    folders = [image for name in ("cat", "dog", "owl") for image in numbered(name, name[0])]
    copies = [image for begin in "cdo" for image in numbered("old_versions", begin, 2)]
    (doubt,) = understand(layout([*folders, *copies])).doubts
    assert doubt.startswith(
        "18 files in 'old_versions' are called as those of other classes, such as c00"
    )


@pytest.mark.parametrize("begins", ["xxx", "xxy"])
def test_classes_that_are_numbered_alike_are_no_copies(begins, layout):
    names = zip(("cat", "dog", "owl"), begins, strict=True)
    images = [image for name, begin in names for image in numbered(name, begin)]
    assert understand(layout(images)).doubts == ()


@pytest.mark.parametrize(
    ("column", "cells", "is_doubted"),
    [
        ("is_corrupt", "01", True),
        ("ignore", ["True", "False"], True),
        ("corrupt", "00", False),
        ("camera", "01", False),
        ("ignore", "ab", False),
    ],
)
def test_a_column_that_says_which_rows_to_leave_out_is_a_doubt(column, cells, is_doubted, layout):
    rows = [f"{i},{'ab'[i % 2]},{cells[i % 3 == 0]}" for i in range(30)]
    images = [f"train/{i}.png" for i in range(30)]
    understood = understand(
        layout(images, {"train.csv": [f"id,label,{column}", *rows]}), Options(label="label")
    )
    assert any(column in doubt for doubt in understood.doubts) == is_doubted
