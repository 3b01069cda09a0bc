"""Cached features of a frozen body: images pass it once per augmentation, and the head's epochs take milliseconds.

With one plain augmentation this is the frozen phase itself, number for number
(tests/learn/test_features.py): in evaluation mode the body always computes the same features of an
image, and order, dropout and rates are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import Tensor, nn

from ensemble.learn.amp import autocast
from ensemble.learn.build_learner import BuiltLearner
from ensemble.learn.callbacks import Penalize, nothing
from ensemble.learn.device import seed_everything
from ensemble.learn.heads import BodyAndHead
from ensemble.learn.loaders import split_loader
from ensemble.learn.losses import LossOnDevice
from ensemble.learn.sampling import balanced_order
from ensemble.recipe import Augment, Fit, Model
from ensemble.targets import Array

AUTO_AUGMENTATIONS = 4
MAX_BYTES = 2 << 30  # of cached features; fewer augmentations are cached where they would take more
TOLERANCE = 1e-3  # of a logit: how far body and head may be from the whole network


def n_cached(fit: Fit, augment: Augment, n_epochs: int) -> int:
    """How many augmentations of each image a frozen phase of n_epochs caches; 0: images pass the body every epoch.

    auto: one without augmentation, else four where the phase has more epochs than that. None with
    mixup or cutmix, which mix pixels, nor with a moving average, which averages the whole network.
    """
    if augment.mixup or augment.cutmix or fit.ema:
        return 0
    is_probe = fit.strategy == "linear_probe"
    if isinstance(fit.feature_views, int):
        return fit.feature_views if is_probe else min(fit.feature_views, n_epochs)
    if augment == Augment():
        return 1
    if is_probe:
        return AUTO_AUGMENTATIONS
    return AUTO_AUGMENTATIONS if n_epochs > AUTO_AUGMENTATIONS else 0


@dataclass(frozen=True, eq=False)
class SplitNetwork:
    """A network as a frozen body, (images) to (images, features), and a head that trains; they share its weights."""

    body: Callable[[Tensor], Tensor]
    head: nn.Module


def split_network(network: Any, model: Model) -> SplitNetwork | None:
    """The network before and from its last layer group; None where timm does not offer the two separately."""
    if isinstance(network, BodyAndHead):
        pool, *layers = network.head
        return SplitNetwork(lambda x: pool(network.body(x)), nn.Sequential(*layers))
    if not (hasattr(network, "forward_features") and hasattr(network, "forward_head")):
        return None
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        return None

    def body(x: Tensor) -> Tensor:
        features: Tensor = network.forward_head(network.forward_features(x), pre_logits=True)
        return features

    dropout = nn.Dropout(float(model.options.get("drop_rate", 0.0)))
    return SplitNetwork(body, nn.Sequential(dropout, classifier))


class FeatureDL(DataLoader):
    """Whole batches of cached features and what the loss compares with.

    features is (augmentations, images, width), on the device; targets is (images,) or (images,
    columns). augmentation is the position of the one in use; labels is as PixelDL's.
    """

    def __init__(
        self, features: Tensor, targets: Tensor, labels: Array | None = None, **kwargs: Any
    ) -> None:
        super().__init__(range(len(targets)), num_workers=0, **kwargs)
        self.features, self.targets, self.augmentation = features, targets, 0
        self.labels = labels

    def get_idxs(self) -> list[int]:
        """The positions of an epoch in their order."""
        if self.labels is not None:
            return balanced_order(self.labels, self.rng)
        positions: list[int] = super().get_idxs()
        return positions

    def create_item(self, s: int | None) -> int:
        """A position is its own item; do_batch takes the features."""
        return s or 0

    def do_batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The features and targets of these positions."""
        rows = torch.tensor(list(indices), device=self.targets.device)
        return self.features[self.augmentation, rows], self.targets[rows]


class NextAugmentation(Callback):
    """Each epoch trains on the next cached augmentation."""

    def before_epoch(self) -> None:  # noqa: D102
        loader = self.learn.dls.train
        loader.augmentation = self.epoch % len(loader.features)


