"""Tables that could be taken for the labels: of other images, of other classes, of no images."""

import pytest

from ensemble.errors import DataError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand

TRAIN = [f"train/{i}.png" for i in range(12)]
TEST = [f"test/{i}.png" for i in range(12, 18)]


def choices(understood):
    return [option for question in understood.questions for option, _ in question.choices]


def labels(understood):
    assert understood.questions == ()
    return understood.labeling.by_path


def rows(header, *cells, ids=range(12)):
    """A header and a row for each id; a cell is a text to take turns in."""
    turns = [[cell[i % len(cell)] for cell in cells] for i in range(len(ids))]
    return [header, *(",".join([str(i), *row]) for i, row in zip(ids, turns, strict=True))]


def sample(header, *cells):
    return rows(header, *cells, ids=range(12, 18))


def test_tables_that_label_the_same_images_otherwise_are_a_question(layout):
    tables = {"train.csv": rows("id,label", "ab"), "train_noisy.csv": rows("id,label", "aab")}
    root = layout([*TRAIN, *TEST], tables)
    assert choices(understand(root)) == [
        "--label train.csv:label",
        "--label train_noisy.csv:label",
    ]
    chosen = understand(root, Options(label="train_noisy.csv:label"))
    assert labels(chosen)["train/1.png"] == "a"


def test_of_tables_that_agree_the_largest_is_taken(layout):
    tables = {"a.csv": rows("id,label", "ab", ids=range(4)), "train.csv": rows("id,label", "ab")}
    assert len(labels(understand(layout(TRAIN, tables)))) == 12


def test_splits_that_number_their_images_alike_have_the_labels_of_their_tables(layout):
    images = [f"{p}/{i}.png" for p, n in (("train", 12), ("val", 6), ("test", 6)) for i in range(n)]
    tables = {
        "train.csv": rows("ImageID,label", "abc"),
        "val.csv": rows("ImageID,label", "bca", ids=range(6)),
        "sample_submission.csv": rows("ImageID,label", "a", ids=range(6)),
    }
    understood = understand(layout(images, tables))
    assert labels(understood)["val/0.png"] == "b"
    assert labels(understood)["train/0.png"] == "a"
    assert (understood.n_train, understood.n_valid, understood.n_test) == (12, 6, 6)


def test_a_test_table_of_the_same_names_does_not_label_the_training_images(layout):
    images = [f"cars_{p}/{i:05d}.png" for p, n in (("train", 12), ("test", 6)) for i in range(n)]
    names = [f"{i:05d}.png" for i in range(12)]
    tables = {
        "carstrain.csv": rows("image,Class", "123", ids=names),
        "carstest.csv": rows("image,Class", "321", ids=names[:6]),
    }
    root = layout(images, tables)
    assert choices(understand(root)) == [
        "--label carstest.csv:Class",
        "--label carstrain.csv:Class",
    ]
    chosen = understand(root, Options(label="carstrain.csv:Class", sample="none"))
    assert labels(chosen) == {f"cars_train/{name}": "123"[i % 3] for i, name in enumerate(names)}


def test_lists_of_two_kinds_of_classes_are_a_question(layout):
    images = [f"images/{i:07d}.png" for i in range(12)]
    tables = {
        f"images_{kind}_{split}.txt": [
            f"{i:07d} {names[i % 3]}" for i in range(12) if (i < 8) == (split == "train")
        ]
        for kind, names in (("maker", ["Boeing", "Boeing", "Airbus"]), ("variant", "abc"))
        for split in ("train", "test")
    }
    root = layout(images, tables)
    option = "images_variant_train.txt:column 2"
    assert f"--label '{option}'" in choices(understand(root))
    understood = understand(root, Options(label=option))
    assert (understood.counts, understood.n_test) == ({"a": 3, "b": 3, "c": 2}, 4)


def test_the_cells_of_the_sample_choose_the_column(layout):
    tables = {
        "train.csv": rows("image,species,individual", ["orca", "fin"], ["w1", "w2", "w3"]),
        "sample_submission.csv": sample("image,predictions", ["w2 w1 w3"]),
    }
    understood = understand(layout([*TRAIN, *TEST], tables))
    assert understood.labeling.columns == ("individual",)
    assert understood.cells.answer == "top_k"


def test_a_sample_that_names_no_column_is_asked_about(layout):
    tables = {
        "train.csv": rows("image,root,vowel,grapheme", "012", "01", "xxyz"),
        "sample_submission.csv": sample("row,target", "0"),
    }
    asked = choices(understand(layout([*TRAIN, *TEST], tables), Options(metric="accuracy")))
    assert {"--label root", "--label vowel"} <= set(asked)


