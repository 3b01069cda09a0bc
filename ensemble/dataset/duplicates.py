"""Near duplicates: pictures that are one another recompressed, resized, mirrored, re-lit or moved a little.

Works on thumbnails, (n, 16, 16, 3) uint8. A perceptual hash (the low frequencies of the luminance, as in pHash by
C. Zauner, 2010, but real numbers) names candidates; a least-squares fit of one thumbnail to the other decides, with the
slopes as extra terms so that a part of a pixel's shift costs nothing (the tangent distance of P. Simard, 1993).
Thresholds: bench/near_duplicates.py and docs/benchmarks.md.
"""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.depth import measured
from ensemble.dataset.image_info import THUMB, ImageInfo, Progress, image_infos

Array = npt.NDArray[Any]
SIDE = THUMB[0]
FREQUENCIES = 8  # of the hash; with 6 there are four times as many candidates
LIKENESS = 0.9  # of two hashes, as a cosine, that makes a candidate
MISFIT = 0.045  # below it one picture; of the pairs from there to 0.06 a sixth are look-alikes, on CIFAR-10
FLOOR = 0.05  # of detail: smooth pictures are told apart by this much
FLAT = (
    2 * SIDE
)  # the hash's norm where a picture's standard deviation is 2 of 256 levels: nothing to compare
ROWS, COLUMNS, MATCHES = (
    256,
    2048,
    32,
)  # of a tile; candidates kept of a row in each tile, so that 10,000 blanks fit
TRIED, HOPELESS = 3, 0.2  # views of a candidate that are fitted; a misfit that no other view mends
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
EDGES = np.array(
    [0.25, 0.75, *[1.0] * (SIDE - 4), 0.75, 0.25], np.float32
)  # what a shift brings in counts less
TAPER = EDGES[:, None] * EDGES
WAVES = np.cos(np.pi / SIDE * np.outer(np.arange(FREQUENCIES), np.arange(SIDE) + 0.5)).astype(
    np.float32
)
WAVES /= np.linalg.norm(WAVES, axis=1, keepdims=True)
CHROMA = 0.3  # weight of colour beside luminance: JPEG damages it most


@dataclass(frozen=True)
class View:
    """A way to look at a picture: mirrored (step -1), then from a point up to one pixel down and right."""

    step: int
    down: int
    right: int

    @property
    def inverse(self) -> "View":
        """The view of the other picture that shows the first."""
        return View(self.step, -self.down, -self.right * self.step)


VIEWS = [
    View(step, down, right) for step, down, right in product((1, -1), (0, 1, -1), (0, 1, -1))
]  # itself first
N_VIEWS = len(VIEWS)


def duplicate_groups(
    files: Sequence[Path], contents: Sequence[str], progress: Progress = lambda done, total: None
) -> list[str]:
    """For each file the name of its group: files that show one picture, exactly or nearly, share it.

    contents: the files' content hashes. The names depend on what the pictures show alone. Raises DataError.
    """
    hashes = dict(zip(files, contents, strict=True))
    looks, _ = image_infos(hashes, progress, measured(hashes))
    shown = {look.pixels: look for look in looks.values()}
    names = sorted(shown)
    index = {name: i for i, name in enumerate(names)}
    pairs = [(index[first], index[second]) for first, second in near_duplicates(shown.values())]
    group = clusters(len(names), pairs)
    return [
        names[group[index[looks[content].pixels]]] if content in looks else content
        for content in contents
    ]


def near_duplicates(
    looks: Iterable[ImageInfo], others: Iterable[ImageInfo] | None = None
) -> list[tuple[str, str]]:
    """Near duplicates among looks, or between looks and others, as pairs of their pixel hashes; each hash once in each.

    Pictures with a side under 16 pixels take no part: they show too little to tell a copy from a look-alike.
    """
    first = sorted((look for look in looks if _is_comparable(look)), key=lambda look: look.pixels)
    second = sorted(
        (look for look in others or () if _is_comparable(look)), key=lambda look: look.pixels
    )
    pairs = near_pairs(_thumbs(first), None if others is None else _thumbs(second))
    ends = first if others is None else second
    return [(first[i].pixels, ends[j].pixels) for i, j in pairs.tolist()]


