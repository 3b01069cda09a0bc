"""Several labels per image and numbers: what cells say, how they are split, what is refused."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset.audit import audit
from ensemble.dataset.iterative import distribute_labels
from ensemble.dataset.label_counts import one_per_label
from ensemble.dataset.load import load
from ensemble.errors import DataError, EnsembleError, RecipeError
from ensemble.recipe import Data, Folds, LabelColumns, LabelsFile

NAMES = ["a", "b", "c", "d"]
ROWS = st.lists(st.sets(st.sampled_from(NAMES), max_size=4), min_size=10, max_size=80)
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture
def data_of(tmp_path):
    """data_of(header, *rows, **settings): the section of a labels table whose first cell is the id."""

    def data_of(header, *rows, **settings):
        (tmp_path / "train").mkdir(exist_ok=True)
        for i, row in enumerate(rows):
            pixels = np.full((8, 8, 3), i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / f"{row.split(',')[0]}.png")
        (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
        return Data(source="csv", path=str(tmp_path), **settings)

    return data_of


def _labels(texts):
    return [f"{i:02d},{text}" for i, text in enumerate(texts)]


@given(ROWS, SEEDS, st.sampled_from([(0.2, 0.8), (0.5, 0.5), (0.25, 0.25, 0.25, 0.25)]))
def test_bins_hold_their_share_of_every_label(rows, seed, shares):
    ids, labels = [f"{i:03d}" for i in range(len(rows))], [sorted(row) for row in rows]
    bins = distribute_labels(ids, labels, None, shares, seed, "x")
    totals = Counter(name for row in labels for name in row or [""])
    rarest = min(totals, key=lambda name: (totals[name], name))
    for i, share in enumerate(shares):
        of_bin = Counter(
            name for row, k in zip(labels, bins, strict=True) if k == i for name in row or [""]
        )
        # the rarest label is dealt out first, and so within rounding
        assert abs(of_bin[rarest] - share * totals[rarest]) <= 1 + 1e-9


@given(ROWS, SEEDS, st.data())
def test_the_order_of_rows_does_not_matter_and_groups_are_never_split(rows, seed, data):
    ids = [f"{i:03d}" for i in range(len(rows))]
    labels, groups = [sorted(row) for row in rows], [f"g{i % 7}" for i in range(len(rows))]
    bins = distribute_labels(ids, labels, groups, (0.3, 0.7), seed, "x")
    assert all(len(set(bins[np.array(groups) == group])) == 1 for group in set(groups))
    order = data.draw(st.permutations(range(len(rows))))
    shuffled = distribute_labels(
        *([each[i] for i in order] for each in (ids, labels, groups)), (0.3, 0.7), seed, "x"
    )
    assert shuffled.tolist() == bins[order].tolist()


def test_rare_labels_are_on_both_sides_where_two_images_have_them():
    labels = [["common"]] * 95 + [["common", "rare"]] * 2 + [["single"]] + [[]] * 2
    ids = [f"{i:03d}" for i in range(len(labels))]
    bins = distribute_labels(ids, labels, None, (0.2, 0.8), 0, "valid")
    assert sorted(bins[95:97].tolist()) == [0, 1]
    assert bins[97] == 1
    assert sorted(bins[98:].tolist()) == [0, 1]
    assert 18 <= (bins == 0).sum() <= 22


@pytest.mark.parametrize(
    ("mark", "given_mark"), [(" ", None), (",", None), ("|", None), (";", None), ("/", "/")]
)
def test_a_separator_is_found_or_named(mark, given_mark, data_of):
    cells = [f'"x{mark}y"', '"y"', f'"z{mark}x"', '""'] * 5
    data = data_of("id,tags", *_labels(cells), target="labels", separator=given_mark)
    images = load(data)
    assert images.classes == ("x", "y", "z")
    truth = images.truth(images.train.and_(images.valid))
    assert truth.sum(0).tolist() == [10, 10, 5]
    assert (truth.sum(1) == 0).sum() == 5
    assert any(f"separated by {mark!r}" in note for note in images.notes)
    assert images.separator == mark
    assert "labels.csv: 5 of 20 rows have no label" in images.notes


def test_columns_of_ones_are_labels_and_one_without_any_is_named(data_of):
    rows = [f"{i:02d},{i % 2},{int(i % 3 == 0)},0" for i in range(20)]
    columns = LabelColumns(file="labels.csv", id="id", columns=("odd", "third", "never"))
    images = load(data_of("id,odd,third,never", *rows, target="labels", labels=columns))
    assert images.classes == ("never", "odd", "third")
    for table in (images.train, images.valid):
        expected = [[0, int(i) % 2, int(int(i) % 3 == 0)] for i in table.ids]
        assert images.truth(table).tolist() == expected
    assert any("labels of no training image: 'never'" in note for note in images.notes)


def test_numbers_are_read_and_stratified_by_quantiles(data_of):
    rows = [f"{i:02d},{1.5 * i}" for i in range(40)]
    columns = LabelsFile(file="labels.csv", id="id", label="age")
    images = load(data_of("id,age", *rows, target="number", labels=columns, valid=0.25))
    assert images.classes == ("age",)
    assert images.truth(images.valid).tolist() == [1.5 * int(i) for i in images.valid.ids]
    quarters = Counter(int(i) // 10 for i in images.valid.ids)
    assert len(images.valid) == 10
    assert min(quarters.values()) >= 2


def test_folds_of_labels_and_numbers_validate_every_row_once(data_of):
    rows = [f"{i:02d},{'x y' if i % 3 else 'y'},{i}" for i in range(21)]
    for target, column in (("labels", "tags"), ("number", "size")):
        settings = {"target": target, "valid": Folds(folds=3)}
        settings["labels"] = LabelsFile(file="labels.csv", id="id", label=column)
        folds = [load(data_of("id,tags,size", *rows, **settings), fold) for fold in range(3)]
        assert sorted(i for fold in folds for i in fold.valid.ids) == sorted(r[:2] for r in rows)
        assert len({fold.valid_fingerprint for fold in folds}) == 1
        assert [len(fold.valid) for fold in folds] == [7, 7, 7]


@pytest.mark.parametrize(
    ("settings", "fold"),
    [
        ({"valid": 0.3}, 0),
        ({"valid": 0.3, "test": 0.2, "sample": 0.8}, 0),
        ({"valid": Folds(folds=3)}, 2),
    ],
)
def test_grades_are_split_alike_as_classes_and_as_numbers(data_of, settings, fold):
    grades = np.repeat([0, 1, 2, 10], [13, 9, 7, 5]).astype(str)
    rows = _labels(np.random.default_rng(0).permutation(grades).tolist())
    columns = LabelsFile(file="labels.csv", id="id", label="grade")
    classes, numbers = (
        load(data_of("id,grade", *rows, target=target, labels=columns, **settings), fold)
        for target in ("class", "number")
    )
    assert classes.valid.ids == numbers.valid.ids
    assert classes.train.ids == numbers.train.ids
    assert (classes.test and classes.test.ids) == (numbers.test and numbers.test.ids)


def test_a_class_with_one_image_stays_in_training_if_asked(data_of):
    rows = _labels(["cat"] * 6 + ["dog"] * 6 + ["emu"])
    with pytest.raises(DataError, match=r"class 'emu' has one image.*\n.*data.rare: keep"):
        load(data_of("id,label", *rows))
    images = load(data_of("id,label", *rows, rare="keep"))
    assert images.classes == ("cat", "dog", "emu")
    assert "emu" not in images.valid.classes
    assert "data.rare: classes of one image are in training alone: 'emu'" in images.notes
    folds = [load(data_of("id,label", *rows, rare="keep", valid=Folds(folds=2)), k) for k in (0, 1)]
    assert all("emu" in fold.train.classes for fold in folds)
    assert sorted(i for fold in folds for i in fold.valid.ids) == [f"{i:02d}" for i in range(12)]


COLUMNS = LabelColumns(file="labels.csv", id="id", columns=("x", "y"))


@pytest.mark.parametrize(
    ("header", "rows", "settings", "messages"),
    [
        (
            "id,n",
            ["1", "2", "nan", "3"],
            {"target": "number"},
            ["labels.csv:4: '02' has n 'nan', which is not a finite number", "data.target: number"],
        ),
        ("id,n", ["1", "two", "3"], {"target": "number"}, ["labels.csv:3: '01' has n 'two'"]),
        ("id,n", ["1", "", "3"], {"target": "number"}, ["labels.csv:3: '01' has an empty n"]),
        ("id,n", ["7"] * 6, {"target": "number"}, ["training images have the number 7.0"]),
        (
            "id,x,y",
            ["1,0", "0,2", "1,1"],
            {"target": "labels", "labels": COLUMNS},
            ["labels.csv:3: '01' has y '2'", "allowed in a column of data.labels.columns: 0 and 1"],
        ),
        (
            "id,x,y",
            ["1,0", "0,", "1,1"],
            {"target": "labels", "labels": COLUMNS},
            ["labels.csv:3: '01' has y ''"],
        ),
        ("id,x,y", ["1,0", "0,1"], {"target": "labels"}, ["column x says only 0 or 1", "columns:"]),
        (
            "id,tags",
            ['"a,b"', "b|c", "a"],
            {"target": "labels"},
            ["have ',' and '|': which separates labels?", "set data.separator"],
        ),
        (
            "id,tags",
            ["a b", "b c", "a"],
            {"target": "labels", "separator": ";"},
            ["data.separator: ';' is in no cell of column tags", "they have ' '"],
        ),
        ("id,tags", ['""', '""', '""'], {"target": "labels"}, ["no training image has a label"]),
    ],
)
def test_bad_cells_are_named_with_what_is_allowed(header, rows, settings, messages, data_of):
    with pytest.raises(EnsembleError) as refused:
        load(data_of(header, *_labels(rows), **settings))
    assert all(message in str(refused.value) for message in messages), refused.value
    assert len(str(refused.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "folder", "target": "labels"}, "data.target: labels needs data.source: csv"),
        ({"labels": COLUMNS}, "data.labels.columns belongs to data.target: labels, this is class"),
        ({"separator": ","}, "data.separator belongs to data.target: labels, this is class"),
        ({"clip": True}, "data.clip belongs to data.target: number, this is class"),
        ({"target": "number", "rare": "keep"}, "data.rare belongs to data.target: class"),
    ],
)
def test_keys_of_another_target_are_refused(settings, message, data_of):
    data = data_of("id,label", *_labels(["a", "b"])).model_copy(update=settings)
    with pytest.raises(RecipeError, match=message):
        load(data)


def test_an_audit_counts_each_label_and_what_appears_together(data_of):
    rows = _labels(["x y", "y", "z x y", '""'] * 5)
    checked = audit(load(data_of("id,tags", *rows, target="labels")))
    totals = {name: sum(by_split.values()) for name, by_split in checked.counts.items()}
    assert totals == {"y": 15, "x": 10, "z": 5}
    assert "labels per image: 0: 5, 1: 5, 2: 5, 3: 5" in checked.notes
    assert "most often together: x + y 10, x + z 5, y + z 5" in checked.notes
    assert checked.alike_classes == ()


def test_an_audit_counts_numbers_by_ranges_in_their_order(data_of):
    rows = _labels([str(number) for number in [*range(0, 100, 5), 99.5]])
    images = load(data_of("id,age", *rows, target="number"))
    checked = audit(images)
    assert list(checked.counts)[:2] == ["0 to 9.95", "9.95 to 19.9"]
    assert [sum(by_split.values()) for by_split in checked.counts.values()] == [2] * 9 + [3]
    shown = one_per_label(images)
    assert Counter(shown.classes) == {
        name: by_split["train"] for name, by_split in checked.counts.items() if by_split["train"]
    }


def test_grades_in_folder_names_are_numbers(tmp_path):
    for grade in range(3):
        (tmp_path / "train" / str(grade)).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((8, 8, 3), 20 * grade + i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / str(grade) / f"{grade}_{i}.png")
    images = load(Data(source="folder", path=str(tmp_path), target="number"))
    assert images.classes == ("value",)
    assert sorted(set(images.truth(images.train).tolist())) == [0, 1, 2]
    (tmp_path / "train" / "0").rename(tmp_path / "train" / "zero")
    with pytest.raises(DataError, match="'zero': not a number"):
        load(Data(source="folder", path=str(tmp_path), target="number"))
