"""Which folders hold the training images, and which of them are classes, where no table says so."""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from ensemble.dataset.column_names import letters
from ensemble.dataset.split_names import split_of_name
from ensemble.layout.groups import is_group_name
from ensemble.layout.inner_folders import (
    MASK_WORDS,
    no_masks,
    without_inner_copies,
    without_masks,
    without_repeats,
)
from ensemble.layout.labeling import Labeling, by_folders, by_subfolders
from ensemble.layout.name_parts import by_parts
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, inner, one_of, without_copies
from ensemble.layout.sample_file import looks_like_sample
from ensemble.layout.survey import Folder, Survey

N_STRAY = 10  # fewer images than this beside a folder of classes are a logo or a preview
NO_CLASSES = {"image", "images", "img", "imgs", "data", "dataset", "datasets", "jpegimages"}
IMAGE_WORDS = NO_CLASSES | {  # names of folders of images beside masks; alone one may be a class
    *("photo", "photos", "picture", "pictures", "jpg", "jpgs", "jpeg", "jpegs", "png", "pngs"),
}
PREVIEWS = {"thumbnail", "thumbnails", "thumb", "thumbs", "preview", "previews"}
_SHARD = re.compile(r"(.*[A-Za-z])[-_ ]?\d+")
_CASE = re.compile(r"[A-Za-z]+[-_ ]?\d")  # study1_positive
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
    candidates = candidates if roles["train"] else _with_outer(surveyed, candidates)
    folder = one_of(surveyed, candidates, "train", inquiry)
    folder = next((named for named in folders if named.name == folder.name), folder)
    folder = without_inner_copies(surveyed, without_repeats(surveyed, folder))
    folder = _with_classes_alone(surveyed, folder, inquiry)
    is_of_classes = not (
        _are_groups(folder.classes)
        or _are_shards(folder.classes)
        or _are_images_and_masks(folder.classes)
        or any(letters(name) in NO_CLASSES | PREVIEWS for name in folder.classes)
    )
    return by_folders(folder) if is_of_classes else None


def _with_outer(surveyed: Survey, folders: Sequence[Folder]) -> list[Folder]:
    """The folders, and the one around them all where they are no copies: it may hold the classes."""
    outer = {PurePosixPath(folder.name).parent.as_posix() for folder in folders}
    is_of_parts = _are_shards([folder.last_name for folder in folders])
    if len(outer) > 1 or is_of_parts or len(without_copies(surveyed, folders)) < 2:
        return list(folders)
    return [*folders, surveyed.folders[outer.pop()]]


def by_outer_folders(surveyed: Survey, roles: Roles) -> Labeling | None:
    """The labeling by folders that each hold training images of their own: apple/train, pear/train.

    Folders of other splits in them are these splits.
    """
    outer = {PurePosixPath(folder.name).parent for folder in roles["train"]}
    around = {path.parent for path in outer}
    if len(outer) < 2 or len(around) > 1 or any(folder.subfolders for folder in roles["train"]):
        return None
    folder = surveyed.folders[around.pop().as_posix()]
    paths = {image: folder.path_of(image) for image in folder.images}
    splits = {image: roles.split_of_image(path) for image, path in paths.items()}
    if None in splits.values() or len(outer) < len(folder.subfolders):
        return None
    labels = {image: image.partition("/")[0] for image in folder.images}
    return Labeling("folders", folder, labels, splits={i: str(s) for i, s in splits.items()})


def classes_of_groups(surveyed: Survey, roles: Roles) -> list[Labeling]:
    """The labelings by the class folders that numbered patients or the like have, each class several
    of them: subject 1/palm, subject 1/fist, subject 2/palm.
    """
    folders = [
        folder for folder in training_folders(surveyed, roles) if _are_groups(folder.classes)
    ]
    return [
        labeling
        for folder in folders
        if (labeling := by_subfolders(folder)) and not any(map(_CASE.match, labeling.classes))
    ]


def _with_classes_alone(surveyed: Survey, folder: Folder, inquiry: Inquiry) -> Folder:
    """Of a folder of class folders beside fewer images in others, labeled ones perhaps: a question."""
    inside = folder.subfolders
    children = [child for child in surveyed.children(folder) if child.last_name in inside]
    nested = [child for child in children if len(child.classes) > 1]
    flat = [child for child in children if not child.subfolders]
    is_most = sum(len(child.images) for child in nested) > sum(len(child.images) for child in flat)
    is_clear = len(children) == 2 or is_most
    if not (is_clear and len(nested) == 1 and 0 < len(flat) == len(children) - 1):
        return folder
    return one_of(surveyed, [folder, *nested], "train", inquiry)


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


def _beside_splits(surveyed: Survey, roles: Roles, outer: Folder) -> list[Folder]:
    """What lies beside validation and test folders: the only folder, or class folders.

    Where they lie in the only folder there is, it is what lies in that.
    """
    splits = {folder.name for folder in (*roles["valid"], *roles["test"])}
    children = surveyed.children(outer)
    rest = no_masks([child for child in children if not _holds_any(child, splits)])
    rest = [child for child in rest if letters(child.last_name) not in PREVIEWS]
    named = [child for child in rest if letters(child.last_name) in NO_CLASSES]
    rest = named if len(named) == 1 else rest
    if len(rest) == 1:
        return [inner(surveyed, rest[0])]
    if rest:
        names = {child.last_name for child in children} - {child.last_name for child in rest}
        images = tuple(image for image in outer.images if image.partition("/")[0] not in names)
        return [Folder(outer.name, images)]
    is_around = len(children) == 1 and roles.split_of(children[0]) is None
    return _beside_splits(surveyed, roles, children[0]) if is_around else []


def _holds_any(folder: Folder, names: Collection[str]) -> bool:
    """Whether one of these folders is this one, or inside it."""
    return any(name == folder.name or name.startswith(f"{folder.name}/") for name in names)


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
    names = [folder.last_name for folder in folders]
    has_names = not (any(map(str.isdigit, names)) or _are_groups(names))
    is_same = len({folder.classes for folder in variants}) == 1
    inside = variants[0].classes if variants else ()
    are_classes = not (_are_images_and_masks(inside) or _are_groups(inside))
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


def without_tables(surveyed: Survey, roles: Roles) -> list[Labeling]:
    """Labels of outer folders, of folders in those of groups, or in parts of the file names; parts only
    where there is no table but a sample: another one would hold the labels.
    """
    outer = by_outer_folders(surveyed, roles)
    inside = [outer] if outer else classes_of_groups(surveyed, roles)
    if inside or not all(looks_like_sample(table.file) for table in surveyed.tables):
        return inside
    return [
        labeling for folder in training_folders(surveyed, roles) for labeling in by_parts(folder)
    ]
