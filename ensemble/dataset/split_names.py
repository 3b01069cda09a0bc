"""Which splits the names of folders and files mean, in any spelling."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

Split = Literal["train", "valid", "test"]

USUAL: dict[Split, tuple[str, ...]] = {  # names that mean a split even alone
    "train": ("train", "training"),
    "valid": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval"),
}
_WORDS: dict[Split, str] = {
    "train": "train|training|trn|trainval",
    "valid": "val|valid|validate|validation|dev",
    "test": "test|testing|tst|eval|pred|prediction|predictions",
}
_ENDINGS = "set|data|dataset|images?|imgs?|pics?|photos?|labels?|features|resized"
_PATTERNS = {
    split: re.compile(rf"(?:{words})(?:{_ENDINGS})?", re.IGNORECASE)
    for split, words in _WORDS.items()
}
_SETS = {  # of a split and nothing else: training_set, eval_images
    split: re.compile(rf"(?:{words})[ _-]?(?:set|data|dataset|images?|imgs?)", re.IGNORECASE)
    for split, words in _WORDS.items()
}
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_OF_PARTS = re.compile(r"partition|train[_-]?test[_-]?split", re.IGNORECASE)  # CelebA, CUB


def split_of_name(name: str) -> Split | None:
    """The one split that a word of the name means; None for no split, or for several."""
    tokens = _TOKEN.findall(name)
    splits = {
        split
        for split, pattern in _PATTERNS.items()
        if any(pattern.fullmatch(token) for token in tokens)
    }
    return splits.pop() if len(splits) == 1 else None


def split_of_file(file: str) -> Split | None:
    """The split that a table's name means, else the folders that it is in: `train/metadata.csv`."""
    path = PurePosixPath(file)
    names = (path.stem, *reversed(path.parent.parts))
    return next((split for name in names if (split := split_of_name(name))), None)


def is_list_of_parts(file: str) -> bool:
    """Whether a file is called as lists of each image's part of a set are."""
    return _OF_PARTS.search(file) is not None


def without_split(name: str) -> str:
    """The words of a name without those that mean a split, in lower case."""
    words = [word.lower() for word in _TOKEN.findall(name)]
    return " ".join(word for word in words if split_of_name(word) is None)


def usual_split(name: str) -> Split | None:
    """The split that this name means even without other splits beside it."""
    return next(
        (
            split
            for split, names in USUAL.items()
            if name.lower() in names or _SETS[split].fullmatch(name)
        ),
        None,
    )


def splits_of_names(names: Sequence[str]) -> dict[str, Split]:
    """The splits that names beside each other mean.

    A usual name counts alone. Another spelling counts only beside a second split, since a class may
    be called `test_tube`.
    """
    usual = {name: split for name in names if (split := usual_split(name))}
    spelled = {name: split for name in names if (split := split_of_name(name))}
    return spelled | usual if len(set(spelled.values())) > 1 else usual
