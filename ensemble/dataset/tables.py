"""The image table and the layouts it is read from: class folders, a labels CSV, the digits."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.csvfile import BETWEEN_LABELS, read_csv
from ensemble.dataset.filenames import bare_name, contents, same_form
from ensemble.dataset.scan import image_files, one_line, passed_over_line, scan
from ensemble.errors import DataError
from ensemble.files import not_written, staged_folder
from ensemble.paths import cache_root
from ensemble.recipe import LabelsFile


@dataclass(frozen=True, eq=False)
class Images:
    """Named image files, sorted by id; labels is (images,) class names, or None where they are unknown.

    groups is (images,) names of what must stay together, such as a patient or a cluster of copies, or None.
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
        labels, groups = (
            None if x is None else tuple(x[i] for i in rows) for x in (self.labels, self.groups)
        )
        return Images(
            tuple(self.ids[i] for i in rows), tuple(self.files[i] for i in rows), labels, groups
        )

    def and_(self, others: "Images") -> "Images":
        """These images and then the others, all labelled; ids may come twice."""
        return Images(
            self.ids + others.ids, self.files + others.files, self.classes + others.classes
        )


def sorted_images(rows: Sequence[tuple[str, Path, str | None]]) -> Images:
    """A table from (id, file, label) rows in any order."""
    rows = sorted(rows, key=lambda row: row[0])
    labels = tuple(str(row[2]) for row in rows)
    has_labels = all(row[2] is not None for row in rows)
    return Images(
        tuple(row[0] for row in rows), tuple(row[1] for row in rows), labels if has_labels else None
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
    """A folder with one folder per class. Raises DataError for none, or for an empty one."""
    files = image_files(folder)
    children = [
        child for child in sorted(folder.iterdir()) if not child.name.startswith((".", "__"))
    ]
    broken = next(
        (child for child in children if child.is_symlink() and not os.path.exists(child)), None
    )
    if broken is not None:
        raise DataError(
            f"{one_line(broken)}: a link that leads nowhere\nremove the link, or put back what it leads to"
        )
    classes = [child for child in children if os.path.isdir(child)]
    if not classes:
        raise DataError(f"{folder}: expected one folder per class, found none\n{contents(folder)}")
    labels = [path.relative_to(folder).parts[0] for path in files]
    counts = Counter(labels)
    empty = [child.name for child in classes if not counts[child.name]]
    if empty:
        raise DataError(
            f"{one_line(folder / empty[0])}: no image in this class folder ({len(empty)} such folders)\n"
            f"{passed_over_line(scan(folder / empty[0])) or 'it is empty'}; add images or remove it"
        )
    stray = [path for path in files if path.parent == folder]
    if stray:
        raise DataError(
            f"{one_line(stray[0])}: an image outside the class folders ({len(stray)} of them)\nmove it into its class"
        )
    return sorted_images(list(zip(ids_of(files, folder), files, labels, strict=True)))


def test_folder(folder: Path, classes: Sequence[str]) -> Images:
    """A test folder: labelled where it has the class folders, else every image below it. Raises DataError."""
    files = image_files(folder)
    if not files:
        holds = passed_over_line(scan(folder)) or contents(folder)
        raise DataError(f"{folder}: no image in the test folder\n{holds}")
    tops = [path.relative_to(folder).parts[0] for path in files]
    known = {same_form(name) for name in classes}
    labelled = all(
        path.parent != folder and same_form(top) in known
        for path, top in zip(files, tops, strict=True)
    )
    names = ids_of(files, folder)
    return sorted_images(
        [(names[i], files[i], tops[i] if labelled else None) for i in range(len(files))]
    )


def labelled_files(
    root: Path, folder: str, labels: str | LabelsFile, others: str | None = None
) -> tuple[Images, dict[str, dict[str, str]]]:
    """The files of a folder that a labels CSV names, and the CSV's rows by id.

    Rows about files in the folder `others` are passed over. Raises DataError naming file, line and id.
    """
    wanted = labels if isinstance(labels, LabelsFile) else LabelsFile(file=labels, id="", label="")
    path = root / wanted.file
    header, rows = read_csv(path, BETWEEN_LABELS)
    id_column, label_column = (
        wanted.id or header[0],
        wanted.label or header[1 if len(header) > 1 else 0],
    )
    for column in (id_column, label_column):
        if column not in header:
            raise DataError(f"{path}: no column {column!r}; it has {', '.join(header)[:200]}")
    if len(header) < 2:
        raise DataError(f"{path}: needs two columns, id and label; it has only {header[0][:100]!r}")
    named = files_by_id(root, folder)
    named_elsewhere = files_by_id(root, others) if others else {}
    table: dict[Path, tuple[str, Path, str]] = {}
    for line, row in enumerate(rows, start=2):
        name, label = row[id_column], row[label_column]
        said = f"{path}:{line}: {id_column} {name[:100]!r}"
        matches, is_elsewhere = _meant(named, name), bool(_meant(named_elsewhere, name))
        if not matches and is_elsewhere:
            continue
        if matches and is_elsewhere:
            raise DataError(f"{said} has a file in {root / folder} and in {others}")
        if len(matches) != 1:
            problem = "has no file" if not matches else f"fits {len(matches)} files"
            raise DataError(f"{said} {problem} in {root / folder}")
        if matches[0] in table:
            raise DataError(f"{said} stands twice")
        if not label:
            raise DataError(f"{path}:{line}: {name[:100]!r} has an empty {label_column}")
        table[matches[0]] = (name, matches[0], label)
    return sorted_images(list(table.values())), {row[id_column]: row for row in rows}


def files_by_id(root: Path, folder: str) -> dict[str, list[Path]]:
    """The files that an id may mean: a full name first, else one without suffix, else with the folder before it."""
    full = {
        file.relative_to(root / folder).as_posix(): [file] for file in image_files(root / folder)
    }
    bare: dict[str, list[Path]] = {}
    composed: dict[str, list[Path]] = {}
    for name, files in full.items():
        bare.setdefault(bare_name(name), []).extend(files)
    for name, files in (bare | full).items():
        composed.setdefault(same_form(name), []).extend(files)
    names = composed | bare | full
    above = PurePosixPath(folder.replace("\\", "/")).parts
    tails = ["/".join(above[start:]) for start in range(len(above))]
    return {f"{tail}/{name}": files for tail in tails for name, files in names.items()} | names


def _meant(named: dict[str, list[Path]], name: str) -> list[Path]:
    return named.get(name) or named.get(same_form(name), [])


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
