"""Predictions: checked when made, saved with the same bytes, joined by name."""

import zipfile
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import DamagedError, MismatchError
from ensemble.predictions import Predictions, aligned, joined
from ensemble.targets import TARGETS, by_column

GOOD = {
    "ids": np.array(["x", "y"]),
    "classes": np.array(["cat", "dog"]),
    "probs": np.array([[0.25, 0.75], [1.0, 0.0]], np.float32),
    "targets": np.array([1, 0]),
}


def same(a, b):
    return (
        a.ids.tolist() == b.ids.tolist()
        and a.classes == b.classes
        and np.array_equal(a.probs, b.probs)
        and np.array_equal(a.targets, b.targets)
    )


def test_what_is_saved_is_loaded_and_any_numpy_reads_it(tmp_path, rng, made_up):
    predictions = made_up(rng)
    predictions.save(tmp_path / "valid.npz")
    assert same(Predictions.load(tmp_path / "valid.npz"), predictions)
    with np.load(tmp_path / "valid.npz", allow_pickle=False) as stored:
        assert sorted(stored.files) == ["classes", "ids", "probs", "targets"]
        assert stored["probs"].dtype == np.float32
        assert stored["targets"].dtype == np.int64


def test_an_unlabelled_test_set_has_no_targets(tmp_path):
    Predictions(np.array(["x"]), ("a", "b"), np.array([[0.5, 0.5]], np.float16)).save(
        tmp_path / "test.npz"
    )
    assert Predictions.load(tmp_path / "test.npz").targets is None


def test_saving_twice_gives_the_same_bytes(tmp_path, rng, made_up):
    predictions = made_up(rng)
    predictions.save(tmp_path / "a.npz")
    Predictions.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


REFUSED = {
    "probs with a different shape": (
        {"probs": GOOD["probs"][:, :1]},
        "probs is float32 (2, 1), expected floats (2, 2)",
    ),
    "probs of one row more": (
        {"probs": np.full((3, 2), 0.5)},
        "probs is float64 (3, 2), expected floats (2, 2)",
    ),
    "probs without shape": ({"probs": np.float32(1)}, "probs is float32 ()"),
    "whole numbers": ({"probs": np.eye(2, dtype=int)}, "probs is int64 (2, 2), expected floats"),
    "NaN": (
        {"probs": np.array([[0.5, 0.5], [np.nan, 1]])},
        "probabilities of 'y' are NaN or infinite",
    ),
    "infinity": (
        {"probs": np.array([[np.inf, 0.5], [0.5, 0.5]])},
        "probabilities of 'x' are NaN or infinite",
    ),
    "sums": (
        {"probs": np.array([[0.5, 0.5], [0.4, 0.4]])},
        "probabilities of 'y' sum to 0.8000, not 1",
    ),
    "logits": (
        {"probs": np.array([[3.0, -2.0], [0.4, 0.6]])},
        "probabilities of 'x' are outside 0 to 1",
    ),
    "duplicated id": ({"ids": np.array(["x", "x"])}, "id 'x' appears 2 times"),
    "numbers as ids": ({"ids": np.array([1, 2])}, "ids must be a list of texts, not int64 (2,)"),
    "bytes as ids": ({"ids": np.array([b"x", b"y"])}, "ids must be a list of texts, not |S1 (2,)"),
    "table of ids": ({"ids": np.array([["x"], ["y"]])}, "ids must be a list of texts"),
    "one id": ({"ids": np.array("x")}, "cannot be read"),
    "pickled ids": ({"ids": np.array(["x", "y"], object)}, "holds Python objects\nsave texts by"),
    "duplicated class": ({"classes": np.array(["cat", "cat"])}, "a class name appears twice"),
    "classes as one text": (
        {"classes": np.array("ab")},
        "classes must be a list of texts, not <U2 ()",
    ),
    "classes as bytes": (
        {"classes": np.array([b"a", b"b"])},
        "classes must be a list of texts, not |S1 (2,)",
    ),
    "no classes": ({"classes": np.array([], "U1"), "probs": np.zeros((2, 0))}, "no classes"),
    "targets too large": ({"targets": np.array([0, 2])}, "targets outside 0 to 1"),
    "targets below 0": ({"targets": np.array([0, -1])}, "targets outside 0 to 1"),
    "targets as floats": (
        {"targets": np.array([0.0, 1.0])},
        "targets is float64 (2,), expected whole numbers (2,)",
    ),
    "too few targets": (
        {"targets": np.array([0])},
        "targets is int64 (1,), expected whole numbers (2,)",
    ),
}


