"""Names say what their values are: placeholder names are counted, and so are wide lines."""

import ast
from pathlib import Path

import ensemble

ROOT = Path(ensemble.__file__).parent
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
PLACEHOLDERS = {
    *("found", "own", "owns", "said", "one", "other", "others", "place", "places", "there"),
    *("told", "asked", "meant", "wanted", "made", "given", "seen", "known"),
    *("result", "value", "item", "data", "obj", "thing"),
}


def bound_names(tree):
    """Every name that code binds: variables, arguments, attributes, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield name


def test_bound_names_are_counted():
    code = """
class found:
    def place(self, own, *others):
        self.said = [item for item in own]
        with open("x") as there, (made := there):
            pass
        try:
            given: int = 1
        except ValueError as thing:
            pass
"""
    expected = ["found", "place", "self", "own", "others", "said", "item", "there", "made"]
    expected += ["given", "thing"]
    assert sorted(bound_names(ast.parse(code))) == sorted(expected)


def test_at_most_one_name_in_a_hundred_is_a_placeholder():
    names = [
        (name, path.relative_to(ROOT).as_posix())
        for path, text in SOURCES.items()
        for name in bound_names(ast.parse(text))
    ]
    vague = [f"{file}: {name}" for name, file in names if name.strip("_").lower() in PLACEHOLDERS]
    assert len(vague) <= len(names) / 100, vague


def test_lines_are_short_and_formatted():
    lines = [line for text in SOURCES.values() for line in text.splitlines() if line.strip()]
    widths = sorted(map(len, lines))
    assert widths[int(0.9 * len(widths))] <= 92
    assert sum("# fmt: skip" in line for line in lines) <= 10
