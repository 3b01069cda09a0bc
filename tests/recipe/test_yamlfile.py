"""YAML as recipes write it, and files that mean harm."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.errors import RecipeError
from ensemble.recipe.yamlfile import MAX_BYTES, parse_scalar, parse_yaml, read_mapping

WORDS = [
    "no",
    "NA",
    "yes",
    "on",
    "off",
    "007",
    "-08",
    "2024-01-01",
    "12:30:45",
    "1_000",
    "0x10",
    "0o7",
    ".inf",
    ".nan",
]
NUMBERS = {
    "1e-3": 1e-3,
    "1E5": 1e5,
    "1.": 1.0,
    ".5": 0.5,
    "-3": -3,
    "+4": 4,
    "0": 0,
    "-0.25": -0.25,
    "2.5e+1": 25.0,
}
PLAIN = st.text("abcdefghijklmnopqrstuvwxyzäöü0123456789 -_.:#'\"{}[],&*!|>%@~", max_size=12)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("word", WORDS)
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(word):
    assert parse_scalar(word) == word


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_numbers(text):
    value = parse_scalar(text)
    assert value == NUMBERS[text]
    assert type(value) is type(NUMBERS[text])


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("False", False), ("null", None), ("~", None), ("", None)]
)
def test_flags_and_nothing_are_what_they_say(text, value):
    assert parse_scalar(text) is value


@given(VALUES)
def test_json_is_read_as_it_was_written(value):
    assert parse_scalar(json.dumps(value, ensure_ascii=False)) == value


def test_every_key_has_its_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(
        b"\xef\xbb\xbfdata:\n  path: x\n\n  labels: {file: a.csv}\r\nseeds:\n- 1\n- 2\n"
    )
    values, lines = read_mapping(path)
    assert values == {"data": {"path": "x", "labels": {"file": "a.csv"}}, "seeds": [1, 2]}
    assert lines["data"] == 1
    assert lines["data.path"] == 2
    assert lines["data.labels.file"] == 4
    assert lines["seeds.1"] == 7


ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "alias bomb": (ALIAS_BOMB, "too large or too deep"),
    "alias loop": ("a: &a [*a]", "too large or too deep"),
    "deep nesting": ("a: " + "[" * 50 + "]" * 50, "too large or too deep"),
    "very deep nesting": ("[" * 100_000, "not valid YAML"),
    "very deep map": ("{a: " * 50_000, "not valid YAML"),
    "python call": ("a: !!python/object/apply:os.system ['touch pwned']", ":1: the tag"),
    "python name": ("a: 1\nb: !!python/name:os.system", ":2: the tag"),
    "python object": ("a: !!python/object:os.stat_result {x: 1}", ":1: the tag"),
    "unknown tag": ("a: !vault secret", ":1: the tag (!…) is not allowed"),
    "wrong flag": ("a: !!bool maybe", "not valid YAML"),
    "wrong number": ("a: !!int ''", "not valid YAML"),
    "wrong date": ("a: !!timestamp soon", ":1: the tag"),
    "a number of 5000 digits": ("a: " + "1" * 5000, "not valid YAML"),
    "duplicate key": (
        "fit:\n  epochs: 1\n  epochs: 2",
        ":3: fit.epochs appears twice (first in line 2)",
    ),
    "tab": ("a:\n\tb: 1", ":2: not valid YAML"),
    "list as key": ("? [a, b]\n: 1", ":1: a key must be plain text"),
    "two documents": ("a: 1\n---\nb: 2", ":2: not valid YAML"),
    "unclosed": ("a: [1, 2", "not valid YAML"),
    "NUL": ("a: \x00", "not valid YAML"),
    "list": ("- a\n- b", "a recipe is a YAML mapping"),
    "empty": ("", "a recipe is a YAML mapping"),
    "text": ("hello", "a recipe is a YAML mapping"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_quickly_with_its_name(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.yaml"
    text, said = HOSTILE[case]
    path.write_text(text)
    started = time.process_time()
    with pytest.raises(RecipeError) as refused:
        read_mapping(path)
    assert time.process_time() - started < 5
    assert str(refused.value).startswith(str(path))
    assert said in str(refused.value)
    assert str(refused.value).count("\n") < 3
    assert [child.name for child in tmp_path.iterdir() if child.name != "cache"] == ["evil.yaml"]


def test_a_file_of_1_mb_is_refused_with_its_size_and_the_limit(tmp_path):
    (tmp_path / "r.yaml").write_text("a: b\n" + "# more\n" * 150_000)
    with pytest.raises(RecipeError, match=f"1,050,005 bytes; a recipe has at most {MAX_BYTES:,}"):
        read_mapping(tmp_path / "r.yaml")


def test_a_binary_file_a_missing_one_and_a_folder_are_told_apart(tmp_path):
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(RecipeError, match="picture.yaml: not a text file in UTF-8"):
        read_mapping(tmp_path / "picture.yaml")
    with pytest.raises(RecipeError, match="none.yaml: no such recipe"):
        read_mapping(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_mapping(tmp_path)


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_a_recipe_error(text):
    with suppress(RecipeError):
        parse_yaml(text, "here")
