"""Read one YAML mapping safely and remember the line of every key.

Plain YAML 1.2 scalars: `no`, `NA`, `007` and dates stay text, `1e-3` is a number. Limits keep a
hostile file harmless, and no message repeats the content of a file that may be anything but a
recipe.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml

from ensemble.errors import RecipeError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 256 * 1024, 10_000, 20
_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "bool", "null", "int", "float")
}


class _Loader(yaml.SafeLoader):
    """SafeLoader without the surprising scalars of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first)
    )


_resolve("bool", "true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("null", "~|null|Null|NULL|", "~nN")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^$"), [""])
_resolve("int", "[-+]?(?:0|[1-9][0-9]*)", "-+0123456789")
_resolve(
    "float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"
)


def parse_scalar(text: str) -> Any:
    """The value of one `--set KEY=VALUE`, read as YAML. Raises RecipeError."""
    return parse_yaml(text, "--set")[0]


def read_mapping(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping in a file and the line (from 1) of each dotted key. Raises RecipeError."""
    try:
        with path.open("rb") as stored:
            raw, n_bytes = stored.read(MAX_BYTES + 1), os.fstat(stored.fileno()).st_size
    except FileNotFoundError:
        raise RecipeError(
            f"{path}: no such recipe\n"
            "`ens recipes` lists the shipped ones; `ens init PATH` writes recipes for your images"
        ) from None
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise RecipeError(
            f"{path}: {max(len(raw), n_bytes):,} bytes; a recipe has at most {MAX_BYTES:,}"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text file in UTF-8") from None
    value, lines = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise RecipeError(
            f"{path}: a recipe is a YAML mapping of keys and values, as in recipes/*.yaml"
        )
    return value, lines


def parse_yaml(text: str, source: str) -> tuple[Any, dict[str, int]]:
    """One YAML document as plain values, and the line of each dotted key. Raises RecipeError."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader, source)
        value = None if node is None else walk.value(node, "", 0)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RecipeError(
            f"{source}{line}: not valid YAML ({_unquoted(error.problem or error.context)})"
        ) from None
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):
        raise RecipeError(f"{source}: not valid YAML text") from None
    finally:
        if loader is not None:
            loader.dispose()
    return value, walk.lines


def _unquoted(problem: str | None) -> str:
    """PyYAML's message without the names of aliases, anchors and tags, which come from the file."""
    return re.sub(r"(alias|anchor|tag handle) .*", r"\1", problem or "", flags=re.DOTALL)


class _Walk:
    """Turns nodes into values, at most MAX_NODES (alias bombs) and MAX_DEPTH (loops)."""

    def __init__(self, loader: _Loader, source: str) -> None:
        self.loader = loader
        self.source = source
        self.n_nodes = 0
        self.lines: dict[str, int] = {}

    def value(self, node: yaml.Node, key: str, depth: int) -> Any:
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES or depth > MAX_DEPTH:
            raise RecipeError(
                f"{self.source}: too large or too deep for a recipe "
                "(do its aliases repeat themselves?)"
            )
        if node.tag not in _TAGS:
            line = node.start_mark.line + 1
            raise RecipeError(
                f"{self.source}:{line}: the tag (!…) is not allowed; write plain values"
            )
        if key:
            self.lines[key] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, key, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(child, f"{key}.{i}", depth + 1) for i, child in enumerate(node.value)
            ]
        return self.loader.construct_object(node)

    def mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, child in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise RecipeError(
                    f"{self.source}:{name_node.start_mark.line + 1}: a key must be plain text"
                )
            name = name_node.value
            dotted = f"{key}.{name}" if key else name
            if name in values:
                raise RecipeError(
                    f"{self.source}:{name_node.start_mark.line + 1}: {dotted} appears twice "
                    f"(first in line {self.lines[dotted]})"
                )
            values[name] = self.value(child, dotted, depth + 1)
            self.lines[dotted] = name_node.start_mark.line + 1
        return values