def test_what_the_sample_asks_for_in_a_table_without_images_is_refused(layout):
    images = [f"{p}/x{i:03d}-{k}.png" for p in ("train", "test") for i in range(8) for k in (1, 2)]
    tables = {
        "train.csv": rows("PetID,Speed", "0123", ids=[f"{i:03d}" for i in range(8)]),
        "sample_submission.csv": rows("PetID,Speed", "0", ids=[f"9{i:02d}" for i in range(8)]),
    }
    with pytest.raises(DataError, match="asks for Speed, but its rows are not images"):
        understand(layout(images, tables))


@pytest.mark.parametrize("header", ["id,label", "id,label,Usage"])
def test_a_solution_does_not_label_training_images(header, layout):
    images = [f"images/{i}.png" for i in range(18)]
    tables = {
        "train.csv": rows("id,label", "ab"),
        "solution.csv": sample(header, "ab", ["Public"])[:1]
        + [f"{i},b{',Public' * header.count('Usage')}" for i in range(12, 18)],
        "sample_submission.csv": sample("id,label", "a"),
    }
    understood = understand(layout(images, tables))
    assert set(labels(understood)) == set(images[:12])
    assert (understood.n_test, understood.sample.file) == (6, "sample_submission.csv")


def test_one_set_of_classes_under_two_names_is_no_question(layout):
    tables = {"train.csv": rows("file,class id,labels", "012", ["ox", "owl", "ant"])}
    assert set(labels(understand(layout(TRAIN, tables))).values()) == {"ox", "owl", "ant"}


def test_two_amounts_that_never_repeat_are_a_question(layout):
    amounts = [str(i * 37 % 101 / 10) for i in range(1, 13)]
    tables = {"train.csv": rows("file,target,diagnosis", amounts, amounts[::-1])}
    asked = choices(understand(layout(TRAIN, tables)))
    assert asked == ["--label target", "--label diagnosis"]


def test_numbers_of_the_sample_choose_the_column_of_numbers(layout):
    tables = {
        "train.csv": rows("file,class_name,class_id", ["ox", "owl", "ant"], "012"),
        "sample_submission.csv": sample("Id,Predicted", "0"),
    }
    understood = understand(layout([*TRAIN, *TEST], tables))
    assert (understood.labeling.classes, understood.cells.answer) == (("0", "1", "2"), "class_name")


def test_sizes_of_files_are_no_labels(layout):
    tables = {"sizes.csv": rows("path,width,mode", ["8", "16"], ["RGB", "L"])}
    with pytest.raises(
        DataError,
        match="no column holds labels: width is no label by its name; mode is no label by its name",
    ):
        understand(layout(TRAIN, tables))


def test_texts_of_another_table_do_not_win_over_numbers(layout):
    tables = {
        "train.csv": rows("file,age", "1234"),
        "extra.csv": rows("file,view", ["top", "side"]),
    }
    assert choices(understand(layout(TRAIN, tables))) == ["--label view", "--label age"]


def test_numbers_of_classes_are_no_file_names(layout):
    images = [f"train/{'cat' if i % 2 else 'dog'}.{i}.png" for i in range(40)]
    images += [f"test/{i}.png" for i in range(40)]
    understood = understand(layout(images, {"weights.csv": rows("class,weight", "12", ids=[0, 1])}))
    assert understood.counts == {"cat": 20, "dog": 20}


def test_cells_that_are_none_of_the_classes_are_asked_about(layout):
    tables = {
        "train.csv": rows("id,label", ["cat", "dog"]),
        "sample_submission.csv": sample("id,label", ["yes", "no"]),
    }
    understood = understand(layout([*TRAIN, *TEST], tables), Options(metric="accuracy"))
    assert "--answer class_name" in choices(understood)


@pytest.mark.parametrize("prefix", ["", "gs://bucket/"])
def test_a_first_row_that_names_an_image_is_no_header(prefix, layout):
    lines = [
        f"{['TRAIN', 'VALIDATION'][i % 3 == 2]},{prefix}train/{i}.png,{'ab'[i % 2]}"
        for i in range(12)
    ]
    understood = understand(layout(TRAIN, {"all.csv": lines}))
    assert labels(understood) == {name: "ab"[i % 2] for i, name in enumerate(TRAIN)}
    assert understood.n_valid == 4


def test_a_csv_with_a_column_name_twice_is_refused(layout):
    with pytest.raises(DataError, match="a column name appears twice in id, a, a"):
        understand(layout(TRAIN, {"train.csv": ["id,a,a", "0,1,2", "1,2,1"]}))


@pytest.mark.parametrize("suffix", ["", ".png"])
def test_a_counter_called_as_the_samples_ids_is_asked_about_beside_file_names(suffix, layout):
    shuffled = [(5 * i + 3) % 12 for i in range(12)]
    tables = {
        "train.csv": [
            "id,image,label",
            *(f"{i},{image}{suffix},{'ab'[image % 2]}" for i, image in enumerate(shuffled)),
        ],
        "sample_submission.csv": sample("id,label", "a"),
    }
    root = layout([*TRAIN, *TEST], tables)
    assert choices(understand(root)) == ["--id id", "--id image"]
    by_image = labels(understand(root, Options(id="image")))
    assert by_image == {f"train/{i}.png": "ab"[i % 2] for i in range(12)}


