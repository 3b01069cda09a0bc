"""The image table, and how it is read: from class folders, a labels CSV, the digits."""

import os
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.filenames import bare_name, contents, same_form
from ensemble.dataset.own_folders import is_written_by_ens
from ensemble.dataset.scan import image_files, one_line, passed_over_line, scan
from ensemble.errors import DataError
from ensemble.files import not_written, staged_folder
from ensemble.paths import cache_root
from ensemble.recipe import LabelsFile


@dataclass(frozen=True, eq=False)
class Images:
    """Named image files, sorted by id; labels is (images,) class names, or None if unknown.

    groups is (images,) names, or None: images of one group, such as a patient's or the copies of
    one image, must stay together.
    """

    ids: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[str, ...] | None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of images that have them, (images,)."""
        assert self.labels is not None
        return self.labels

    def take(self, rows: npt.NDArray[Any]) -> "Images":
        """The images at these positions, in this order."""
        return Images(
            ids=tuple(self.ids[i] for i in rows),
            files=tuple(self.files[i] for i in rows),
            labels=None if self.labels is None else tuple(self.labels[i] for i in rows),
            groups=None if self.groups is None else tuple(self.groups[i] for i in rows),
        )

    def and_(self, more: "Images") -> "Images":
        """These images, then more of them, all labeled; an id may appear in both."""
        return Images(self.ids + more.ids, self.files + more.files, self.classes + more.classes)


def sorted_images(rows: Sequence[tuple[str, Path, str | None]]) -> Images:
    """A table from (id, file, label) rows in any order."""
    rows = sorted(rows, key=lambda row: row[0])
    has_labels = all(label is not None for _, _, label in rows)
    return Images(
        ids=tuple(image_id for image_id, _, _ in rows),
        files=tuple(file for _, file, _ in rows),
        labels=tuple(str(label) for _, _, label in rows) if has_labels else None,
    )


def ids_of(files: Sequence[Path], folder: Path) -> list[str]:
    """POSIX paths under the folder, without suffix where that stays unique."""
    return short_names([path.relative_to(folder).as_posix() for path in files])


def short_names(full: Sequence[str]) -> list[str]:
    """File names without suffix where that stays unique."""
    bare = [bare_name(name) for name in full]
    counts = Counter(bare) + Counter(full)  # a.png.jpg keeps its suffix beside a.png
    return [short if counts[short] == 1 else name for short, name in zip(bare, full, strict=True)]


def class_folders(folder: Path) -> Images:
    """The images of a folder with one folder per class. Raises DataError for any other folder."""
    files = image_files(folder)
    labels = [path.relative_to(folder).parts[0] for path in files]
    _check_class_folders(folder, set(labels))
    stray = [path for path in files if path.parent == folder]
    if stray:
        raise DataError(
            f"{one_line(stray[0])}: an image outside the class folders ({len(stray)} of them)\n"
            "move it into its class"
        )
    return sorted_images(list(zip(ids_of(files, folder), files, labels, strict=True)))


def _check_class_folders(folder: Path, with_images: Set[str]) -> None:
    """Raises DataError for a broken link, for no class folders, and for one without images."""
    hidden = (".", "__")
    children = [child for child in sorted(folder.iterdir()) if not child.name.startswith(hidden)]
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


def test_folder(folder: Path, classes: Sequence[str]) -> Images:
    """The images of a test folder, labeled where all are in class folders. Raises DataError."""
    files = image_files(folder)
    if not files:
        holds = passed_over_line(scan(folder)) or contents(folder)
        raise DataError(f"{folder}: no image in the test folder\n{holds}")
    tops = [path.relative_to(folder).parts[0] for path in files]
    class_names = {same_form(name) for name in classes}
    is_labeled = all(
        path.parent != folder and same_form(top) in class_names
        for path, top in zip(files, tops, strict=True)
    )
    labels = tops if is_labeled else [None] * len(files)
    return sorted_images(list(zip(ids_of(files, folder), files, labels, strict=True)))


def labelled_files(
    root: Path, folder: str, labels: str | LabelsFile, elsewhere: str | None = None
) -> tuple[Images, dict[str, dict[str, str]]]:
    """The files of a folder that a labels CSV names, and the CSV's rows by id.

    Rows about files in the folder `elsewhere` are passed over. Raises DataError naming file, line
    and id.
    """
    path, id_column, label_column, rows = _read_labels(root, labels)
    files = files_by_id(root, folder)
    files_elsewhere = files_by_id(root, elsewhere) if elsewhere else {}
    images: dict[Path, tuple[str, Path, str]] = {}
    for line, row in enumerate(rows, start=2):
        image_id, label = row[id_column], row[label_column]
        where = f"{path}:{line}: {id_column} {image_id[:100]!r}"
        matches, is_elsewhere = _match(files, image_id), bool(_match(files_elsewhere, image_id))
        if not matches and is_elsewhere:
            continue
        if matches and is_elsewhere:
            raise DataError(f"{where} has a file in {root / folder} and in {elsewhere}")
        if len(matches) != 1:
            problem = "has no file" if not matches else f"fits {len(matches)} files"
            raise DataError(f"{where} {problem} in {root / folder}")
        if matches[0] in images:
            raise DataError(f"{where} appears twice")
        if not label:
            raise DataError(f"{path}:{line}: {image_id[:100]!r} has an empty {label_column}")
        images[matches[0]] = (image_id, matches[0], label)
    return sorted_images(list(images.values())), {row[id_column]: row for row in rows}


def _read_labels(
    root: Path, labels: str | LabelsFile
) -> tuple[Path, str, str, list[dict[str, str]]]:
    """A labels CSV: its path, its id column, its label column and its rows. Raises DataError."""
    if isinstance(labels, str):
        labels = LabelsFile(file=labels, id="", label="")
    path = root / labels.file
    header, rows = read_csv(path, LABEL_DELIMITERS)
    id_column = labels.id or header[0]
    label_column = labels.label or header[1 if len(header) > 1 else 0]
    for column in (id_column, label_column):
        if column not in header:
            raise DataError(f"{path}: no column {column!r}; it has {', '.join(header)[:200]}")
    if len(header) < 2:
        raise DataError(f"{path}: needs two columns, id and label; it has only {header[0][:100]!r}")
    return path, id_column, label_column, rows


def files_by_id(root: Path, folder: str) -> dict[str, list[Path]]:
    """The files that an id may mean: by full name, without suffix, with leading folders."""
    files = image_files(root / folder)
    full = {file.relative_to(root / folder).as_posix(): [file] for file in files}
    bare: dict[str, list[Path]] = {}
    composed: dict[str, list[Path]] = {}
    for name, same_name in full.items():
        bare.setdefault(bare_name(name), []).extend(same_name)
    for name, same_name in (bare | full).items():
        composed.setdefault(same_form(name), []).extend(same_name)
    by_name = composed | bare | full
    folders = PurePosixPath(folder.replace("\\", "/")).parts
    by_path: dict[str, list[Path]] = {}
    for start in range(len(folders)):
        leading = "/".join(folders[start:])
        by_path |= {f"{leading}/{name}": same_name for name, same_name in by_name.items()}
    return by_path | by_name


def _match(files: dict[str, list[Path]], image_id: str) -> list[Path]:
    return files.get(image_id) or files.get(same_form(image_id), [])


def digits_folder() -> Path:
    """scikit-learn's 1,797 handwritten digits (8×8, UCI 1998) as PNG files with a labels.csv."""
    import sklearn

    target = cache_root() / f"digits-{sklearn.__version__}"
    if not target.exists():
        try:
            with staged_folder(target) as staging:
                _write_digits(staging)
        except OSError as error:
            if not target.exists():  # else another process was faster
                raise DataError(not_written(target, error)) from None
    return target


def _write_digits(folder: Path) -> None:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    (folder / "train").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / "train" / f"{i:04d}.png")
    rows = "".join(f"{i:04d},{label}\n" for i, label in enumerate(digits.target))
    (folder / "labels.csv").write_text("id,label\n" + rows)
