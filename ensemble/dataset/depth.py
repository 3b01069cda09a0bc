"""Images of more than 8 bits a pixel: the range that a set uses, and how it becomes 0 to 255.

By the ranges of their types, a 12-bit X-ray in a 16-bit file, a CT in Hounsfield units and floats
from 0 to 1 would all be black.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from ensemble.dataset.content import files_by_content
from ensemble.dataset.image_file import PNG, open_image
from ensemble.errors import EnsembleError
from ensemble.files import write_text
from ensemble.grouping import grouped
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
MODE_NAMES = {"I;16": "16-bit values", "I": "32-bit values", "F": "floats"}
N_IMAGES, N_VALUES = 256, 4096  # that are measured: of a set, and of each image
PERCENTILES = 0.1, 99.9  # of the values; a few dead or hot pixels decide nothing
LARGEST = 1e30  # a larger float marks a pixel without a value
ALWAYS_8_BITS = (b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")


@dataclass(frozen=True)
class Ranges:
    """The lowest and highest value by Pillow mode (I;16, I or F); empty if all have 8 bits."""

    by_mode: tuple[tuple[str, float, float], ...] = ()

    def of(self, mode: str) -> tuple[float, float]:
        """The range of a mode; without one, all that 16 bits hold, and 0 to 255 for floats."""
        fallback = (0, 255) if mode == "F" else (0, 65535)
        return next(((low, high) for name, low, high in self.by_mode if name == mode), fallback)

    def covers(self, mode: str) -> bool:
        """Whether an image of this mode needs no range, or has one."""
        return deep_mode(mode) in {None, *(name for name, _, _ in self.by_mode)}

    def as_json(self) -> dict[str, list[float]]:
        """What run.json stores."""
        return {mode: [low, high] for mode, low, high in self.by_mode}

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[float]]) -> "Ranges":
        """The ranges that as_json gave."""
        return cls(tuple((mode, low, high) for mode, (low, high) in stored.items()))

    def __str__(self) -> str:
        """One line for people, "" where all images have 8 bits."""
        if not self.by_mode:
            return ""
        spans = [
            f"{MODE_NAMES[mode]} from {low:,.5g} to {high:,.5g}" for mode, low, high in self.by_mode
        ]
        listed = " and ".join(spans)
        return f"more than 8 bits per pixel: {listed} (the range of this set), scaled to 0 to 255"


EIGHT_BITS = Ranges()


def deep_mode(mode: str) -> str | None:
    """I;16, I or F for a Pillow mode of more than 8 bits, else None."""
    if mode.startswith("I;16"):
        return "I;16"
    return mode if mode in MODE_NAMES else None


def to_8_bits(values: Array, low: float, high: float) -> Array:
    """uint8 of values of any type: low and what is below becomes 0, high and what is above 255."""
    if np.issubdtype(values.dtype, np.integer):
        first, last = int(low), int(high)
        span = last - first
        above = values.astype(np.int64).clip(first, last) - first
        scaled = above * 256 // (span + 1) if span >= 255 else above * 255 // span
    else:
        finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
        scaled = (finite.clip(low, high) - low) * 255 / (high - low)
    return np.asarray(scaled, np.uint8)


def cached_ranges(labelled: Mapping[Path, str], unlabelled: Mapping[Path, str]) -> Ranges:
    """The ranges of a set's images, given as content hashes by file; cached by these.

    Unlabelled images, such as the test images, count only for modes that no labelled image has.
    """
    contents = [sorted({*labelled.values()}), sorted({*unlabelled.values()})]
    key = hashlib.blake2b(repr(contents).encode()).hexdigest()[:32]
    cached = cache_root() / "ranges" / f"1-{PIL.__version__}-{key}.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return Ranges.from_json(json.loads(cached.read_text(encoding="utf-8")))
    by_mode = _ranges_by_mode(files_by_content(unlabelled).values())
    ranges = _as_ranges(by_mode | _ranges_by_mode(files_by_content(labelled).values()))
    with suppress(EnsembleError):  # the cache only saves time
        write_text(cached, json.dumps(ranges.as_json()))
    return ranges


def measured_ranges(files: Sequence[Path]) -> Ranges:
    """The ranges of these files, without the cache."""
    return _as_ranges(_ranges_by_mode(files))


def _as_ranges(by_mode: Mapping[str, tuple[float, float]]) -> Ranges:
    return Ranges(tuple((mode, *by_mode[mode]) for mode in sorted(by_mode)))


def _ranges_by_mode(files: Iterable[Path]) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {}
    # threads would take three times as long for so little
    files_of = grouped((mode, file) for file in files if (mode := _deep_mode_of(file)))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for mode, deep in sorted(files_of.items()):
            spread = np.linspace(0, len(deep) - 1, N_IMAGES)
            picked = np.unique(spread.round().astype(int))
            values = np.concatenate(list(pool.map(_some_values, [deep[i] for i in picked])))
            if len(values):
                ranges[mode] = _range(values)
    return ranges


def _deep_mode_of(file: Path) -> str | None:
    """The deep_mode of a file; the first bytes of most files say that they have 8 bits."""
    with suppress(Exception):  # an unreadable file is reported when it is decoded
        with file.open("rb") as stored:
            head = stored.read(26)
        is_shallow_png = head.startswith(PNG) and head[24:26] != b"\x10\0"
        if not is_shallow_png and not head.startswith(ALWAYS_8_BITS):
            with open_image(file) as image:
                return deep_mode(image.mode)
    return None


def _some_values(file: Path) -> Array:
    """Values of some pixels, drawn by one rule for all images; none of an unreadable file."""
    with suppress(Exception), open_image(file) as image:
        values = np.asarray(image).ravel()
        if len(values) > N_VALUES:
            values = values[np.random.default_rng(0).integers(0, len(values), N_VALUES)]
        numbers: Array = values.astype(np.float64)
        return np.asarray(numbers[np.isfinite(numbers) & (np.abs(numbers) < LARGEST)])
    return np.zeros(0, np.float64)


def _range(values: Array) -> tuple[float, float]:
    """Percentiles; the whole range of 8 or 16 bits where the values use half of it.

    So sets that use their type's range keep their pixels.
    """
    low, high = (float(limit) for limit in np.percentile(values, PERCENTILES))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if np.all(values == np.round(values)):
        low, high = float(np.floor(low)), float(np.ceil(high))
    for highest in (255, 65535):
        if low >= 0 and highest / 2 < high - low and high <= highest:
            return 0.0, float(highest)
    return low, high if high > low else low + 1
