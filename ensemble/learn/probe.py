"""A linear probe: the exact optimum of a regularized regression on the features of a frozen body.

No rate and no epochs: scikit-learn's logistic regression (ridge regression of numbers) on scaled
features, its strength by cross-validation on the training images alone; the optimum becomes the
network's last layer.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from torch import nn

from ensemble.errors import RecipeError
from ensemble.learn.callbacks import SeedEpochs
from ensemble.learn.catalog import Catalog
from ensemble.recipe import Recipe
from ensemble.targets import Array, Target

STRENGTHS = tuple(10 ** (power / 2) for power in range(-8, 3))  # scikit-learn's C
N_FOLDS = 5
N_WORSE = 2  # weaker penalties that lose in a row end the search
MANY_ROWS = 2_000  # from here on one fold is held out, not each in turn
MANY_LABELS = 20
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
        "fit.sampler: balanced": fit.sampler != "shuffle",
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

    x is (rows, width) float64, scaled; y is (rows,) positions of classes, (rows, labels) of 0 and 1,
    or (rows,) standardized numbers; groups (rows,) are numbers, equal for rows that never part in
    cross-validation: augmentations of an image, images of a group.
    """

    target: Target
    x: Array
    y: Array
    groups: Array

    def take(self, rows: Array) -> "Features":
        """Some rows, by position."""
        return replace(self, x=self.x[rows], y=self.y[rows], groups=self.groups[rows])


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights (outputs, width) and biases (outputs,): logits of classes or labels, or a number."""

    weights: Array
    biases: Array

    def loss(self, features: Features) -> float:
        """The summed loss of rows: log loss in nats, or squared error."""
        outputs = features.x @ self.weights.T + self.biases
        if features.target == "number":
            return float(np.square(outputs[:, 0] - features.y).sum())
        if features.target == "labels":
            return float(np.logaddexp(0, np.where(features.y > 0, -outputs, outputs)).sum())
        true = outputs[np.arange(len(outputs)), features.y]
        return float((np.logaddexp.reduce(outputs, axis=1) - true).sum())


def optimum(features: Features, n_outputs: int, is_balanced: bool) -> tuple[Layer, float]:
    """The layer, and the strength (scikit-learn's C) with the least loss on held-out rows.

    From strong to weak penalties, until N_WORSE of them lose to the best one. Ties go to the
    stronger penalty. A class without a row gets a bias so low that it is never predicted.
    """
    losses: list[float] = []
    scored = _with_common_labels(features)
    folds = [(scored.take(kept), scored.take(held_out)) for kept, held_out in _folds(features)]
    for strength in STRENGTHS:
        layers = (_layer(fitted, n_outputs, is_balanced, strength) for fitted, _ in folds)
        of_folds = [layer.loss(unseen) for layer, (_, unseen) in zip(layers, folds, strict=True)]
        losses.append(sum(of_folds))
        if len(losses) > np.argmin(losses) + N_WORSE:
            break
    strength = STRENGTHS[int(np.argmin(losses))]
    return _layer(features, n_outputs, is_balanced, strength), strength


def _with_common_labels(features: Features) -> Features:
    """The features with the most common labels alone: they suffice to choose a strength."""
    if features.target != "labels" or features.y.shape[1] <= MANY_LABELS:
        return features
    common = np.argsort(-features.y.sum(0), kind="stable")[:MANY_LABELS]
    return replace(features, y=features.y[:, common])


def _folds(features: Features) -> list[tuple[Array, Array]]:
    """Rows to fit on and rows to score, classes stratified; groups never part."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    n_folds = min(N_FOLDS, len(np.unique(features.groups)))
    if n_folds < 2:
        return []
    of_target = StratifiedGroupKFold if features.target == "class" else GroupKFold
    splitter = of_target(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():  # of classes with fewer rows than folds
        warnings.simplefilter("ignore", UserWarning)
        folds = list(splitter.split(features.x, features.y, features.groups))
    return folds[:1] if len(features.y) >= MANY_ROWS else folds


def _layer(features: Features, n_outputs: int, is_balanced: bool, strength: float) -> Layer:
    if features.target == "number":
        return _of_number(features, strength)
    if features.target == "class":
        return _of_classes(features.x, features.y, n_outputs, is_balanced, strength)
    of_labels = [
        _of_classes(features.x, label.astype(int), 2, is_balanced, strength)
        for label in features.y.T
    ]
    weights = np.array([layer.weights[1] - layer.weights[0] for layer in of_labels])
    return Layer(weights, np.array([layer.biases[1] - layer.biases[0] for layer in of_labels]))


def _of_classes(x: Array, y: Array, n_classes: int, is_balanced: bool, strength: float) -> Layer:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(y)
    weights, biases = np.zeros((n_classes, x.shape[1])), np.full(n_classes, np.log(FLOOR))
    biases[present] = 0.0
    if len(present) < 2:
        return Layer(weights, biases)
    weight = "balanced" if is_balanced else None
    model = LogisticRegression(C=strength, class_weight=weight, max_iter=MAX_STEPS)
    with warnings.catch_warnings():  # of weak penalties, which lose anyway
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    halves = np.array([[-0.5], [0.5]])  # of two classes scikit-learn keeps the difference
    is_two = len(present) == 2
    weights[present] = model.coef_ * halves if is_two else model.coef_
    biases[present] = model.intercept_ * halves[:, 0] if is_two else model.intercept_
    return Layer(weights, biases)


def _of_number(features: Features, strength: float) -> Layer:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / strength).fit(features.x, features.y)
    return Layer(model.coef_[None], np.array([model.intercept_]))


class Probe(Callback):
    """Puts the optimum into the last layer before the only epoch, whose rate is 0.

    groups (images,) are numbers of the training images' groups; note is called with the strength.
    """

    order = SeedEpochs.order + 1

    def __init__(
        self, target: Target, groups: Array, is_balanced: bool, note: Callable[[str], None]
    ) -> None:
        self.target, self.groups, self.is_balanced, self.note = target, groups, is_balanced, note

    def before_epoch(self) -> None:  # noqa: D102
        loader = self.learn.dls.train
        layer = _only_layer(self.learn.model)
        n_augmentations, _, width = loader.features.shape
        x = loader.features.reshape(-1, width).cpu().double().numpy()
        mean, spread = x.mean(0), _spread(x)
        targets = loader.targets.cpu().numpy()
        features = Features(
            self.target,
            (x - mean) / spread,
            np.concatenate([targets] * n_augmentations),
            np.tile(self.groups, n_augmentations),
        )
        probe, strength = optimum(features, layer.out_features, self.is_balanced)
        self.note(f"linear probe: {len(x):,} rows of {width:,} features, C {strength:g}")
        weights = probe.weights / spread
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights))
            layer.bias.copy_(torch.from_numpy(probe.biases - weights @ mean))


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
    n_taught = len(images.learned) - len(positions)
    groups = np.concatenate([groups, len(positions) + np.arange(n_taught)])
    return Probe(images.outputs.target, groups, recipe.fit.class_weights == "balanced", note)


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
