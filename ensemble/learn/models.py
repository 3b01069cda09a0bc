"""Networks: timm's bodies, our heads, small stems, and the layer groups that freezing and rates go by."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import timm
import torch
from timm.models import group_parameters
from timm.models.vgg import VGG
from torch import Tensor, nn

from ensemble.errors import RecipeError
from ensemble.learn import scratch  # noqa: F401  registers its networks with timm
from ensemble.learn.sizes import (
    CREATION_ERRORS,
    FORWARD_ERRORS,
    reason_of,
    resampling,
    size_error,
    size_options,
)
from ensemble.learn.weights import Weights, load_named, load_own
from ensemble.recipe import Head, Model

STEM_POOLS = ("maxpool", "features.pool0")


class BodyAndHead(nn.Module):
    """A body and our own head on its feature maps, or on what it has pooled itself; nothing unused is kept."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 3, size, size) to logits (batch, classes)."""
        return self.head(self.body(x))


class Pool(nn.Module):
    """Feature maps (batch, channels, h, w) to vectors: mean, maximum, or both side by side."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to (batch, channels), or twice the channels for concat."""
        parts = []
        if self.kind in ("avg", "concat"):
            parts.append(x.mean((2, 3)))
        if self.kind in ("max", "concat"):
            parts.append(x.amax((2, 3)))
        return torch.cat(parts, 1)


@dataclass(frozen=True, eq=False)
class Built:
    """A network, and one line about the weights it starts from."""

    network: nn.Module
    start: str


def build(model: Model, n_classes: int, size: int, weights: Weights | None = None) -> Built:
    """The network of a recipe, new parts drawn from torch's current random stream. Raises RecipeError, TrainingError.

    Its first pass over one image of `size` px is made here, so that a network that cannot take that size fails early.
    """
    head = _head_of(model)
    network = _create(model, n_classes if head == "keep" else 0, size, weights)
    start = "random weights" if weights is None else f"weights: {weights.source}"
    if head == "keep":
        _restart_classifier(network)
    stem = _shrink_stem(network, model.arch) if model.stem == "small" else None
    if weights is not None and weights.state is not None and not weights.is_own:
        start += load_named(network, weights, stem)
    if isinstance(head, Head):
        pools_itself = not _gives_maps(network, model, size)
        n_channels = _try(network, model, size).shape[1]
        network = BodyAndHead(network, _head(head, n_channels, n_classes, pools_itself))
        if pools_itself:
            start += f"; {model.arch} pools by itself, model.head.pool is not used"
    elif _try(network, model, size).shape != (1, n_classes):
        raise RecipeError(
            f"model.options: {model.arch} with {model.options} gives no logits of {n_classes} classes"
        )
    if weights is not None and weights.is_own:
        start += load_own(network, weights)
    return Built(network, start)


def _head_of(model: Model) -> Head | Literal["keep"]:
    """Scratch networks end in the dense layers of their own options. Raises RecipeError."""
    if not model.arch.startswith("scratch_"):
        return model.head
    if model.head not in ("keep", Head()):
        raise RecipeError(
            f"model.head: {model.arch} has none; write model.options {{dense: [128], dense_dropout: 0.5}}"
        )
    return "keep"


def check_arch(arch: str) -> None:
    """Raises RecipeError for a network, or a tag of its weights, that timm does not know, naming the nearest."""
    name, _, tag = arch.partition(".")
    if not timm.is_model(name):
        from difflib import get_close_matches

        near = get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them all"
        raise RecipeError(
            f"model.arch: {arch!r} is no network that timm {timm.__version__} knows\n{hint}"
        )
    try:
        timm.get_pretrained_cfg(arch)
    except RuntimeError:
        tagged = ", ".join(timm.list_pretrained(f"{name}.*")) or "none"
        raise RecipeError(
            f"model.arch: timm knows no weights {tag!r} of {name}\nit knows {tagged}"
        ) from None


