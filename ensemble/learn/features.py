"""Cached features of a frozen body: the images pass it once per view, and the head's epochs take milliseconds.

With one plain view this is the frozen phase itself, number for number (tests/learn/test_features.py): the body is in
evaluation mode, so what it says of an image never changes, and order, dropout and rates are the same.
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

from ensemble.learn import callbacks
from ensemble.learn.amp import autocast
from ensemble.learn.build_learner import Setup
from ensemble.learn.data import part_loader
from ensemble.learn.device import seed_everything
from ensemble.learn.models import BodyAndHead
from ensemble.recipe import Augment, Fit, Model

AUTO_VIEWS = 4
MEMORY = 2 << 30  # bytes of features; fewer views are kept where they would take more
SAME = 1e-3  # of a logit: how far body and head apart may be from the whole network


def n_views(fit: Fit, augment: Augment, n_epochs: int) -> int:
    """How many views a frozen phase of so many epochs caches; 0: body and augmentation run afresh every epoch.

    auto: one without augmentation, else four where the phase has more epochs than that; none with mixup or cutmix,
    which mix pixels, or a moving average, which is one of the whole network.
    """
    if augment.mixup or augment.cutmix or fit.ema:
        return 0
    if isinstance(fit.feature_views, int):
        return min(fit.feature_views, n_epochs)
    if augment == Augment():
        return 1
    return AUTO_VIEWS if n_epochs > AUTO_VIEWS else 0


@dataclass(frozen=True, eq=False)
class Cut:
    """A network as a frozen body, (images) to (images, features), and the head that trains; they share its weights."""

    body: Callable[[Tensor], Tensor]
    head: nn.Module


def cut(network: nn.Module, model: Model) -> Cut | None:
    """The network before and from its last layer group, None where timm does not say how they part."""
    if isinstance(network, BodyAndHead):
        pool, *rest = network.head
        return Cut(lambda x: pool(network.body(x)), nn.Sequential(*rest))
    if not (hasattr(network, "forward_features") and hasattr(network, "forward_head")):
        return None
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        return None

    def body(x: Tensor) -> Tensor:
        return network.forward_head(network.forward_features(x), pre_logits=True)

    return Cut(
        body, nn.Sequential(nn.Dropout(float(model.options.get("drop_rate", 0.0))), classifier)
    )


class FeatureDL(DataLoader):
    """Whole batches of features and classes; features is (views, images, width) on the device, view the one in use."""

    def __init__(self, features: Tensor, codes: Tensor, **kwargs: Any) -> None:
        super().__init__(range(len(codes)), num_workers=0, **kwargs)
        self.features, self.codes, self.view = features, codes, 0

    def create_item(self, s: int | None) -> int:
        """An index is the item; the batch is cut in do_batch."""
        return s or 0

    def do_batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The features and classes of these positions."""
        rows = torch.tensor(list(indices), device=self.codes.device)
        return self.features[self.view, rows], self.codes[rows]


class NextView(Callback):
    """Every epoch sees the next of the cached views."""

    def before_epoch(self) -> None:  # noqa: D102
        self.learn.dls.train.view = self.epoch % len(self.learn.dls.train.features)


def feature_learner(
    setup: Setup, model: Model, wanted: int, seed: int, progress: Callable[[int, int], None]
) -> Learner | None:
    """A Learner of the head alone on cached views, or None where the network cannot be cut or memory is short."""
    network = setup.learn.model
    parts = cut(network, model)
    if parts is None or not _is_same(parts, network, setup):
        return None
    valid = _features(
        parts.body, part_loader(setup.learn.dls, setup.images, "valid", 2 * _size(setup)), setup
    )
    n_train = len(setup.images.readable("train"))
    kept = min(wanted, MEMORY // (n_train * valid.shape[1] * valid.element_size()))
    if not kept:
        return None
    views = []
    for view in range(kept):
        seed_everything(seed, "features", view)
        loader = (
            part_loader(setup.learn.dls, setup.images, "train", 2 * _size(setup))
            if view == 0
            else setup.learn.dls.train.new(shuffle=False, drop_last=False, bs=2 * _size(setup))
        )
        views.append(_features(parts.body, loader, setup))
        progress(view + 1, kept)
    codes = {
        part: torch.as_tensor(setup.images.codes[setup.images.readable(part)])
        for part in ("train", "valid")
    }
    train = setup.learn.dls.train
    batch = train.step or train.bs  # the head has memory for the whole one
    device = valid.device
    dls = DataLoaders(
        FeatureDL(
            torch.stack(views),
            codes["train"].to(device),
            bs=batch,
            shuffle=True,
            drop_last=train.drop_last,
        ),
        FeatureDL(valid[None], codes["valid"].to(device), bs=setup.learn.dls.valid.bs),
        device=device,
    )
    whole = setup.learn
    penalties = [cb for cb in whole.cbs if isinstance(cb, callbacks.Penalise)]
    learn = Learner(
        dls,
        parts.head,
        loss_func=whole.loss_func,
        metrics=list(whole.metrics),
        opt_func=whole.opt_func,
        wd=whole.wd,
        splitter=lambda head: [list(head.parameters())],
        train_bn=False,
        cbs=[NextView(), callbacks.LossOnDevice(), *penalties],
    )
    learn.remove_cb(ProgressCallback)
    learn.logger = callbacks.nothing
    learn.create_opt()
    return learn


def _size(setup: Setup) -> int:
    return setup.learn.dls.train.bs


def _features(body: Callable[[Tensor], Tensor], loader: Any, setup: Setup) -> Tensor:
    """(images, width) float32 of a loader's images, in its order."""
    setup.learn.model.eval()
    made = []
    with torch.inference_mode():
        for x, *_ in loader:
            x = x.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
            with autocast(setup.precision, x.device):
                made.append(body(x).float())
    return torch.cat(made).clone()  # an inference tensor cannot be trained on


def _is_same(parts: Cut, network: nn.Module, setup: Setup) -> bool:
    """Whether body and head say what the network says, on the first validation images."""
    network.eval()
    x = next(iter(part_loader(setup.learn.dls, setup.images, "valid", 2)))[0].as_subclass(Tensor)
    with torch.no_grad():
        parts.head.eval()
        try:
            apart, whole = parts.head(parts.body(x)), network(x)
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return False
        finally:
            parts.head.train()
    return apart.shape == whole.shape and bool(
        (apart - whole).abs().max() <= SAME * (1 + whole.abs().max())
    )
