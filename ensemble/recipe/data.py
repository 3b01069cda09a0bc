"""The recipe's sections `data` and `augment`: images, labels, split and random changes.

docs/recipes.md and the error for a wrong value quote each description.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from ensemble.answers import Answer
from ensemble.recipe.kinds import (
    BY_KIND,
    Fraction,
    Map,
    Normalize,
    Number,
    Pattern,
    Section,
    Size,
    Text,
)


class LabelsFile(Section):
    """A labels file whose columns are not simply id, label."""

    file: str = Field(description="the CSV file, under data.path")
    id: str = Field(description="the column that names the image")
    label: str = Field(description="the column that names the class")


class LabelColumns(Section):
    """Several labels per image, in a column of 0 and 1 for each."""

    file: str = Field(description="the CSV file, under data.path")
    id: str = Field(description="the column that names the image")
    columns: tuple[str, ...] = Field(
        strict=False, min_length=2, description="the columns that say 0 or 1, one for each label"
    )


class LabelsPattern(Section):
    """Labels that the file names hold, as in cat.0.jpg."""

    pattern: Pattern = Field(
        description="a regular expression that finds the class in a file's name: (.+)\\.\\d+"
    )


class TableColumn(Section):
    """A column of a table beside the labels, which says the group of each image."""

    file: str = Field(description="the CSV file, under data.path")
    id: str = Field(description="the column that names the image")
    column: str = Field(description="the column that names the group, such as a patient")


class IdPattern(Section):
    """Groups in the names or paths of the images, as the patient in 17_left.png or 17/left.png."""

    pattern: Pattern = Field(
        description="a regular expression that finds the group in a file's name without suffix: "
        "(\\d+)_; with a slash in its path under data.train: ^([^/]+)/"
    )


class TestTable(Section):
    """The test images among others in one folder: those that a table names."""

    file: str = Field(description="the CSV file, under data.path")
    id: str = Field(description="the column that names the image")
    row: str | None = Field(
        None,
        description="the column of the submission's ids, where the images' names are no ids; the "
        "predictions of one id's images are averaged",
    )
    label: str | None = Field(None, description="the column of the images' classes, if known")


class ColumnSplit(Section):
    """A split by a column of the labels file."""

    column: str = Field(description="the column of the labels file that says train, valid or test")


class Folds(Section):
    """Cross-validation."""

    folds: int = Field(
        ge=2, le=20, description="number of folds, 2 to 20; each is the validation set once"
    )


BY_PATTERN = Discriminator(lambda v: "pattern" if "pattern" in dict(v) else "file")
BY_LABELS = Discriminator(
    lambda v: next((key for key in ("pattern", "columns") if key in dict(v)), "file")
)
Valid = Annotated[
    Annotated[str, Text]
    | Annotated[Fraction, Number]
    | Annotated[
        Annotated[ColumnSplit, Tag("column")] | Annotated[Folds, Tag("folds")],
        Discriminator(lambda v: "folds" if "folds" in dict(v) else "column"),
        Map,
    ],
    BY_KIND,
]
Test = Annotated[
    Annotated[str, Text] | Annotated[Fraction, Number] | Annotated[TestTable, Map], BY_KIND
]
Labels = Annotated[
    Annotated[str, Text]
    | Annotated[
        Annotated[LabelsFile, Tag("file")]
        | Annotated[LabelColumns, Tag("columns")]
        | Annotated[LabelsPattern, Tag("pattern")],
        BY_LABELS,
        Map,
    ],
    BY_KIND,
]
Group = Annotated[
    Annotated[str, Text]
    | Annotated[
        Annotated[TableColumn, Tag("file")] | Annotated[IdPattern, Tag("pattern")],
        BY_PATTERN,
        Map,
    ],
    BY_KIND,
]


class Data(Section):
    """Which images, which labels, which split, and how an image becomes a tensor."""

    source: Literal["folder", "csv", "digits"] = Field(
        description="folder (class folders), csv (a labels file) or digits (from scikit-learn)"
    )
    path: str | None = Field(
        None,
        description="a folder or a .zip/.tar/.tgz archive, under ENS_DATA or the current folder",
    )
    get: str | None = Field(
        None,
        description="for `ens data get`: cifar10, flowers102, hymenoptera or kaggle:<slug>",
    )
    train: str = Field(
        "train",
        description="the folder of class folders, or (csv) of the image files that labels lists",
    )
    valid: Valid = Field(
        0.2,
        description="a folder, a fraction between 0 and 1, {column: name} or {folds: 5}",
    )
    test: Test | None = Field(
        None,
        description=(
            "a folder, a fraction between 0 and 1 that is held out first, {file:, id:} or null"
        ),
    )
    labels: Labels = Field(
        "labels.csv",
        description=(
            "csv: the file (first column id, second the label), {file:, id:, label:}, "
            "{file:, id:, columns: [...]} or {pattern:}"
        ),
    )
    target: Literal["class", "labels", "number"] = Field(
        "class",
        description="class (one label per image), labels (several) or number (a value per image)",
    )
    separator: str | None = Field(
        None,
        min_length=1,
        description='target labels: the mark between the labels of a cell, such as " "; null: found',
    )
    clip: bool = Field(
        False, description="target number: true keeps predictions in the range of the labels"
    )
    rare: Literal["refuse", "keep"] = Field(
        "refuse",
        description="a class with one image: refuse, or keep it in training, out of validation",
    )
    exclude: str | None = Field(
        None,
        description="a CSV list of training images to leave out (column id), as `ens inspect --labels` writes",
    )
    relabel: str | None = Field(
        None, description="a CSV list of training images with other labels (columns id, new_label)"
    )
    sample_submission: str | None = Field(
        None, description="the competition's sample submission, under data.path"
    )
    group: Group | None = Field(
        None,
        description=(
            "a csv column, duplicates, {file:, id:, column:} or {pattern:}: "
            "rows of one group stay in one split"
        ),
    )
    sample: float = Field(
        1.0, gt=0, le=1, description="stratified share of the images to use, above 0 up to 1"
    )
    split_seed: int = Field(
        0, ge=0, lt=2**32, description="seed of the split, a whole number from 0"
    )
    size: Size = Field(
        "auto", description="auto (the weights' own) or the input's side in pixels, 8 to 2048"
    )
    resize: Literal["auto", "squish", "crop", "pad"] = Field(
        "auto",
        description="auto (as the weights were trained), squish, crop or pad to a square",
    )
    normalize: Normalize = Field(
        "auto",
        description="auto (the weights' own), imagenet, dataset or [[mean ×3], [std ×3]]",
    )
    positive: str | None = Field(
        None, description="two classes, one probability column: the class of that column, as text"
    )
    metric: str | None = Field(
        None, description="what the competition scores by, such as log_loss or roc_auc"
    )
    answer: Answer | None = Field(
        None,
        description=(
            "what a cell of the submission means: probabilities, positive_probability, "
            "class_name, class_index, class_number, labels, top_k or values; null: as the sample shows it"
        ),
    )
    skip_missing: bool = Field(
        False, description="true leaves out labels without an image file; false stops at them"
    )
    skip_unreadable: bool = Field(
        False, description="true drops unreadable validation images; false stops with an error"
    )

    @property
    def n_folds(self) -> int | None:
        """The number of folds, None without cross-validation."""
        return self.valid.folds if isinstance(self.valid, Folds) else None


class Augment(Section):
    """Random changes of the training images, drawn per batch on the device."""

    flip: bool = Field(False, description="mirror half of the images: true or false")
    vflip: bool = Field(False, description="mirror half of the images top to bottom")
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
        0.0, ge=0, le=1, description="probability of erasing a random rectangle, 0 to 1"
    )
    crop: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="random crops: the smallest share of the image's area, such as 0.35; 0 = off",
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="alpha of mixup's beta distribution, 0 = off"
    )
    cutmix: float = Field(
        0.0, ge=0, le=10, description="alpha of cutmix's beta distribution, 0 = off"
    )
    randaug: int = Field(0, ge=0, le=10, description="magnitude of RandAugment, 0 = off")


AUGMENT_PRESETS = {
    "none": Augment(),
    "light": Augment(flip=True, shift=0.06),
    "standard": Augment(flip=True, rotate=10.0, zoom=1.1, warp=0.2, lighting=0.2),
    "heavy": Augment(
        flip=True, rotate=20.0, zoom=1.3, shift=0.1, warp=0.2, lighting=0.4, erase=0.25
    ),
}
