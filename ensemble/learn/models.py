"""Networks: timm's bodies, our heads, small stems, and the layer groups that freezing and rates go by."""

from collections.abc import Sequence
from typing import Any

import timm
import torch
from timm.models import group_parameters
from timm.models.vgg import VGG
from torch import Tensor, nn

from ensemble.errors import RecipeError, TrainingError
from ensemble.recipe import Head, Model

STEM_POOLS = ("maxpool", "features.pool0")


class BodyAndHead(nn.Module):
    """A convolutional body and our own head on its feature maps; nothing unused is kept."""

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


def build(model: Model, n_classes: int, size: int) -> nn.Module:
    """The network of a recipe, freshly initialised from torch's current random stream. Raises RecipeError.

    Its first pass over one image of `size` px is made here, so that a network that cannot take that size fails early.
    """
    keeps = model.head == "keep"
    network = _create(model, n_classes if keeps else 0)
    if model.stem == "small":
        _shrink_stem(network, model.arch)
    if isinstance(model.head, Head):
        if isinstance(network, VGG):
            network.pre_logits = nn.Identity()  # timm keeps 119 M parameters of dense trunk there
        _make_headless(network, model.arch)
        maps = _try(network, model.arch, size)
        if maps.ndim != 4:
            raise RecipeError(f"model.arch: {model.arch} gives no feature maps for our head; set model.head: keep")
        return BodyAndHead(network, _head(model.head, maps.shape[1], n_classes))
    _restart_classifier(network)
    _try(network, model.arch, size)
    return network


def _create(model: Model, n_classes: int) -> nn.Module:
    if not timm.is_model(model.arch.split(".")[0]):
        from difflib import get_close_matches

        near = get_close_matches(model.arch.split(".")[0], timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them all"
        raise RecipeError(f"model.arch: {model.arch!r} is no network that timm {timm.__version__} knows\n{hint}")
    try:
        return timm.create_model(model.arch, pretrained=False, num_classes=n_classes, **model.options)
    except (TypeError, RuntimeError, ValueError, KeyError, AssertionError, AttributeError) as error:
        raise RecipeError(f"model.options: {model.arch} refuses {model.options} ({str(error)[:200]})") from None


def _make_headless(network: nn.Module, arch: str) -> None:
    try:
        network.reset_classifier(0, "")
    except (TypeError, AssertionError, AttributeError, ValueError):
        raise RecipeError(f"model.arch: {arch} gives no feature maps for our head; set model.head: keep") from None


def _try(network: nn.Module, arch: str, size: int) -> Tensor:
    """The network's output for one black image, computed without touching its statistics. Raises RecipeError."""
    network.eval()
    try:
        with torch.no_grad():
            return network(torch.zeros(1, 3, size, size))
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise RecipeError(
            f"data.size: {arch} cannot take images of {size} px ({reason})\nset a larger data.size"
        ) from None
    finally:
        network.train()


def _head(head: Head, n_channels: int, n_classes: int) -> nn.Module:
    """Pool, then dense layers with batch norm and half the dropout between, then dropout and the classes (fastai's)."""
    width = n_channels * (2 if head.pool == "concat" else 1)
    layers: list[nn.Module] = [Pool(head.pool)]
    for hidden in head.hidden:
        layers += [nn.BatchNorm1d(width), nn.Dropout(head.dropout / 2), nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    if head.hidden:
        layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(*layers, nn.Dropout(head.dropout), nn.Linear(width, n_classes))


def _restart_classifier(network: nn.Module) -> None:
    """A fresh linear classifier, torch's own way: timm's start for EfficientNets costs 5 to 30 points (docs/log.md)."""
    classifier = network.get_classifier()
    if isinstance(classifier, nn.Linear):
        classifier.reset_parameters()


def _shrink_stem(network: nn.Module, arch: str) -> None:
    """The first convolution becomes 3×3 with stride 1 and the pool after it goes. Raises RecipeError."""
    name = getattr(network, "default_cfg", {}).get("first_conv")
    conv = network.get_submodule(name) if isinstance(name, str) else None
    if not isinstance(conv, nn.Conv2d) or conv.in_channels != 3:
        raise RecipeError(f"model.stem: small is not known for {arch}; leave it auto")
    small = nn.Conv2d(3, conv.out_channels, 3, stride=1, padding=1, bias=conv.bias is not None)
    if conv.kernel_size == (3, 3):
        small.load_state_dict(conv.state_dict())
    network.set_submodule(name, small)
    for pool in STEM_POOLS:
        if isinstance(_submodule(network, pool), nn.MaxPool2d | nn.Sequential):
            network.set_submodule(pool, nn.Identity())


def _submodule(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def layer_groups(network: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters by stage, stem first; the last group is exactly the classifier or our head. fastai's splitter."""
    if isinstance(network, BodyAndHead):
        return [*_stages(network.body, ()), list(network.head.parameters())]
    classifier = list(network.get_classifier().parameters())
    return [*_stages(network, classifier), classifier]


def _stages(network: nn.Module, left_out: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The body's stages by timm's own coarse matcher; VGG, which has one per layer, is cut at its pooling layers."""
    parameters = dict(network.named_parameters())
    names = _vgg_stages(network) if isinstance(network, VGG) else _timm_stages(network)
    skip = {id(parameter) for parameter in left_out}
    stages = [[parameters[name] for name in stage if id(parameters[name]) not in skip] for stage in names]
    return [stage for stage in stages if stage]


def _timm_stages(network: nn.Module) -> list[list[str]]:
    if not hasattr(network, "group_matcher"):
        return [[name for name, _ in network.named_parameters()]]
    groups: dict[Any, list[str]] = group_parameters(network, network.group_matcher(coarse=True))
    return [groups[key] for key in sorted(groups)]


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


def load_weights(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Put stored weights into a network of the same layout. Raises TrainingError naming what does not fit."""
    expected = network.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = sorted(name for name in expected.keys() & state.keys() if expected[name].shape != state[name].shape)
    if missing or extra or wrong:
        raise TrainingError(
            f"{source}: does not fit the network: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(extra)} left over {extra[:3]}, {len(wrong)} of another shape {wrong[:3]}"
        )
    network.load_state_dict(state)
