"""Two recipes over several splits: the interval contains the true difference; runs are paired."""

import numpy as np
import pytest
from scipy import stats

from ensemble.blending.split_runs import missing_lines, split_runs
from ensemble.blending.splits import compare_splits, corrected_t
from ensemble.errors import MismatchError, RunError, SelectionError
from ensemble.runs import RunStore
from ensemble.runs.data_info import DataInfo

RECIPE = """
data: {{source: folder, path: photos, train: train, valid: 0.25, split_seed: {seed}}}
model: {{arch: {arch}}}
"""
N_IMAGES = 400
DATA = {
    "name": "photos",
    "fingerprint": "1",
    "valid": "1",
    "n_train": 100,
    "n_valid": 100,
    "n_test": 0,
    "majority": 0.25,
}


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def run_of(store, fake_run, made_up):
    """run_of(recipe, split_seed, accuracy, seed, arch, n_train): a run whose rows the split draws."""

    def make(recipe, split_seed, accuracy, seed=0, arch="resnet18", n_train=300, ids=None):
        rows = np.random.default_rng(split_seed).permutation(N_IMAGES)[:100]
        ids = [f"{i:04d}" for i in sorted(rows)] if ids is None else ids
        rng = np.random.default_rng([len(recipe), split_seed, seed])
        run_id = f"{recipe}-{arch}{split_seed}-s{seed}"
        run = fake_run(
            store.root,
            run_id,
            digest=f"{arch}{split_seed}",
            seed=seed,
            predictions=made_up(rng, accuracy=accuracy, ids=ids),
        )
        text = RECIPE.format(seed=split_seed, arch=arch)
        (store.root / run_id / "recipe.yaml").write_text(text)
        return run

    return make


def test_the_difference_over_splits_is_students_t_with_the_correction(store, run_of):
    gains = {0: (0.90, 0.85), 3: (0.92, 0.85), 7: (0.93, 0.91)}
    for split_seed, (of_a, of_b) in gains.items():
        run_of("a", split_seed, of_a)
        run_of("bb", split_seed, of_b)
    differences, note = compare_splits(*split_runs(store, ["a", "bb"]))
    assert note == ""
    assert [difference.metric for difference in differences] == ["accuracy", "log_loss"]
    by_accuracy = differences[0]
    changes = np.array([0.05, 0.07, 0.02])
    assert by_accuracy.split_seeds == (0, 3, 7)
    np.testing.assert_allclose(by_accuracy.by_split, changes)
    assert by_accuracy.n_ahead == 3
    assert by_accuracy.ratio == pytest.approx(100 / 400)  # fake_run: four times as many train
    error = np.sqrt(changes.var(ddof=1) * (1 / 3 + 100 / 400))
    low, high = stats.t.interval(0.95, 2, changes.mean(), error)
    assert by_accuracy.value.low == pytest.approx(low)
    assert by_accuracy.value.high == pytest.approx(high)
    assert by_accuracy.p == pytest.approx(2 * stats.t.sf(changes.mean() / error, 2))
    assert by_accuracy.verdict == "not distinguishable over 3 splits"
    turned = compare_splits(*split_runs(store, ["bb", "a"]))[0][0]
    assert turned.value.value == pytest.approx(-by_accuracy.value.value)
    assert turned.n_ahead == 0


def test_seeds_of_a_split_are_averaged_and_their_share_of_the_variance_is_said(store, run_of):
    for split_seed, gain in ((0, 0.02), (1, 0.06)):
        for seed, wobble in ((0, 0.01), (1, -0.01)):
            run_of("a", split_seed, 0.85 + gain + wobble, seed)
            run_of("bb", split_seed, 0.85, seed)
    by_accuracy = compare_splits(*split_runs(store, ["a", "bb"]))[0][0]
    np.testing.assert_allclose(by_accuracy.by_split, [0.02, 0.06])
    variance_of_seeds = np.var([0.01, -0.01], ddof=1) / 2
    assert by_accuracy.seed_share == pytest.approx(variance_of_seeds / np.var([2, 6], ddof=1) * 1e4)


