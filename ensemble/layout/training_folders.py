"""Which folders hold the training images, and which of them are class folders."""

from ensemble.layout.labeling import Labeling, by_folders
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, inner, one_of
from ensemble.layout.survey import ImageFolder, Survey


def class_folders(surveyed: Survey, roles: Roles, inquiry: Inquiry) -> Labeling | None:
    """The class folders: those of the training folder, else those at the root."""
    candidates = [folder for folder in training_folders(surveyed, roles) if len(folder.classes) > 1]
    if not candidates:
        return None
    return by_folders(one_of(surveyed, candidates, "train", inquiry))


def training_folders(surveyed: Survey, roles: Roles) -> list[ImageFolder]:
    """The folders that may hold the training images, if no table says which."""
    if roles["train"]:
        return list(roles["train"])
    root = surveyed.folders["."]
    if roles["valid"] or roles["test"]:
        return _beside_splits(surveyed, roles, root)
    children = surveyed.children(root)
    if len(children) == 1 and not root.has_loose_images:
        return [inner(surveyed, children[0])]
    variants = [child for child in children if len(child.classes) > 1]
    if len(variants) == len(children) > 1 and len({child.classes for child in variants}) == 1:
        return variants
    return [root]


def _beside_splits(surveyed: Survey, roles: Roles, root: ImageFolder) -> list[ImageFolder]:
    """What lies beside validation and test folders: the only folder, or class folders."""
    splits = [folder.name.partition("/")[0] for folder in (*roles["valid"], *roles["test"])]
    rest = [child for child in surveyed.children(root) if child.name not in splits]
    if len(rest) == 1:
        return [inner(surveyed, rest[0])]
    images = tuple(image for image in root.images if image.partition("/")[0] not in splits)
    return [ImageFolder(".", images)] if rest else []
