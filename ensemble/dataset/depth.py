"""Images of more than 8 bits a pixel: the range of values that a set uses, measured once, and how it becomes 0 to 255.

A 12-bit X-ray in a 16-bit file, a CT in Hounsfield units or floats from 0 to 1 would be black by their types' ranges.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL

from ensemble.dataset.decode import PNG, open_image
from ensemble.errors import EnsembleError
from ensemble.files import write_text
from ensemble.paths import cache_root

Array = npt.NDArray[Any]
KINDS = {"I;16": "16-bit values", "I": "32-bit values", "F": "floats"}
N_IMAGES, N_VALUES = 256, 4096  # that are looked at: of a set, and of each image
PERCENTILES = 0.1, 99.9  # of the values; a few dead or hot pixels decide nothing
LARGEST = 1e30  # beyond, a float marks a pixel without a value
ALWAYS_8_BITS = (b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF")


@dataclass(frozen=True)
class Ranges:
    """The lowest and highest value by Pillow mode (I;16, I or F) of a set's images; empty where all have 8 bits."""

    by_mode: tuple[tuple[str, float, float], ...] = ()

    def of(self, mode: str) -> tuple[float, float]:
        """The range of a mode; without one all that 16 bits hold, and 0 to 255 for floats."""
        fallback = (0, 255) if mode == "F" else (0, 65535)
        return next(((low, high) for name, low, high in self.by_mode if name == mode), fallback)

    def covers(self, mode: str) -> bool:
        """Whether an image of this mode needs no range, or has one."""
        return kind_of(mode) in {None, *(name for name, _, _ in self.by_mode)}

    def as_json(self) -> dict[str, list[float]]:
        """What run.json says."""
        return {mode: [low, high] for mode, low, high in self.by_mode}

    @classmethod
    def from_json(cls, stored: Mapping[str, Sequence[float]]) -> "Ranges":
        """What as_json said."""
        return cls(tuple((mode, low, high) for mode, (low, high) in stored.items()))

    def __str__(self) -> str:
        """One line for people, "" where all images have 8 bits."""
        if not self.by_mode:
            return ""
        spans = [
            f"{KINDS[mode]} from {low:,.5g} to {high:,.5g}" for mode, low, high in self.by_mode
        ]
        return f"more than 8 bits a pixel: {' and '.join(spans)} (the range of this set) become 0 to 255"


def kind_of(mode: str) -> str | None:
    """I;16, I or F for a Pillow mode of more than 8 bits, else None."""
    return "I;16" if mode.startswith("I;16") else mode if mode in KINDS else None


def to_8_bits(values: Array, low: float, high: float) -> Array:
    """uint8 of values of any type: low and what is below it becomes 0, high and what is above it 255."""
    if np.issubdtype(values.dtype, np.integer):
        above, span = (
            values.astype(np.int64).clip(int(low), int(high)) - int(low),
            int(high) - int(low),
        )
        scaled = above * 256 // (span + 1) if span >= 255 else above * 255 // span
    else:
        finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
        scaled = (finite.clip(low, high) - low) * 255 / (high - low)
    return np.asarray(scaled, np.uint8)


def measured(labelled: Mapping[Path, str], others: Mapping[Path, str] | None = None) -> Ranges:
    """The ranges of a set's images, from files to content hashes; remembered by these.

    others, such as the test images, count only for modes that no labelled image has.
    """
    key = hashlib.blake2b(
        repr([sorted({*labelled.values()}), sorted({*(others or {}).values()})]).encode()
    )
    memory = cache_root() / "ranges" / f"1-{PIL.__version__}-{key.hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return Ranges.from_json(json.loads(memory.read_text(encoding="utf-8")))
    ranges = _ranges(_by_mode(_by_content(others or {})) | _by_mode(_by_content(labelled)))
    with suppress(EnsembleError):  # it only saves time
        write_text(memory, json.dumps(ranges.as_json()))
    return ranges


def measured_now(files: Sequence[Path]) -> Ranges:
    """The ranges of these files, measured and forgotten."""
    return _ranges(_by_mode(files))


def _ranges(by_mode: Mapping[str, tuple[float, float]]) -> Ranges:
    return Ranges(tuple((mode, *by_mode[mode]) for mode in sorted(by_mode)))


def _by_content(files: Mapping[Path, str]) -> list[Path]:
    """A file for each content, in an order that depends on the contents alone."""
    by_content = {content: path for path, content in sorted(files.items(), reverse=True)}
    return [by_content[content] for content in sorted(by_content)]


def _by_mode(paths: Sequence[Path]) -> dict[str, tuple[float, float]]:
    """The range of each mode of more than 8 bits."""
    ranges: dict[str, tuple[float, float]] = {}
    deep_files: dict[str, list[Path]] = {}
    for path in paths:  # threads would take three times as long for so little
        if mode := _deep_mode(path):
            deep_files.setdefault(mode, []).append(path)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for mode, deep in sorted(deep_files.items()):
            picked = np.unique(np.linspace(0, len(deep) - 1, N_IMAGES).round().astype(int))
            values = np.concatenate(list(pool.map(_some_values, [deep[i] for i in picked])))
            if len(values):
                ranges[mode] = _range(values)
    return ranges


def _deep_mode(path: Path) -> str | None:
    """kind_of a file's mode; most files say in their first bytes that they have 8 bits."""
    with suppress(Exception):  # what cannot be read is told when it is decoded
        with path.open("rb") as stored:
            head = stored.read(26)
        is_shallow = head.startswith(ALWAYS_8_BITS) or (
            head.startswith(PNG) and head[24:26] != b"\x10\0"
        )
        if not is_shallow:
            with open_image(path) as image:
                return kind_of(image.mode)
    return None


def _some_values(path: Path) -> Array:
    """Values of some of an image's pixels, drawn by the same rule for all; none of an unreadable one."""
    with suppress(Exception), open_image(path) as image:
        values = np.asarray(image).ravel()
        if len(values) > N_VALUES:
            values = values[np.random.default_rng(0).integers(0, len(values), N_VALUES)]
        numbers: Array = values.astype(np.float64)
        return np.asarray(numbers[np.isfinite(numbers) & (np.abs(numbers) < LARGEST)])
    return np.zeros(0, np.float64)


def _range(values: Array) -> tuple[float, float]:
    """Percentiles; the whole range of the type where half of it is used, so that such sets keep their pixels."""
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if np.all(values == np.round(values)):
        low, high = float(np.floor(low)), float(np.ceil(high))
    for most in (255, 65535):
        if low >= 0 and most / 2 < high - low and high <= most:
            return 0.0, float(most)
    return low, high if high > low else low + 1
