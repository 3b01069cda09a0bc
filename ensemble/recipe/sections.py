"""A recipe: everything that decides what a training run computes, as one frozen value.

Unknown keys are refused, `base:` files are merged, `--set` overrides win. Each option is explained once, where it is
declared; the error for a wrong value quotes that explanation.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from ensemble.errors import RecipeError
from ensemble.recipe.bases import Lines, apply_override, read_with_bases
from ensemble.recipe.explain import explain


class Section(BaseModel):
    """A frozen part of a recipe that refuses keys it does not know and text where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _kind(value: Any) -> str:
    """Which alternative of a union a YAML value means: decided by its kind alone, so that errors stay simple."""
    if isinstance(value, (dict, BaseModel)):
        return "<map>"
    if isinstance(value, str):
        return "<text>"
    if isinstance(value, (list, tuple)):
        return "<list>"
    return "<flag>" if isinstance(value, bool) else "<number>"


_BY_KIND = Discriminator(_kind)
Size = Annotated[
    Annotated[Literal["auto"], Tag("<text>")]
    | Annotated[int, Field(ge=8, le=2048), Tag("<number>")],
    _BY_KIND,
]
AutoCount = Annotated[
    Annotated[Literal["auto"], Tag("<text>")]
    | Annotated[int, Field(ge=0, le=65536), Tag("<number>")],
    _BY_KIND,
]
BatchSize = Annotated[
    Annotated[Literal["auto"], Tag("<text>")]
    | Annotated[int, Field(ge=2, le=65536), Tag("<number>")],
    _BY_KIND,
]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Means = Annotated[tuple[float, float, float], Field(strict=False)]
Stds = Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]
Normalize = Annotated[
    Annotated[Literal["auto", "imagenet", "dataset"], Tag("<text>")]
    | Annotated[tuple[Means, Stds], Field(strict=False), Tag("<list>")],
    _BY_KIND,
]


class LabelsFile(Section):
    """A labels file whose columns are not simply id, label."""

    file: str = Field(description="the CSV file, under data.path")
    id: str = Field(description="the column that names the image")
    label: str = Field(description="the column that names the class")


class ColumnSplit(Section):
    """A split that a column of the labels file states."""

    column: str = Field(description="the column of the labels file that says train, valid or test")


class Folds(Section):
    """Cross-validation."""

    folds: int = Field(ge=2, le=20, description="how many parts; every part is validated on once")


Valid = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[Fraction, Tag("<number>")]
    | Annotated[
        Annotated[ColumnSplit, Tag("column")] | Annotated[Folds, Tag("folds")],
        Discriminator(lambda v: "folds" if "folds" in dict(v) else "column"),
        Tag("<map>"),
    ],
    _BY_KIND,
]
Test = Annotated[Annotated[str, Tag("<text>")] | Annotated[Fraction, Tag("<number>")], _BY_KIND]


class Data(Section):
    """Which images, which labels, which split, and how an image becomes a tensor."""

    source: Literal["folder", "csv", "digits"] = Field(
        description="the layout: folder (class folders), csv or digits"
    )
    path: str | None = Field(
        None, description="a folder or a .zip/.tar/.tgz archive; relative to ENS_DATA or here"
    )
    get: str | None = Field(
        None,
        description="what `ens data get` fetches: cifar10, flowers102, hymenoptera, kaggle:<slug>",
    )
    train: str = Field(
        "train", description="folder of class folders, or (csv) of the files that labels names"
    )
    valid: Valid = Field(
        0.2, description="a folder, a fraction between 0 and 1, {column: name} or {folds: 5}"
    )
    test: Test | None = Field(
        None, description="a folder, a fraction between 0 and 1 held out first, or absent"
    )
    labels: Annotated[
        Annotated[str, Tag("<text>")] | Annotated[LabelsFile, Tag("<map>")], _BY_KIND
    ] = Field(
        "labels.csv",
        description="csv: the file (first column id, second the label) or {file:, id:, label:}",
    )
    sample_submission: str | None = Field(
        None, description="the competition's sample file, under data.path"
    )
    group: str | None = Field(
        None, description="a csv column, or duplicates: rows of one group never part"
    )
    sample: float = Field(
        1.0, gt=0, le=1, description="stratified share of the images that is used, above 0 up to 1"
    )
    split_seed: int = Field(
        0, ge=0, lt=2**32, description="seed of the split, a whole number from 0"
    )
    size: Size = Field("auto", description="auto (the weights' own) or a side in pixels, 8 to 2048")
    resize: Literal["auto", "squish", "crop", "pad"] = Field(
        "auto", description="auto, squish, crop or pad"
    )
    normalize: Normalize = Field(
        "auto", description="auto, imagenet, dataset or [[mean ×3], [std ×3, above 0]]"
    )
    positive: str | None = Field(
        None, description="two classes, one probability column: the class it is about, as text"
    )
    skip_unreadable: bool = Field(
        False, description="true drops unreadable validation images instead of stopping"
    )

    @property
    def n_folds(self) -> int | None:
        """How many folds there are, None where the split has none."""
        return self.valid.folds if isinstance(self.valid, Folds) else None