def _is_comparable(look: ImageInfo) -> bool:
    return min(look.width, look.height) >= SIDE


def _thumbs(looks: Sequence[ImageInfo]) -> Array:
    return (
        np.stack([look.thumb for look in looks])
        if looks
        else np.empty((0, SIDE, SIDE, 3), np.uint8)
    )


def near_pairs(thumbs: Array, others: Array | None = None) -> Array:
    """(pairs, 2) positions of near duplicates, sorted: both in thumbs (first < second), or the second in others."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    is_within = others is None
    first = _prepared(thumbs, N_VIEWS)
    second = (
        _prepared(others, 1) if others is not None else Prepared(first.hashes[:1], first.fields)
    )
    tiles = [
        (row, column)
        for row in range(0, len(first.fields), ROWS)
        for column in range(row if is_within else 0, len(second.fields), COLUMNS)
    ]

    def search(tile: tuple[int, int]) -> Array:
        pairs = _candidates(first, second, *tile, is_within)
        return pairs[_misfits(first, second, pairs) < MISFIT]

    n_threads = os.cpu_count() or 1
    found = [np.empty((0, 2), np.int64)]
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        for start in range(
            0, len(tiles), 2 * n_threads
        ):  # a process that ends waits for what is queued
            found += pool.map(search, tiles[start : start + 2 * n_threads])
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def clusters(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each of n things the smallest that it is joined to by pairs, directly or not."""
    parents = list(range(n))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = parents[parents[i]]
            i = parents[i]
        return i

    for first, second in pairs:
        a, b = sorted((root(first), root(second)))
        parents[b] = a
    return [root(i) for i in range(n)]


@dataclass(frozen=True, eq=False)
class Prepared:
    """Pictures ready for comparison: hashes (views, n, 42) float32, fields (n, 14, 14, 3) float32."""

    hashes: Array
    fields: Array


def _prepared(thumbs: Array, n_views: int) -> Prepared:
    blocks = [thumbs[i : i + 2048] for i in range(0, len(thumbs), 2048)] or [thumbs]
    views = [np.stack([_hashes(block, view) for view in VIEWS[:n_views]]) for block in blocks]
    return Prepared(np.concatenate(views, 1), np.concatenate([_fields(block) for block in blocks]))


def _hashes(thumbs: Array, view: View) -> Array:
    """(n, 42) float32 unit vectors; zeros for flat pictures, which are like nothing."""
    y = np.pad(
        thumbs[:, :, :: view.step].astype(np.float32) @ LUMINANCE,
        ((0, 0), (1, 1), (1, 1)),
        mode="edge",
    )
    y = y[:, 1 + view.down : 1 + view.down + SIDE, 1 + view.right : 1 + view.right + SIDE]
    y = TAPER * (y - (TAPER * y).sum((1, 2), keepdims=True) / TAPER.sum())
    low = np.add.outer(np.arange(FREQUENCIES), np.arange(FREQUENCIES)) <= FREQUENCIES
    low[0, 0] = False
    found = (WAVES @ y @ WAVES.T)[:, low]
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(norms < FLAT, np.float32(0), found / np.maximum(norms, FLAT))


def _fields(thumbs: Array) -> Array:
    """Luminance and two colour differences at CHROMA's weight, (n, 14, 14, 3) after a binomial blur.

    The blur takes away what a shift by half a pixel changes most.
    """
    rgb = thumbs.astype(np.float32)
    y = rgb @ LUMINANCE
    p = np.stack([y, CHROMA * 0.564 * (rgb[..., 2] - y), CHROMA * 0.713 * (rgb[..., 0] - y)], -1)
    p = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return np.asarray((p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]) / 16)


