"""Small networks that the recipe describes, `scratch_plain` and `scratch_residual`, registered with timm."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from timm.models import generate_default_cfgs, register_model
from torch import Tensor, nn

__all__ = ["ScratchNet", "scratch_plain", "scratch_residual"]

TIMM_OPTIONS = (
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
)  # timm passes them to every network
OneOrEach = float | Sequence[float]  # one value for all blocks, or one for each

default_cfgs = generate_default_cfgs(
    {
        f"{name}.untrained": {
            "input_size": (3, 160, 160),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": (0.5,) * 3,
            "std": (0.5,) * 3,
            "classifier": "classifier",
        }
        for name in ("scratch_plain", "scratch_residual")
    }
)


class ScratchNet(nn.Module):
    """Blocks of convolutions, then dense layers, then the classes.

    filters has one entry per block; kernel, pool (1: none) and dropout are one value for all blocks
    or a list with one for each. padding is same or none; convs the convolutions of a block; end how
    maps become vectors: flatten, avg or max. Flattened maps fix the image size at the first pass.
    Modules: body.block1, …, dense.1, …, classifier. Raises ValueError.
    """

    def __init__(
        self,
        is_residual: bool,
        num_classes: int,
        filters: Sequence[int] = (32, 64, 128, 256),
        kernel: OneOrEach = 3,
        padding: str = "same",
        pool: OneOrEach = 2,
        convs: int = 1,
        batch_norm: bool = True,
        dropout: OneOrEach = 0.0,
        end: str = "avg",
        dense: Sequence[int] = (),
        dense_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if padding not in ("same", "none") or end not in ("flatten", "avg", "max"):
            raise ValueError("padding is same or none; end is flatten, avg or max")
        if is_residual and padding == "none":
            raise ValueError("a residual block needs padding: same")
        n_blocks = len(filters)
        kernels = _per_block("kernel", kernel, n_blocks)
        pools = _per_block("pool", pool, n_blocks)
        drops = _per_block("dropout", dropout, n_blocks)
        self.body, width = nn.Sequential(), 3
        for i, n_filters in enumerate(filters):
            block = Block(
                width, n_filters, int(kernels[i]), padding == "same", convs, batch_norm, is_residual
            )
            tail = [nn.MaxPool2d(int(pools[i]))] if pools[i] > 1 else []
            self.body.add_module(
                f"block{i + 1}", nn.Sequential(block, *tail, nn.Dropout2d(drops[i]))
            )
            width = n_filters
        flat: dict[str, nn.Module] = {
            "flatten": nn.Flatten(),
            "avg": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            "max": nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        }
        self.end, self.dense = flat[end], nn.Sequential()
        for i, size in enumerate(dense):
            linear = nn.LazyLinear(size) if end == "flatten" and i == 0 else nn.Linear(width, size)
            norm = [nn.BatchNorm1d(size)] if batch_norm else []
            self.dense.add_module(
                str(i + 1), nn.Sequential(linear, *norm, nn.ReLU(), nn.Dropout(dense_dropout))
            )
            width = size
        is_lazy = end == "flatten" and not dense
        self.classifier = nn.LazyLinear(num_classes) if is_lazy else nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 3, size, size) to logits (batch, classes)."""
        logits: Tensor = self.classifier(self.dense(self.end(self.body(x))))
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.classifier

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's stages: one per block, then the dense layers."""
        return {
            "stem": r"^body\.block1\.",
            "blocks": [(r"^body\.block(\d+)", None), (r"^dense", (99999,))],
        }


class Block(nn.Module):
    """Convolutions with batch norm and ReLU; residual: the input is added before the last ReLU."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        is_same: bool,
        convs: int,
        batch_norm: bool,
        is_residual: bool,
    ) -> None:
        super().__init__()
        layers: list[tuple[str, nn.Module]] = []
        for i in range(convs):
            conv = nn.Conv2d(
                n_in if i == 0 else n_out,
                n_out,
                kernel,
                padding="same" if is_same else 0,
                bias=not batch_norm,
            )
            layers += [(f"conv{i + 1}", conv)] + (
                [(f"norm{i + 1}", nn.BatchNorm2d(n_out))] if batch_norm else []
            )
            layers += [(f"relu{i + 1}", nn.ReLU())] if i + 1 < convs else []
        self.layers = nn.Sequential(OrderedDict(layers))
        self.shortcut: nn.Module | None = None
        if is_residual:
            self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, h, w) to (batch, n_out, h, w)."""
        maps: Tensor = self.layers(x)
        if self.shortcut is not None:
            maps = maps + self.shortcut(x)
        output: Tensor = self.relu(maps)
        return output


def _per_block(name: str, option: OneOrEach, n_blocks: int) -> Sequence[float]:
    numbers = [option] * n_blocks if isinstance(option, int | float) else list(option)
    if len(numbers) != n_blocks:
        raise ValueError(f"{name} has {len(numbers)} entries for {n_blocks} blocks")
    return numbers


@register_model  # type: ignore[untyped-decorator]  # timm has no types
def scratch_plain(num_classes: int = 1000, pretrained: bool = False, **options: Any) -> ScratchNet:
    """Convolutions one after the other."""
    return ScratchNet(False, num_classes, **_without_timms(options))


@register_model  # type: ignore[untyped-decorator]  # timm has no types
def scratch_residual(
    num_classes: int = 1000, pretrained: bool = False, **options: Any
) -> ScratchNet:
    """Blocks of two convolutions, each added to its input (He et al., 2016)."""
    return ScratchNet(True, num_classes, **{"convs": 2, **_without_timms(options)})


def _without_timms(options: dict[str, Any]) -> dict[str, Any]:
    return {name: option for name, option in options.items() if name not in TIMM_OPTIONS}
