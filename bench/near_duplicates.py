"""The near-duplicate rule on CIFAR-10: copies missed, pictures flagged without cause, time and memory.

    python bench/near_duplicates.py path/to/cifar10 [--copies 2000] [--size 100000] [--sheet FILE.png]

The folder holds train/<class>/*.png and test/<class>/*.png. Each copy is sought among all pictures as they are. --sheet
draws what is flagged among the originals, worst fit last, to be judged by eye.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from ensemble.dataset.duplicates import near_pairs
from ensemble.dataset.image_info import THUMB
from ensemble.metrics import wilson

SIDE, CUT = 32, 28


def recompressed(quality: int) -> Callable[[Image.Image, Any], Image.Image]:
    def copy(image: Image.Image, rng: Any) -> Image.Image:
        stored = io.BytesIO()
        image.save(stored, "JPEG", quality=quality)
        return Image.open(stored).convert("RGB")

    return copy


def resized(factor: float) -> Callable[[Image.Image, Any], Image.Image]:
    side = round(SIDE * factor)
    return lambda image, rng: image.resize((side, side), Image.Resampling.BICUBIC)


def shifted(pixels: int) -> Callable[[Image.Image, Any], Image.Image]:
    """Moved in one of eight directions, the edge repeated."""

    def copy(image: Image.Image, rng: Any) -> Image.Image:
        padded = np.pad(
            np.asarray(image), ((pixels, pixels), (pixels, pixels), (0, 0)), mode="edge"
        )
        down, right = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)][
            rng.integers(8)
        ]
        top, left = pixels * (1 + down), pixels * (1 + right)
        return Image.fromarray(padded[top : top + SIDE, left : left + SIDE])

    return copy


def all_at_once(image: Image.Image, rng: Any) -> Image.Image:
    return ImageOps.mirror(shifted(2)(recompressed(50)(image, rng), rng))


KINDS: dict[str, Callable[[Image.Image, Any], Image.Image]] = {
    **{f"JPEG, quality {quality}": recompressed(quality) for quality in (30, 50, 70, 90)},
    **{f"resized × {factor:g}": resized(factor) for factor in (0.5, 2)},
    **{
        f"shifted by {pixels} px ({100 * pixels / SIDE:.0f} %)": shifted(pixels)
        for pixels in (1, 2, 3)
    },
    "mirrored": lambda image, rng: ImageOps.mirror(image),
    "mirrored, shifted by 2 px, JPEG 50": all_at_once,
    "brightness × 0.7 + 40": lambda image, rng: image.point(lambda level: 0.7 * level + 40),
    "grey": lambda image, rng: image.convert("L").convert("RGB"),
    "1 px cut off all around, enlarged": lambda image, rng: image.crop(
        (1, 1, SIDE - 1, SIDE - 1)
    ).resize((SIDE, SIDE)),
    "2 px cut off all around, enlarged": lambda image, rng: image.crop(
        (2, 2, SIDE - 2, SIDE - 2)
    ).resize((SIDE, SIDE)),
}


def thumbs(images: list[Image.Image]) -> Any:
    return np.stack([np.asarray(image.resize(THUMB, Image.Resampling.BOX)) for image in images])


def share(hits: int, total: int) -> str:
    found = wilson(hits / total, total)
    return f"{100 * found.value:.2f} % ({100 * found.low:.2f}–{100 * found.high:.2f})"


def misses(images: list[Image.Image], originals: Any, n_copies: int) -> None:
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(images))[:n_copies]
    for kind, copy in KINDS.items():
        pairs = near_pairs(thumbs([copy(images[i], rng) for i in chosen]), originals)
        n_found = len(set(pairs[chosen[pairs[:, 0]] == pairs[:, 1], 0].tolist()))
        print(f"{kind:36s} missed {share(n_copies - n_found, n_copies)}", flush=True)
    for pixels in (1, 2, 3):  # two cuts of one picture: what comes in at the edge is new
        boxes = [(0, 0, CUT, CUT), (pixels, 0, pixels + CUT, CUT)]
        one, other = (thumbs([images[i].crop(box) for i in chosen]) for box in boxes)
        pairs = near_pairs(one, other)
        n_found = int((pairs[:, 0] == pairs[:, 1]).sum())
        print(
            f"{f'two {CUT} px cuts, {pixels} px apart':36s} missed {share(n_copies - n_found, n_copies)}",
            flush=True,
        )


def alarms(
    files: list[Path], images: list[Image.Image], originals: Any, sheet: Path | None
) -> None:
    pairs = near_pairs(originals)
    is_test = np.array(["test" in file.parts for file in files])
    n, n_pairs = len(files), len(files) * (len(files) - 1) // 2
    across = pairs[is_test[pairs[:, 0]] != is_test[pairs[:, 1]]]
    inside = pairs[is_test[pairs].all(1)]
    leaked = set(across[is_test[across]].tolist())
    print(
        f"originals: {len(pairs)} pairs of {n:,} pictures flagged, 1 in {n_pairs / max(len(pairs), 1):,.0f}"
    )
    print(
        f"test pictures with a copy in train: {share(len(leaked), int(is_test.sum()))}, {len(leaked)} in all"
    )
    print(
        f"... in train or test: {share(len(leaked | set(inside.ravel().tolist())), int(is_test.sum()))}"
    )
    if sheet:
        draw(images, pairs, sheet)


def draw(
    images: list[Image.Image], pairs: Any, path: Path, columns: int = 20, side: int = 48
) -> None:
    rows = -(-len(pairs) // columns)
    page = Image.new("RGB", (columns * (2 * side + 6), rows * (side + 12)), "white")
    pen = ImageDraw.Draw(page)
    for place, pair in enumerate(pairs.tolist()):
        left, top = place % columns * (2 * side + 6), place // columns * (side + 12)
        for i, index in enumerate(pair):
            page.paste(images[index].resize((side, side)), (left + i * side, top))
        pen.text((left, top + side), str(place), fill="black")
    page.save(path)


def scale(originals: Any, size: int) -> None:
    """Quarter turns of the thumbnails stand for more pictures of the same kind."""
    turned = [np.rot90(originals, turns, (1, 2)) for turns in range(4)]
    many = np.concatenate(turned)[:size]
    began = time.perf_counter()
    pairs = near_pairs(many)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(many):,} pictures: {time.perf_counter() - began:.0f} s, peak {peak:.2f} GiB, {len(pairs)} pairs"
    )


def main() -> None:
    """Time first, so that its peak of memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--copies", type=int, default=2000)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    files = sorted(asked.folder.rglob("*.png"))
    images = [Image.open(file).convert("RGB") for file in files]
    originals = thumbs(images)
    scale(originals, asked.size)
    alarms(files, images, originals, asked.sheet)
    misses(images, originals, asked.copies)


if __name__ == "__main__":
    main()
