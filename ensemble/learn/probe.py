"""A linear probe: the exact optimum of a regularized regression on the features of a frozen body.

No rate and no epochs: scikit-learn's logistic regression on scaled features, its strength by
cross-validation on the training images alone; the optimum becomes the network's last layer.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from ensemble.errors import RecipeError
from ensemble.learn.callbacks import SeedEpochs
from ensemble.learn.catalog import Array, Catalog
from ensemble.recipe import Recipe

STRENGTHS = tuple(10 ** (power / 2) for power in range(-8, 3))  # scikit-learn's C
N_FOLDS = 5
MANY_ROWS = 20_000  # from here on one fold is held out, not each in turn
MAX_STEPS = 1_000
FLOOR = 1e-15


def check_recipe(recipe: Recipe) -> None:
    """Raises RecipeError for what an exact optimum on cached features cannot honor."""
    augment, fit = recipe.augmentation, recipe.fit
    if fit.strategy != "linear_probe":
        return
    unfit = {
        "augment.mixup": augment.mixup,
        "augment.cutmix": augment.cutmix,
        "fit.ema": fit.ema,
        "fit.label_smoothing": fit.label_smoothing,
        "fit.penalty": fit.penalty,
        "fit.feature_views (0)": fit.feature_views == 0,
    }
    for key, is_set in unfit.items():
        if is_set:
            raise RecipeError(
                f"recipe {recipe.name}: fit.strategy linear_probe has no use for {key}\n"
                "leave it out, or set fit.strategy: feature_extract"
            )


@dataclass(frozen=True, eq=False)
class Features:
    """What the probe is fitted on.

    x is (rows, width) float64, scaled, y (rows,) positions of classes, groups (rows,) numbers,
    equal for rows that never part in cross-validation: augmentations of an image, images of a group.
    """

    x: Array
    y: Array
    groups: Array


def optimum(features: Features, n_classes: int, is_balanced: bool) -> tuple[Array, Array, float]:
    """Weights (classes, width), biases (classes,) and the strength that cross-validation chose.

    Classes without a row get a bias so low that they are never predicted.
    """
    n_features, present = features.x.shape[1], np.unique(features.y)
    weights, biases = np.zeros((n_classes, n_features)), np.full(n_classes, np.log(FLOOR))
    if len(present) < 2:
        biases[present] = 0.0
        return weights, biases, STRENGTHS[0]
    strength = _best_strength(features, is_balanced)
    model = _regression(strength, is_balanced)
    _fit(model, features.x, features.y)
    if len(model.classes_) == 2:  # scikit-learn keeps the difference of two classes
        weights[model.classes_] = model.coef_ * [[-0.5], [0.5]]
        biases[model.classes_] = model.intercept_ * [-0.5, 0.5]
    else:
        weights[model.classes_], biases[model.classes_] = model.coef_, model.intercept_
    return weights, biases, strength


def _best_strength(features: Features, is_balanced: bool) -> float:
    """The strength with the least log loss on held-out rows; ties go to the stronger penalty."""
    losses = np.zeros(len(STRENGTHS))
    for kept, held_out in _folds(features):
        model = _regression(STRENGTHS[0], is_balanced, warm_start=True)
        for i, strength in enumerate(STRENGTHS):
            model.set_params(C=strength)
            _fit(model, features.x[kept], features.y[kept])
            losses[i] += _loss(model, features.x[held_out], features.y[held_out])
    return STRENGTHS[int(np.argmin(losses))]


def _folds(features: Features) -> list[tuple[Array, Array]]:
    """Rows to fit on and rows to score, stratified by class; groups never part."""
    from sklearn.model_selection import StratifiedGroupKFold

    n_folds = min(N_FOLDS, len(np.unique(features.groups)))
    if n_folds < 2:
        return []
    with warnings.catch_warnings():  # of classes with fewer rows than folds
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
        folds = list(splitter.split(features.x, features.y, features.groups))
    usable = [fold for fold in folds if len(np.unique(features.y[fold[0]])) > 1]
    return usable[:1] if len(features.y) >= MANY_ROWS else usable


def _regression(strength: float, is_balanced: bool, warm_start: bool = False) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=strength,
        class_weight="balanced" if is_balanced else None,
        max_iter=MAX_STEPS,
        warm_start=warm_start,
    )


def _fit(model: Any, x: Array, y: Array) -> None:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():  # of weak penalties, which lose anyway
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)


def _loss(model: Any, x: Array, y: Array) -> float:
    """The summed log loss of rows whose class was fitted, in nats."""
    is_fitted = np.isin(y, model.classes_)
    probs = model.predict_proba(x[is_fitted])
    true = probs[np.arange(len(probs)), np.searchsorted(model.classes_, y[is_fitted])]
    return float(-np.log(np.maximum(true, FLOOR)).sum())


class Probe(Callback):
    """Puts the optimum into the last layer before the only epoch, whose rate is 0.

    groups (images,) are numbers of the training images' groups; note is called with the strength.
    """

    order = SeedEpochs.order + 1

    def __init__(self, groups: Array, is_balanced: bool, note: Callable[[str], None]) -> None:
        self.groups, self.is_balanced, self.note = groups, is_balanced, note

    def before_epoch(self) -> None:  # noqa: D102
        loader = self.learn.dls.train
        layer = _only_layer(self.learn.model)
        n_augmentations, _, width = loader.features.shape
        x = loader.features.reshape(-1, width).cpu().double().numpy()
        mean, spread = x.mean(0), _spread(x)
        codes = loader.codes.cpu().numpy()
        features = Features(
            (x - mean) / spread,
            np.tile(codes, n_augmentations),
            np.tile(self.groups, n_augmentations),
        )
        weights, biases, strength = optimum(features, layer.out_features, self.is_balanced)
        self.note(f"linear probe: {len(x):,} rows of {width:,} features, C {strength:g}")
        weights = weights / spread
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights))
            layer.bias.copy_(torch.from_numpy(biases - weights @ mean))


def _spread(x: Array) -> Array:
    """What features (rows, width) are divided by, (width,): halfway from one scale to each its own.

    Measured on ants and bees and on CIFAR-10 (docs/log.md), either alone is worse on one of them.
    """
    spread = np.sqrt(x.std(0) * x.std())
    spread[spread == 0] = 1.0
    return np.asarray(spread)


def probe_of(recipe: Recipe, images: Catalog, note: Callable[[str], None]) -> Probe | None:
    """The probe that the recipe's strategy asks for, None for another strategy."""
    if recipe.fit.strategy != "linear_probe":
        return None
    positions = images.readable("train") - images.splits["train"][0]
    groups = np.arange(len(positions))
    if images.groups is not None:
        groups = np.unique(images.groups[positions], return_inverse=True)[1]
    return Probe(groups, recipe.fit.class_weights == "balanced", note)


def check_head(learn: Learner | None) -> None:
    """Raises RecipeError where features cannot be cached, or the head is more than a linear layer."""
    if learn is None:
        raise RecipeError(
            "fit.strategy linear_probe: this network cannot be split into a body and a head, "
            "or its features do not fit into memory\nset fit.strategy: feature_extract"
        )
    _only_layer(learn.model)


def _only_layer(head: nn.Module) -> nn.Linear:
    layers = [layer for layer in head.modules() if list(layer.parameters(recurse=False))]
    if len(layers) == 1 and isinstance(layers[0], nn.Linear) and layers[0].bias is not None:
        return layers[0]
    raise RecipeError(
        "fit.strategy linear_probe: this network's classifier is not one linear layer with a bias\n"
        "set model.head: {hidden: []}, or fit.strategy: feature_extract"
    )