def _create(model: Model, n_classes: int, size: int, weights: Weights | None) -> nn.Module:
    check_arch(model.arch)
    channels = model.options.get("in_chans", 3)
    if channels != 3:
        raise RecipeError(
            f"model.options: in_chans is {channels}, but images reach every network as RGB, with 3 channels\n"
            "leave in_chans out: a gray image has three equal channels"
        )
    sized, hub = size_options(model, size), {}
    if weights is not None and weights.hub_file is not None:
        hub = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights.hub_file)}}
    try:
        with resampling():
            network = timm.create_model(
                model.arch, num_classes=n_classes, **hub, **sized, **model.options
            )
    except CREATION_ERRORS as error:
        if hub and sized:
            raise RecipeError(
                f"data.size: timm cannot bring the weights of {model.arch} to {size} px ({reason_of(error)})\n"
                "set data.size: auto, which is the size of the weights, or model.pretrained: false"
            ) from None
        raise RecipeError(
            f"model.options: {model.arch} refuses {model.options} ({str(error)[:200]})"
        ) from None
    if not hasattr(network, "get_classifier"):
        raise RecipeError(
            f"model.options: {model.arch} with {model.options} is not a classifier; leave out features_only"
        )
    return network


def _gives_maps(network: nn.Module, model: Model, size: int) -> bool:
    """Whether the network now ends in feature maps (batch, channels, h, w); else in vectors that it pooled itself.

    Tokens and channels-last maps are pooled by timm's own head, which knows their layout.
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
    except (TypeError, AssertionError, AttributeError, ValueError):  # it cannot be told not to pool
        return False
    return True


def _try(network: nn.Module, model: Model, size: int, method: str = "forward") -> Tensor:
    """What the network makes of one black image, its statistics untouched. Raises RecipeError."""
    network.eval()
    try:
        with torch.no_grad():
            return getattr(network, method)(torch.zeros(1, 3, size, size))
    except FORWARD_ERRORS as error:
        raise size_error(model, size, reason_of(error)) from None
    finally:
        network.train()


def _head(head: Head, n_channels: int, n_classes: int, is_pooled: bool) -> nn.Module:
    """Pool, unless the body has, then fastai's layers: dense ones with batch norm and half the dropout, the classes."""
    width = n_channels * (2 if head.pool == "concat" and not is_pooled else 1)
    layers: list[nn.Module] = [nn.Identity() if is_pooled else Pool(head.pool)]
    for hidden in head.hidden:
        layers += [
            nn.BatchNorm1d(width),
            nn.Dropout(head.dropout / 2),
            nn.Linear(width, hidden),
            nn.ReLU(),
        ]
        width = hidden
    if head.hidden:
        layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(*layers, nn.Dropout(head.dropout), nn.Linear(width, n_classes))


def _restart_classifier(network: nn.Module) -> None:
    """A fresh linear classifier, torch's own way: timm's start for EfficientNets costs 5 to 30 points (docs/log.md)."""
    for classifier in classifiers(network):
        if isinstance(classifier, nn.Linear):
            classifier.reset_parameters()


def classifiers(network: nn.Module) -> tuple[nn.Module, ...]:
    """timm's last layer, or the two of a distilled network, whose logits are averaged."""
    classifier = network.get_classifier()
    return tuple(classifier) if isinstance(classifier, tuple | list) else (classifier,)


def _shrink_stem(network: nn.Module, arch: str) -> str:
    """The first convolution, whose name is returned, becomes 3×3 with stride 1, the pool after it goes.

    Raises RecipeError.
    """
    name = getattr(network, "default_cfg", {}).get("first_conv")
    conv = _submodule(network, name) if isinstance(name, str) else None
    is_stem = (
        isinstance(conv, nn.Conv2d) and conv.in_channels == 3 and max(conv.stride) <= 4
    )  # else it cuts patches
    if not is_stem:
        raise RecipeError(f"model.stem: small is not known for {arch}; leave it auto")
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