def test_a_metric_is_compared_over_splits_beside_accuracy_and_log_loss(store, run_of):
    for split_seed in (0, 1):
        run_of("a", split_seed, 0.9)
        run_of("bb", split_seed, 0.8)
    differences, _ = compare_splits(*split_runs(store, ["a", "bb"]), "f1_macro")
    assert [test.metric for test in differences] == ["f1_macro", "accuracy", "log_loss"]
    assert all(test.value.value > 0 for test in differences)


def test_parts_without_a_common_image_are_not_corrected(store, run_of):
    for split_seed in (0, 1):
        ids = [f"{split_seed}-{i}" for i in range(60)]
        run_of("a", split_seed, 0.9, ids=ids)
        run_of("bb", split_seed, 0.8, ids=ids)
    assert compare_splits(*split_runs(store, ["a", "bb"]))[0][0].ratio == 0


def test_missing_splits_are_named_with_the_lines_that_train_them(store, run_of):
    for split_seed in (0, 1, 2):
        run_of("a", split_seed, 0.9)
    run_of("bb", 1, 0.8)
    sides = split_runs(store, ["a", "bb"])
    lines = missing_lines(*sides)
    assert lines == [
        "ens train recipes/bb.yaml --set data.split_seed=0",
        "ens train recipes/bb.yaml --set data.split_seed=2",
    ]
    with pytest.raises(SelectionError, match="have 1 common data.split_seed") as error:
        compare_splits(*sides)
    assert str(error.value).splitlines()[1:] == lines


def test_one_split_of_both_names_the_next_one(store, run_of):
    run_of("a", 4, 0.9)
    run_of("bb", 4, 0.8)
    with pytest.raises(SelectionError) as error:
        compare_splits(*split_runs(store, ["a", "bb"]))
    line = "ens train recipes/a.yaml recipes/bb.yaml --set data.split_seed=5"
    assert str(error.value).splitlines()[1:] == [line]


def test_what_is_no_pair_of_recipes_is_refused(store, run_of, fake_run):
    for split_seed in (0, 1):
        run_of("a", split_seed, 0.9)
        run_of("a", split_seed, 0.9, arch="resnet34")
        run_of("bb", split_seed, 0.8)
    with pytest.raises(SelectionError, match="a matches runs of 2 recipes that differ in more"):
        split_runs(store, ["a", "bb"])
    first, second = split_runs(store, ["a-resnet340-s0", "bb"])
    assert [run.id for runs in first.by_split.values() for run in runs] == [
        "a-resnet340-s0",
        "a-resnet341-s0",
    ]
    with pytest.raises(SelectionError, match="are the same recipe"):
        split_runs(store, ["bb", "bb-resnet180-s0"])
    with pytest.raises(SelectionError, match="compares two recipes, not 3"):
        split_runs(store, ["a", "bb", "c"])
    fake_run(store.root, "elsewhere", training=None)
    with pytest.raises(RunError, match="elsewhere was imported"):
        split_runs(store, ["elsewhere", "bb"])


def test_runs_of_other_rows_on_one_split_are_refused(store, run_of):
    for split_seed in (0, 1):
        run_of("a", split_seed, 0.9)
        run_of("bb", split_seed, 0.8, ids=[f"x{i}" for i in range(90)])
    with pytest.raises(MismatchError, match="with data.split_seed 0 both"):
        compare_splits(*split_runs(store, ["a", "bb"]))


def test_splits_with_the_same_validation_rows_are_refused(store, run_of):
    ids = [f"{i:03d}" for i in range(90)]
    for split_seed in (0, 1):
        run_of("a", split_seed, 0.9, ids=ids)
        run_of("bb", split_seed, 0.8, ids=ids)
    with pytest.raises(SelectionError, match="all splits have the same validation rows"):
        compare_splits(*split_runs(store, ["a", "bb"]))


