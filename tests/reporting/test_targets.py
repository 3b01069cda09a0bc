"""The report of several labels and of numbers: scores by label, ROC curves, residuals, pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, mean_absolute_error, r2_score, roc_auc_score
from sklearn.metrics import roc_curve as reference_curve

from ensemble.predictions import Predictions
from ensemble.reporting.label_mistakes import N_POINTS, roc_curve
from ensemble.reporting.mistakes import mistakes_of
from ensemble.reporting.number_mistakes import N_DRAWN
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run

NAMES = ("bird", "<b>cat</b>", "كلب", "never")


def labels(n=80, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, len(NAMES))) < (0.5, 0.3, 0.2, 0)).astype(np.uint8)
    probs = np.clip(0.2 + 0.5 * targets + rng.normal(0, 0.25, targets.shape), 0.01, 0.99)
    ids = np.array([f"i{i:03d}" for i in range(n)])
    return Predictions(ids, NAMES, probs.astype(np.float32), targets, target="labels")


def values(n=700, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.gamma(2, 500, n)
    probs = (0.8 * targets + 100 + rng.normal(0, 90, n))[:, None]
    ids = np.array([f"i{i:03d}" for i in range(n)])
    return Predictions(ids, ("<i>age</i>",), probs.astype(np.float32), targets, target="number")


@pytest.fixture
def page_about(tmp_path, page_of):
    """page_about(make): the page about two runs with predictions make(seed=0) and make(seed=1)."""

    def page_about(make):
        store = RunStore(tmp_path / "runs")
        truth = make().targets
        for seed in (0, 1):
            guess = make(seed=seed)
            rows = (guess.ids, guess.classes, guess.probs, truth)
            Predictions(*rows, target=guess.target).save(tmp_path / f"{seed}.npz")
            import_run(f"guess{seed}", "vit", tmp_path / f"{seed}.npz", None, store, "made")
        return page_of(store)

    return page_about


def test_scores_of_labels_are_those_of_scikit_learn():
    predictions = labels()
    mistakes = mistakes_of(predictions, str)
    given_labels = predictions.probs > 0.5
    expected = f1_score(predictions.targets, given_labels, average=None, zero_division=0)
    assert [score.f1 for score in mistakes.scores] == pytest.approx(expected.tolist())
    for column, score in enumerate(mistakes.scores[:3]):
        true, probs = predictions.targets[:, column], predictions.probs[:, column]
        assert score.auc == pytest.approx(roc_auc_score(true, probs))
        assert score.roc[0] == (0, 0)
        assert score.roc[-1] == (1, 1)
        assert len(score.roc) <= N_POINTS
    assert mistakes.scores[3].roc == ()
    assert np.isnan(mistakes.scores[3].auc)
    wrong = given_labels != predictions.targets
    assert mistakes.n_wrong == wrong.any(1).sum()
    assert mistakes.n_missed + mistakes.n_false == wrong.sum()


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_a_roc_curve_is_that_of_scikit_learn(rows):
    probs, is_true = np.array([p / 4 for p, _ in rows]), np.array([t for _, t in rows])
    curve = roc_curve(probs, is_true)
    if is_true.all() or not is_true.any():
        assert [len(rates) for rates in curve] == [0, 0]
        return
    expected = reference_curve(is_true, probs, drop_intermediate=False)[:2]
    assert np.allclose(curve, expected)


def test_the_images_of_the_largest_loss_name_what_is_missed_and_what_is_too_many():
    probs = np.array([[0.9, 0.2], [0.1, 0.6], [0.9, 0.1]], np.float32)
    targets = np.array([[1, 0], [1, 0], [1, 0]], np.uint8)
    predictions = Predictions(np.array(list("xyz")), ("a", "b"), probs, targets, target="labels")
    (shown,) = mistakes_of(predictions, lambda image_id: f"uri of {image_id}").shown
    assert (shown.id, shown.thumbnail, shown.right) == ("y", "uri of y", ())
    assert [name for name, _ in shown.missed] == ["a"]
    assert [name for name, _ in shown.wrong] == ["b"]


def test_errors_of_numbers_are_those_of_scikit_learn_and_ranges_hold_every_image():
    predictions = values()
    mistakes = mistakes_of(predictions, str)
    true, guess = predictions.targets, predictions.probs[:, 0]
    assert mistakes.mae == pytest.approx(mean_absolute_error(true, guess))
    assert mistakes.explained == pytest.approx(r2_score(true, guess))
    assert sum(each.n_rows for each in mistakes.ranges) == len(true)
    total = sum(each.n_rows * each.bias for each in mistakes.ranges)
    assert total / len(true) == pytest.approx(mistakes.bias)
    assert mistakes.drawn.shape == (N_DRAWN, 2)
    assert mistakes.drawn[:, 0].tolist() == sorted(mistakes.drawn[:, 0].tolist())
    errors = [abs(each.true - each.predicted) for each in mistakes.shown]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(np.abs(true - guess).max())


@pytest.mark.parametrize("truth", [[2.0] * 6, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0], [5.0]])
def test_few_and_equal_numbers_have_a_page(truth, tmp_path, page_of):
    ids = np.array([f"i{i}" for i in range(len(truth))])
    probs = np.full((len(truth), 1), 2, np.float32)
    Predictions(ids, ("age",), probs, np.array(truth), target="number").save(tmp_path / "p.npz")
    store = RunStore(tmp_path / "runs")
    import_run("guess", "vit", tmp_path / "p.npz", None, store, "made")
    assert "Residuals by predicted number" in page_of(store)


def test_a_page_about_labels_has_curves_and_nothing_about_one_class(page_about):
    page = page_about(labels)
    assert page.count('class="roc"') == 3 * 3
    assert "f1_samples of the" in page
    assert "<b>4</b> labels" in page
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert "<b>cat</b>" not in page
    for text in ("Confusion matrix", "Reliability", "log loss", "chance", "misclassified"):
        assert text not in page.partition("</style>")[2].partition("<footer>")[0]


def test_a_page_about_numbers_has_residuals_and_nothing_about_classes(page_about):
    page = page_about(values)
    assert page.count("Residuals by predicted number") == 3
    assert "rmse (lower is better) of the" in page
    assert "&lt;i&gt;age&lt;/i&gt;</bdi> from" in page
    body = page.partition("</style>")[2].partition("<footer>")[0]
    for text in ("Confusion matrix", "Reliability", "log loss", "chance", "</b> classes", "nats"):
        assert text not in body
    assert len(page) < 500_000