def feature_learner(
    built: BuiltLearner,
    model: Model,
    n_wanted: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> Learner | None:
    """A Learner of the head alone on cached augmentations; None if the network cannot be split or memory is short."""
    network = split_network(built.learn.model, model)
    if network is None or not _computes_the_same(network, built):
        return None
    features = _cached_features(network, built, n_wanted, seed, progress)
    return None if features is None else _head_learner(network.head, features, built)


def _cached_features(
    network: SplitNetwork,
    built: BuiltLearner,
    n_wanted: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[Tensor, Tensor] | None:
    """Features (augmentations, images, width) of train and valid; None where not even one augmentation fits."""
    train, images = built.learn.dls.train, built.images
    batch_size = train.evaluation_bs
    plain_valid = split_loader(built.learn.dls, images, "valid", batch_size)
    valid = _features(network.body, plain_valid, built)
    n_bytes = len(images.learned) * valid.shape[1] * valid.element_size()
    n_augmentations = min(n_wanted, MAX_BYTES // n_bytes)
    if not n_augmentations:
        return None
    augmentations = []
    for i in range(n_augmentations):
        seed_everything(seed, "features", i)
        if i == 0:
            loader = built.learn.dls.test_dl(images.learned.tolist(), bs=batch_size)
        else:
            loader = train.new(shuffle=False, drop_last=False, bs=batch_size)
        augmentations.append(_features(network.body, loader, built))
        progress(i + 1, n_augmentations)
    return torch.stack(augmentations), valid[None]


def _head_learner(head: nn.Module, features: tuple[Tensor, Tensor], built: BuiltLearner) -> Learner:
    """A Learner of the head with the loss, metrics, optimizer and penalties of the whole one."""
    whole, train = built.learn, built.learn.dls.train
    images, device = built.images, features[0].device
    taught = images.encoded if images.soft_targets is None else images.soft_targets
    train_targets = torch.as_tensor(taught[images.learned]).to(device)
    valid_targets = torch.as_tensor(images.encoded[images.readable("valid")]).to(device)
    batch_size = train.images_per_step or train.bs  # the head has memory for the whole step
    options = {"bs": batch_size, "shuffle": True, "drop_last": train.drop_last}
    options["labels"] = train.labels
    dls = DataLoaders(
        FeatureDL(features[0], train_targets, **options),
        FeatureDL(features[1], valid_targets, bs=2 * batch_size),
        device=device,
    )
    penalties = [callback for callback in whole.cbs if isinstance(callback, Penalize)]
    learn = Learner(
        dls,
        head,
        loss_func=whole.loss_func,
        metrics=list(whole.metrics),
        opt_func=whole.opt_func,
        wd=whole.wd,
        splitter=lambda head: [list(head.parameters())],
        train_bn=False,
        cbs=[NextAugmentation(), LossOnDevice(), *penalties],
    )
    learn.remove_cb(ProgressCallback)
    learn.logger = nothing
    learn.create_opt()
    return learn


def _features(body: Callable[[Tensor], Tensor], loader: Any, built: BuiltLearner) -> Tensor:
    """(images, width) float32 of a loader's images, in its order."""
    built.learn.model.eval()
    batches = []
    with torch.inference_mode():
        for x, *_ in loader:
            x = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
            with autocast(built.precision, x.device):
                batches.append(body(x).float())
    return torch.cat(batches).clone()  # an inference tensor cannot be trained on


def _computes_the_same(network: SplitNetwork, built: BuiltLearner) -> bool:
    """Whether body and head give the logits of the whole network, for the first validation images."""
    whole = built.learn.model
    whole.eval()
    loader = split_loader(built.learn.dls, built.images, "valid", 2)
    x = next(iter(loader))[0].as_subclass(Tensor)
    with torch.no_grad():
        network.head.eval()
        try:
            logits, whole_logits = network.head(network.body(x)), whole(x)
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return False
        finally:
            network.head.train()
    if logits.shape != whole_logits.shape:
        return False
    difference = (logits - whole_logits).abs().max()
    return bool(difference <= TOLERANCE * (1 + whole_logits.abs().max()))
