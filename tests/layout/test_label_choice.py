"""Which labels the images have: by the sample submission, by names, by cells; else it is asked."""

import csv

import pytest
from PIL import Image

from ensemble.errors import DataError, EnsembleError
from ensemble.layout.questions import Options
from ensemble.layout.understanding import understand


@pytest.fixture
def competition(tmp_path):
    """competition(tables, images=…): named images and tables below a folder, which is returned."""

    def competition(tables, images=None):
        images = images or [f"train/{i}.jpg" for i in range(12)] + [
            f"test/{i}.jpg" for i in range(12, 18)
        ]
        for name in images:
            (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "set" / name)
        for file, rows in tables.items():
            (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
            with (tmp_path / "set" / file).open("w", newline="") as opened:
                csv.writer(opened).writerows(rows)
        return tmp_path / "set"

    return competition


def table(*columns, n=12):
    """A header and n rows; a column is its name and a function of the row's number."""
    return [[name for name, _ in columns], *[[cell(i) for _, cell in columns] for i in range(n)]]


def sample(*header, cell="a"):
    return [header, *[[i, *[cell] * (len(header) - 1)] for i in range(12, 18)]]


def image_id(i):
    return i


def letter(i):
    return "ab"[i % 2]


def choices(understood):
    (question,) = understood.questions
    return [option for option, _ in question.choices]


def chosen(understood):
    assert understood.questions == ()
    return understood.labeling.table.file, understood.labeling.columns


def test_it_is_the_column_of_the_sample(competition):
    rows = table(("id", image_id), ("diagnosis", lambda i: "xyz"[i % 3]), ("target", letter))
    root = competition({"train.csv": rows, "sample_submission.csv": sample("id", "target")})
    assert chosen(understand(root)) == ("train.csv", ("target",))


def test_a_column_of_the_sample_may_be_spelled_otherwise(competition):
    rows = table(
        ("file_name", image_id), ("frame", lambda i: i % 3), ("category_id", lambda i: i % 2)
    )
    root = competition(
        {"train.csv": rows, "sample_submission.csv": sample("Id", "Category", cell=0)}
    )
    assert chosen(understand(root, Options(metric="accuracy"))) == ("train.csv", ("category_id",))


def test_it_is_the_column_whose_cells_are_the_columns_of_the_sample(competition):
    rows = table(("id", image_id), ("color", lambda i: "rg"[i // 6]), ("kind", letter))
    root = competition(
        {"train.csv": rows, "sample_submission.csv": sample("id", "a", "b", cell=0.5)}
    )
    assert chosen(understand(root)) == ("train.csv", ("kind",))


@pytest.mark.parametrize("name", ["label", "Class", "category_id", "dx", "species", "class_name"])
def test_a_usual_name_is_enough(name, competition):
    rows = table(
        ("age", lambda i: i % 5),
        (name, letter),
        ("sex", lambda i: "mf"[i // 6]),
        ("image", image_id),
    )
    assert chosen(understand(competition({"train.csv": rows}))) == ("train.csv", (name,))


def test_a_table_of_boxes_is_not_that_of_the_labels(competition):
    boxes = table(
        ("image_id", image_id), ("x", lambda i: i % 7), ("y", lambda i: 3), ("w", lambda i: i % 3)
    )
    rows = table(("id", image_id), ("kind", letter))
    assert chosen(understand(competition({"boxes.csv": boxes, "labels.csv": rows}))) == (
        "labels.csv",
        ("kind",),
    )


def test_several_columns_that_look_alike_are_a_question(competition):
    rows = table(("file", image_id), ("color", letter), ("shape", lambda i: "st"[i // 6]))
    root = competition({"train.csv": rows})
    assert choices(understand(root)) == ["--label color", "--label shape"]
    assert chosen(understand(root, Options(label="shape"))) == ("train.csv", ("shape",))
    assert chosen(understand(root, Options(yes=True))) == ("train.csv", ("color",))
    assert "--label color (by --yes)" in understand(root, Options(yes=True)).notes
    with pytest.raises(
        EnsembleError, match="--label 'size': does not fit here\nallowed: color, shape"
    ):
        understand(root, Options(label="size"))


def test_class_folders_and_a_column_that_differs_are_a_question(competition):
    images = [f"train/{'north' if i < 6 else 'south'}/{i}.jpg" for i in range(12)]
    root = competition({"train.csv": table(("image", image_id), ("label", letter))}, images)
    assert choices(understand(root)) == ["--label label", "--label folders"]
    assert understand(root, Options(label="label")).counts == {"a": 6, "b": 6}


def test_class_folders_that_differ_from_what_the_sample_asks_for_are_not_the_labels(competition):
    images = [f"train/{'north' if i < 6 else 'south'}/{i}.jpg" for i in range(12)]
    images += [f"test/{i}.jpg" for i in range(12, 18)]
    tables = {"train.csv": table(("image", image_id), ("hotel", letter))}
    root = competition({**tables, "sample_submission.csv": sample("image", "hotel")}, images)
    assert chosen(understand(root)) == ("train.csv", ("hotel",))


def test_a_table_that_repeats_the_class_folders_is_these_folders(competition):
    images = [f"train/{letter(i)}/{i}.jpg" for i in range(12)]
    rows = table(
        ("image", lambda i: f"{i}.jpg"), ("label", letter), ("driver", lambda i: f"p{i // 3}")
    )
    understood = understand(competition({"train.csv": rows}, images))
    assert understood.labeling.source == "folders"
    assert [group.column for group in understood.groups] == ["driver"]


class TestIds:
    """The column that names the images."""

    SHUFFLED = (3, 5, 1, 0, 2, 4, 11, 10, 9, 8, 7, 6)

    def shuffled(self, i):
        return self.SHUFFLED[i]

    @pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
    def test_an_index_that_pandas_wrote_is_not_the_id(self, name, competition):
        rows = table((name, image_id), ("image", self.shuffled), ("label", letter))
        labels = understand(competition({"train.csv": rows})).labeling.labels
        assert labels == {f"{name}.jpg": letter(i) for i, name in enumerate(self.SHUFFLED)}

    def test_file_names_win_over_numbers(self, competition):
        rows = table(
            ("row", image_id), ("key", lambda i: f"{self.shuffled(i)}.jpg"), ("label", letter)
        )
        assert understand(competition({"train.csv": rows})).labeling.labels["3.jpg"] == "a"

    def test_two_columns_that_name_other_images_are_a_question(self, competition):
        rows = table(("a", image_id), ("b", self.shuffled), ("label", letter))
        root = competition({"train.csv": rows})
        assert choices(understand(root)) == ["--id a", "--id b"]
        assert understand(root, Options(id="b")).labeling.labels["3.jpg"] == "a"
        assert understand(root, Options(id="a")).labeling.labels["3.jpg"] == "b"

    def test_the_sample_names_the_id(self, competition):
        rows = table(("a", image_id), ("b", self.shuffled), ("label", letter))
        root = competition({"train.csv": rows, "sample_submission.csv": sample("b", "label")})
        assert understand(root).labeling.labels["3.jpg"] == "a"

    def test_two_spellings_of_the_same_ids_are_one(self, competition):
        rows = table(("file", lambda i: f"{i}.jpg"), ("id", image_id), ("label", letter))
        assert chosen(understand(competition({"train.csv": rows}))) == ("train.csv", ("label",))


def test_an_image_with_two_labels_is_refused(competition):
    rows = [*table(("id", image_id), ("label", letter)), [3, "a"]]
    with pytest.raises(
        DataError, match=r"column label: an image has two labels, 3.jpg: 'b' and 'a'"
    ):
        understand(competition({"train.csv": rows}))


def test_a_row_without_a_label_is_refused(competition):
    rows = table(("id", image_id), ("label", lambda i: letter(i) if i < 10 else ""))
    with pytest.raises(DataError, match="2 images have an empty label, the first: 10.jpg"):
        understand(competition({"train.csv": rows}))


class TestSplits:
    """Validation and test images that the tables set apart."""

    def counts(self, understood):
        assert understood.questions == ()
        return understood.n_train, understood.n_valid, understood.n_test

    def test_a_column_says_so(self, competition):
        rows = table(
            ("id", image_id),
            ("label", letter),
            ("part", lambda i: ["Training", "val"][i % 4 == 0]),
        )
        understood = understand(competition({"train.csv": rows}))
        assert (understood.splits.column, self.counts(understood)) == ("part", (9, 3, 6))

    def test_two_tables_of_one_header_say_so(self, competition):
        rows = table(("id", image_id), ("label", letter))
        root = competition({"train.txt": rows[:9], "validation.txt": [rows[0], *rows[9:]]})
        assert self.counts(understand(root)) == (8, 4, 6)

    def test_folders_of_one_table_say_so(self, competition):
        images = [f"{'valid' if i < 3 else 'train'}/{i}.jpg" for i in range(12)]
        root = competition({"labels.csv": table(("id", image_id), ("label", letter))}, images)
        assert self.counts(understand(root)) == (9, 3, 0)

    def test_tables_without_a_header_list_paths_and_labels(self, competition):
        images = [f"images/{i}.jpg" for i in range(12)]
        lines = [[f"images/{i}.jpg {letter(i)}"] for i in range(12)]
        root = competition({"train.txt": lines[:8], "test.txt": lines[8:]}, images)
        assert self.counts(understand(root)) == (8, 0, 4)

    def test_a_list_of_test_images_picks_them_out_of_a_shared_folder(self, competition):
        images = [f"images/{i}.jpg" for i in range(18)]
        tables = {
            "train.csv": table(("id", image_id), ("label", letter), n=10),
            "Test.csv": [["id"], [16], [17]],
        }
        understood = understand(competition(tables, images))
        assert self.counts(understood) == (10, 0, 2)
        assert (understood.test.table.file, understood.test.id_column) == ("Test.csv", "id")

    def test_a_sample_about_no_image_is_a_question(self, competition):
        tables = {"train.csv": table(("id", image_id), ("label", letter))}
        root = competition({**tables, "sample_submission.csv": [["id", "label"], ["x1", "a"]]})
        understood = understand(root)
        (question,) = understood.questions
        assert "asks for ids such as 'x1', which no test image has" in question.text
        assert choices(understood) == ["--sample none"]
        understood = understand(root, Options(sample="none"))
        assert (understood.sample, understood.n_test, understood.questions) == (None, 6, ())

    def test_a_table_of_the_test_images_and_their_labels_could_be_a_sample(self, competition):
        tables = {"train.csv": table(("id", image_id), ("label", letter))}
        root = competition({**tables, "example.csv": sample("id", "label", cell="a")})
        assert choices(understand(root)) == ["--sample example.csv", "--sample none"]
        assert understand(root, Options(sample="example.csv")).sample.file == "example.csv"

    @pytest.mark.parametrize(
        ("rows", "problem"),
        [
            ([[i, 0.5, 0.5] for i in range(12, 16)], "so it has no header"),
            ([["id"], [12], [13]], "needs an id column and at least one more"),
            ([["id", "label"], [12, "a"], [12, "b"]], "has '12' in 2 rows"),
        ],
    )
    def test_a_sample_that_would_lose_a_row_is_refused(self, competition, rows, problem):
        tables = {"train.csv": table(("id", image_id), ("label", letter))}
        with pytest.raises(DataError, match=problem):
            understand(competition({**tables, "sample_submission.csv": rows}))

    def test_tables_that_label_an_image_differently_are_asked_about(self, competition):
        tables = {
            "labels.csv": table(("id", image_id), ("label", letter)),
            "older.csv": table(("id", image_id), ("label", lambda i: letter(i + 1))),
        }
        expected = ["--label labels.csv:label", "--label older.csv:label"]
        assert choices(understand(competition(tables))) == expected


class TestTargets:
    """Classes, several labels, numbers."""

    def target(self, competition, cell, sample_cell=None, name="label", **options):
        tables = {"train.csv": table(("id", image_id), (name, cell))}
        if sample_cell is not None:
            tables["sample_submission.csv"] = sample("id", name, cell=sample_cell)
        understood = understand(competition(tables), Options(**options))
        return understood.labeling.target if not understood.questions else choices(understood)

    def test_fractions_of_the_sample_make_a_number(self, competition):
        assert self.target(competition, lambda i: 20 + i, 65.28, name="score") == "number"

    def test_probabilities_of_two_classes_are_no_numbers(self, competition):
        assert self.target(competition, lambda i: i % 2, 0.5) == "class"

    def test_whole_numbers_that_repeat_are_classes(self, competition):
        assert self.target(competition, lambda i: i % 5, 0, metric="quadratic_kappa") == "class"

    def test_fractions_are_numbers(self, competition):
        assert self.target(competition, lambda i: i / 7, name="target") == "number"

    def test_a_plural_column_of_lists_has_several_labels(self, competition):
        assert (
            self.target(competition, lambda i: ("a", "a b", "b c")[i % 3], name="tags") == "labels"
        )

    def test_a_sample_that_joins_labels_anew_says_several_labels(self, competition):
        assert self.target(competition, lambda i: ("a", "a b")[i % 2], "b a") == "labels"

    def test_names_of_several_words_are_asked_about_where_words_repeat(self, competition):
        names = ("Common wheat", "Common chickweed", "Fat Hen")

        def cell(i):
            return names[i % 3]

        assert self.target(competition, cell) == ["--answer class_name", "--answer labels"]
        assert self.target(competition, cell, answer="class_name") == "class"

    def test_words_of_one_name_under_a_plural_are_asked_about(self, competition):
        names = ("golden retriever", "siamese cat", "persian cat")
        asked = self.target(competition, lambda i: names[i % 3], name="labels")
        assert asked == ["--answer class_name", "--answer labels"]

    def test_a_mark_counts_before_the_blanks_of_names(self, competition):
        lists = ("red", "red, pale pink", "blue", "pale pink, blue")
        tables = {"train.csv": table(("id", image_id), ("tags", lambda i: lists[i % 4]))}
        labeling = understand(competition(tables)).labeling
        assert labeling.separator == ","
        assert labeling.label_names == ("blue", "pale pink", "red")

    def test_lists_of_a_program_are_refused(self, competition):
        with pytest.raises(DataError, match=r"column tags are lists: .*\['a'\]") as refused:
            self.target(competition, lambda i: ("['a']", "['b']")[i % 2], name="tags")
        assert "red;blue" in str(refused.value)

    def test_many_whole_numbers_are_asked_about_unless_named_as_classes(self, competition):
        asked = ["--answer values", "--answer class_name"]
        ages = {"cell": lambda i: 20 + i % 11, "sample_cell": 0}
        assert self.target(competition, **ages, name="age") == asked
        assert self.target(competition, **ages, name="age", answer="values") == "number"
        assert self.target(competition, **ages, name="age", answer="class_name") == "class"
        assert self.target(competition, **ages, name="class_id") == "class"
        assert self.target(competition, **ages, name="breed_id") == "class"

    @pytest.mark.parametrize("cell", ["{}%", "{} kg", "1,{}", "${}"])
    def test_numbers_with_units_or_commas_are_refused(self, competition, cell):
        with pytest.raises(DataError, match="column weight holds '.*': not a plain number"):
            self.target(competition, lambda i: cell.format(100 + i % 11), name="weight")

    def test_numbers_with_an_odd_cell_are_named(self, competition):
        with pytest.raises(DataError, match="score holds numbers, but '' in 1 of 12 rows"):
            self.target(competition, lambda i: i / 7 if i != 3 else "", name="score")

    def test_one_of_several_numbers_that_the_sample_asks_for_is_refused(self, competition):
        columns = [("x", lambda i: i / 3), ("y", lambda i: i / 7)]
        tables = {
            "train.csv": table(("id", image_id), *columns),
            "sample_submission.csv": sample("id", "x", "y", cell=0),
        }
        with pytest.raises(DataError, match="asks for the columns x, y, which are numbers"):
            understand(competition(tables))

    def test_columns_of_labels_that_hold_more_than_0_and_1_are_named(self, competition):
        columns = [("x", lambda i: (0, 1, -1)[i % 3]), ("y", lambda i: i % 2)]
        tables = {
            "train.csv": table(("id", image_id), *columns),
            "sample_submission.csv": sample("id", "x", "y", cell=0),
        }
        with pytest.raises(DataError, match="x is '-1' in 4 rows"):
            understand(competition(tables))

    def test_columns_may_say_true_and_false(self, competition):
        columns = [("x", lambda i: i % 3 == 0), ("y", lambda i: i % 2 == 0)]
        tables = {
            "train.csv": table(("id", image_id), *columns),
            "sample_submission.csv": sample("id", "x", "y", cell=0),
        }
        labeling = understand(competition(tables)).labeling
        assert labeling.target == "labels"
        assert sorted(labeling.counts.items()) == [("", 4), ("x", 2), ("x\ny", 2), ("y", 4)]

    def test_an_empty_cell_beside_combined_ones_is_an_image_without_labels(self, competition):
        cells = ("", "a;b", "a", "b")
        tables = {"train.csv": table(("id", image_id), ("tags", lambda i: cells[i % 4]))}
        labeling = understand(competition(tables)).labeling
        assert (labeling.target, labeling.counts[""]) == ("labels", 3)

    def test_the_sign_of_a_number_stands_between_no_labels(self, competition):
        assert self.target(competition, lambda i: (-1, 1)[i % 2]) == "class"

    def test_names_of_several_words_without_a_common_one_are_classes(self, competition):
        assert self.target(competition, lambda i: ("Fat Hen", "Sugar beet")[i % 2]) == "class"


class TestMetrics:
    """The metric that the competition scores by has to fit the classes."""

    def understood(self, competition, metric, cell=letter, **options):
        tables = {"train.csv": table(("id", image_id), ("label", cell))}
        return understand(competition(tables), Options(metric=metric, **options))

    def test_f1_of_two_classes_asks_for_the_positive_one(self, competition):
        assert choices(self.understood(competition, "f1")) == ["--positive a", "--positive b"]
        assert self.understood(competition, "f1", positive="b").cells.positive == "b"
        assert self.understood(competition, "f1", lambda i: i % 2).cells.positive == "1"

    def test_a_positive_class_is_kept_and_a_misspelled_one_refused(self, competition):
        assert self.understood(competition, "accuracy", positive="b").cells.positive == "b"
        with pytest.raises(EnsembleError, match="--positive is 'B', which is not a class"):
            self.understood(competition, "accuracy", positive="B")

    def test_a_misspelled_metric_is_refused_with_the_nearest_name(self, competition):
        with pytest.raises(EnsembleError, match="'acuracy' is not a metric: did you mean accuracy"):
            self.understood(competition, "acuracy")

    def test_kappa_needs_classes_in_an_order(self, competition):
        with pytest.raises(EnsembleError, match="quadratic_kappa needs classes in an order"):
            self.understood(competition, "quadratic_kappa")
        grades = self.understood(competition, "quadratic_kappa", lambda i: i % 5)
        assert grades.cells.metric == "quadratic_kappa"


def test_patients_are_the_label_only_where_somebody_says_so(layout):
    rows = ["image,patient", *(f"t{i}.png,P{i // 3}" for i in range(18))]
    root = layout([f"train/t{i}.png" for i in range(18)], {"train.csv": rows})
    (question,) = understand(root).questions
    assert "patient of train.csv says which images belong together" in question.text
    assert [option for option, _ in question.choices] == ["--label patient"]
    assert understand(root, Options(label="patient")).questions == ()


@pytest.mark.parametrize(("others", "is_doubt"), [("012", True), (("-2", "0", "1"), False)])
def test_minus_one_among_numbers_from_0_is_a_doubt(others, is_doubt, layout):
    cells = ["-1", *others]
    rows = ["image,label", *(f"t{i}.png,{cells[i % 4]}" for i in range(24))]
    root = layout([f"train/t{i}.png" for i in range(24)], {"train.csv": rows})
    doubts = " ".join(understand(root).doubts)
    assert ("labeled '-1': a class, or a label that is missing?" in doubts) == is_doubt


@pytest.mark.parametrize(("cell", "is_refused"), [("cat", True), ("nan", False), ("", False)])
def test_words_in_a_sample_over_classes_of_numbers_are_refused(cell, is_refused, layout):
    rows = ["image,label", *(f"t{i}.png,{i % 3}" for i in range(18))]
    asked = ["image,label", *(f"q{i}.png,{cell}" for i in range(6))]
    images = [*(f"train/t{i}.png" for i in range(18)), *(f"test/q{i}.png" for i in range(6))]
    root = layout(images, {"train.csv": rows, "sample_submission.csv": asked})
    if not is_refused:
        assert understand(root).cells.answer == "class_name"
        return
    with pytest.raises(DataError, match="its cells are 'cat', the classes numbers: 0, 1, 2"):
        understand(root)
    assert understand(root, Options(answer="class_name")).cells.answer == "class_name"


@pytest.mark.parametrize(
    ("columns", "is_asked"),
    [
        (("label", "label_corrected", "a b c", "a c b"), True),
        (("label", "raters_word", "a b c", "c b a"), True),
        (("level", "level_2", "0 1 2", "0 2 1"), True),
        (("label", "site", "0 1 2", "1 2 0"), False),
        (("label", "kind", "a b c", "d e d"), False),
        (("label", "label_number", "a b c", "0 1 2"), False),
    ],
)
def test_other_labels_from_the_same_classes_are_a_question(columns, is_asked, layout):
    first, second, firsts, seconds = columns
    pairs = list(zip(firsts.split() * 10, seconds.split() * 7 + firsts.split() * 3, strict=True))
    if not is_asked:
        pairs = list(zip(firsts.split() * 10, seconds.split() * 10, strict=True))
    rows = [f"image,{first},{second}", *(f"t{i}.png,{a},{b}" for i, (a, b) in enumerate(pairs))]
    root = layout([f"train/t{i}.png" for i in range(30)], {"train.csv": rows})
    options = [option for question in understand(root).questions for option, _ in question.choices]
    assert options == ([f"--label {first}", f"--label {second}"] if is_asked else [])
    assert understand(root, Options(label=second)).questions == ()


def test_a_list_of_several_classes_and_new_ones_chooses_the_column(layout):
    rows = ["image,species,individual", *(f"t{i}.png,{'ab'[i % 2]},w{i % 4}" for i in range(40))]
    asked = ["image,predictions", *(f"e{i}.png,w0 w1 new w2" for i in range(6))]
    images = [*(f"train/t{i}.png" for i in range(40)), *(f"test/e{i}.png" for i in range(6))]
    root = layout(images, {"train.csv": rows, "sample_submission.csv": asked})
    assert understand(root).labeling.columns == ("individual",)


def test_a_table_of_pairs_of_images_is_no_question(layout):
    rows = ["image,label", *(f"t{i}.png,{'ab'[i % 2]}" for i in range(40))]
    pairs = ["image_1,image_2", *(f"t{i}.png,t{i + 1}.png" for i in range(0, 40, 4))]
    images = [f"train/t{i}.png" for i in range(40)]
    understood = understand(layout(images, {"train.csv": rows, "duplicates.csv": pairs}))
    assert (understood.questions, understood.labeling.columns) == ((), ("label",))


@pytest.mark.parametrize(("id_name", "label"), [("image", None), ("x", "y")])
def test_y_beside_x_is_a_coordinate_but_where_x_names_the_images(id_name, label, layout):
    images = [f"train/t{i}.png" for i in range(30)]
    header = "x,y" if id_name == "x" else "image,x,y"
    cell = "{i}.5,{c}.5" if id_name == "image" else "{c}"
    rows = [header, *(f"t{i}.png,{cell.format(i=i, c=i % 3)}" for i in range(30))]
    root = layout(images, {"train.csv": rows})
    if label is None:
        with pytest.raises(DataError, match="no column holds labels"):
            understand(root)
    else:
        assert understand(root).labeling.columns == (label,)


@pytest.mark.parametrize(("column", "is_asked"), [("camera", True), ("label", False)])
def test_classes_in_file_names_beside_a_column_of_unusual_name_are_a_question(
    column, is_asked, layout
):
    names = [f"{['cat', 'dog', 'owl'][i % 3]}_{i}.png" for i in range(30)]
    rows = [f"file,{column}", *(f"{name},{'AB'[i // 3 % 2]}" for i, name in enumerate(names))]
    understood = understand(layout([f"train/{name}" for name in names], {"info.csv": rows}))
    options = [option for question in understood.questions for option, _ in question.choices]
    assert options == (["--label camera", "--label names"] if is_asked else [])
