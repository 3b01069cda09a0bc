"""In which folder the images are that a column of ids names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ensemble.dataset.match import WITHOUT_PATH, Match
from ensemble.layout.survey import ENOUGH, Folder
from ensemble.layout.table import Column, Table


@dataclass(frozen=True)
class Placement:
    """The images of one folder that a column names: for each row one image, or None."""

    column: str
    folder: Folder
    match: Match

    @cached_property
    def images(self) -> tuple[str | None, ...]:
        """For each row the image's path in the folder; None for a row without an image."""
        return tuple(
            self.folder.images[positions[0]] if positions else None
            for positions in self.match.positions
        )

    @property
    def is_direct(self) -> bool:
        """Whether the images lie in the folder itself, and not in folders inside it."""
        return not any(image and "/" in image for image in self.images)

    @property
    def n_missing(self) -> int:
        """The number of rows without an image."""
        return self.images.count(None)

    @property
    def paths(self) -> tuple[str | None, ...]:
        """For each row the image's path under the root."""
        return tuple(image and self.folder.path_of(image) for image in self.images)


Placed = dict[str, tuple[Table, Placement]]  # by file: the tables about images


def placements(column: Column, folders: Iterable[Folder]) -> list[Placement]:
    """The folders in which a column's cells each name at most one image, and enough of them one.

    Cells that name several images of a folder, or the same one, rule the folder out. A folder
    around one in which all cells name images is passed over, unless they name images in itself.
    """
    ids = column.some_cells
    placed: list[Placement] = []
    for folder in sorted(
        folders, key=lambda folder: -folder.name.count("/") - (folder.name != ".")
    ):
        is_done = any(
            not placement.n_missing and is_inside(placement.folder, folder) for placement in placed
        )
        is_done = is_done and not folder.has_loose_images
        if is_done or not folder.may_name(ids) or not _names_enough(folder, ids):
            continue
        placement = Placement(column.name, folder, folder.names.match(column.cells))
        if _is_clear(placement, column):
            placed.append(placement)
    return placed


def _names_enough(folder: Folder, ids: Sequence[str]) -> bool:
    positions = [folder.names.positions(image_id) for image_id in ids]
    if sum(map(bool, positions)) >= ENOUGH * len(ids):
        return True
    return bool(folder.names.match(ids).rule)


def _is_clear(placement: Placement, column: Column) -> bool:
    positions = placement.match.positions
    if any(len(matched) > 1 for matched in positions):
        return False
    n_named = sum(map(bool, positions))
    if n_named < ENOUGH * len(positions):
        return False
    images = {matched[0] for matched in positions if matched}
    return len(images) == len(
        {cell for cell, matched in zip(column.cells, positions, strict=True) if matched}
    )


def smallest(placed: Sequence[Placement]) -> list[Placement]:
    """The placements with the fewest missing images, one of nested folders that fit.

    It is the outer one where the images lie in it itself, since folders inside then hold copies
    such as thumbnails; else the inner one.
    """
    fewest = min((placement.n_missing for placement in placed), default=0)
    best = [placement for placement in placed if placement.n_missing == fewest]
    if any(not placement.match.rule for placement in best):  # one is in the folder that ids name
        best = [placement for placement in best if placement.match.rule != WITHOUT_PATH]
    return [
        placement
        for placement in best
        if not any(_takes_its_place(other, placement) for other in best)
    ]


def _takes_its_place(other: Placement, placement: Placement) -> bool:
    """Whether another placement in a folder inside, or around, is the likelier one."""
    if is_inside(other.folder, placement.folder):
        return not placement.is_direct
    return is_inside(placement.folder, other.folder) and other.is_direct


def is_inside(folder: Folder, outer: Folder) -> bool:
    """Whether a folder lies in another one."""
    return folder.name != outer.name and (
        outer.name == "." or folder.name.startswith(f"{outer.name}/")
    )
