"""Which folders hold the training, validation and test images: by name in any spelling, and by what is in them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ensemble.dataset.scan import image_files
from ensemble.errors import DataError

Split = Literal["train", "valid", "test"]

USUAL: dict[Split, tuple[str, ...]] = {  # names that mean a split even alone
    "train": ("train", "training", "train_images", "train_imgs", "images", "imgs", "jpg"),
    "valid": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "test_images", "test_imgs", "eval"),
}
_WORDS: dict[Split, str] = {
    "train": "train|training|trn",
    "valid": "val|valid|validation|dev",
    "test": "test|testing|tst|eval|pred|prediction|predictions",
}
_ENDINGS = "set|data|dataset|images?|imgs?|pics?|photos?|features|resized"
_PATTERNS = {
    split: re.compile(rf"(?:{words})(?:{_ENDINGS})?", re.IGNORECASE)
    for split, words in _WORDS.items()
}
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def split_of_name(name: str) -> Split | None:
    """The one split that a word of the name means; None for no split, or for several."""
    tokens = _TOKEN.findall(name)
    splits = {
        split
        for split, pattern in _PATTERNS.items()
        if any(pattern.fullmatch(token) for token in tokens)
    }
    return splits.pop() if len(splits) == 1 else None


def _splits_of(names: Sequence[str]) -> set[Split]:
    """The splits that these folders' names mean together."""
    usual = {split for split, words in USUAL.items() for name in names if name.lower() in words}
    spelled = {split for split in map(split_of_name, names) if split}
    return usual | spelled if len(spelled) > 1 else usual


def split_folders(root: Path, folders: Sequence[str]) -> tuple[str | None, str | None, str | None]:
    """The training, validation and test folder. Raises DataError where two folders could be one.

    A usual name counts alone. Another spelling counts only beside a second split, since a class may
    be called `test_tube`. Of several test folders, one with the training classes is for validation.
    """
    train = _usual(root, folders, "train")
    valid = _usual(root, folders, "valid")
    test = _usual(root, folders, "test")
    spelled = {
        split: [
            name
            for name in folders
            if split_of_name(Path(name).name) == split and has_images(root / name)
        ]
        for split in USUAL
    }
    if sum(map(bool, spelled.values())) > 1:
        train = train or _only(root, spelled["train"], "train")
        valid = valid or _only(root, spelled["valid"], "valid")
        labeled = [name for name in spelled["test"] if train and _are_labeled(root, train, name)]
        if test is None and valid is None and 0 < len(labeled) < len(spelled["test"]):
            valid = _only(root, labeled, "valid")
        rest = [name for name in spelled["test"] if name != valid]
        test = test or _only(root, rest, "test")
    return _inner(root, train), _inner(root, valid), _inner(root, test)


def _usual(root: Path, folders: Sequence[str], split: Split) -> str | None:
    """The first folder of a usual name that holds images."""
    # of two folders with one name, the one that is not nested: it comes first
    by_lower = {Path(folder).name.lower(): folder for folder in reversed(folders)}
    for name in USUAL[split]:
        if name in by_lower and has_images(root / by_lower[name]):
            return by_lower[name]
    return None


def _only(root: Path, names: Sequence[str], split: Split) -> str | None:
    if len(names) > 1:
        raise DataError(
            f"{root}: {', '.join(names)[:200]}: each could be the {split} folder\n"
            f"move all but one of them away, or name one in data.{split} of a recipe"
        )
    return names[0] if names else None


def _are_labeled(root: Path, train: str, folder: str) -> bool:
    """Whether a folder holds folders of the training classes."""
    classes = class_names(root / (_inner(root, train) or train))
    names = class_names(root / (_inner(root, folder) or folder))
    return bool(names) and set(names) <= set(classes)


def _inner(root: Path, name: str | None) -> str | None:
    """The folder inside folders that hold one folder alone: of the same name, or of class folders."""
    while name is not None:
        children = [child for child in (root / name).iterdir() if child.name[0] not in "._"]
        if len(children) != 1 or not children[0].is_dir():
            return name
        (child,) = children
        if child.name.lower() != Path(name).name.lower() and not class_names(child):
            return name
        name = f"{name}/{child.name}"
    return None


def _subfolders(folder: Path) -> list[Path]:
    children = [child for child in folder.iterdir() if child.name[0] not in "._"]
    return sorted(child for child in children if child.is_dir())


def folder_names(root: Path) -> tuple[str, ...]:
    """POSIX names of the folders; then of those inside one that holds training and test folders."""
    top = _subfolders(root)
    nested: list[Path] = []
    for folder in top:
        inside = _subfolders(folder)
        if {"train", "test"} <= _splits_of([child.name for child in inside]):
            nested += inside
    return tuple(folder.relative_to(root).as_posix() for folder in [*top, *nested])


def has_images(folder: Path) -> bool:
    """Whether there is an image in a folder, at any depth. Raises DataError."""
    return bool(image_files(folder))


def class_names(folder: Path) -> list[str]:
    """The names of the subfolders that hold images. Raises DataError."""
    return [child.name for child in _subfolders(folder) if has_images(child)]
