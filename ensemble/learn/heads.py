"""Our own head on one of timm's bodies: pooling, dense layers, the classifier."""

import torch
from torch import Tensor, nn

from ensemble.recipe import Head


class BodyAndHead(nn.Module):
    """A body and our own head on its feature maps, or on vectors that the body has pooled; nothing unused is kept."""

    def __init__(self, body: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 3, size, size) to logits (batch, classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class Pool(nn.Module):
    """Feature maps (batch, channels, h, w) to vectors: mean, maximum, or both side by side."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w) to (batch, channels), or twice the channels for concat."""
        vectors = []
        if self.kind in ("avg", "concat"):
            vectors.append(x.mean((2, 3)))
        if self.kind in ("max", "concat"):
            vectors.append(x.amax((2, 3)))
        return torch.cat(vectors, 1)


def head_layers(head: Head, n_channels: int, n_classes: int, is_pooled: bool) -> nn.Sequential:
    """Pool, unless the body has, then fastai's layers: dense ones with batch norm and half the dropout, the classes."""
    width = n_channels * (2 if head.pool == "concat" and not is_pooled else 1)
    layers: list[nn.Module] = [nn.Identity() if is_pooled else Pool(head.pool)]
    for hidden in head.hidden:
        layers += [nn.BatchNorm1d(width), nn.Dropout(head.dropout / 2)]
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    if head.hidden:
        layers.append(nn.BatchNorm1d(width))
    return nn.Sequential(*layers, nn.Dropout(head.dropout), nn.Linear(width, n_classes))
