"""What is wrong with a recipe, told as a compiler would: file and line, key, value, what is allowed, what was meant."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


def explain(
    error: ValidationError, recipe: type[BaseModel], path: Path, lines: Mapping[str, str]
) -> str:
    """The first problem of a recipe as a compiler would tell it, and how many more there are."""
    problem, *others = sorted(
        error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden"
    )
    keys = _keys(problem["loc"])
    dotted = ".".join(keys)
    known = next((lines[part] for part in _prefixes(keys) if part in lines), str(path))
    more = f" ({len(others)} more after this)" if others else ""
    parent, field = _declared(keys, recipe)
    if problem["type"] == "extra_forbidden":
        return f"{known}: {dotted} is not a key of a recipe{more}\n{_nearest(keys, parent, recipe)}"
    if problem["type"] == "missing":
        return f"{known}: {dotted} is missing{more}\nit is {field.description if field else 'required'}"
    value = json.dumps(problem["input"], ensure_ascii=False, default=str)
    allowed = field.description if field and field.description else problem["msg"]
    return f"{known}: {dotted}: {value[:80]} is not allowed{more}\nallowed: {allowed}"


def _keys(loc: tuple[int | str, ...]) -> list[str]:
    """The dotted key as the user wrote it: without the tags that pydantic adds where a union is."""
    keys = [
        str(part) for part in loc if part not in ("<map>", "<text>", "<list>", "<flag>", "<number>")
    ]
    return keys[:2] + keys[3:] if "<map>" in loc and keys[:2] == ["data", "valid"] else keys


def _prefixes(keys: list[str]) -> list[str]:
    return [".".join(keys[:n]) for n in range(len(keys), 0, -1)]


def _declared(keys: list[str], recipe: type[BaseModel]) -> tuple[type[BaseModel] | None, Any]:
    """The section and the field that declare a dotted key, as far as they are declared."""
    section: type[BaseModel] | None = recipe
    field = None
    for key in keys:
        if section is None or key not in section.model_fields:
            return section, field
        field = section.model_fields[key]
        section = section_in(field.annotation)
    return section, field


def section_in(annotation: Any) -> type[BaseModel] | None:
    """The Section inside an annotation, through unions and Annotated; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (section_in(part) for part in getattr(annotation, "__args__", ()))
    return next((section for section in found if section is not None), None)


def _nearest(keys: list[str], section: type[BaseModel] | None, recipe: type[BaseModel]) -> str:
    from difflib import get_close_matches

    here = [name for name in section.model_fields if name != "name"] if section else []
    prefix = "".join(f"{key}." for key in keys[:-1])
    close = [prefix + name for name in get_close_matches(keys[-1], here, n=1)]
    elsewhere = [key for key in _all_keys(recipe) if key.split(".")[-1] == keys[-1]]
    if close or elsewhere:
        return f"did you mean {(close or elsewhere)[0]}?"
    return f"allowed here: {', '.join(here)}"


def _all_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        keys += [prefix + name] + (_all_keys(inner, f"{prefix}{name}.") if inner else [])
    return keys
