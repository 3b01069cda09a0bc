"""Which images a run was trained and validated on, as run.json holds it."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from ensemble.runs.record import LARGEST, Count, Stored
from ensemble.targets import Target


class PseudoInfo(Stored):
    """The test images that trained a network too, and the teachers that labeled them."""

    source: str = Field(description="what fit.pseudo.from names")
    teachers: dict[str, str] = Field(description="by run id a hash of its predictions")
    blend: str = Field("", description="a hash of the teachers' weights, empty where equal")
    n_rows: Count = Field(description="test images among the training images")
    n_confident: Count = Field(description="test images that reach fit.pseudo.min_confidence")


class DataInfo(Stored):
    """The images of a run. Two runs blend if name and valid agree."""

    name: str
    fingerprint: str = Field(description="content, label and split of every image used")
    valid: str = Field(description="content and label of the validation images")
    n_train: Count
    n_valid: int = Field(ge=1, le=LARGEST)
    n_test: Count = 0
    n_valid_rows: Count | None = Field(
        None, description="rows whose validation images were averaged, null where images are rows"
    )
    target: Target = Field("class", description="what is predicted for an image")
    majority: float | None = Field(
        None,
        ge=0,
        le=1,
        description="accuracy on the validation rows of always naming the most common class",
    )
    n_missing: Count = Field(
        0, description="rows of the labels file without an image, left out by data.skip_missing"
    )
    sample_submission: str | None = Field(None, description="where the sample submission was")
    sample_sha256: str | None = Field(
        None, description="hash of the sample's bytes; the run holds a copy of them"
    )
    answer: str | None = Field(None, description="what a cell of the submission means")
    metric: str | None = Field(None, description="what the competition scores by")
    positive: str | None = None
    separator: str | None = Field(
        None, description="what is between the labels in the training table's cells, null without"
    )
    class_counts: dict[str, Count] = Field(
        default_factory=dict, description="readable training images of each class"
    )
    mean: float | None = Field(
        None, description="mean value of the readable training images, null without values"
    )
    is_grouped: bool = Field(
        False, description="whether validation rows belong to groups, such as patients"
    )
    pseudo: PseudoInfo | None = Field(None, description="test images that trained it too")
    unreadable: dict[str, list[str]] = {}

    @property
    def n_rows(self) -> int:
        """The validation rows that were predicted: those with a readable image."""
        if self.n_valid_rows is not None:
            return self.n_valid_rows
        return self.n_valid - len(self.unreadable.get("valid", ()))

    @property
    def n_train_rows(self) -> int:
        """The training images that were readable."""
        return max(0, self.n_train - len(self.unreadable.get("train", ())))

    @field_validator("sample_submission")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and "\0" in path:
            raise ValueError("data.sample_submission: a path cannot contain NUL")
        return path

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if self.n_rows < 1:
            raise ValueError("no validation image was readable")
        return self
