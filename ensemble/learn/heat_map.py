"""Where a network looks: Grad-CAM (Selvaraju et al., 2017, arXiv:1610.02391)."""

from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ensemble.learn.heads import BodyAndHead
from ensemble.learn.stored import StoredNetwork
from ensemble.targets import Array


def heat_map(stored: StoredNetwork, pixels: Array, class_name: str) -> Array | None:
    """(size, size) float32 from 0 to 1: how much each part of the image speaks for the class.

    pixels are (height, width, 3) uint8, as the network's input format makes them; the map is of the
    square that the network sees. None where the network has no features with places, or nothing in
    the image speaks for the class.
    """
    x = stored.inputs([pixels]).as_subclass(Tensor)
    with torch.enable_grad():
        logits, features = _with_last_features(stored.network, x.requires_grad_())
        if features is None:
            return None
        logit = logits[0, stored.classes.index(class_name)]
        (gradients,) = torch.autograd.grad(logit, features, allow_unused=True)
    if gradients is None:
        return None
    weights = _as_maps(gradients).mean((2, 3), keepdim=True)
    heat = (weights * _as_maps(features.detach())).sum(1, keepdim=True).relu()
    heat = functional.interpolate(heat, x.shape[2:], mode="bilinear")[0, 0]
    if not heat.max() > 0:
        return None
    return np.asarray((heat / heat.max()).float().cpu().numpy())


def _with_last_features(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """The logits of one image, and the last features that have places.

    Of a ViT these are the tokens before its last attention: behind it, only the class token has a
    gradient. Of other networks, the last maps of more than one place.
    """
    norm = _last_norm_of_vit(network.body if isinstance(network, BodyAndHead) else network)
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, features: Any) -> None:
        if isinstance(features, Tensor) and features.requires_grad and _has_places(features):
            kept.append(features)

    layers = [module for module in network.modules() if not list(module.children())]
    with ExitStack() as hooks:
        for layer in layers if norm is None else [norm]:
            hooks.callback(layer.register_forward_hook(keep).remove)
        logits: Tensor = network(x)
    return logits, kept[-1] if kept else None


def _last_norm_of_vit(body: Any) -> nn.Module | None:
    blocks = getattr(body, "blocks", None)
    last = blocks[-1] if isinstance(blocks, nn.Sequential | nn.ModuleList) else None
    norm: nn.Module | None = getattr(last, "norm1", None) if hasattr(last, "attn") else None
    return norm


def _has_places(features: Tensor) -> bool:
    """Whether these are tokens (1, n, channels), or maps of more than one place in either layout."""
    return features.ndim == 3 or (features.ndim == 4 and features.shape[2] > 1)


def _as_maps(features: Tensor) -> Tensor:
    """(1, channels, side, side) of square maps in either layout, or of tokens behind their prefix."""
    if features.ndim == 4:
        is_channels_last = features.shape[2] != features.shape[3]
        return features.permute(0, 3, 1, 2) if is_channels_last else features
    side = int(features.shape[1] ** 0.5)  # fewer prefix tokens than a further row and column
    tokens = features[:, features.shape[1] - side**2 :].transpose(1, 2)
    return tokens.reshape(*tokens.shape[:2], side, side)
