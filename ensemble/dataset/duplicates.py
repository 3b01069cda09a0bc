"""Near duplicates: an image and its recompressed, resized, mirrored, relit or shifted copies.

Works on thumbnails, (n, 16, 16, 3) uint8. A perceptual hash (the low frequencies of the luminance,
as in pHash by C. Zauner, 2010, but real numbers) proposes candidates. A least-squares fit of one
thumbnail to the other decides; the slopes are extra terms, so that a shift by less than a pixel
costs nothing (the tangent distance of P. Simard, 1993).
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

from ensemble.dataset.depth import cached_ranges
from ensemble.dataset.image_info import THUMB, ImageInfo, image_infos
from ensemble.events import Progress

Array = npt.NDArray[Any]
SIDE = THUMB[0]
FREQUENCIES = 8  # of the hash; with 6 there are four times as many candidates
LIKENESS = 0.9  # the least cosine of two hashes of a candidate
# a misfit below this is a copy; on CIFAR-10, a sixth of the pairs from here to 0.06 are look-alikes
MISFIT = 0.045
FLOOR = 0.05  # added to the detail, for smooth images
FLAT = 2 * SIDE  # a hash's norm at a standard deviation of 2 of 256 levels: nothing to compare
ROWS, COLUMNS = 256, 2048  # of a tile of the comparison of all with all
MATCHES = 32  # candidates of a row that a tile keeps, so that 10,000 blank images fit in memory
TRIED, HOPELESS = 3, 0.2  # shifts of a candidate that are fitted; a misfit that no shift improves
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# what a shift brings in at the edge counts less
EDGES = np.array([0.25, 0.75, *[1.0] * (SIDE - 4), 0.75, 0.25], np.float32)
TAPER = EDGES[:, None] * EDGES
PHASES = np.pi / SIDE * np.outer(np.arange(FREQUENCIES), np.arange(SIDE) + 0.5)
WAVES = np.cos(PHASES).astype(np.float32)
WAVES /= np.linalg.norm(WAVES, axis=1, keepdims=True)
CHROMA = 0.3  # weight of color against luminance: JPEG damages it most


@dataclass(frozen=True)
class Shift:
    """An image mirrored (step -1) or not (1), then moved by up to one pixel down and right."""

    step: int
    down: int
    right: int

    @property
    def inverse(self) -> "Shift":
        """The shift of the other image that shows the first."""
        return Shift(self.step, -self.down, -self.right * self.step)


# the unshifted image is the first
SHIFTS = [
    Shift(step, down, right) for step, down, right in product((1, -1), (0, 1, -1), (0, 1, -1))
]


def duplicate_groups(
    files: Sequence[Path], digests: Sequence[str], progress: Progress = lambda done, total: None
) -> list[str]:
    """For each file the name of its group: files with the same image, exactly or nearly, share it.

    digests are the files' content hashes. The names depend only on the pixels. Raises DataError.
    """
    hashes = dict(zip(files, digests, strict=True))
    infos, _ = image_infos(hashes, progress, cached_ranges(hashes, {}))
    by_pixels = {info.pixels: info for info in infos.values()}
    names = sorted(by_pixels)
    index = {name: i for i, name in enumerate(names)}
    near = near_duplicates(by_pixels.values())
    cluster = clusters(len(names), [(index[first], index[second]) for first, second in near])
    groups = {pixels: names[cluster[index[pixels]]] for pixels in names}
    return [groups[infos[digest].pixels] if digest in infos else digest for digest in digests]


def near_duplicates(
    infos: Iterable[ImageInfo], against: Iterable[ImageInfo] | None = None
) -> list[tuple[str, str]]:
    """Near duplicates among the infos, or of them with those in `against`: pairs of pixel hashes.

    Each pixel hash comes once in each argument. Images with a side under 16 pixels are left out:
    they show too little to tell a copy from a look-alike.
    """
    first = _comparable(infos)
    if against is None:
        second, pairs = first, near_pairs(_thumbs(first))
    else:
        second = _comparable(against)
        pairs = near_pairs(_thumbs(first), _thumbs(second))
    return [(first[i].pixels, second[j].pixels) for i, j in pairs.tolist()]


def _comparable(infos: Iterable[ImageInfo]) -> list[ImageInfo]:
    large = [info for info in infos if min(info.width, info.height) >= SIDE]
    return sorted(large, key=lambda info: info.pixels)


def _thumbs(infos: Sequence[ImageInfo]) -> Array:
    if not infos:
        return np.empty((0, SIDE, SIDE, 3), np.uint8)
    return np.stack([info.thumb for info in infos])


def near_pairs(thumbs: Array, against: Array | None = None) -> Array:
    """(pairs, 2) positions of near duplicates, sorted: both in thumbs, or the second in `against`.

    Of two positions in thumbs, the smaller is the first.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

    first = _prepared(thumbs, SHIFTS)
    second = Prepared(first.hashes[:1], first.fields)
    if against is not None:
        second = _prepared(against, SHIFTS[:1])
    is_within = against is None
    tiles = [
        (row, column)
        for row in range(0, len(first.fields), ROWS)
        for column in range(row if is_within else 0, len(second.fields), COLUMNS)
    ]

    def search(tile: tuple[int, int]) -> Array:
        pairs = _candidates(first, second, *tile, is_within)
        return pairs[_misfits(first, second, pairs) < MISFIT]

    n_threads = os.cpu_count() or 1
    n_queued = 2 * n_threads  # few: a process that ends waits for what is queued
    pairs_by_tile = [np.empty((0, 2), np.int64)]
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        for start in range(0, len(tiles), n_queued):
            pairs_by_tile += pool.map(search, tiles[start : start + n_queued])
    pairs = np.concatenate(pairs_by_tile)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def clusters(n: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """For each number below n the smallest that pairs join it to, directly or not."""
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
    """Images to compare: hashes (shifts, n, 42) float32, fields (n, 14, 14, 3) float32."""

    hashes: Array
    fields: Array


def _prepared(thumbs: Array, shifts: Sequence[Shift]) -> Prepared:
    blocks = [thumbs[i : i + 2048] for i in range(0, len(thumbs), 2048)] or [thumbs]
    hashes = [np.stack([_hashes(block, shift) for shift in shifts]) for block in blocks]
    fields = [_fields(block) for block in blocks]
    return Prepared(np.concatenate(hashes, 1), np.concatenate(fields))


def _hashes(thumbs: Array, shift: Shift) -> Array:
    """(n, 42) float32 unit vectors; zeros for flat images, which are like nothing."""
    luminance = thumbs[:, :, :: shift.step].astype(np.float32) @ LUMINANCE
    padded = np.pad(luminance, ((0, 0), (1, 1), (1, 1)), mode="edge")
    top, left = 1 + shift.down, 1 + shift.right
    y = padded[:, top : top + SIDE, left : left + SIDE]
    y = TAPER * (y - (TAPER * y).sum((1, 2), keepdims=True) / TAPER.sum())
    low = np.add.outer(np.arange(FREQUENCIES), np.arange(FREQUENCIES)) <= FREQUENCIES
    low[0, 0] = False
    hashes = (WAVES @ y @ WAVES.T)[:, low]
    norms = np.linalg.norm(hashes, axis=1, keepdims=True)
    return np.where(norms < FLAT, np.float32(0), hashes / np.maximum(norms, FLAT))


def _fields(thumbs: Array) -> Array:
    """Luminance and two color differences at CHROMA's weight, (n, 14, 14, 3) after a binomial blur.

    The blur removes what a shift by half a pixel changes most.
    """
    rgb = thumbs.astype(np.float32)
    y = rgb @ LUMINANCE
    p = np.stack([y, CHROMA * 0.564 * (rgb[..., 2] - y), CHROMA * 0.713 * (rgb[..., 0] - y)], -1)
    p = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    return np.asarray((p[:, :, :-2] + 2 * p[:, :, 1:-1] + p[:, :, 2:]) / 16)


def _candidates(first: Prepared, second: Prepared, row: int, column: int, is_within: bool) -> Array:
    """(pairs, 2) positions of this tile with like hashes at some shift, MATCHES or fewer a row."""
    columns = second.hashes[0, column : column + COLUMNS].T
    best = first.hashes[0, row : row + ROWS] @ columns
    shifted = np.empty_like(best)
    for hashes in first.hashes[1:]:
        np.matmul(hashes[row : row + ROWS], columns, out=shifted)
        np.maximum(best, shifted, out=best)
    if is_within:  # each pair once, and no image with itself
        rows = np.arange(row, row + best.shape[0])
        best[rows[:, None] >= np.arange(column, column + best.shape[1])] = 0
    for crowded in np.flatnonzero((best > LIKENESS).sum(1) > MATCHES):
        best[crowded, np.argpartition(best[crowded], -MATCHES)[:-MATCHES]] = 0
    return np.argwhere(best > LIKENESS) + (row, column)


def _misfits(first: Prepared, second: Prepared, pairs: Array) -> Array:
    """(pairs,) how badly each candidate fits, at the best of the TRIED likeliest shifts."""
    hashes = second.hashes[0, pairs[:, 1]]
    likeness = [np.einsum("ph,ph->p", shifted[pairs[:, 0]], hashes) for shifted in first.hashes]
    best = np.full(len(pairs), np.inf, np.float32)
    is_open = np.ones(len(pairs), bool)
    for choice in np.argsort(-np.stack(likeness), axis=0)[:TRIED]:
        for number in np.unique(choice[is_open]):
            rows = np.flatnonzero(is_open & (choice == number))
            left, right = first.fields[pairs[rows, 0]], second.fields[pairs[rows, 1]]
            best[rows] = np.minimum(best[rows], _mutual_misfit(left, right, SHIFTS[number]))
        is_open &= (best >= MISFIT) & (best < HOPELESS)
    return best


def _mutual_misfit(left: Array, right: Array, shift: Shift) -> Array:
    """(n,) the mean of both directions; of the first alone where that is hopeless."""
    misfit = _misfit(left, right, shift)
    close = misfit < HOPELESS
    back = _misfit(right[close], left[close], shift.inverse)
    misfit[close] = (misfit[close] + back) / 2
    return misfit


def _misfit(source: Array, target: Array, shift: Shift) -> Array:
    """(n,) the share of the target's inner part that the source and its slopes do not explain.

    In units of the target's detail, the share of a Laplacian: in an image full of it a rough fit
    cannot be chance, and resampling changes it most.
    """
    source = source[:, :, :: shift.step]

    def inner(fields: Array, down: int, right: int) -> Array:
        return fields[:, 2 + down : 12 + down, 2 + right : 12 + right]

    y, x = shift.down, shift.right
    slope_down = inner(source, y + 1, x) - inner(source, y - 1, x)
    slope_right = inner(source, y, x + 1) - inner(source, y, x - 1)
    terms = [_centered(term) for term in (inner(source, y, x), slope_down, slope_right)]
    regressors = np.stack(terms, 1)
    center = _centered(inner(target, 0, 0))
    around = inner(target, 1, 0) + inner(target, -1, 0) + inner(target, 0, 1) + inner(target, 0, -1)
    detail = _centered(around - 4 * inner(target, 0, 0))
    products = np.einsum("ntp,np->nt", regressors, center)
    ridge = np.float32(0.01) * np.eye(3, dtype=np.float32)
    gram = regressors @ regressors.transpose(0, 2, 1) + ridge
    weights = np.linalg.solve(gram, products[..., None])[..., 0]
    energy = (center**2).sum(1) + 1
    is_positive = weights[:, 0] > 0  # a negative is another image
    unexplained = np.where(is_positive, 1 - (weights * products).sum(1) / energy, 1)
    return np.asarray(unexplained / (FLOOR + (detail**2).sum(1) / energy))


def _centered(fields: Array) -> Array:
    """(n, values): the mean of every channel removed."""
    n, height, width, channels = fields.shape
    centered = fields - fields.mean((1, 2), keepdims=True)
    return np.asarray(centered.reshape(n, height * width * channels))
