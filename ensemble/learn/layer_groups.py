"""The layer groups of a network, by which fastai freezes and sets rates: stage after stage, the classifier last."""

from collections.abc import Callable
from functools import partial
from typing import Any

from timm.models import group_parameters
from timm.models.vgg import VGG
from torch import nn

from ensemble.errors import RecipeError
from ensemble.learn.heads import BodyAndHead

Groups = list[list[nn.Parameter]]


def layer_groups(network: nn.Module, unfreeze_from: str | None = None) -> Groups:
    """Parameters by stage, stem first; the last group is exactly the classifier or our head. fastai's splitter.

    With `unfreeze_from` the body has two groups: the parameters before that module, and all from it on.
    Raises RecipeError for an unknown module.
    """
    if isinstance(network, BodyAndHead):
        body, classifier = network.body, list(network.head.parameters())
    else:
        body = network
        classifier = [weight for layer in classifiers(network) for weight in layer.parameters()]
    in_classifier = {id(parameter) for parameter in classifier}
    stages = _split_at(body, unfreeze_from) if unfreeze_from else _stages(body)
    groups = [
        [parameter for parameter in stage if id(parameter) not in in_classifier] for stage in stages
    ]
    if unfreeze_from and not groups[-1]:
        raise RecipeError(
            f"fit.unfreeze_from: {unfreeze_from!r} is the classifier, which always trains; "
            "use feature_extract"
        )
    return [*(group for group in groups if group), classifier]


def splitter(unfreeze_from: str | None) -> Callable[[nn.Module], Groups]:
    """layer_groups as fastai's Learner takes it."""
    return partial(layer_groups, unfreeze_from=unfreeze_from)


def module_named(network: nn.Module, name: str, key: str) -> nn.Module:
    """A module of the network. Raises RecipeError with the recipe's key and the nearest names."""
    modules = {path: module for path, module in network.named_modules() if path}
    if name not in modules:
        from difflib import get_close_matches

        near = get_close_matches(name, modules, n=5, cutoff=0.3) or list(modules)[:5]
        raise RecipeError(f"{key}: the network has no module {name!r}\nnearest: {', '.join(near)}")
    module: nn.Module = modules[name]
    return module


def classifiers(network: Any) -> tuple[nn.Module, ...]:
    """timm's last layer, or the two of a distilled network, whose logits are averaged."""
    classifier = network.get_classifier()
    return tuple(classifier) if isinstance(classifier, tuple | list) else (classifier,)


def _split_at(body: nn.Module, name: str) -> Groups:
    """The parameters before a module and from it on, in the order of their definition."""
    module_named(body, name, "fit.unfreeze_from")
    names = [parameter for parameter, _ in body.named_parameters()]
    first = next((i for i, parameter in enumerate(names) if parameter.startswith(f"{name}.")), None)
    if first is None:
        raise RecipeError(f"fit.unfreeze_from: module {name!r} has no parameters")
    parameters = list(body.parameters())
    return [parameters[:first], parameters[first:]]


def _stages(network: nn.Module) -> Groups:
    """The body's stages by timm's coarse matcher; VGG, which has one per layer, is split at its pooling layers."""
    parameters = dict(network.named_parameters())
    names = _vgg_stages(network) if isinstance(network, VGG) else _timm_stages(network)
    return [[parameters[name] for name in stage] for stage in names]


def _timm_stages(network: Any) -> list[list[str]]:
    if not hasattr(network, "group_matcher"):
        return [[name for name, _ in network.named_parameters()]]
    try:
        groups: dict[Any, list[str]] = group_parameters(network, network.group_matcher(coarse=True))
    except (AssertionError, NotImplementedError):  # "coarse grouping is not implemented for RDNet"
        return _blocks(network)
    return [groups[key] for key in sorted(groups)]


def _blocks(network: nn.Module) -> list[list[str]]:
    """The network's modules in order, with lists and sequences taken apart."""
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
