"""Which folders hold the training images, and which of them are classes, where no table says so."""

import re
from collections.abc import Sequence

from ensemble.dataset.column_names import letters
from ensemble.dataset.split_names import split_of_name
from ensemble.layout.groups import is_group_name
from ensemble.layout.inner_folders import MASK_WORDS, no_masks, without_masks, without_repeats
from ensemble.layout.labeling import Labeling, by_folders
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, inner, one_of
from ensemble.layout.survey import Folder, Survey

N_STRAY = 10  # fewer images than this beside a folder of classes are a logo or a preview
IMAGE_WORDS = {  # names of folders of images, never of a class
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "data"),
    *("dataset", "datasets", "jpg", "jpgs", "jpeg", "jpegs", "jpegimages", "png", "pngs"),
}
_SHARD = re.compile(r"(.*[A-Za-z])[-_ ]?\d+")
_NUMBERED = re.compile(r"([A-Za-z]+)[-_ ]?\d+")


def class_folders(surveyed: Survey, roles: Roles, inquiry: Inquiry) -> Labeling | None:
    """The class folders: those of the training folder, else those at the root.

    Folders that are numbered patients, or parts of a split, are none. Raises DataError for classes
    that are repeated inside with other images.
    """
    folders = [without_masks(folder) for folder in training_folders(surveyed, roles)]
    candidates = [folder for folder in folders if len(folder.classes) > 1]
    if not candidates:
        return None
    folder = one_of(surveyed, candidates, "train", inquiry)
    folder = next((named for named in folders if named.name == folder.name), folder)
    folder = without_repeats(surveyed, folder)
    is_of_classes = not (
        _are_groups(folder.classes)
        or _are_shards(folder.classes)
        or _are_images_and_masks(folder.classes)
    )
    return by_folders(folder) if is_of_classes else None


def _are_images_and_masks(names: Sequence[str]) -> bool:
    return {letters(name) for name in names} <= IMAGE_WORDS | MASK_WORDS


def _are_groups(names: Sequence[str]) -> bool:
    """Whether names are one word for a group, such as patient, each with a number."""
    matches = [_NUMBERED.fullmatch(name) for name in names]
    words = {match[1].lower() for match in matches if match}
    return all(matches) and len(words) == 1 and is_group_name(words.pop())


def _are_shards(names: Sequence[str]) -> bool:
    """Whether names are a word for a split with a number: train-000000."""
    numbers = [_SHARD.fullmatch(name) for name in names]
    return all(number and split_of_name(number[1]) for number in numbers)


def training_folders(surveyed: Survey, roles: Roles) -> list[Folder]:
    """The folders that may hold the training images, if no table says which."""
    if roles["train"]:
        return list(roles["train"])
    root = surveyed.folders["."]
    if roles["valid"] or roles["test"]:
        return _beside_splits(surveyed, roles, root)
    outer = inner(surveyed, root)
    folders = [inner(surveyed, child) for child in surveyed.children(outer)]
    if len(folders) == 1 and not outer.has_loose_images:
        return folders
    return (
        _named_as_images(outer, folders)
        or _variants(folders)
        or _beside_a_logo(outer, folders)
        or [outer]
    )


def _beside_splits(surveyed: Survey, roles: Roles, root: Folder) -> list[Folder]:
    """What lies beside validation and test folders: the only folder, or class folders."""
    splits = [folder.name.partition("/")[0] for folder in (*roles["valid"], *roles["test"])]
    rest = [child for child in surveyed.children(root) if child.name not in splits]
    if len(rest) == 1:
        return [inner(surveyed, rest[0])]
    images = tuple(image for image in root.images if image.partition("/")[0] not in splits)
    return [Folder(".", images)] if rest else []


def _named_as_images(outer: Folder, folders: Sequence[Folder]) -> list[Folder]:
    """The one folder whose name says images, beside masks or, if it has classes, loose images."""
    n_above = 0 if outer.name == "." else outer.name.count("/") + 1
    named = [
        folder for folder in folders if letters(folder.name.split("/")[n_above]) in IMAGE_WORDS
    ]
    rest = [folder for folder in no_masks(folders) if folder not in named]
    is_clear = len(named) == 1 and not any(len(folder.classes) > 1 for folder in rest)
    return named if is_clear and (not rest or len(named[0].classes) > 1) else []


def _variants(folders: Sequence[Folder]) -> list[Folder]:
    """The folders, where each has the same classes in another form, such as grey and colored."""
    variants = [folder for folder in folders if len(folder.classes) > 1]
    has_names = not any(folder.last_name.isdigit() for folder in folders)
    is_same = len({folder.classes for folder in variants}) == 1
    are_classes = variants and not _are_images_and_masks(variants[0].classes)
    return (
        variants
        if len(variants) == len(folders) > 1 and has_names and is_same and are_classes
        else []
    )


def _beside_a_logo(root: Folder, folders: Sequence[Folder]) -> list[Folder]:
    """The only folder, with classes, beside a few loose images."""
    n_loose = sum("/" not in image for image in root.images)
    is_clear = 0 < n_loose < N_STRAY and len(folders) == 1 and len(folders[0].classes) > 1
    return list(folders) if is_clear else []
