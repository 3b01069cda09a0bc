"""Values as YAML reads them back."""

import re
import sys

import yaml

_YAML_WORDS = {"no", "yes", "on", "off", "true", "false", "null", "y", "n"}


def quoted(text: str) -> str:
    """A value that YAML reads as this text, in quotes only where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z][A-Za-z_./-]*", text) and text.lower() not in _YAML_WORDS
    return text if is_plain else in_quotes(text)


def in_quotes(text: str) -> str:
    """In single quotes, or escaped where line ends or control characters would not survive."""
    if not text.isprintable():
        return yaml.safe_dump(text, default_style='"', width=sys.maxsize).strip()
    return "'" + text.replace("'", "''") + "'"


def mapping(**values: str) -> str:
    """A map on one line, in the order of the keywords."""
    return "{" + ", ".join(f"{key}: {quoted(text)}" for key, text in values.items()) + "}"
