"""Every key of a recipe with its type, default and meaning, from the declarations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.recipe.recipe import Recipe

BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}


@dataclass(frozen=True)
class Key:
    """A dotted key; required within its map, and then without a default."""

    key: str
    type: str
    required: bool
    default: Any
    meaning: str


def recipe_keys() -> list[Key]:
    """All keys in the order of their declarations; those of a map follow the map's own."""
    schema = Recipe.model_json_schema()
    sections = schema.get("$defs", {})
    keys = {(key.key, key.type): key for key in _keys(schema, sections, "")}
    return [key for key in keys.values() if key.key != "name"]


def _keys(section: Mapping[str, Any], sections: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    required = section.get("required", ())
    for name, field in section.get("properties", {}).items():
        key = prefix + name
        yield Key(
            key=key,
            type=" or ".join(dict.fromkeys(_types(field, sections))),
            required=name in required,
            default=field.get("default", {} if field.get("type") == "object" else None),
            meaning=field.get("description", ""),
        )
        for inner in _maps(field, sections):
            yield from _keys(inner, sections, f"{key}.")
        named = field.get("additionalProperties")
        if isinstance(named, dict):  # a map whose keys are the user's names
            yield from _keys(_resolved(named, sections), sections, f"{key}.NAME.")


def _alternatives(field: Mapping[str, Any]) -> list[Any]:
    return list(field.get("anyOf") or field.get("oneOf") or field.get("allOf") or ())


def _resolved(field: Mapping[str, Any], sections: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(field.get("$ref", "")).rpartition("/")[2]
    return sections[name] if name else field


def _maps(field: Mapping[str, Any], sections: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sections that a field may hold."""
    field = _resolved(field, sections)
    if "properties" in field:
        return [field]
    return [inner for part in _alternatives(field) for inner in _maps(part, sections)]


def _types(field: Mapping[str, Any], sections: Mapping[str, Any]) -> Iterator[str]:
    """The kinds of values that a field takes, in words."""
    field = _resolved(field, sections)
    if parts := _alternatives(field):
        for part in parts:
            yield from _types(part, sections)
    elif "properties" in field:
        yield f"map of {', '.join(field['properties'])}" if len(field["properties"]) < 4 else "map"
    elif "const" in field or "enum" in field:
        yield from map(str, field.get("enum", [field.get("const")]))
    elif field.get("type") == "array":
        items = field.get("items") or {}
        kinds = " or ".join(dict.fromkeys(_types(items, sections))) if items else ""
        yield f"list of {kinds}" if kinds else "list"
    else:
        bounds = [text.format(field[bound]) for bound, text in BOUNDS.items() if bound in field]
        yield " ".join([field.get("type", "any").replace("object", "map"), *bounds])
