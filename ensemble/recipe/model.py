"""The recipe's section `model`: the network, its initial weights and its head.

docs/recipes.md and the error for a wrong value quote each description.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ensemble.recipe.kinds import BY_KIND, Flag, Map, Section, Text, Width


class Head(Section):
    """Layers between the body's feature maps and the classes."""

    pool: Literal["avg", "max", "concat"] = Field(
        "concat",
        description="avg, max or concat (both); transformers keep their own pooling",
    )
    hidden: tuple[Width, ...] = Field(
        (512,),
        strict=False,
        description="widths of the dense layers before the last one, [] for none",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout before the last layer, 0 to below 1"
    )


WEIGHTS_OPTIONS = {
    "checkpoint_path",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
}


def _without_weights(options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that make timm load weights which model.pretrained does not name."""
    if options.keys() & WEIGHTS_OPTIONS:
        raise ValueError("names weights")
    return options


class Model(Section):
    """The network."""

    arch: str = Field(
        description="any timm name, such as resnet34, or scratch_plain, scratch_residual"
    )
    pretrained: Annotated[Annotated[bool, Flag] | Annotated[str, Text], BY_KIND] = Field(
        True,
        description="true (timm's hub), false (random), package, a weights file, run:<id or recipe>",
    )
    options: Annotated[dict[str, Any], AfterValidator(_without_weights)] = Field(
        default_factory=dict,
        description="arguments of timm.create_model, except weights: see model.pretrained",
    )
    stem: Literal["auto", "small"] = Field(
        "auto", description="auto, or small (3×3, stride 1) for images under 64 px"
    )
    head: Annotated[Annotated[Literal["keep"], Text] | Annotated[Head, Map], BY_KIND] = Field(
        Head(),
        description="{pool:, hidden:, dropout:}, or keep: the network's own, with a new last layer",
    )
