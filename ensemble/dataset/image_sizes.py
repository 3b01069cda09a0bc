"""The sizes of some of a folder's images, by their headers."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.errors import DataError
from ensemble.numbers import count

N_OPENED = 300  # images whose header is read


@dataclass(frozen=True)
class Sizes:
    """(width, height) of some images, and the files whose header no decoder accepts."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    unreadable: tuple[Path, ...]

    @property
    def side(self) -> int:
        """The median image's short side in pixels."""
        return min(self.median)


def sizes_of(files: Sequence[Path]) -> tuple[Sizes, list[str]]:
    """Sizes by the headers of some files, spread over all, and a doubt about unreadable ones.

    Raises DataError.
    """
    from ensemble.dataset.image_file import open_image

    sizes: list[tuple[int, int]] = []
    unreadable: list[Path] = []
    for file in files[:: max(1, len(files) // N_OPENED)]:
        try:
            with open_image(file) as image:
                sizes.append(image.size)
        except Exception:  # whatever a decoder raises on a damaged header
            unreadable.append(file)
    if not sizes:
        raise DataError(
            f"{files[0].parent}: no image there can be opened, the first: {files[0].name}"
        )
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    widths, heights = zip(*sizes, strict=True)
    median = round(statistics.median(widths)), round(statistics.median(heights))
    doubts = []
    if unreadable:
        n_files = count(len(unreadable), "file")
        doubts.append(f"{n_files} cannot be read as an image, such as {unreadable[0].name}")
    return Sizes(by_area[0], median, by_area[-1], tuple(unreadable)), doubts