class Augment(Section):
    """Random changes of the training images, drawn per batch on the device."""

    flip: bool = Field(False, description="mirror half of the images: true or false")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation in degrees, 0 to 180")
    zoom: float = Field(1.0, ge=1, le=4, description="largest enlargement, 1 (none) to 4")
    shift: float = Field(
        0.0, ge=0, le=0.5, description="largest shift as a share of the side, 0 to 0.5"
    )
    warp: float = Field(0.0, ge=0, le=0.5, description="largest perspective warp, 0 to 0.5")
    lighting: float = Field(
        0.0, ge=0, lt=1, description="largest change of brightness and contrast, 0 to below 1"
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="probability that a patch of an image is erased, 0 to 1"
    )
    crop: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="smallest share of a picture that a random part keeps, such as 0.35; 0 = off",
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="alpha of mixup's beta distribution, 0 = off"
    )
    cutmix: float = Field(
        0.0, ge=0, le=10, description="alpha of cutmix's beta distribution, 0 = off"
    )
    randaug: int = Field(0, ge=0, le=10, description="RandAugment's magnitude, 0 = off")


AUGMENT_PRESETS = {
    "none": Augment(),
    "light": Augment(flip=True, shift=0.06),
    "standard": Augment(flip=True, rotate=10.0, zoom=1.1, warp=0.2, lighting=0.2),
    "heavy": Augment(
        flip=True, rotate=20.0, zoom=1.3, shift=0.1, warp=0.2, lighting=0.4, erase=0.25
    ),
}


class Head(Section):
    """Layers between the body's feature maps and the classes."""

    pool: Literal["avg", "max", "concat"] = Field(
        "concat",
        description="avg, max or concat (both); networks of tokens or channels-last maps pool by themselves",
    )
    hidden: tuple[Annotated[int, Field(ge=1, le=65536)], ...] = Field(
        (512,),
        strict=False,
        description="widths of the dense layers before the last one, [] for none",
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout before the last layer, 0 to below 1"
    )


def _without_weights(options: dict[str, Any]) -> dict[str, Any]:
    """timm would take weights from these, behind the back of model.pretrained and of what run.json says."""
    if options.keys() & {
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "cache_dir",
    }:
        raise ValueError("names weights")
    return options


class Model(Section):
    """The network."""

    arch: str = Field(description="any timm name, such as resnet34 or densenet121")
    pretrained: Annotated[
        Annotated[bool, Tag("<flag>")] | Annotated[str, Tag("<text>")], _BY_KIND
    ] = Field(
        True, description="true (timm's hub), false, package, a weights file, or run:<id or recipe>"
    )
    options: Annotated[dict[str, Any], AfterValidator(_without_weights)] = Field(
        default_factory=dict,
        description="passed to timm.create_model; weights are named by model.pretrained alone",
    )
    stem: Literal["auto", "small"] = Field(
        "auto", description="auto, or small (3×3 stride 1) for images under 64 px"
    )
    head: Annotated[
        Annotated[Literal["keep"], Tag("<text>")] | Annotated[Head, Tag("<map>")], _BY_KIND
    ] = Field(
        Head(), description="{pool:, hidden:, dropout:}, or keep: only the last layer is replaced"
    )


