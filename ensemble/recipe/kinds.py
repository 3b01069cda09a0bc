"""The strict base of all recipe sections, and types that allow several kinds of value.

Which alternative of a union a YAML value means follows from its kind alone (map, text, list, flag
or number), so that an error is about one alternative instead of all.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

Text, Map, Flag = Tag("<text>"), Tag("<map>"), Tag("<flag>")
Number, List = Tag("<number>"), Tag("<list>")
TAGS = frozenset(kind.tag for kind in (Text, Map, Flag, Number, List))


class Section(BaseModel):
    """A frozen part of a recipe that refuses unknown keys, and text where a number belongs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _kind(value: Any) -> str:
    """The tag of a YAML value's kind."""
    if isinstance(value, (dict, BaseModel)):
        return Map.tag
    if isinstance(value, str):
        return Text.tag
    if isinstance(value, (list, tuple)):
        return List.tag
    return Flag.tag if isinstance(value, bool) else Number.tag


def _with_group(pattern: str) -> str:
    """A regular expression with one group. Raises ValueError."""
    try:
        n_groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if n_groups != 1:
        raise ValueError(f"needs one group in parentheses, has {n_groups}")
    return pattern


BY_KIND = Discriminator(_kind)

Auto = Annotated[Literal["auto"], Text]
Size = Annotated[Auto | Annotated[int, Field(ge=8, le=2048), Number], BY_KIND]
AutoCount = Annotated[Auto | Annotated[int, Field(ge=0, le=65536), Number], BY_KIND]
BatchSize = Annotated[Auto | Annotated[int, Field(ge=2, le=65536), Number], BY_KIND]

Pattern = Annotated[str, AfterValidator(_with_group)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=10)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Width = Annotated[int, Field(ge=1, le=65536)]

Means = Annotated[tuple[float, float, float], Field(strict=False)]
Stds = Annotated[tuple[Positive, Positive, Positive], Field(strict=False)]
Normalize = Annotated[
    Annotated[Literal["auto", "imagenet", "dataset"], Text]
    | Annotated[tuple[Means, Stds], Field(strict=False), List],
    BY_KIND,
]
View = Literal["flip", "dihedral", "crops", "scales"]
Views = Annotated[
    Annotated[Literal["none"] | View, Text]
    | Annotated[tuple[View, ...], Field(strict=False, min_length=1), List],
    BY_KIND,
]
LrRule = Literal["valley", "slide", "steep", "minimum"]
