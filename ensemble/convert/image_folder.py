"""Images from records, rows or arrays, written as a plain folder: train/, valid/, test/, labels.csv."""

import csv
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble.dataset.filenames import SUFFIXES, is_hidden
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError
from ensemble.events import Progress

LABELS = "labels.csv"
MAX_NAME_BYTES = 200  # a file system's limit is 255, and a suffix follows
MAX_IMAGES = 5_000_000
DISK_BLOCK = 4096  # a file takes whole blocks of the disk
UNSAFE = frozenset('/\\:*?"<>|')  # not in a file name on every system


@dataclass(frozen=True)
class NewImage:
    """An image file to write: its name without the suffix, its bytes, its label if known.

    where names the file and the record, line or row that it comes from.
    """

    split: Split
    name: str
    suffix: str
    content: bytes
    label: str | None
    where: str


Images = Generator[NewImage, None, None]


@dataclass(frozen=True)
class Source:
    """What can be converted: words for a message, its size, and the images, read when asked for.

    n_bytes is the estimated size on the disk; files are those that need no copy.
    """

    kind: str
    n_images: int
    n_bytes: int
    images: Callable[[], Images]
    files: frozenset[Path]
    notes: tuple[str, ...] = ()


def size_on_disk(n_images: int, bytes_each: int) -> int:
    """The bytes that so many files of this size take on a disk."""
    return n_images * -(-bytes_each // DISK_BLOCK) * DISK_BLOCK


def checked_name(name: str, where: str) -> str:
    """The name of an image, safe as a file name on every system. Raises DataError."""
    problem = _name_problem(name)
    if problem:
        raise DataError(
            f"{where}: the id {name[:60]!r} cannot name a file: {problem}\n"
            "ids must be plain file names; repair the data"
        )
    return name


def _name_problem(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        return f"it is longer than {MAX_NAME_BYTES} bytes"
    if is_hidden(name):
        return "files that begin so are hidden"
    if not name.isprintable():
        return "it has a character that is not printable"
    if name != name.strip():
        return "it begins or ends with a space"
    unsafe = UNSAFE.intersection(name)
    return f"it contains {min(unsafe)!r}" if unsafe else ""


def checked_label(label: str, where: str) -> str:
    """A class name as one line of text. Raises DataError."""
    if not label.strip() or not label.isprintable():
        problem = "is empty" if not label.strip() else "has a character that is not printable"
        raise DataError(f"{where}: the label {label[:60]!r} {problem}\nrepair the data")
    return label


def write_images(images: Images, folder: Path, n_images: int, progress: Progress) -> None:
    """Write every image below an empty folder, and labels.csv with those of train and valid.

    A labeled test image is written to test/<label>/. Raises DataError for a name that is not safe
    or appears twice, and OSError where the disk refuses. labels.csv is only written if there are
    labels.
    """
    labels = folder / LABELS
    with closing(images), labels.open("w", encoding="utf-8", newline="") as stored:
        rows = csv.writer(stored, lineterminator="\n")
        rows.writerow(("id", "label"))
        target = _Target(folder, rows)
        for n_written, image in enumerate(images, start=1):
            if n_written > MAX_IMAGES:
                raise DataError(f"{image.where}: more than {MAX_IMAGES:,} images; refused")
            target.write(image)
            progress(n_written, n_images)
    if not target.n_labels:
        labels.unlink()


@dataclass
class _Target:
    """The folder that is filled, and the names that are taken in it."""

    folder: Path
    rows: Any  # a csv.writer, whose type has no public name
    names: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})
    folders: set[Path] = field(default_factory=set)
    is_test_labelled: bool | None = None
    n_labels: int = 0

    def write(self, image: NewImage) -> None:
        name, is_test = checked_name(image.name, image.where), image.split == "test"
        if name in self.names[is_test]:  # train and valid share labels.csv
            raise _repeated(image)
        self.names[is_test].add(name)
        if image.label is not None:
            checked_label(image.label, image.where)
        folder = self._test_folder(image) if is_test else self.folder / image.split
        if folder not in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
            self.folders.add(folder)
        try:
            with (folder / f"{name}{image.suffix}").open("xb") as stored:
                stored.write(image.content)
        except FileExistsError:  # in another case of its letters
            raise _repeated(image) from None
        if image.label is not None and not is_test:
            self.rows.writerow((f"{name}{image.suffix}", image.label))
            self.n_labels += 1

    def _test_folder(self, image: NewImage) -> Path:
        """test/, or test/<label>/ where test images have labels: all of them, or none."""
        is_labelled = image.label is not None
        if self.is_test_labelled is None:
            self.is_test_labelled = is_labelled
        if is_labelled != self.is_test_labelled:
            problem = "has a label" if is_labelled else "has no label"
            raise DataError(
                f"{image.where}: this test image {problem}, unlike the ones before\n"
                "label all test images, or none"
            )
        if image.label is None:
            return self.folder / "test"
        problem = _name_problem(image.label)
        if problem:
            raise DataError(
                f"{image.where}: the label {image.label[:60]!r} cannot name a folder: {problem}\n"
                "test images with labels are laid out as class folders; rename the class"
            )
        return self.folder / "test" / image.label


def _repeated(image: NewImage) -> DataError:
    return DataError(
        f"{image.where}: the id {image.name[:60]!r} appears twice\n"
        "every image needs an id of its own; repair the data"
    )


def suffix_of(content: bytes) -> str | None:
    """The suffix of an image file with this content, None where it begins as no image."""
    head = content[:16]
    for signature, suffix in _SIGNATURES.items():
        if head.startswith(signature):
            return suffix
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return ".avif"
    is_bmp = head.startswith(b"BM") and int.from_bytes(head[2:6], "little") == len(content)
    return ".bmp" if is_bmp else None


_SIGNATURES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"\0\0\0\x0cjP  \r\n": ".jp2",
}
assert set(_SIGNATURES.values()) <= SUFFIXES
