"""The image table: ids, files, labels and groups; the digits that come with scikit-learn."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.filenames import bare_name, names_below
from ensemble.errors import DataError
from ensemble.files import not_written, staged_folder
from ensemble.paths import cache_root


@dataclass(frozen=True, eq=False)
class Images:
    """Named image files, sorted by id; labels is (images,) class names, or None if unknown.

    groups is (images,) names, or None: images of one group, such as a patient's or the copies of
    one image, must stay together. rows is (images,) ids of the submission, where one is about
    several test images, else None.
    """

    ids: tuple[str, ...]
    files: tuple[Path, ...]
    labels: tuple[str, ...] | None
    groups: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None

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
            rows=None if self.rows is None else tuple(self.rows[i] for i in rows),
        )

    def where(self, mask: npt.NDArray[Any]) -> "Images":
        """The images where the mask (images,) is true."""
        return self.take(np.flatnonzero(mask))

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
    return short_names(names_below(folder, files))


def short_names(full: Sequence[str]) -> list[str]:
    """File names without suffix where that stays unique."""
    bare = [bare_name(name) for name in full]
    counts = Counter(bare) + Counter(full)  # a.png.jpg keeps its suffix beside a.png
    return [short if counts[short] == 1 else name for short, name in zip(bare, full, strict=True)]


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
