"""Folders that keep images together: patients or sequences around class folders, or inside them."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from ensemble.layout.groups import FEW_GROUPS, LEAST_SIZE, WORDS, GroupColumn
from ensemble.layout.labeling import Labeling

MOST_OF_ID = 2  # letters or digits of ids after which folders are named
MOST_OF_CODE = 3  # letters of a code, as in OAS1_0001; more are a word
_PART = re.compile(
    r"(?:part|batch|chunk|images?|imgs?|folder|set|disk|vol|volume|shard|zip)[ _-]*(\d+)$", re.I
)
_NO_CASE = re.compile(r"n\d{8}|x?\d+x\d*", re.I)  # classes of WordNet, 40x, 224x224


def folder_groups(labeling: Labeling) -> list[GroupColumn]:
    """The level of folders that are called like cases, each with several images, or none.

    Of several levels it is the uppermost with enough folders to be split, else the lowest. Of images
    that a table labels, the folders must be called by a word for groups: patient00012.
    """
    parents = {image: PurePosixPath(image).parts[:-1] for image in labeling.labels}
    first = 1 if labeling.source == "folders" else 0  # the folder of the class
    end = min(map(len, parents.values())) - (labeling.source == "subfolders")
    levels = [
        GroupColumn(
            table=None,
            id="",
            column="folder",
            n_groups=len(counts),
            pattern=f"^{'[^/]+/' * first}({'[^/]+/' * (level - first)}[^/]+)/",
            largest=max(counts.values()),
            example=min(counts),
        )
        for level in range(first, end)
        if (counts := _groups_at(labeling, parents, first, level))
    ]
    several = [group for group in levels if group.n_groups >= FEW_GROUPS]
    return several[:1] or levels[-1:]


def _groups_at(
    labeling: Labeling, parents: dict[str, tuple[str, ...]], first: int, level: int
) -> Counter[str]:
    """How many images each folder of a level has, empty where these are no groups."""
    group_of = {image: "/".join(parts[first : level + 1]) for image, parts in parents.items()}
    counts = Counter(group_of.values())
    names = {parts[level] for parts in parents.values()}
    needs_word = labeling.source not in ("folders", "subfolders")
    if not all(_is_case(name, needs_word) for name in names) or are_numbered(sorted(names)):
        return Counter()
    if len(counts) < 2 or len(counts) > len(group_of) / LEAST_SIZE:
        return Counter()
    if all(is_of_id(image, parts[level]) for image, parts in parents.items()):
        return Counter()
    pairs = {(label, group_of[image]) for image, label in labeling.labels.items()}
    is_class_each = min(Counter(label for label, _ in pairs).values()) < 2
    return Counter() if labeling.target == "class" and is_class_each else counts


def _is_case(name: str, needs_word: bool) -> bool:
    """Whether a folder is called by a number, a code or a word for groups: 8863, OAS1_0001, subject 3."""
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", name)]
    of_groups = [word for word in words if word.removesuffix("s") in WORDS]
    if (
        _NO_CASE.fullmatch(name)
        or not any(map(str.isdigit, name))
        or (needs_word and not of_groups)
    ):
        return False
    return all(word in of_groups or len(word) <= MOST_OF_CODE for word in words)


def are_numbered(names: Sequence[str]) -> bool:
    """Whether names are equal but for a number, and say that they are parts of a set."""
    parts = {name[: match.start(1)] for name in names if (match := _PART.search(name))}
    return len(parts) == 1 and all(map(_PART.search, names))


def is_of_id(image: str, folder: str) -> bool:
    """Whether a folder is named by how the ids in it begin: a/b/c/abc12.jpg, 07/07123.jpg."""
    is_begun = re.match(rf"{re.escape(folder)}[^\W_]", PurePosixPath(image).name) is not None
    return len(folder) <= MOST_OF_ID and is_begun