LrRule = Literal["valley", "slide", "steep", "minimum"]


class Find(Section):
    """A learning rate read off the range test by another rule than valley."""

    find: LrRule = Field(description="valley, slide, steep or minimum")


class EarlyStop(Section):
    """When to stop before the last epoch."""

    patience: int = Field(
        7, ge=1, description="epochs without improvement before training stops, from 1"
    )
    min_delta: float = Field(
        0.0, ge=0, description="smallest change of the monitored value that counts, in its unit"
    )


Rate = Annotated[float, Field(gt=0, le=10)]
Lr = Annotated[
    Annotated[Literal["find"], Tag("<text>")]
    | Annotated[Find, Tag("<map>")]
    | Annotated[Rate, Tag("<number>")],
    _BY_KIND,
]


class Penalty(Section):
    """What the weights of a part of the network cost, added to the loss; not their biases and norms."""

    l1: float = Field(0.0, ge=0, description="times the sum of absolute weights, from 0")
    l2: float = Field(0.0, ge=0, description="times the sum of squared weights, from 0")


class Fit(Section):
    """How the network is trained."""

    strategy: Literal["fine_tune", "feature_extract", "gradual", "scratch"] = Field(
        "fine_tune", description="fine_tune, feature_extract, gradual or scratch"
    )
    unfreeze_from: str | None = Field(
        None, description="gradual: a module name, everything from there on trains"
    )
    feature_views: AutoCount = Field(
        "auto", description="frozen body: auto, 0 (afresh every epoch) or K cached views"
    )
    frozen_epochs: int = Field(
        1, ge=0, le=10_000, description="epochs with the body frozen, a whole number from 0"
    )
    epochs: int = Field(3, ge=0, le=10_000, description="epochs after those, a whole number from 0")
    schedule: Literal["one_cycle", "flat_cosine", "constant"] = Field(
        "one_cycle", description="one_cycle, flat_cosine or constant"
    )
    lr: Lr = Field(
        "find", description="find, {find: slide|steep|minimum} or a number above 0 (the peak)"
    )
    lr_unfrozen: Rate | None = Field(
        None, description="a number above 0 overrides: the body trains at up to this rate"
    )
    batch_size: BatchSize = Field(64, description="images per step, from 2, or auto")
    weight_decay: float = Field(
        0.01, ge=0, le=10, description="the optimiser's weight decay, from 0"
    )
    penalty: dict[str, Penalty] = Field(
        default_factory=dict, description="module name: {l1:, l2:}, such as dense: {l2: 0.01}"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="0 to below 1")
    ema: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of a moving average of the weights, such as 0.999; 0 = off",
    )
    class_weights: Literal["none", "balanced"] = Field("none", description="none or balanced")
    monitor: Literal["valid_loss", "accuracy"] = Field(
        "valid_loss", description="valid_loss or accuracy"
    )
    early_stop: EarlyStop | None = Field(None, description="{patience:, min_delta:} or null")
    keep: Literal["best", "last"] = Field(
        "best", description="which epoch's weights are kept: best or last"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="auto, fp32, bf16 or fp16"
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="adamw, or sgd (Nesterov momentum)"
    )
    deterministic: bool = Field(
        False, description="true: the same bytes twice on the same GPU; slower"
    )
    cuda_graphs: bool = Field(
        False,
        description="true: a GPU replays the network's passes; several times faster on images of some 32 px",
    )
    compile: bool = Field(
        False,
        description="true: torch.compile the network; worth its minutes on long GPU runs only",
    )


class Resources(Section):
    """What one run of this recipe needs on a machine with several runs at once."""

    gpu: float = Field(
        1, ge=0, description="GPUs of one run, at most 1; below 1 several runs share one"
    )
    cpu: int | None = Field(
        None, ge=1, description="cores of one run: torch's threads, on which a CPU's bytes depend"
    )
    disk: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="GB that decoded pixels may take, null: half of the free disk; past it pictures stream",
    )


