"""The linear probe: scikit-learn's optimum, a strength that training rows alone choose, a layer that trains on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ensemble.errors import RecipeError
from ensemble.learn import learner
from ensemble.learn.probe import STRENGTHS, Features, _folds, optimum

PROBE = ("fit.strategy=linear_probe", "model.arch=resnet10t")


def features_of(seed, n_classes=3, n_rows=60, width=5, noise=1.0, n_copies=1):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(n_classes, size=n_rows - n_classes)])
    x = rng.normal(size=(n_classes, width))[y] * 2 + rng.normal(size=(n_rows, width)) * noise
    groups = np.arange(n_rows)
    return Features("class", *(np.concatenate([array] * n_copies) for array in (x, y, groups)))


def softmax(logits):
    exps = np.exp(logits - logits.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("is_balanced", [False, True])
def test_the_layer_gives_the_probabilities_of_scikit_learn(n_classes, is_balanced):
    features = features_of(n_classes, n_classes)
    layer, strength = optimum(features, n_classes, is_balanced)
    reference = LogisticRegression(
        C=strength, class_weight="balanced" if is_balanced else None, max_iter=1000
    ).fit(features.x, features.y)
    np.testing.assert_allclose(
        softmax(features.x @ layer.weights.T + layer.biases),
        reference.predict_proba(features.x),
        atol=1e-9,
    )


@pytest.mark.parametrize("n_labels", [1, 3, 25])
def test_each_label_has_a_regression_of_its_own(n_labels):
    of_classes = features_of(7, 3)
    labels = (of_classes.x @ np.random.default_rng(8).normal(size=(5, n_labels)) > 0).astype(float)
    features = Features("labels", of_classes.x, labels, of_classes.groups)
    layer, strength = optimum(features, n_labels, False)
    for j, label in enumerate(labels.T):
        reference = LogisticRegression(C=strength, max_iter=1000).fit(features.x, label)
        outputs = features.x @ layer.weights[j] + layer.biases[j]
        np.testing.assert_allclose(outputs, reference.decision_function(features.x), atol=1e-9)
    assert strength > STRENGTHS[0]
    no_positive = Features("labels", of_classes.x, labels * 0, of_classes.groups)
    layer, _ = optimum(no_positive, n_labels, True)
    assert (features.x @ layer.weights.T + layer.biases).max() < -30


def test_a_number_has_a_ridge_regression():
    of_classes = features_of(9)
    numbers = of_classes.x @ np.arange(5) + 3
    features = Features("number", of_classes.x, numbers, of_classes.groups)
    layer, strength = optimum(features, 1, False)
    reference = Ridge(alpha=1 / strength).fit(features.x, numbers)
    outputs = features.x @ layer.weights.T + layer.biases
    np.testing.assert_allclose(outputs[:, 0], reference.predict(features.x), atol=1e-9)
    assert strength == STRENGTHS[-1]


def test_a_class_without_a_row_is_never_predicted():
    features = features_of(1, 3)
    layer, _ = optimum(features, 5, False)
    assert softmax(features.x @ layer.weights.T + layer.biases)[:, 3:].max() < 1e-9
    of_one = Features("class", features.x, np.full(len(features.y), 2), features.groups)
    layer, _ = optimum(of_one, 3, False)
    assert softmax(features.x @ layer.weights.T + layer.biases)[:, 2].min() > 1 - 1e-9


@given(
    seed=st.integers(0, 10_000),
    n_classes=st.integers(2, 5),
    n_copies=st.integers(1, 3),
    n_groups=st.integers(2, 30),
)
@settings(max_examples=40, deadline=None)
def test_rows_of_one_group_never_part(seed, n_classes, n_copies, n_groups):
    features = features_of(seed, n_classes, n_copies=n_copies)
    groups = np.random.default_rng(seed).integers(n_groups, size=60)
    for kept, held_out in _folds(
        Features("class", features.x, features.y, np.tile(groups, n_copies))
    ):
        assert not set(np.tile(groups, n_copies)[kept]) & set(np.tile(groups, n_copies)[held_out])
        assert len(kept) + len(held_out) == len(features.y)


def test_noise_is_penalized_more_than_signal():
    clear = optimum(features_of(3, noise=0.3), 3, False)[1]
    rng = np.random.default_rng(4)
    noise = Features("class", rng.normal(size=(60, 40)), rng.integers(3, size=60), np.arange(60))
    assert optimum(noise, 3, False)[1] == STRENGTHS[0] < clear


def test_copies_of_an_image_do_not_weaken_the_penalty():
    rng = np.random.default_rng(5)
    x, y, groups = rng.normal(size=(60, 40)), rng.integers(3, size=60), np.arange(60)
    copies = np.tile(x, (4, 1)), np.tile(y, 4)
    grouped = optimum(Features("class", *copies, np.tile(groups, 4)), 3, False)[1]
    apart = optimum(Features("class", *copies, np.arange(240)), 3, False)[1]
    assert grouped < 1e-2 < apart == STRENGTHS[-1]


@pytest.mark.parametrize("head", ["keep", "{pool: concat, hidden: [16], dropout: 0.5}"])
def test_a_run_stores_the_optimum(fit, recipe_of, head):
    overrides = (*PROBE, f"model.head={head}")
    fitted = fit(*overrides)
    learn = learner(recipe_of(*overrides))
    learn.model.load_state_dict(load(fitted.weights))
    network = learn.model.eval()
    layer = network.fc if head == "keep" else network.head[-1]
    rows = {}
    hook = layer.register_forward_pre_hook(lambda _, inputs: rows.update(x=inputs[0]))
    codes, widths = [], []
    for x, y in learn.dls.train.new(shuffle=False, drop_last=False):
        with torch.no_grad():
            network(x.contiguous(memory_format=torch.channels_last))
        widths.append(rows.pop("x").numpy().astype(float))
        codes.append(y.numpy())
    hook.remove()
    x, y = np.concatenate(widths), np.concatenate(codes)
    mean, scale = x.mean(0), np.sqrt(np.maximum(x.std(0), 1e-300) * x.std())
    note = next(note for note in fitted.notes if note.startswith("linear probe"))
    strength = float(note.rpartition(" ")[2])
    reference = make_pipeline(
        FunctionTransformer(lambda x: (x - mean) / scale),
        LogisticRegression(C=strength, max_iter=1000),
    )
    with torch.no_grad():
        logits = layer(torch.from_numpy(x).float()).double().numpy()
    np.testing.assert_allclose(
        softmax(logits), reference.fit(x, y).predict_proba(x), rtol=1e-2, atol=2e-3
    )
    (row,) = fitted.trained.history
    assert row.train_loss == pytest.approx(
        -np.log(softmax(logits)[np.arange(len(y)), y]).mean(), abs=0.05
    )
    assert fit(*overrides).files == fitted.files


def test_unfreezing_goes_on_from_the_probe(fit, tmp_path):
    probe = fit(*PROBE, "model.head={hidden: []}")
    weights = tmp_path / "probe.safetensors"
    weights.write_bytes(probe.weights)
    tuned = fit(
        "model.arch=resnet10t",
        "model.head={hidden: [], dropout: 0.0}",
        f"model.pretrained={weights}",
        "fit.strategy=feature_extract",
        "fit.lr=1e-9",
    )
    np.testing.assert_allclose(tuned.trained.valid.probs, probe.trained.valid.probs, atol=1e-3)


@pytest.mark.parametrize(
    "override",
    [
        "augment={mixup: 0.4}",
        "augment={cutmix: 1.0}",
        "fit.ema=0.9",
        "fit.sampler=balanced",
        "fit.label_smoothing=0.1",
        "fit.penalty={fc: {l2: 1.0}}",
        "fit.feature_views=0",
    ],
)
def test_what_an_exact_optimum_cannot_honor_is_refused(fit, override):
    with pytest.raises(RecipeError, match="linear_probe has no use for"):
        fit(*PROBE, override)
