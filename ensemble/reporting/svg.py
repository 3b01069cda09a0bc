"""Figures as SVG inside the page: matplotlib draws them, the page's style gives the colors.

A figure is about 320 units wide, so that its text is legible on a phone. Names of runs and classes
never enter a figure: the page writes them, in any script.
"""

import io
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from ensemble.reporting.figures import BLUE, GREEN, GREY, INK, LINE, ORANGE, PINK, STYLE

# the page's own color (a CSS variable) for each color of a figure
CSS_COLORS = {
    INK: "ink",
    LINE: "line",
    GREY: "muted",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    PINK: "pink",
}
SVG_STYLE = STYLE | {"svg.fonttype": "none", "svg.hashsalt": "ens"}  # text as text, fixed ids
SIZE = (4.5, 2.9)  # inches
BOX = (0.16, 0.155, 0.815, 0.82)  # left, bottom, width, height: a layout engine draws three times
_NAMESPACE, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_DIGITS = re.compile(r"(\.\d\d)\d+")


def inline_svg(plot: Callable[..., str], *arguments: object) -> Markup:
    """What `plot(axes, *arguments)` draws, as an element with the alt text that it returns."""
    with rc_context(SVG_STYLE):
        figure = Figure(figsize=SIZE)
        alt = plot(figure.add_axes(BOX), *arguments)
        root = _tree(figure)
    definitions = {node.get("id", ""): node for node in root.iter("path")}
    shapes = "".join(_shape(node, definitions) for node in root.iter())
    for color, name in CSS_COLORS.items():
        shapes = shapes.replace(color, f"var(--{name})")
    body = Markup(shapes)  # noqa: S704 only what matplotlib wrote
    svg = Markup('<svg viewBox="{}" role="img" aria-label="{}">{}</svg>')
    return svg.format(root.get("viewBox", ""), alt, body)


def _tree(figure: Figure) -> ElementTree.Element:
    """Matplotlib's SVG, without its date and its namespace."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(out.getvalue())
    for node in root.iter():
        node.tag = node.tag.removeprefix(_NAMESPACE)
    return root


def _shape(node: ElementTree.Element, definitions: Mapping[str, ElementTree.Element]) -> str:
    """A path, a marker or a text without ids, which would appear twice in a page of many figures.

    "" for groups, definitions and what is invisible.
    """
    style = re.sub(r"font-family: [^;]*;? ?", "", node.get("style", ""))
    if node.get("id") or style == "fill: none":
        return ""
    if node.tag == "text":
        text = "".join(node.itertext())
        names = ("x", "y", "transform")
        return _element("text", {name: node.get(name) for name in names} | {"style": style}, text)
    if node.tag == "path":
        return _element("path", {"d": node.get("d"), "style": style})
    if node.tag == "use":
        path = definitions[node.get(_LINK, "#")[1:]].get("d")
        move = f"translate({node.get('x')} {node.get('y')})"
        return _element("path", {"d": path, "transform": move, "style": style})
    return ""


def _element(tag: str, attributes: Mapping[str, str | None], text: str = "") -> str:
    """An element on a line, its numbers cut to a hundredth of a unit."""
    pairs = [(name, " ".join(text.split())) for name, text in attributes.items() if text]
    written = _DIGITS.sub(r"\1", "".join(f' {name}="{text}"' for name, text in pairs))
    return f"<{tag}{written}>{escape(text)}</{tag}>\n"