LABELS = {
    "ids": np.array(["x", "y"]),
    "classes": np.array(["cat", "dog"]),
    "probs": np.array([[0.9, 0.75], [0.0, 0.0]], np.float32),
    "targets": np.array([[1, 1], [0, 0]], np.uint8),
    "target": np.array("labels"),
}
NUMBER = {
    "ids": np.array(["x", "y"]),
    "classes": np.array(["age"]),
    "probs": np.array([[-3.5], [120.0]], np.float32),
    "targets": np.array([1.25, 118.0]),
    "target": np.array("number"),
}
REFUSED |= {
    "an unknown target": (
        GOOD | {"target": np.array("boxes")},
        "target is 'boxes', it can be class, labels, number",
    ),
    "probabilities of labels above 1": (
        LABELS | {"probs": np.array([[1.01, 0.5], [0.4, 0.4]])},
        "probabilities of 'x' are outside 0 to 1",
    ),
    "a negative probability of a label": (
        LABELS | {"probs": np.array([[1.0, 0.5], [0.4, -1e-3]])},
        "probabilities of 'y' are outside 0 to 1",
    ),
    "one true class for several labels": (
        LABELS | {"targets": np.array([0, 1])},
        "targets is int64 (2,), expected whole numbers 0 and 1 (2, 2)",
    ),
    "probabilities as true labels": (
        LABELS | {"targets": np.array([[0.5, 1.0], [0.0, 0.0]])},
        "targets is float64 (2, 2), expected whole numbers 0 and 1 (2, 2)",
    ),
    "a true label of 2": (
        LABELS | {"targets": np.array([[2, 1], [0, 0]])},
        "targets has numbers other than 0 and 1",
    ),
    "two columns of values": (
        LABELS | {"target": np.array("number")},
        "a number per image is one column of values, not 2",
    ),
    "a value that is NaN": (
        NUMBER | {"probs": np.array([[1.0], [np.nan]])},
        "values of 'y' are NaN or infinite",
    ),
    "a value beyond float32": (
        NUMBER | {"probs": np.array([[1.0], [1e39]])},
        "the value of 'y' is too large",
    ),
    "a true value that is infinite": (
        NUMBER | {"targets": np.array([1.0, np.inf])},
        "targets has values that are NaN or infinite",
    ),
    "true values as a column": (
        NUMBER | {"targets": np.array([[1.0], [2.0]])},
        "targets is float64 (2, 1), expected float64 (2,)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_trusted_is_refused_with_its_name_and_the_reason(case, tmp_path):
    changed, message = REFUSED[case]
    np.savez(tmp_path / "valid.npz", **(GOOD | changed))
    with pytest.raises(DamagedError) as refused:
        Predictions.load(tmp_path / "valid.npz")
    assert str(refused.value).startswith(f"{tmp_path / 'valid.npz'}: ")
    assert message in str(refused.value)
    assert str(refused.value).count("\n") < 3


@pytest.mark.parametrize("arrays", [LABELS, NUMBER], ids=["labels", "number"])
def test_labels_and_numbers_are_stored_with_their_target(arrays, tmp_path):
    path = tmp_path / "valid.npz"
    np.savez(path, **arrays)
    loaded = Predictions.load(path)
    assert loaded.target == arrays["target"]
    loaded.save(path)
    assert same(Predictions.load(path), loaded)
    with np.load(path, allow_pickle=False) as stored:
        assert {name: stored[name].dtype for name in stored.files} == {
            name: array.dtype for name, array in arrays.items()
        }


def test_a_file_that_states_no_target_is_about_classes_unless_the_reader_says_otherwise(tmp_path):
    path = tmp_path / "valid.npz"
    np.savez(path, **GOOD)
    assert Predictions.load(path).target == "class"
    np.savez(path, **{name: LABELS[name] for name in GOOD} | {"targets": np.ones((2, 2), bool)})
    loaded = Predictions.load(path, target="labels")
    assert loaded.target == "labels"
    assert loaded.targets.tolist() == [[1, 1], [1, 1]]
    np.savez(path, **{name: NUMBER[name] for name in GOOD} | {"targets": np.array([3, 4])})
    assert Predictions.load(path, target="number").targets.tolist() == [3.0, 4.0]
    np.savez(path, **NUMBER)
    with pytest.raises(DamagedError, match="is about a number per image, not about several labels"):
        Predictions.load(path, target="labels")


def test_predictions_of_classes_are_stored_as_before_targets_had_names(tmp_path, rng, made_up):
    made_up(rng).save(tmp_path / "valid.npz")
    with np.load(tmp_path / "valid.npz", allow_pickle=False) as stored:
        assert "target" not in stored.files


def test_a_missing_array_and_a_missing_file_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", ids=GOOD["ids"], probabilities=GOOD["probs"])
    with pytest.raises(DamagedError, match=r"a.npz: no array named classes, probs"):
        Predictions.load(tmp_path / "a.npz")
    with pytest.raises(DamagedError, match=r"none.npz: is missing"):
        Predictions.load(tmp_path / "none.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_another_kind_of_file_is_refused(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DamagedError, match="a.npz: cannot be read"):
        Predictions.load(tmp_path / "a.npz")


def test_a_plain_npy_and_an_npz_with_other_things_in_it_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", GOOD["probs"])
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("ids.npy", "hello")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DamagedError, match=name):
            Predictions.load(tmp_path / name)


@given(st.data())
def test_a_damaged_file_is_refused_or_still_holds_good_predictions(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    (np.savez_compressed if data.draw(st.booleans()) else np.savez)(folder / "a.npz", **GOOD)
    raw = bytearray((folder / "a.npz").read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.npz").write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    with suppress(DamagedError):
        assert Predictions.load(folder / "a.npz").probs.shape == (2, 2)


def random_predictions(rng, target, shape):
    """Probabilities or values (rows, classes), and true ones as the target has them."""
    n, c = shape
    if target == "class":
        return rng.dirichlet(np.ones(c), n).astype(np.float32), rng.integers(0, c, n)
    if target == "labels":
        return rng.random(shape, np.float32), rng.integers(0, 2, shape).astype(np.uint8)
    return rng.normal(size=shape).astype(np.float32), rng.normal(size=n)


@st.composite
def members_and_a_shuffle_of_them(draw):
    target = draw(st.sampled_from(TARGETS))
    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    c = 1 if target == "number" else draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.array([f"é{i}/{i % 3}" for i in range(n)])
    classes = np.array([f"{i:d}" if i % 2 else f"K{i}" for i in range(c)])
    targets = random_predictions(rng, target, (n, c))[1] if draw(st.booleans()) else None
    original, shuffled = {}, {}
    for name in [f"run-{i}" for i in range(m)]:
        probs, _ = random_predictions(rng, target, (n, c))
        original[name] = Predictions(ids, tuple(classes.tolist()), probs, targets, target=target)
        rows, columns = rng.permutation(n), rng.permutation(c)
        shuffled[name] = Predictions(
            ids[rows],
            tuple(classes[columns].tolist()),
            np.array(probs[np.ix_(rows, columns)], order=draw(st.sampled_from("CF"))),
            None if targets is None else by_column(target, targets[rows], columns),
            target=target,
        )
    return original, {name: shuffled[name] for name in draw(st.permutations(sorted(shuffled)))}


def aligned_by_name(members):
    """The aligned members by their sorted ids."""
    return dict(
        zip(
            sorted(members),
            aligned(
                {name: partial(lambda member: member, member) for name, member in members.items()}
            ),
            strict=True,
        )
    )


@given(members_and_a_shuffle_of_them())
def test_shuffling_rows_classes_or_members_gives_the_same_bytes(pair):
    first, second = (aligned_by_name(members) for members in pair)
    assert list(first) == list(second) == sorted(pair[0])
    for name, a in first.items():
        b = second[name]
        assert a.ids.tolist() == b.ids.tolist() == sorted(a.ids.tolist())
        assert a.classes == b.classes == tuple(sorted(a.classes))
        assert a.probs.dtype == np.float64
        assert a.probs.tobytes() == b.probs.tobytes()
        assert (a.targets is None and b.targets is None) or a.targets.tolist() == b.targets.tolist()
        if a.target == "class":
            np.testing.assert_allclose(a.probs.sum(1), 1, rtol=0, atol=1e-15)


def truth(predictions, row):
    """What is true of a row, in names."""
    true = predictions.targets[row]
    if predictions.target == "labels":
        return {name for name, is_true in zip(predictions.classes, true, strict=True) if is_true}
    return predictions.classes[true] if predictions.target == "class" else true


@given(members_and_a_shuffle_of_them())
def test_folds_of_any_target_are_joined_row_by_row(pair):
    (name, member), *_ = pair[1].items()
    rows = np.arange(len(member.ids)) % 2 == 0
    parts = {
        str(part): replace(
            member,
            ids=member.ids[kept],
            probs=member.probs[kept],
            targets=None if member.targets is None else member.targets[kept],
        )
        for part, kept in enumerate((rows, ~rows))
    }
    whole = joined(parts).canonical()
    assert whole.target == member.target
    expected = member.canonical()
    np.testing.assert_allclose(whole.probs, expected.probs, rtol=0, atol=1e-15)
    assert same(replace(whole, probs=expected.probs), expected)


@given(members_and_a_shuffle_of_them())
def test_every_row_and_class_keeps_its_own_probability_and_truth(pair):
    for name, part in aligned_by_name(pair[1]).items():
        member = pair[0][name]
        for row, key in enumerate(part.ids.tolist()):
            before = member.ids.tolist().index(key)
            for column, class_name in enumerate(part.classes):
                expected = member.probs[before, member.classes.index(class_name)]
                assert part.probs[row, column] == pytest.approx(expected, abs=1e-6)
            if part.targets is not None:
                assert truth(part, row) == truth(member, before)


def test_one_member_is_open_at_a_time(rng, made_up):
    opened = []

    def load(name):
        opened.append(name)
        return made_up(rng, 5)

    members = aligned({name: partial(load, name) for name in "cab"})
    assert opened == []
    for i, _ in enumerate(members, start=1):
        assert opened == ["a", "b", "c"][:i]


def test_members_about_other_rows_classes_or_truths_are_refused_and_the_difference_is_named(
    rng, made_up
):
    predictions = made_up(rng, ids=["a", "b", "c", "d"])
    with pytest.raises(MismatchError) as refused:
        aligned_by_name(
            {"run-1": predictions, "run-2": made_up(rng, ids=["a", "b", "v", "w", "x", "y", "z"])}
        )
    assert str(refused.value) == (
        "run-1 and run-2 do not have the same rows: 4 and 7\n"
        "only in the first: 'c', 'd'; only in the second: 'v', 'w', 'x', … (5)"
    )
    with pytest.raises(
        MismatchError,
        match=r"do not have the same classes: 3 and 3\nonly in the first: 'c'; .* 'z'",
    ):
        aligned_by_name(
            {
                "run-1": predictions,
                "run-2": made_up(rng, ids=predictions.ids, classes=("a", "b", "z")),
            }
        )
    for targets in (None, (predictions.targets + 1) % 3):
        with pytest.raises(MismatchError, match="run-1 and run-2 disagree about the true labels"):
            aligned_by_name(
                {
                    "run-1": predictions,
                    "run-2": Predictions(
                        predictions.ids, predictions.classes, predictions.probs, targets
                    ),
                }
            )


def test_members_of_different_targets_are_never_averaged():
    names = np.array(["x", "y"]), ("cat", "dog")
    of_class = Predictions(*names, GOOD["probs"])
    of_labels = Predictions(*names, GOOD["probs"], target="labels")
    for join in (aligned_by_name, joined):
        with pytest.raises(MismatchError) as refused:
            join({"run-1": of_class, "run-2": of_labels})
        assert str(refused.value) == (
            "run-1 predicts one class per image, run-2 several labels per image: "
            "they cannot be averaged"
        )


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30),
    st.sampled_from(TARGETS),
    st.integers(0, 2**32 - 1),
)
def test_a_group_has_the_mean_of_its_rows_in_any_order(groups, target, seed):
    rng = np.random.default_rng(seed)
    n, classes = len(groups), ("x", "y") if target != "number" else ("value",)
    probs = rng.dirichlet((1, 1), n) if target != "number" else rng.normal(size=(n, 1))
    by_letter = {"class": ord, "labels": lambda g: (ord(g) % 2, 1), "number": lambda g: ord(g) / 7}
    codes = [by_letter[target](group) for group in groups]
    targets = np.array([code % 2 for code in codes] if target == "class" else codes)
    ids = np.array([f"{i:02d}" for i in range(n)])
    named = np.array(groups)
    order = rng.permutation(n)
    of_rows = Predictions(
        ids[order], classes, probs[order].astype(np.float32), targets[order], named[order], target
    )
    means = of_rows.by_group()
    assert (means.ids.tolist(), means.groups) == (sorted(set(groups)), None)
    for row, name in enumerate(means.ids):
        expected = probs[named == name].astype(np.float32).mean(0, dtype=np.float64)
        np.testing.assert_allclose(means.probs[row], expected, rtol=1e-6, atol=1e-7)
        assert (means.targets[row] == targets[named == name][0]).all()


def test_rows_without_groups_stay_as_they_are(rng, made_up):
    predictions = made_up(rng)
    assert predictions.by_group() is predictions
