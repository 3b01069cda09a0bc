"""How images are cut into parts: folds, columns, groups; every row once, whole groups, whatever order files come in."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.load import load
from ensemble.dataset.stratified import distribute, folds
from ensemble.errors import DataError, EnsembleError, RecipeError
from ensemble.recipe import ColumnSplit, Data, Folds

CLASSES = st.sampled_from(["ants", "bees", "cats"])


@st.composite
def grouped_rows(draw):
    """Ids, labels and groups in any order."""
    n = draw(st.integers(2, 80))
    ids = draw(
        st.lists(st.text("abc0é/ ", min_size=1, max_size=6), min_size=n, max_size=n, unique=True)
    )
    labels = draw(st.lists(CLASSES, min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, 25).map(str), min_size=n, max_size=n))
    return ids, labels, groups


@given(grouped_rows(), st.integers(2, 6), st.integers(0, 5), st.randoms())
def test_a_group_is_never_parted_and_the_order_of_the_rows_does_not_matter(
    rows, n_bins, seed, random
):
    ids, labels, groups = rows
    bins = distribute(ids, labels, groups, [1 / n_bins] * n_bins, seed, "x")
    assert all(
        len({b for b, own in zip(bins, groups, strict=True) if own == name}) == 1 for name in groups
    )
    order = list(range(len(ids)))
    random.shuffle(order)
    shuffled = distribute(
        [ids[i] for i in order],
        [labels[i] for i in order],
        [groups[i] for i in order],
        [1 / n_bins] * n_bins,
        seed,
        "x",
    )
    assert shuffled.tolist() == bins[order].tolist()


@given(grouped_rows(), st.integers(2, 6), st.integers(0, 5))
def test_without_groups_the_folds_of_every_class_differ_by_one_row_at_most(rows, n_folds, seed):
    ids, labels, _ = rows
    if min(Counter(labels).values()) < n_folds or len(set(labels)) < 2:
        with pytest.raises(DataError, match="folds need"):
            folds(ids, ["few", *labels[1:]], None, n_folds, seed)
        return
    fold = folds(ids, labels, None, n_folds, seed)
    for name in set(labels):
        sizes = np.bincount(fold[np.array(labels) == name], minlength=n_folds)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(fold, minlength=n_folds)
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= len(set(labels))


@given(grouped_rows(), st.floats(0.05, 0.95), st.integers(0, 3))
def test_a_share_of_rows_is_met_within_the_largest_group_of_a_class(rows, share, seed):
    ids, labels, groups = rows
    bins = distribute(ids, labels, groups, [share, 1 - share], seed, "x")
    largest = max(Counter(groups).values())
    assert abs(float((bins == 0).sum()) - share * len(ids)) <= largest * len(set(labels)) + 1


def test_another_seed_gives_other_folds():
    ids, labels = [f"{i:03d}" for i in range(60)], ["a", "b"] * 30
    assert folds(ids, labels, None, 5, 0).tolist() != folds(ids, labels, None, 5, 1).tolist()


@pytest.fixture
def competition(tmp_path, tiny_images):
    """A competition folder: 60 images in train/, labels.csv with patient and part columns."""
    made = tiny_images(tmp_path / "by-class")
    (tmp_path / "comp" / "train").mkdir(parents=True)
    lines = ["id,label,patient,part"]
    for number, path in enumerate(sorted(made.rglob("*.png"))):
        path.rename(tmp_path / "comp" / "train" / f"i{number:02d}.png")
        part = ("train", "train", "Train", "val", "test")[number % 5]
        lines.append(f"i{number:02d},{path.parent.name},p{number // 4},{part}")
    (tmp_path / "comp" / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "comp"


@pytest.fixture
def csv_of(competition):
    """csv_of(**said): the data section of that folder."""
    return lambda **said: Data(**{"source": "csv", "path": str(competition), **said})


def refusal(data):
    with pytest.raises(EnsembleError) as refused:
        load(data)
    assert str(refused.value).count("\n") < 3
    return str(refused.value)


def test_folds_validate_every_row_once_and_are_one_set_of_rows(csv_of):
    data = csv_of(valid=Folds(folds=4), test=0.2)
    made = [load(data, fold) for fold in range(4)]
    validated = [name for one in made for name in one.valid.ids]
    assert len(validated) == len(set(validated)) == 48
    for one in made:
        assert set(one.train.ids).isdisjoint(one.valid.ids)
        assert set(one.train.ids) | set(one.valid.ids) == set(validated)
        assert one.test.ids == made[0].test.ids
    assert len({one.valid_fingerprint for one in made}) == 1
    assert len({one.fingerprint for one in made}) == 4
    reseeded = load(csv_of(valid=Folds(folds=4), test=0.2, split_seed=1))
    assert reseeded.valid.ids != made[0].valid.ids


def test_out_of_fold_rows_blend_whatever_the_folds_and_not_with_held_out_ones(csv_of):
    five, three = (
        load(csv_of(valid=Folds(folds=5))),
        load(csv_of(valid=Folds(folds=3), split_seed=4)),
    )
    assert five.valid_fingerprint == three.valid_fingerprint
    assert load(csv_of(valid=0.2)).valid_fingerprint != five.valid_fingerprint


def test_more_folds_than_images_of_a_class_are_refused_with_the_counts(competition, csv_of):
    text = (competition / "labels.csv").read_text()
    (competition / "labels.csv").write_text(
        text.replace("i00,blue", "i00,rare").replace("i01,blue", "i01,rare")
    )
    message = refusal(csv_of(valid=Folds(folds=3)))
    assert message.startswith(
        "data.valid: 3 folds need 3 images of every class: 'rare' has 2 (1 such classes)"
    )


def test_a_column_states_the_split_in_any_spelling(csv_of):
    data = load(csv_of(valid=ColumnSplit(column="part")))
    assert (len(data.train), len(data.valid), len(data.test)) == (36, 12, 12)
    assert data.valid.ids[:2] == ("i03", "i08")
    assert data.test.labels is not None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"valid": ColumnSplit(column="prat")},
            "data.valid.column: the labels file has no column 'prat'; it has id, ",
        ),
        (
            {"valid": ColumnSplit(column="patient")},
            "'i00' has patient 'p0'; allowed: train, valid, test",
        ),
        (
            {"valid": ColumnSplit(column="part"), "test": 0.1},
            "data.test: 0.1: column part states the split",
        ),
        (
            {"valid": ColumnSplit(column="part"), "group": "patient"},
            "'p0' is in train ('i00') and in valid",
        ),
        ({"group": "doctor"}, "data.group: the labels file has no column 'doctor'"),
        (
            {"group": "label"},
            "data.valid: groups cannot be split, so all images of 'blue' would be in valid",
        ),
        (
            {"valid": Folds(folds=3), "group": "label"},
            "3 folds need 2 groups of every class: 'blue' has 1",
        ),
    ],
)
def test_a_split_that_cannot_be_made_says_why(said, told, csv_of):
    assert told in refusal(csv_of(**said))


def test_what_class_folders_cannot_have_is_refused(tmp_path, tiny_images):
    tiny_images(tmp_path / "images" / "train")
    for said in (
        {"valid": ColumnSplit(column="part")},
        {"group": "patient"},
        {"group": "duplicates", "valid": "val"},
    ):
        with pytest.raises(RecipeError, match="data\\.(valid|group): "):
            load(Data(source="folder", path=str(tmp_path / "images"), **said))


@pytest.mark.parametrize(
    "said", [{"valid": 0.25}, {"valid": Folds(folds=3)}, {"valid": 0.25, "sample": 0.5}]
)
def test_patients_stay_together_in_every_part(said, csv_of):
    data = load(csv_of(group="patient", test=0.2, **said))
    seen = [set(part.groups) for part in (data.train, data.valid, data.test)]
    assert all(seen)
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))
    assert set(data.valid.classes) == set(data.classes) == {"blue", "green", "red"}
