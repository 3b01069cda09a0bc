"""The first mistake in a recipe as a compiler reports it: file, line, key, value, suggestion."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ensemble.recipe.kinds import TAGS

# where a map has one of several forms, such as {column:} or {folds:}, and a second tag says which
TWICE_TAGGED = [["data", "valid"], ["data", "labels"], ["data", "group"]]


def explain(
    error: ValidationError, recipe: type[BaseModel], path: Path, lines: Mapping[str, str]
) -> str:
    """The first problem of a recipe, unknown keys before wrong values, and how many more follow."""
    problems = sorted(
        error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden"
    )
    problem = problems[0]
    keys = _keys(problem["loc"])
    dotted = ".".join(keys)
    line = _line(keys, lines) or str(path)
    more = f" ({len(problems) - 1} more after this)" if len(problems) > 1 else ""
    section, field = _declaration(keys, recipe)
    description = field.description if field else None
    if problem["type"] == "extra_forbidden":
        hint = _suggestion(keys, section, recipe)
        return f"{line}: {dotted} is not a key of a recipe{more}\n{hint}"
    if problem["type"] == "missing":
        return f"{line}: {dotted} is missing{more}\nit is {description or 'required'}"
    value = json.dumps(problem["input"], ensure_ascii=False, default=str)
    allowed = description or problem["msg"]
    return f"{line}: {dotted}: {value[:80]} is not allowed{more}\nallowed: {allowed}"


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The dotted key as the user wrote it: without the tags that pydantic inserts for unions."""
    keys = [str(part) for part in location if part not in TAGS]
    is_tagged = "<map>" in location and keys[:2] in TWICE_TAGGED
    return keys[:2] + keys[3:] if is_tagged else keys


def _line(keys: list[str], lines: Mapping[str, str]) -> str | None:
    """The "file:line" of a key, else of the nearest key above it."""
    for n in range(len(keys), 0, -1):
        prefix = ".".join(keys[:n])
        if prefix in lines:
            return lines[prefix]
    return None


def _declaration(
    keys: list[str], recipe: type[BaseModel]
) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The section and the field that declare a dotted key, or the beginning of it."""
    section: type[BaseModel] | None = recipe
    field = None
    for key, next_key in zip(keys, [*keys[1:], ""], strict=True):
        if section is None or key not in _fields(section):
            return section, field
        field = _fields(section)[key]
        inside = sections_in(field.annotation)
        fitting = [inner for inner in inside if next_key in _fields(inner)]
        section = next(iter(fitting or inside), None)
    return section, field


def _fields(section: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section by the keys that a user writes."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections inside an annotation, through unions and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    parts = getattr(annotation, "__args__", ())
    return [section for part in parts for section in sections_in(part)]


def _suggestion(keys: list[str], section: type[BaseModel] | None, recipe: type[BaseModel]) -> str:
    """The key that was probably meant, else all keys of the section."""
    from difflib import get_close_matches

    siblings = [name for name in _fields(section) if name != "name"] if section else []
    prefix = "".join(f"{key}." for key in keys[:-1])
    close = [prefix + name for name in get_close_matches(keys[-1], siblings, n=1)]
    elsewhere = [key for key in _all_keys(recipe) if key.split(".")[-1] == keys[-1]]
    if close or elsewhere:
        return f"did you mean {(close or elsewhere)[0]}?"
    return f"allowed here: {', '.join(siblings)}"


def _all_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Every dotted key of a section and those below it."""
    keys = []
    for name, field in _fields(section).items():
        keys.append(prefix + name)
        for inner in sections_in(field.annotation):
            keys += _all_keys(inner, f"{prefix}{name}.")
    return keys
