"""A recipe's network: timm's body with its own classifier or our head, a small stem where the recipe asks for it."""

from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.models.vgg import VGG
from torch import Tensor, nn

from ensemble.errors import RecipeError
from ensemble.learn import scratch  # noqa: F401  registers its networks with timm
from ensemble.learn.heads import BodyAndHead, head_layers
from ensemble.learn.layer_groups import classifiers
from ensemble.learn.load_weights import load_named, load_own
from ensemble.learn.sizes import (
    CREATION_ERRORS,
    FORWARD_ERRORS,
    reason_of,
    resampling,
    size_error,
    size_options,
)
from ensemble.learn.weights import Weights
from ensemble.recipe import Head, Model

STEM_POOLS = ("maxpool", "features.pool0")
MAX_STEM_STRIDE = 4  # a first convolution with a larger one cuts patches


@dataclass(frozen=True, eq=False)
class BuiltNetwork:
    """A network, and one line about its initial weights."""

    network: nn.Module
    start: str


def build(model: Model, n_classes: int, size: int, weights: Weights | None = None) -> BuiltNetwork:
    """The network of a recipe; torch's current random stream draws its new layers.

    Passes one image of `size` px through it, so that a network that cannot take that size fails
    early. Raises RecipeError, TrainingError.
    """
    head = _head_of(model)
    network = _create(model, n_classes if head == "keep" else 0, size, weights)
    start = "random weights" if weights is None else f"weights: {weights.source}"
    if head == "keep":
        _restart_classifier(network)
    stem = _shrink_stem(network, model.arch) if model.stem == "small" else None
    if weights is not None and weights.state is not None and not weights.has_our_head:
        start += load_named(network, weights, stem)
    if isinstance(head, Head):
        pools_itself = not _gives_maps(network, model, size)
        n_channels = _try(network, model, size).shape[1]
        network = BodyAndHead(network, head_layers(head, n_channels, n_classes, pools_itself))
        if pools_itself:
            start += f"; {model.arch} has its own pooling; model.head.pool is not used"
    elif _try(network, model, size).shape != (1, n_classes):
        raise RecipeError(
            f"model.options: {model.arch} with {model.options} does not return logits for {n_classes} classes"
        )
    if weights is not None and weights.has_our_head:
        start += load_own(network, weights)
    return BuiltNetwork(network, start)


def _head_of(model: Model) -> Head | Literal["keep"]:
    """Scratch networks end in the dense layers of their own options. Raises RecipeError."""
    if not model.arch.startswith("scratch_"):
        return model.head
    if model.head not in ("keep", Head()):
        raise RecipeError(
            f"model.head: {model.arch} does not take a head\n"
            "write model.options {dense: [128], dense_dropout: 0.5} instead"
        )
    return "keep"


def check_arch(arch: str) -> None:
    """Raises RecipeError for a network, or a tag of its weights, that timm does not know, naming the nearest."""
    name, _, tag = arch.partition(".")
    if not timm.is_model(name):
        from difflib import get_close_matches

        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them all"
        raise RecipeError(f"model.arch: timm {timm.__version__} does not know {arch!r}\n{hint}")
    try:
        timm.get_pretrained_cfg(arch)
    except RuntimeError:
        tags = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise RecipeError(
            f"model.arch: timm does not know weights {tag!r} of {name}\nit knows {tags}"
        ) from None


def _create(model: Model, n_classes: int, size: int, weights: Weights | None) -> Any:
    """timm's network, with the hub's weights where those are a file that timm reads. Raises RecipeError."""
    check_arch(model.arch)
    channels = model.options.get("in_chans", 3)
    if channels != 3:
        raise RecipeError(
            f"model.options: in_chans is {channels}, but every network gets RGB images with 3 channels\n"
            "leave in_chans out: a gray image has three equal channels"
        )
    sized, hub = size_options(model, size), {}
    if weights is not None and weights.hub_file is not None:
        hub = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights.hub_file)}}
    options = {"num_classes": n_classes, **hub, **sized}
    try:
        with resampling():
            network = timm.create_model(model.arch, **options, **model.options)
    except CREATION_ERRORS as error:
        if hub and sized:
            raise RecipeError(
                f"data.size: timm cannot resample the weights of {model.arch} to {size} px ({reason_of(error)})\n"
                "set data.size: auto, the size of the weights, or model.pretrained: false"
            ) from None
        raise RecipeError(
            f"model.options: {model.arch} does not accept {model.options} ({str(error)[:200]})"
        ) from None
    if not hasattr(network, "get_classifier"):
        raise RecipeError(
            f"model.options: {model.arch} with {model.options} is not a classifier; leave out features_only"
        )
    return network


def _gives_maps(network: Any, model: Model, size: int) -> bool:
    """Whether the network now ends in feature maps (batch, channels, h, w); else in vectors that it pooled itself.

    timm's own head pools tokens and channels-last maps: it knows their layout.
    """
    if isinstance(network, VGG):
        network.pre_logits = nn.Identity()  # timm keeps 119 M parameters of dense trunk there
    maps = _try(network, model, size, "forward_features")
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        return False
    is_channels_last = maps.shape[1] != network.num_features == maps.shape[3]
    if is_channels_last or getattr(network, "output_fmt", "NCHW") != "NCHW":
        return False
    try:
        network.reset_classifier(0, "")
    except (TypeError, AssertionError, AttributeError, ValueError):  # it always pools
        return False
    return True


def _try(network: Any, model: Model, size: int, method: str = "forward") -> Tensor:
    """The network's output for one black image; its statistics stay. Raises RecipeError."""
    network.eval()
    try:
        with torch.no_grad():
            output: Tensor = getattr(network, method)(torch.zeros(1, 3, size, size))
            return output
    except FORWARD_ERRORS as error:
        raise size_error(model, size, reason_of(error)) from None
    finally:
        network.train()


def _restart_classifier(network: Any) -> None:
    """A fresh linear classifier, torch's own way: timm's start for EfficientNets costs 5 to 30 points (docs/log.md)."""
    for classifier in classifiers(network):
        if isinstance(classifier, nn.Linear):
            classifier.reset_parameters()


def _shrink_stem(network: Any, arch: str) -> str:
    """Makes the first convolution 3×3 with stride 1 and removes the pool after it; returns the convolution's name.

    Raises RecipeError.
    """
    name = str(getattr(network, "default_cfg", {}).get("first_conv"))
    conv = _submodule(network, name)
    if (
        not isinstance(conv, nn.Conv2d)
        or conv.in_channels != 3
        or max(conv.stride) > MAX_STEM_STRIDE
    ):
        raise RecipeError(f"model.stem: small is not supported for {arch}; leave it auto")
    small = nn.Conv2d(3, conv.out_channels, 3, stride=1, padding=1, bias=conv.bias is not None)
    if conv.kernel_size == (3, 3):
        small.load_state_dict(conv.state_dict())
    network.set_submodule(name, small)
    for pool in STEM_POOLS:
        if isinstance(_submodule(network, pool), nn.MaxPool2d | nn.Sequential):
            network.set_submodule(pool, nn.Identity())
    return name


def _submodule(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def count_parameters(network: nn.Module) -> int:
    """All parameters of the network."""
    return sum(parameter.numel() for parameter in network.parameters())