def layer_groups(network: nn.Module, unfreeze_from: str | None = None) -> list[list[nn.Parameter]]:
    """Parameters by stage, stem first; the last group is exactly the classifier or our head. fastai's splitter.

    With `unfreeze_from` the body has two groups: what stands before that module, and everything from it on.
    Raises RecipeError for a module that is not there.
    """
    if isinstance(network, BodyAndHead):
        body, classifier = network.body, list(network.head.parameters())
    else:
        body, classifier = (
            network,
            [weight for layer in classifiers(network) for weight in layer.parameters()],
        )
    in_classifier = {id(parameter) for parameter in classifier}
    stages = _cut_at(body, unfreeze_from) if unfreeze_from else _stages(body)
    groups = [
        [parameter for parameter in stage if id(parameter) not in in_classifier] for stage in stages
    ]
    if unfreeze_from and not groups[-1]:
        raise RecipeError(
            f"fit.unfreeze_from: {unfreeze_from!r} is the classifier, which always trains; use feature_extract"
        )
    return [*(group for group in groups if group), classifier]


def splitter(unfreeze_from: str | None) -> Callable[[nn.Module], list[list[nn.Parameter]]]:
    """layer_groups as fastai's Learner takes it."""
    return partial(layer_groups, unfreeze_from=unfreeze_from)


def module_named(network: nn.Module, name: str, key: str) -> nn.Module:
    """A part of the network. Raises RecipeError naming those that are nearest."""
    modules = {own: module for own, module in network.named_modules() if own}
    if name not in modules:
        from difflib import get_close_matches

        near = get_close_matches(name, modules, n=5, cutoff=0.3) or list(modules)[:5]
        raise RecipeError(f"{key}: the network has no module {name!r}\nnearest: {', '.join(near)}")
    return modules[name]


def _cut_at(body: nn.Module, name: str) -> list[list[nn.Parameter]]:
    """The parameters before a module and from it on, in the order of their definition."""
    module_named(body, name, "fit.unfreeze_from")
    names = [parameter for parameter, _ in body.named_parameters()]
    first = next((i for i, parameter in enumerate(names) if parameter.startswith(f"{name}.")), None)
    if first is None:
        raise RecipeError(f"fit.unfreeze_from: module {name!r} has no parameters of its own")
    parameters = list(body.parameters())
    return [parameters[:first], parameters[first:]]


def _stages(network: nn.Module) -> list[list[nn.Parameter]]:
    """The body's stages by timm's own coarse matcher; VGG, which has one per layer, is cut at its pooling layers."""
    parameters = dict(network.named_parameters())
    names = _vgg_stages(network) if isinstance(network, VGG) else _timm_stages(network)
    return [[parameters[name] for name in stage] for stage in names]


def _timm_stages(network: nn.Module) -> list[list[str]]:
    if not hasattr(network, "group_matcher"):
        return [[name for name, _ in network.named_parameters()]]
    try:
        groups: dict[Any, list[str]] = group_parameters(network, network.group_matcher(coarse=True))
    except (AssertionError, NotImplementedError):  # "coarse grouping is not implemented for RDNet"
        return _blocks(network)
    return [groups[key] for key in sorted(groups)]


def _blocks(network: nn.Module) -> list[list[str]]:
    """The network's modules in their order, those inside a list or sequence one by one."""
    blocks: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        first, _, rest = name.partition(".")
        is_sequence = isinstance(getattr(network, first), nn.Sequential | nn.ModuleList)
        block = f"{first}.{rest.partition('.')[0]}" if is_sequence else first
        blocks.setdefault(block, []).append(name)
    return list(blocks.values())


def _vgg_stages(network: VGG) -> list[list[str]]:
    stages: list[list[str]] = [[]]
    for position, layer in enumerate(network.features):
        stages[-1] += [f"features.{position}.{name}" for name, _ in layer.named_parameters()]
        if isinstance(layer, nn.MaxPool2d):
            stages.append([])
    trunk = [name for name, _ in network.named_parameters() if not name.startswith("features.")]
    return [*stages, trunk]


def count_parameters(network: nn.Module) -> int:
    """All parameters of the network."""
    return sum(parameter.numel() for parameter in network.parameters())
