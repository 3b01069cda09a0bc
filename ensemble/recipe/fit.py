"""The recipe's section `fit`: how the network is trained.

docs/recipes.md and the error for a wrong value quote each description.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ensemble.recipe.kinds import (
    BY_KIND,
    AutoCount,
    BatchSize,
    LrRule,
    Map,
    Number,
    Rate,
    Section,
    Text,
)


class Find(Section):
    """A learning rate from the range test by another rule than valley."""

    find: LrRule = Field(description="valley, slide, steep or minimum")


class EarlyStop(Section):
    """When to stop before the last epoch."""

    patience: int = Field(
        7, ge=1, description="epochs without improvement before training stops, from 1"
    )
    min_delta: float = Field(
        0.0, ge=0, description="smallest improvement of fit.monitor that counts, in its own unit"
    )


Lr = Annotated[
    Annotated[Literal["find"], Text] | Annotated[Find, Map] | Annotated[Rate, Number],
    BY_KIND,
]


class Penalty(Section):
    """A cost of the weights in one module, added to the loss; biases and norms are free."""

    l1: float = Field(0.0, ge=0, description="factor of the sum of absolute weights, from 0")
    l2: float = Field(0.0, ge=0, description="factor of the sum of squared weights, from 0")


class Pseudo(Section):
    """Test images among the training images, labeled by networks that are finished."""

    model_config = ConfigDict(serialize_by_alias=True)

    from_: str = Field(
        alias="from",
        min_length=1,
        description="the teachers: a submission, or a finished recipe or run",
    )
    share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="largest share of such images in training, above 0 to below 1",
    )
    min_confidence: float = Field(
        0.9,
        ge=0,
        le=1,
        description="smallest probability that teachers give the class of such an image, 0 to 1",
    )
    soft: bool = Field(
        True, description="true: learn the teachers' probabilities; false: the most probable class"
    )


class Fit(Section):
    """How the network is trained."""

    strategy: Literal["fine_tune", "feature_extract", "linear_probe", "gradual", "scratch"] = Field(
        "fine_tune",
        description="fine_tune, feature_extract (only the head), linear_probe (its exact optimum), "
        "gradual (unfreezing) or scratch",
    )
    unfreeze_from: str | None = Field(
        None, description="gradual: the name of the first module to train; null: stage by stage"
    )
    feature_views: AutoCount = Field(
        "auto",
        description="frozen body: auto, 0 (augment again every epoch) or K cached augmentations",
    )
    frozen_epochs: int = Field(
        1, ge=0, le=10_000, description="epochs with the body frozen, a whole number from 0"
    )
    epochs: int = Field(
        3, ge=0, le=10_000, description="epochs after the frozen ones, a whole number from 0"
    )
    schedule: Literal["one_cycle", "flat_cosine", "constant"] = Field(
        "one_cycle", description="one_cycle, flat_cosine or constant: how the learning rate changes"
    )
    lr: Lr = Field(
        "find",
        description="find, {find: slide|steep|minimum} or a number above 0 up to 10: the peak rate",
    )
    lr_unfrozen: Rate | None = Field(
        None,
        description="a number above 0 up to 10: the peak once the body trains; null: from lr",
    )
    batch_size: BatchSize = Field(64, description="images per step, from 2, or auto")
    weight_decay: float = Field(
        0.01, ge=0, le=10, description="weight decay of the optimizer, 0 to 10"
    )
    penalty: dict[str, Penalty] = Field(
        default_factory=dict, description="module name: {l1:, l2:}, such as dense: {l2: 0.01}"
    )
    loss: Literal["auto", "mse"] = Field(
        "auto",
        description=(
            "auto (class: cross-entropy, labels: binary cross-entropy, number: smooth L1), "
            "or mse (number)"
        ),
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of every label spread over all classes, 0 to below 1"
    )
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights, such as 0.999; 0 = off",
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        "shuffle",
        description="shuffle, or balanced: an epoch draws every class equally often",
    )
    pseudo: Pseudo | None = Field(
        None,
        description="{from:, share:, min_confidence:, soft:}: also train on test images that teachers "
        "labeled, fold by fold; or null",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="none, or balanced: rare classes count more in the loss"
    )
    monitor: Literal["valid_loss", "accuracy", "metric"] = Field(
        "valid_loss",
        description="valid_loss, accuracy or metric (data.metric): what keep and early_stop watch",
    )
    early_stop: EarlyStop | None = Field(None, description="{patience:, min_delta:} or null")
    keep: Literal["best", "last"] = Field(
        "best", description="which epoch's weights are kept: best or last"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto (16 bits on a GPU), fp32, bf16 or fp16"
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd (Nesterov momentum)"
    )
    deterministic: bool = Field(
        False, description="true: the same GPU gives the same bytes again; slower"
    )
    cuda_graphs: bool = Field(
        False,
        description="true: use CUDA graphs where the network can be captured; "
        "several times faster on images of about 32 px",
    )
    compile: bool = Field(
        False,
        description="true: use torch.compile, which takes minutes; for long runs on a GPU",
    )
