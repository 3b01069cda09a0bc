"""Compact charts where stdout is a terminal: lines in Braille dots, bars of counts. Elsewhere the PNGs stand alone."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ensemble.display.text import escape, out
from ensemble.runs import drawable

WIDTH, HEIGHT = 60, 8  # characters; a character holds 2 × 4 dots
_DOTS = (
    (0x01, 0x08),
    (0x02, 0x10),
    (0x04, 0x20),
    (0x40, 0x80),
)  # Unicode's Braille, by row and column
COLOURS = ("cyan", "yellow", "green", "magenta")


def is_drawn() -> bool:
    """Whether stdout is a terminal that shows such letters."""
    return out.is_terminal and out.encoding.startswith("utf")


def braille(
    values: Sequence[float], low: float, high: float, width: int = WIDTH, height: int = HEIGHT
) -> list[str]:
    """Lines of dots for values at even distances, joined, from low at the bottom to high at the top."""
    cells = [[0] * width for _ in range(height)]
    columns, rows = 2 * width - 1, 4 * height - 1
    between = np.interp(np.linspace(0, 1, columns + 1), np.linspace(0, 1, len(values)), values)
    heights = (
        (rows * (high - between.clip(low, high)) / ((high - low) or 1)).round().astype(int).tolist()
    )
    before = heights[0]
    for x, y in enumerate(heights):
        for dot in range(min(before, y), max(before, y) + 1):
            cells[dot // 4][x // 2] |= _DOTS[dot % 4][x % 2]
        before = y
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells]


def show_curve(
    title: str, values: Sequence[float], ends: tuple[str, str], marks: Mapping[str, float]
) -> None:
    """One line with the names of its horizontal ends; marks stand below at their share (0 to 1) of the width."""
    if not is_drawn() or len(values) < 2:
        return
    out.print(f"[bold]{escape(title)}[/]")
    low, high = min(values), max(values)
    for row, text in enumerate(braille(values, low, high)):
        side = high if row == 0 else low if row == HEIGHT - 1 else None
        out.print(f"{'' if side is None else f'{side:.3g}':>8} [cyan]{text}[/]")
    line, letters = [" "] * WIDTH, _letters(list(marks))
    for name, share in marks.items():
        line[round(min(max(share, 0), 1) * (WIDTH - 1))] = letters[name]
    out.print(f"{'':8} {''.join(line).rstrip()}")
    out.print(f"{'':8} {ends[0]}{ends[1]:>{WIDTH - len(ends[0])}}")
    if marks:
        out.print(
            "[dim]"
            + " " * 9
            + ", ".join(f"{letters[name]}: {escape(name)}" for name in marks)
            + "[/]"
        )


def _letters(names: Sequence[str]) -> dict[str, str]:
    """For each name the first of its letters that no other has: s for slide, t for steep."""
    found: dict[str, str] = {}
    for name in names:
        found[name] = next((letter for letter in name if letter not in found.values()), "*")
    return found


def show_losses(run: str, train: Sequence[float], valid: Sequence[float]) -> None:
    """A training's two losses by epoch, in a few lines; epochs that diverged are left out."""
    kept = [
        pair
        for pair in zip(train, valid, strict=True)
        if all(map(math.isfinite, map(drawable, pair)))
    ]
    if not is_drawn() or len(kept) < 2:
        return
    train, valid = zip(*kept, strict=True)
    low, high = min(*train, *valid), max(*train, *valid)
    out.print(f"[bold]{escape(run)}[/]  loss by epoch, {low:.3g} to {high:.3g}")
    for name, values, colour in (("train", train, "cyan"), ("valid", valid, "yellow")):
        first, *others = braille(values, low, high, width=40, height=3)
        out.print(f"{name:>8} [{colour}]{first}[/]")
        for text in others:
            out.print(f"{'':8} [{colour}]{text}[/]")


def show_bars(title: str, counts: Mapping[str, Mapping[str, int]], most: int) -> None:
    """A bar for each of the first classes, a piece for each part; counts is by class, then by part."""
    if not is_drawn() or not counts:
        return
    parts = list(next(iter(counts.values())))
    key = "  ".join(f"[{colour}]█[/] {part}" for part, colour in zip(parts, COLOURS, strict=False))
    out.print(f"[bold]{escape(title)}[/]  {key}")
    longest = max(sum(own.values()) for own in counts.values())
    for name, own in list(counts.items())[:most]:
        pieces = zip(own.values(), COLOURS, strict=False)
        bar = "".join(f"[{colour}]{'█' * round(40 * n / longest)}[/]" for n, colour in pieces)
        out.print(f"{escape(name[:20]):>20} {bar} {sum(own.values()):,}")
    if len(counts) > most:
        out.print(f"{'':20} and {len(counts) - most:,} more")
