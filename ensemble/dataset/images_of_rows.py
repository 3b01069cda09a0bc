"""Images by what several of them share: the folder around them, or how their names begin."""

import re
from collections.abc import Mapping, Sequence

from ensemble.dataset.filenames import bare_name
from ensemble.grouping import grouped

_MARK = re.compile(r"[ ._-]+")
SIDES = "left|right|l|r|od|os"  # of a patient: two eyes, two breasts
# what follows an id in the name of one of its images: a mark, and a number or a side
_ENDING = re.compile(rf"[ ._-]+(?:\d+|{SIDES})", re.IGNORECASE)
_NUMBERED = re.compile(  # the same with a word for what is numbered: vid00_frame_0001
    r"[ ._-]+(?:frame|slice|view|image|img|photo|pic|crop|page)[ ._-]*\d+", re.IGNORECASE
)
ImagesOf = Mapping[str, Sequence[str]]  # by a folder's name, or by how names begin


def by_path(images: Sequence[str]) -> ImagesOf:
    """The images below each folder, by its path."""
    parts_of = ((image, image.split("/")) for image in images)
    return grouped(
        ("/".join(parts[:depth]), image)
        for image, parts in parts_of
        for depth in range(1, len(parts))
    )


def by_folder(images: Sequence[str]) -> ImagesOf:
    """The images below each folder, by its own name where no other folder has it."""
    images_of = grouped(
        (path.rpartition("/")[2], inside) for path, inside in by_path(images).items()
    )
    return {name: of[0] for name, of in images_of.items() if len(of) == 1}


def by_beginning(images: Sequence[str]) -> ImagesOf:
    """The images by how their names begin, before a number, a side or a numbered word such as frame,
    where all are in one folder; no name is that alone.
    """
    images_of: dict[str, dict[str, list[str]]] = {}
    whole: set[str] = set()
    for image in images:
        whole.add(bare_name(image.rpartition("/")[2]))
        for ending in (_ENDING, _NUMBERED):
            folder, _, start = _before(image, ending).rpartition("/")
            if start:
                images_of.setdefault(start, {}).setdefault(folder, []).append(image)
    return {
        start: next(iter(of.values()))
        for start, of in images_of.items()
        if len(of) == 1 and start not in whole
    }


def beginning(image: str) -> str:
    """An image's path without the suffix, the number or side at the end, and the mark before it; ""
    where there is none.
    """
    return _before(image, _ENDING)


def _before(image: str, ending: re.Pattern[str]) -> str:
    """An image's path without the suffix and this ending, "" where the name does not end so."""
    folder, slash, file = image.rpartition("/")
    name = bare_name(file)
    for mark in _MARK.finditer(name):
        if mark.start() and ending.fullmatch(name, mark.start()):
            return f"{folder}{slash}{name[: mark.start()]}"
    return ""
