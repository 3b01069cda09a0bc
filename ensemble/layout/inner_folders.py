"""What lies inside class folders without being a class: masks, copies, and all classes again."""

import re
from collections.abc import Mapping, Sequence, Set

from ensemble.dataset.column_names import letters
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.image_sizes import sizes_of
from ensemble.errors import DataError
from ensemble.layout.survey import Folder, Survey

N_MEASURED = 30  # images of a folder whose size is compared with that of others
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


def without_inner_copies(surveyed: Survey, folder: Folder) -> Folder:
    """Class folders without the folders in them whose images have the names of those around them,
    but another size, such as thumbnails.
    """
    around = {without_suffix(image): image for image in folder.images}
    twins: dict[str, dict[str, str | None]] = {}  # by folder inside: the image beside it of each
    for image in folder.images:
        *above, inner, name = image.split("/")
        if above:
            twin = around.get(without_suffix("/".join([*above, name])))
            twins.setdefault(inner, {})[image] = twin
    copies = {
        image for pairs in twins.values() if _differ(surveyed, folder, pairs) for image in pairs
    }
    return Folder(folder.name, tuple(image for image in folder.images if image not in copies))


def _differ(surveyed: Survey, folder: Folder, twins: Mapping[str, str | None]) -> bool:
    """Whether all images have a twin, of another size."""
    if None in twins.values():
        return False
    pairs = list(twins.items())[:: max(1, len(twins) // N_MEASURED)]
    files = [
        [surveyed.root / folder.path_of(str(name)) for name in names]
        for names in zip(*pairs, strict=True)
    ]
    return sizes_of(files[0])[0].side != sizes_of(files[1])[0].side


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
