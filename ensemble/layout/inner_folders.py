"""What lies inside class folders without being a class: masks, and a copy of all classes."""

import re
from collections.abc import Sequence, Set

from ensemble.dataset.column_names import letters
from ensemble.dataset.filenames import without_suffix
from ensemble.errors import DataError
from ensemble.layout.survey import Folder, Survey

MASK_WORDS = {  # names of folders of pictures that say what is where in an image
    *("mask", "masks", "annotation", "annotations", "trimap", "trimaps", "groundtruth", "gt"),
    *("segmentation", "segmentations"),
}

_MASK_ENDING = re.compile(r"[ _-](?:mask|segmentation|seg|gt)(?:[ _-]?\d+)?$", re.IGNORECASE)


def without_masks(folder: Folder) -> Folder:
    """A folder without masks: in a folder of masks inside a class, or beside their image."""
    parents = {image.rpartition("/")[0] for image in folder.images}
    of_masks = {parent for parent in parents if _is_of_masks(parent.split("/")[1:])}
    stems = {without_suffix(image) for image in folder.images}
    images = tuple(
        image
        for image in folder.images
        if image.rpartition("/")[0] not in of_masks and not _is_beside_image(image, stems)
    )
    return Folder(folder.name, images) if 0 < len(images) < len(folder.images) else folder


def _is_beside_image(image: str, stems: Set[str]) -> bool:
    """Whether a file is named like another one but for an ending that says mask."""
    stem = without_suffix(image)
    name = _MASK_ENDING.sub("", stem)
    return name != stem and name in stems


def no_masks(folders: Sequence[Folder]) -> list[Folder]:
    """The folders that are not of masks."""
    return [folder for folder in folders if not _is_of_masks(folder.name.split("/"))]


def _is_of_masks(parts: Sequence[str]) -> bool:
    return any(letters(part) in MASK_WORDS for part in parts)


def without_repeats(surveyed: Survey, folder: Folder) -> Folder:
    """Of class folders beside a folder that holds the same classes again, the folder inside.

    Raises DataError where its images are others.
    """
    for child in surveyed.children(folder):
        names = set(folder.classes) - {child.last_name}
        if len(child.classes) < 2 or not set(child.classes) <= names:
            continue
        start = f"{child.last_name}/"
        outside = {without_suffix(image) for image in folder.images if not image.startswith(start)}
        if any(image.count("/") > 1 for image in outside):
            continue
        if outside == {without_suffix(image) for image in child.images}:
            return child
        raise DataError(
            f"{surveyed.root / child.name}: holds the classes beside it again, with other images\n"
            f"move it away, or choose it alone with --train {child.name}"
        )
    return folder