Views = Annotated[
    Annotated[Literal["none", "flip", "crops", "scales"], Tag("<text>")]
    | Annotated[
        tuple[Literal["flip", "crops", "scales"], ...],
        Field(strict=False, min_length=1),
        Tag("<list>"),
    ],
    _BY_KIND,
]


class Recipe(Section):
    """One model of an ensemble, from the images to its predictions."""

    name: str = Field(
        exclude=True,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="the recipe file's name: letters, digits, dot, dash, underscore",
    )
    data: Data = Field(description="a map: source, path, train, valid, test, …")
    augment: Annotated[
        Annotated[Literal["none", "light", "standard", "heavy"], Tag("<text>")]
        | Annotated[Augment, Tag("<map>")],
        _BY_KIND,
    ] = Field("standard", description="none, light, standard, heavy, or a map of changes")
    model: Model = Field(description="a map: arch, pretrained, head, …")
    fit: Fit = Field(Fit(), description="a map: strategy, epochs, lr, …")
    refit: bool = Field(
        False, description="true trains again on train + valid before the test set is predicted"
    )
    tta: Views = Field("none", description="none, flip, crops, scales, or a list of these")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (0,), strict=False, min_length=1, description="a list of whole numbers: one run each"
    )
    resources: Resources = Field(Resources(), description="{gpu: 1}")

    @classmethod
    def load(cls, path: Path | str, overrides: tuple[str, ...] = ()) -> "Recipe":
        """The recipe in a YAML file, its bases merged, `KEY=VALUE` overrides applied. Raises RecipeError."""
        path = Path(path)
        values, lines = read_with_bases(
            path, overrides, [name for name in cls.model_fields if name != "name"]
        )
        return cls._validated(values, path.name.removesuffix(path.suffix), path, lines)

    def with_overrides(self, overrides: Sequence[str]) -> "Recipe":
        """This recipe as if it were loaded with `KEY=VALUE` overrides. Raises RecipeError."""
        values = self.model_dump(mode="json", exclude_unset=True)
        lines: Lines = {}
        for override in overrides:
            apply_override(override, values, lines)
        return self._validated(values, self.name, Path(self.name), lines)

    @classmethod
    def _validated(cls, values: dict[str, Any], name: str, path: Path, lines: Lines) -> "Recipe":
        if "name" in values:
            raise RecipeError(
                f"{lines['name']}: name is not a key of a recipe\nthe file's name is the recipe's name"
            )
        try:
            return cls.model_validate({**values, "name": name})
        except ValidationError as error:
            raise RecipeError(explain(error, cls, path, lines)) from None

    @property
    def augmentation(self) -> Augment:
        """The presets resolved to their changes."""
        return AUGMENT_PRESETS[self.augment] if isinstance(self.augment, str) else self.augment

    @property
    def views(self) -> tuple[str, ...]:
        """The named test-time views besides the plain one."""
        if isinstance(self.tta, tuple):
            return self.tta
        return () if self.tta == "none" else (self.tta,)

    @property
    def digest(self) -> str:
        """Eight hex digits of what the recipe says beyond the defaults, without seeds, resources, absolute paths.

        Without refit too: a refit is added to a finished run and leaves what is there as it is.
        """
        said = self.model_dump(
            mode="json", exclude_defaults=True, exclude={"seeds", "resources", "refit"}
        )
        return hashlib.sha256(
            json.dumps(_without_absolute(said), sort_keys=True).encode()
        ).hexdigest()[:8]


def _without_absolute(said: dict[str, Any]) -> dict[str, Any]:
    """What a recipe says, however deep, without the paths that hold on one machine only."""
    kept = {key: value for key, value in said.items() if not _is_absolute(value)}
    return {
        key: _without_absolute(value) if isinstance(value, dict) else value
        for key, value in kept.items()
    }


def _is_absolute(value: Any) -> bool:
    return isinstance(value, str) and (
        PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    )