def _candidates(first: Prepared, second: Prepared, row: int, column: int, is_within: bool) -> Array:
    """(pairs, 2) positions of this tile whose hashes are alike in some view, at most MATCHES to a row."""
    columns = second.hashes[0, column : column + COLUMNS].T
    best = first.hashes[0, row : row + ROWS] @ columns
    other = np.empty_like(best)
    for view in first.hashes[1:]:
        np.maximum(best, np.matmul(view[row : row + ROWS], columns, out=other), out=best)
    if is_within:
        best[
            np.arange(row, row + len(best))[:, None] >= np.arange(column, column + best.shape[1])
        ] = 0
    for crowded in np.flatnonzero((best > LIKENESS).sum(1) > MATCHES):
        best[crowded, np.argpartition(best[crowded], -MATCHES)[:-MATCHES]] = 0
    return np.argwhere(best > LIKENESS) + (row, column)


def _misfits(first: Prepared, second: Prepared, pairs: Array) -> Array:
    """(pairs,) how badly each candidate fits: first in the view whose hash is most alike, then in the next ones."""
    hashed = second.hashes[0, pairs[:, 1]]
    likeness = np.stack([np.einsum("ph,ph->p", view[pairs[:, 0]], hashed) for view in first.hashes])
    best = np.full(len(pairs), np.inf, np.float32)
    still = np.ones(len(pairs), bool)
    for choice in np.argsort(-likeness, axis=0)[:TRIED]:
        for number in np.unique(choice[still]):
            rows = np.flatnonzero(still & (choice == number))
            one, other = first.fields[pairs[rows, 0]], second.fields[pairs[rows, 1]]
            found = _misfit(one, other, VIEWS[number])
            close = found < HOPELESS
            found[close] = (
                found[close] + _misfit(other[close], one[close], VIEWS[number].inverse)
            ) / 2
            best[rows] = np.minimum(best[rows], found)
        still &= (best >= MISFIT) & (best < HOPELESS)
    return best


def _misfit(one: Array, other: Array, view: View) -> Array:
    """(n,) how much of the other's inner part one and its slopes leave unexplained, in units of the other's detail.

    Detail is the share of a Laplacian: in a picture full of it a rough fit cannot be chance, and resampling changes
    it most.
    """
    one = one[:, :, :: view.step]

    def inner(fields: Array, down: int, right: int) -> Array:
        return fields[:, 2 + down : 12 + down, 2 + right : 12 + right]

    y, x = view.down, view.right
    slopes = (
        inner(one, y + 1, x) - inner(one, y - 1, x),
        inner(one, y, x + 1) - inner(one, y, x - 1),
    )
    terms = np.stack([_centred(term) for term in (inner(one, y, x), *slopes)], 1)
    target = _centred(inner(other, 0, 0))
    around = inner(other, 1, 0) + inner(other, -1, 0) + inner(other, 0, 1) + inner(other, 0, -1)
    detail = _centred(around - 4 * inner(other, 0, 0))
    products = np.einsum("ntp,np->nt", terms, target)
    gram = terms @ terms.transpose(0, 2, 1) + np.float32(0.01) * np.eye(3, dtype=np.float32)
    weights = np.linalg.solve(gram, products[..., None])[..., 0]
    energy = (target**2).sum(1) + 1
    left = np.where(
        weights[:, 0] > 0, 1 - (weights * products).sum(1) / energy, 1
    )  # a negative is another picture
    return np.asarray(left / (FLOOR + (detail**2).sum(1) / energy))


def _centred(fields: Array) -> Array:
    """(n, values): the mean of every channel removed."""
    n, height, width, channels = fields.shape
    return np.asarray(
        (fields - fields.mean((1, 2), keepdims=True)).reshape(n, height * width * channels)
    )
