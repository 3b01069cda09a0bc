"""Cached features: the frozen phase itself where the view is plain, and no views where there cannot be any."""

import numpy as np
import pytest

from ensemble.learn.features import n_cached
from ensemble.recipe import Augment, Fit

HEADS = {
    "our head": "model.head={pool: concat, hidden: [16], dropout: 0.5}",
    "kept": "model.head=keep",
}
FROZEN = ("fit.strategy=feature_extract", "fit.epochs=4", "fit.lr=0.01")


ARCHS = ("resnet10t", "test_efficientnet", "test_convnext", "test_vit", "test_mambaout")


@pytest.mark.parametrize(
    ("arch", "head"),
    [(arch, head) for arch in ARCHS for head in HEADS.values()],
)
def test_one_plain_augmentation_is_the_frozen_phase_itself(arch, head, fit):
    said = (
        f"model.arch={arch}",
        head,
        *FROZEN,
        *(["model.options={drop_rate: 0.3}"] if "keep" in head else []),
    )
    cached, plain = fit(*said).trained, fit(*said, "fit.feature_views=0").trained
    assert (cached.record.feature_views, plain.record.feature_views) == (1, 0)
    for mine, theirs in zip(cached.history, plain.history, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, abs=1e-4)
        assert mine.valid_loss == pytest.approx(theirs.valid_loss, abs=1e-4)
    np.testing.assert_allclose(cached.valid.probs, plain.valid.probs, atol=1e-4)
    np.testing.assert_allclose(cached.test.probs, plain.test.probs, atol=1e-4)
    assert cached.record.n_trainable == plain.record.n_trainable


def test_epochs_cycle_through_cached_augmentations_and_the_first_is_plain(fit):
    said = ("model.arch=resnet10t", *FROZEN, "augment=heavy")
    one, three = (
        fit(*said, "fit.feature_views=1").trained,
        fit(*said, "fit.feature_views=3").trained,
    )
    assert three.record.feature_views == 3
    assert three.history[0].train_loss == one.history[0].train_loss
    assert three.history[1].train_loss != one.history[1].train_loss
    plain = fit("model.arch=resnet10t", *FROZEN).trained
    assert one.history[-1].valid_loss == plain.history[-1].valid_loss


def test_the_rate_is_found_and_the_unfrozen_phase_continues_with_the_trained_head(fit):
    said = (
        "model.arch=resnet10t",
        "fit.strategy=fine_tune",
        "fit.frozen_epochs=3",
        "fit.epochs=1",
        "fit.lr=find",
    )
    cached, plain = fit(*said), fit(*said, "fit.feature_views=0")
    assert cached.trained.record.lr == pytest.approx(plain.trained.record.lr, rel=0.05)
    assert cached.trained.history[-1].valid_loss == pytest.approx(
        plain.trained.history[-1].valid_loss, abs=0.05
    )
    assert "frozen phase: 1 cached augmentations, batch norm in eval" in cached.notes
    assert (
        "frozen phase: images pass through the body in every epoch, batch norm in eval"
        in plain.notes
    )


@pytest.mark.parametrize(
    ("fit", "augment", "n_epochs", "expected"),
    [
        (Fit(), Augment(), 10, 1),
        (Fit(), Augment(flip=True), 10, 4),
        (Fit(), Augment(flip=True), 4, 0),
        (Fit(), Augment(mixup=0.4), 10, 0),
        (Fit(), Augment(cutmix=1.0), 10, 0),
        (Fit(ema=0.9), Augment(), 10, 0),
        (Fit(feature_views=0), Augment(), 10, 0),
        (Fit(feature_views=7), Augment(flip=True), 10, 7),
        (Fit(feature_views=7), Augment(flip=True), 3, 3),
        (Fit(feature_views=7), Augment(mixup=0.4), 10, 0),
    ],
)
def test_how_many_augmentations_a_phase_caches(fit, augment, n_epochs, expected):
    assert n_cached(fit, augment, n_epochs) == expected


def test_a_penalty_on_the_head_counts_on_cached_features_too(fit):
    said = ("model.arch=resnet10t", *FROZEN)
    free = fit(*said, "fit.penalty={fc: {l2: 1.0}}")
    assert free.weights != fit(*said).weights
    plain = fit(*said, "fit.penalty={fc: {l2: 1.0}}", "fit.feature_views=0").trained
    np.testing.assert_allclose(free.trained.valid.probs, plain.valid.probs, atol=1e-4)
