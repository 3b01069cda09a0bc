"""Labelings that say the same: with the same labels, or with other names for the same classes."""

from collections.abc import Iterable, Sequence

from ensemble.layout.labeling import Labeling
from ensemble.layout.roles import Roles
from ensemble.layout.table import Table


def without_repeats(candidates: Sequence[Labeling], folders: Labeling | None) -> list[Labeling]:
    """The labelings that differ; one that repeats the class folders is these folders."""
    distinct: list[Labeling] = []
    for labeling in candidates:
        if folders is not None and _agree(labeling, folders):
            labeling = folders
        if not any(_agree(labeling, earlier) for earlier in distinct):
            distinct.append(labeling)
    return distinct


def _agree(a: Labeling, b: Labeling) -> bool:
    """Whether two labelings give all images the same labels."""
    return a is b or a.by_path == b.by_path


def with_best_names(
    candidates: Sequence[Labeling], sample: Table | None, roles: Roles
) -> list[Labeling]:
    """Of labelings that name the same classes otherwise, such as by number, the one to use.

    It is the one that labels more images, but class folders where the others are in the folders of
    other splits; then the one whose names are the sample's cells, without a sample the one of
    texts. Where neither has the sample's cells, both stay.
    """
    kept: list[Labeling] = []
    for labeling in candidates:
        twin = next((earlier for earlier in kept if _renames(earlier, labeling)), None)
        better = _better(twin, labeling, sample, roles) if twin else None
        if better is None:
            kept.append(labeling)
        else:
            kept = [better if earlier is twin else earlier for earlier in kept]
    return kept


def _renames(a: Labeling, b: Labeling) -> bool:
    """Whether one labeling has other names for the same classes, all its images being in the other.

    The same names in another order are no other names.
    """
    small, large = sorted((a.by_path, b.by_path), key=len)
    if not small.keys() <= large.keys() or 2 * len(small) < len(large):
        return False
    pairs = {(label, large[image]) for image, label in small.items()}
    names, renamed = {name for name, _ in pairs}, {name for _, name in pairs}
    has_other_names = names.isdisjoint(renamed) or all(a_name == b_name for a_name, b_name in pairs)
    are_classes = 2 * len(pairs) <= len(small)  # numbers that never repeat always fit each other
    return are_classes and has_other_names and len(pairs) == len(names) == len(renamed)


def _better(a: Labeling, b: Labeling, sample: Table | None, roles: Roles) -> Labeling | None:
    if len(a.labels) != len(b.labels):
        small, large = sorted((a, b), key=lambda labeling: len(labeling.labels))
        more = large.by_path.keys() - small.by_path.keys()
        are_elsewhere = all(roles.split_of_image(path) in ("valid", "test") for path in more)
        return small if small.source == "folders" and are_elsewhere else large
    if sample is None or len(sample.columns) != 2:
        return b if _are_numbers(a.classes) and not _are_numbers(b.classes) else a
    cells = set(sample.columns[1].counts)
    fitting = [labeling for labeling in (a, b) if cells <= set(labeling.classes)]
    return fitting[0] if len(fitting) == 1 else None


def _are_numbers(names: Iterable[str]) -> bool:
    return all(name.isdigit() for name in names)
