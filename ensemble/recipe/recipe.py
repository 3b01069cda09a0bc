"""A recipe: everything that decides what a training run computes, as one frozen value.

Unknown keys are refused, `base:` files are merged, `--set` overrides win.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ensemble.errors import RecipeError
from ensemble.recipe.bases import Lines, apply_override, read_with_bases
from ensemble.recipe.data import AUGMENT_PRESETS, Augment, Data
from ensemble.recipe.explain import explain
from ensemble.recipe.fit import Fit
from ensemble.recipe.kinds import BY_KIND, Map, Section, Seed, Text, Views
from ensemble.recipe.model import Head, Model

Preset = Literal["none", "light", "standard", "heavy"]


class Resources(Section):
    """What one run of this recipe needs on a machine with several runs at once."""

    gpu: float = Field(
        1,
        ge=0,
        description="GPUs per run, 0 to 1; below 1, several runs share one",
    )
    cpu: int | None = Field(
        None,
        ge=1,
        description="CPU cores per run, from 1, null: all; results on a CPU depend on the number",
    )
    disk: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="GB for decoded pixels, null: half of the free disk; more is decoded every epoch",
    )


class Recipe(Section):
    """One model of an ensemble, from the images to its predictions."""

    name: str = Field(
        exclude=True,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="the recipe file's name: letters, digits, dot, dash, underscore",
    )
    data: Data = Field(description="a map: source, path, train, valid, test, …")
    augment: Annotated[Annotated[Preset, Text] | Annotated[Augment, Map], BY_KIND] = Field(
        "standard", description="none, light, standard, heavy, or a map of changes"
    )
    model: Model = Field(description="a map: arch, pretrained, head, …")
    fit: Fit = Field(Fit(), description="a map: strategy, epochs, lr, …")
    refit: bool = Field(
        False, description="true: train again on train + valid before predicting the test set"
    )
    tta: Views = Field(
        "none",
        description="none, flip, dihedral, crops, scales, or a list of these: test-time augmentation",
    )
    seeds: tuple[Seed, ...] = Field(
        (0,), strict=False, min_length=1, description="a list of whole numbers from 0: one run each"
    )
    resources: Resources = Field(Resources(), description="a map: gpu, cpu, disk")

    @classmethod
    def load(cls, path: Path | str, overrides: Sequence[str] = ()) -> "Recipe":
        """The recipe in a YAML file with its bases and `KEY=VALUE` overrides. Raises RecipeError."""
        path = Path(path)
        keys = [name for name in cls.model_fields if name != "name"]
        values, lines = read_with_bases(path, overrides, keys)
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
                f"{lines['name']}: name is not a key of a recipe\n"
                "the file's name is the recipe's name"
            )
        try:
            return cls.model_validate({**values, "name": name})
        except ValidationError as error:
            raise RecipeError(explain(error, cls, path, lines)) from None

    @property
    def augmentation(self) -> Augment:
        """The changes of the training images, a preset resolved."""
        return AUGMENT_PRESETS[self.augment] if isinstance(self.augment, str) else self.augment

    @property
    def network(self) -> Model:
        """The model as its strategy trains it: a linear probe has no hidden layers, no dropout."""
        if self.fit.strategy != "linear_probe" or not isinstance(self.model.head, Head):
            return self.model
        head = self.model.head.model_copy(update={"hidden": (), "dropout": 0.0})
        return self.model.model_copy(update={"head": head})

    @property
    def views(self) -> tuple[str, ...]:
        """The test-time views besides the plain image."""
        if isinstance(self.tta, tuple):
            return self.tta
        return () if self.tta == "none" else (self.tta,)

    @property
    def digest(self) -> str:
        """Eight hex digits of all values that differ from the defaults and decide the training.

        Seeds, resources and absolute paths do not count; nor does refit, which is added to a
        finished run.
        """
        values = self.model_dump(
            mode="json", exclude_defaults=True, exclude={"seeds", "resources", "refit"}
        )
        text = json.dumps(_without_absolute(values), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _without_absolute(values: dict[str, Any]) -> dict[str, Any]:
    """Nested values without absolute paths, which hold on one machine only."""
    relative = {key: value for key, value in values.items() if not _is_absolute(value)}
    return {
        key: _without_absolute(value) if isinstance(value, dict) else value
        for key, value in relative.items()
    }


def _is_absolute(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    return PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
