"""Labels in a part of the file names, as 1 in CHNCXR_0001_1: choices, of which none is taken by itself."""

import re
from collections import Counter
from pathlib import PurePosixPath

from ensemble.dataset.filenames import without_suffix
from ensemble.layout.column_labels import FEW
from ensemble.layout.labeling import Labeling
from ensemble.layout.survey import Folder

_MARKS = "_-. "
_LONG_NUMBER = re.compile(r"\d{5,}")  # a date, a time or an id


def by_parts(folder: Folder) -> list[Labeling]:
    """A labeling for each part of the file names that repeats; [] where the names differ in form.

    Parts stand between the same mark in all names, equally many in each.
    """
    stems = {image: without_suffix(PurePosixPath(image).name) for image in folder.images}
    for mark in _MARKS:
        parts = {image: stem.split(mark) for image, stem in stems.items()}
        sizes = {len(texts) for texts in parts.values()}
        if len(sizes) != 1 or max(sizes) < 2:
            continue
        labelings = [
            _by_part(folder, mark, i, {image: texts[i] for image, texts in parts.items()})
            for i in range(max(sizes))
        ]
        return [labeling for labeling in labelings if _may_be_label(labeling.counts)]
    return []


def _by_part(folder: Folder, mark: str, i: int, labels: dict[str, str]) -> Labeling:
    text, between = f"[^{re.escape(mark)}]*", re.escape(mark)
    pattern = f"^(?:{text}{between}){{{i}}}({text})(?:{between}|$)"
    return Labeling("names", folder, labels, pattern=pattern, part=i + 1)


def _may_be_label(counts: Counter[str]) -> bool:
    return (
        2 <= len(counts) <= FEW * counts.total()
        and all(counts)
        and not all(map(_LONG_NUMBER.fullmatch, counts))
    )
