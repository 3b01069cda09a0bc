"""Labels that folders hold: one folder per class, in the training, validation or test folder."""

import os
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

from ensemble.dataset.filenames import contents, is_hidden, names_below, same_form
from ensemble.dataset.own_folders import is_written_by_ens
from ensemble.dataset.scan import image_files, one_line, passed_over_line, scan
from ensemble.dataset.tables import Images, ids_of, sorted_images
from ensemble.errors import DataError
from ensemble.grouping import grouped


def class_folders(folder: Path, test: Set[Path] = frozenset()) -> Images:
    """The images of a folder with one folder per class, without those for the test.

    Raises DataError for any other folder.
    """
    files = image_files(folder)
    labels = top_folders(folder, files)
    _check_class_folders(folder, set(filter(None, labels)))
    stray = [
        path
        for path, label in zip(files, labels, strict=True)
        if label is None and path not in test
    ]
    if stray:
        raise DataError(
            f"{one_line(stray[0])}: an image outside the class folders ({len(stray)} of them)\n"
            "move it into its class"
        )
    rows = zip(ids_of(files, folder), files, labels, strict=True)
    return sorted_images([row for row in rows if row[1] not in test])


def _check_class_folders(folder: Path, with_images: Set[str]) -> None:
    """Raises DataError for a broken link, for no class folders, and for one without images."""
    children = [
        child
        for child in sorted(folder.iterdir())
        if not is_hidden(child.name) and not child.name.startswith("__")
    ]
    for child in children:
        if child.is_symlink() and not os.path.exists(child):
            raise DataError(
                f"{one_line(child)}: a broken link\nremove the link, or restore its target"
            )
    folders = [child for child in children if os.path.isdir(child)]
    classes = [child for child in folders if not is_written_by_ens(child)]
    if not classes:
        raise DataError(f"{folder}: expected one folder per class, found none\n{contents(folder)}")
    empty = [child for child in classes if child.name not in with_images]
    if empty:
        holds = passed_over_line(scan(empty[0])) or "it is empty"
        raise DataError(
            f"{one_line(empty[0])}: no image in this class folder ({len(empty)} such folders)\n"
            f"{holds}; add images or remove it"
        )


def test_folder(folder: Path, classes: Iterable[str]) -> tuple[Images, str]:
    """The images of a test folder, labeled where all are in class folders, and a line.

    The line says why images in class folders have no labels. Raises DataError without images.
    """
    files = image_files(folder)
    if not files:
        holds = passed_over_line(scan(folder)) or contents(folder)
        raise DataError(f"{folder}: no image in the test folder\n{holds}")
    folders = top_folders(folder, files)
    line = unlabeled_line(folders, classes)
    labels = folders if line is None else [None] * len(files)
    return sorted_images(list(zip(ids_of(files, folder), files, labels, strict=True))), line or ""


def top_folders(folder: Path, files: Sequence[Path]) -> list[str | None]:
    """The name of the folder in a folder that holds each file; None for one directly inside."""
    tops = [name.partition("/") for name in names_below(folder, files)]
    return [top if slash else None for top, slash, _ in tops]


def unlabeled_line(folders: Sequence[str | None], classes: Iterable[str]) -> str | None:
    """None where test images are all in class folders, else a line, "" if none of them is."""
    class_of = spelling(classes)
    unknown = [name for name in folders if name is None or class_of(name) is None]
    if not unknown:
        return None
    if len(unknown) == len(folders):
        return ""
    names = sorted({name for name in unknown if name is not None})
    reason = f"folder {names[0]!r} is not a class" if names else "not all are in a class folder"
    more = f" ({len(names)} such folders)" if len(names) > 1 else ""
    return f"test images are used without labels: {reason}{more}"


def spelling(classes: Iterable[str]) -> Callable[[str], str | None]:
    """A function from a name to the class that it means, None for no class.

    Equal letters in another Unicode form mean a class; so do those in another case, if they are
    the letters of one class alone.
    """
    by_form = {same_form(name): name for name in classes}
    by_letters = grouped((form.casefold(), name) for form, name in by_form.items())

    def class_of(name: str) -> str | None:
        alike = by_letters.get(same_form(name).casefold(), [])
        return by_form.get(same_form(name)) or (alike[0] if len(alike) == 1 else None)

    return class_of