def test_each_fold_of_repeated_cross_validation_is_a_unit(store, fake_run, made_up):
    """All images are validated in every repeat; the folds that hold them differ."""
    gains = {0: ((0.9, 0.8), (0.9, 0.86)), 1: ((0.9, 0.84), (0.9, 0.88))}
    for split_seed, by_fold in gains.items():
        rows = np.random.default_rng(split_seed).permutation(N_IMAGES // 2)
        for fold, accuracies in enumerate(by_fold):
            ids = [f"{i:04d}" for i in sorted(rows[fold::2])]
            for recipe, accuracy in zip(("a", "bb"), accuracies, strict=True):
                predictions = made_up(np.random.default_rng(fold), accuracy=accuracy, ids=ids)
                run = fake_run(
                    store.root,
                    f"{recipe}-{split_seed}-s0-f{fold}",
                    predictions=predictions,
                    digest=str(split_seed),
                    fold=fold,
                    n_folds=2,
                    data=DataInfo(**DATA),
                )
                text = RECIPE.format(seed=split_seed, arch="resnet18")
                (run.folder / "recipe.yaml").write_text(text.replace("0.25", "{folds: 2}"))
    by_accuracy = compare_splits(*split_runs(store, ["a", "bb"]))[0][0]
    changes = np.array([0.1, 0.04, 0.06, 0.02])
    assert by_accuracy.ratio == 1
    np.testing.assert_allclose(by_accuracy.by_split, [0.07, 0.04])
    error = np.sqrt(changes.var(ddof=1) * (1 / 4 + 1))
    low, high = stats.t.interval(0.95, 3, changes.mean(), error)
    assert by_accuracy.value.low == pytest.approx(low)
    assert by_accuracy.value.high == pytest.approx(high)


def nearest_mean_gain(rng, train, valid, features):
    """The accuracy of nearest means by feature 0 less that by feature 1, trained on few rows."""
    (x, y), (x_valid, y_valid) = train, valid
    scores = []
    for feature in features:
        means = [x[y == c, feature].mean() for c in (0, 1)]
        named = np.abs(x_valid[:, feature] - means[1]) < np.abs(x_valid[:, feature] - means[0])
        scores.append(np.mean(named == y_valid))
    return scores[0] - scores[1]


def drawn(rng, n):
    y = np.arange(n) % 2
    return rng.normal(0, 1, (n, 2)) + np.outer(y, [0.6, 0.5]), y


def test_the_corrected_interval_contains_the_true_difference_and_the_plain_one_too_rarely():
    rng = np.random.default_rng(0)
    truth = np.mean(
        [nearest_mean_gain(rng, drawn(rng, 90), drawn(rng, 4000), (0, 1)) for _ in range(300)]
    )
    inside = {0.0: [], 30 / 90: []}
    for _ in range(400):
        x, y = drawn(rng, 120)
        gains = []
        for _ in range(10):
            order = rng.permutation(120)
            train, valid = order[:90], order[90:]
            gains.append(nearest_mean_gain(rng, (x[train], y[train]), (x[valid], y[valid]), (0, 1)))
        for ratio, hits in inside.items():
            value, p = corrected_t(np.array(gains), ratio)
            hits.append(value.low <= truth <= value.high)
            assert (p < 0.05) == (value.low > 0 or value.high < 0)
    assert np.mean(inside[30 / 90]) >= 0.92
    assert np.mean(inside[0.0]) <= 0.85


def test_equal_differences_are_certain_and_none_is_not_distinguishable():
    assert corrected_t(np.zeros(3), 0.2)[1] == 1
    value, p = corrected_t(np.full(4, 0.5), 0.2)
    assert (value.low, value.high, p) == (0.5, 0.5, 0)
