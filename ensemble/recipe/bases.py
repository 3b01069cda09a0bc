"""Recipe files as plain values: bases merged, overrides applied, the line of every key kept."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ensemble.errors import RecipeError
from ensemble.recipe.yamlfile import parse_scalar, read_mapping

MAX_BASES = 8

Lines = dict[str, str]


def read_with_bases(
    path: Path, overrides: Sequence[str] = (), sections: Collection[str] = ()
) -> tuple[dict[str, Any], Lines]:
    """A recipe's values over those of its bases, and the "file:line" that sets each key.

    A file without any of the sections is not a recipe, and no message repeats its content.
    Raises RecipeError.
    """
    chain: list[tuple[dict[str, Any], Lines]] = []
    visited: list[Path] = []
    current: Path | None = path
    while current is not None:
        if current.resolve() in visited:
            raise RecipeError(f"{path}: its bases are circular ({current} appears twice)")
        if len(visited) == MAX_BASES:
            raise RecipeError(f"{path}: more than {MAX_BASES} recipes deep")
        visited.append(current.resolve())
        values, lines = read_mapping(current)
        if values.keys().isdisjoint({*sections, "base"}):
            raise RecipeError(
                f"{current}: not a recipe: it has none of the keys {', '.join(sections)}"
            )
        base = _base_of(current, values, lines)
        chain.append((values, {key: f"{current}:{line}" for key, line in lines.items()}))
        current = base
    merged: dict[str, Any] = {}
    merged_lines: Lines = {}
    for values, numbered in reversed(chain):
        merged = _merge(merged, values)
        merged_lines |= numbered
    for override in overrides:
        apply_override(override, merged, merged_lines)
    return merged, merged_lines


def _base_of(path: Path, values: dict[str, Any], lines: dict[str, int]) -> Path | None:
    """The base that a recipe names, if any, taken out of the values. Raises RecipeError."""
    base = values.pop("base", None)
    if base is None:
        return None
    if not isinstance(base, str):
        raise RecipeError(f"{path}:{lines['base']}: base: {str(base)[:80]} is not a file name")
    file = path.parent / base
    if not os.path.isfile(file):
        raise RecipeError(
            f"{path}:{lines['base']}: base: {base[:200]} does not exist "
            f"(looked for {str(file)[:200]})"
        )
    return file


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Maps merge, everything else replaces."""
    merged = dict(under)
    for key, child in over.items():
        both_maps = isinstance(child, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], child) if both_maps else child
    return merged


def apply_override(override: str, values: dict[str, Any], lines: Lines) -> None:
    """Set the dotted key of a `KEY=VALUE`, and its line to "--set". Raises RecipeError."""
    key, equals, text = override.partition("=")
    if not equals or not key or not all(key.split(".")):
        raise RecipeError(
            f"--set {override}: write KEY=VALUE with a dotted key, such as --set fit.epochs=5"
        )
    *parents, last = key.split(".")
    for name in parents:
        child = values.get(name)
        values[name] = dict(child) if isinstance(child, dict) else {}
        values = values[name]
    values[last] = parse_scalar(text)
    lines[key] = "--set"