def test_a_counter_beside_the_samples_ids_is_no_question(layout):
    shuffled = [(5 * i + 3) % 12 for i in range(12)]
    tables = {
        "train.csv": [
            "number,id,label",
            *(f"{i},{image},{'ab'[image % 2]}" for i, image in enumerate(shuffled)),
        ],
        "sample_submission.csv": sample("id,label", "a"),
    }
    by_image = labels(understand(layout([*TRAIN, *TEST], tables)))
    assert by_image == {f"train/{i}.png": "ab"[i % 2] for i in range(12)}


@pytest.mark.parametrize("n_wrong", [0, 1, 12])
def test_class_folders_and_a_table_that_disagree_are_a_question(n_wrong, layout, classes):
    images = classes("train", "a", "b")
    cells = {name: name.split("/")[1] for name in images}
    cells |= {name: "ba"["ab".index(cells[name])] for name in images[:n_wrong]}
    stems = {name: name.rpartition("/")[2].removesuffix(".png") for name in images}
    tables = {
        "train.csv": ["id,label", *(f"{stems[name]},{cell}" for name, cell in cells.items())],
        "sample_submission.csv": sample("id,label", "a"),
    }
    asked = ["--label label", "--label folders"] if n_wrong else []
    assert choices(understand(layout([*images, *TEST], tables))) == asked


def test_an_id_that_fits_two_images_is_told_with_both(layout):
    twins = ["train/3.jpg", "test/14.jpg"]
    tables = {
        "train.csv": rows("id,label", "ab"),
        "sample_submission.csv": sample("id,label", "a"),
    }
    in_test = understand(layout([*TRAIN, *TEST, twins[1]], tables)).questions[0].text
    assert "such as '14', which fits 2 test images: '14.jpg' and '14.png'" in in_test
    with pytest.raises(DataError, match="id '3', which fits 2 images: 'train/3.jpg' and"):
        understand(layout(twins, tables))


@pytest.mark.parametrize("mark", [" ", ",", "\t"])
def test_class_folders_and_lists_that_disagree_are_a_question(mark, layout):
    images = [f"images/q/{i % 3}/d{i}.png" for i in range(24)]
    rows = [f"{image.removeprefix('images/')}{mark}{i % 4}" for i, image in enumerate(images)]
    lists = {"train.txt": rows[:14], "val.txt": rows[14:19], "test.txt": rows[19:]}
    root = layout(images, {f"labels/{file}": listed for file, listed in lists.items()})
    assert choices(understand(root)) == ["--label 'labels/train.txt:column 2'", "--label folders"]
    understood = understand(root, Options(label="labels/train.txt:column 2"))
    assert (understood.n_train, understood.n_valid, understood.n_test) == (14, 5, 5)
    assert labels(understood) == {image: str(i % 4) for i, image in enumerate(images)}


@pytest.mark.parametrize(
    "ranks", [("family", "genus"), ("genus", "species"), ("family", "species")]
)
def test_ranks_of_the_same_plants_are_a_question(ranks, layout):
    tables = {
        "train.csv": [
            f"id,{','.join(ranks)}",
            *(f"{i},{'FG'[i % 2]},{'abc'[i % 3]}" for i in range(12)),
        ],
    }
    assert choices(understand(layout([*TRAIN, *TEST], tables))) == [f"--label {r}" for r in ranks]


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_a_sample_with_the_index_of_pandas_is_refused(name, layout):
    tables = {
        "train.csv": ["id,label", *(f"{i},{'ab'[i % 2]}" for i in range(12))],
        "sample_submission.csv": [f"{name},id,label", *(f"{i},{i + 12},a" for i in range(4))],
    }
    with pytest.raises(
        DataError, match=r"sample_submission\.csv: its first column, .*pandas' index"
    ):
        understand(layout([*TRAIN, *TEST], tables))


def test_a_benchmark_is_a_sample_where_no_other_table_is(layout):
    tables = {
        "train.csv": rows("id,label", "ab"),
        "all_a_benchmark.csv": sample("id,label", "a"),
        "sample_submission.csv": sample("id,label", "b"),
    }
    root = layout([*TRAIN, *TEST], tables)
    assert understand(root).sample.file == "sample_submission.csv"
    (root / "sample_submission.csv").unlink()
    assert understand(root).sample.file == "all_a_benchmark.csv"


@pytest.mark.parametrize(
    "amounts", [[str(i * 37 % 101) for i in range(1, 13)], ["3", "5", "8", "9"]]
)
def test_few_numbers_beside_others_are_a_question_where_no_name_says_which(amounts, layout):
    tables = {"train.csv": rows("file,rooms,price", "1234", amounts)}
    assert choices(understand(layout(TRAIN, tables))) == ["--label rooms", "--label price"]
