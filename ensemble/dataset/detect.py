"""Recognize a folder that no recipe describes: class folders, splits, labels, a sample."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.dataset.archives import folder_of
from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.filenames import contents, is_sample, same_form
from ensemble.dataset.image_sizes import N_OPENED, Sizes, sizes_of
from ensemble.dataset.label_column import check_folders_are_the_labels, labels_file
from ensemble.dataset.labels import label_doubts
from ensemble.dataset.scan import image_files, passed_over_line, scan
from ensemble.dataset.split_folders import (
    USUAL,
    class_names,
    folder_names,
    has_images,
    split_folders,
)
from ensemble.dataset.tables import files_by_id
from ensemble.errors import DataError
from ensemble.paths import find


@dataclass(frozen=True)
class Layout:
    """A recipe's data section as far as a folder shows it.

    labels is (file, id column, label column). counts is the number of labeled images by class;
    n_test is 0 without a test folder. doubts are questions to the user; notes are lines about files
    that are not images, and about values of more than 8 bits.
    """

    root: Path
    source: str
    train: str
    valid: str | None
    test: str | None
    labels: tuple[str, str, str] | None
    sample_submission: str | None
    counts: dict[str, int]
    n_valid: int
    n_test: int
    sizes: Sizes
    doubts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_train(self) -> int:
        """Labeled images, without those of a validation folder."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class _Folders:
    """The folders and the sample submission below a root, as they are named."""

    root: Path
    train: str | None
    valid: str | None
    test: str | None
    sample: str | None
    names: tuple[str, ...]


def detect_layout(path: str) -> Layout:
    """The layout of a folder or archive. Raises DataError for one that is not known."""
    root = _unwrapped(folder_of(find(path)))
    names = folder_names(root)
    train, valid, test = split_folders(root, names)
    samples = [file.name for file in sorted(root.glob("*.csv")) if is_sample(file.name)]
    sample = _fitting_sample(root, samples, test)
    layout = _detected(_Folders(root, train, valid, test, sample, names))
    if len(samples) > 1:
        doubt = f"sample submissions: {', '.join(samples)}; {sample} is used"
        layout = replace(layout, doubts=(doubt, *layout.doubts))
    return replace(layout, notes=_notes(layout))


def _notes(layout: Layout) -> tuple[str, ...]:
    """What the folders hold besides images, and how values of more than 8 bits will be scaled.

    The range is measured on some files, spread over all; a training measures its own.
    """
    from ensemble.dataset.depth import measured_ranges

    names = [name for name in (layout.train, layout.valid, layout.test) if name]
    scans = [scan(layout.root / name) for name in dict.fromkeys(names)]
    files = sorted({file for scanned in scans for file in scanned.images})
    ranges = measured_ranges(files[:: max(1, len(files) // N_OPENED)])
    return tuple(filter(None, [passed_over_line(*scans), str(ranges)]))


def _unwrapped(root: Path) -> Path:
    """The folder inside folders that hold nothing else, as downloads often do."""
    while True:
        hidden = (".", "__MACOSX")
        children = [child for child in root.iterdir() if not child.name.startswith(hidden)]
        if len(children) != 1 or not children[0].is_dir():
            return root
        (child,) = children
        is_class = not class_names(child) and has_images(child)
        if is_class or child.name.lower() in USUAL["train"]:
            return root
        root = child


def _fitting_sample(root: Path, samples: Sequence[str], test: str | None) -> str | None:
    """The sample submission with as many rows as there are test images, else the first."""
    if len(samples) > 1 and test is not None:
        n_test = len(image_files(root / test))
        for name in samples:
            if len(read_csv(root / name)[1]) == n_test:
                return name
    return samples[0] if samples else None


def _detected(folders: _Folders) -> Layout:
    labels = labels_file(folders.root, folders.train, folders.sample)
    if labels is not None:
        return _from_csv(folders, labels)
    root, train = folders.root, folders.train
    are_classes = folders.names and all(has_images(root / name) for name in folders.names)
    if train is None and not folders.valid and not folders.test and are_classes:
        (first, *rest) = folders.names
        is_wrapper = not rest and class_names(root / first)  # beside a license, a readme
        train = first if is_wrapper else "."
    if train is None or not class_names(root / train):
        lines = [
            f"{root}: neither class folders (train/<class>/… or <class>/…) nor a labels CSV "
            "next to a folder of images",
            contents(root),
            passed_over_line(scan(root)),
        ]
        raise DataError("\n".join(filter(None, lines)))
    return _from_folders(replace(folders, train=train))


def _from_csv(folders: _Folders, labels: tuple[str, str, str]) -> Layout:
    root, train, test = folders.root, folders.train, folders.test
    assert train is not None
    file, id_column, label_column = labels
    header, rows = read_csv(root / file, LABEL_DELIMITERS)
    counts = Counter(row[label_column] for row in rows)
    more_columns = [column for column in header if column not in (id_column, label_column)]
    n_files = len(image_files(root / train))
    is_shared = test is None and n_files > len(rows)
    if is_shared and folders.sample and _are_in(root, train, folders.sample):
        test = train  # the test images are those without a label
    test_files = image_files(root / test) if test and test != train else []
    n_test = n_files - len(rows) if test == train else len(test_files)
    sizes, unreadable = sizes_of([*image_files(root / train), *test_files])
    doubts = _column_doubts(file, label_column, more_columns, counts)
    if test != train and n_files != len(rows):
        doubts.append(f"{train} has {n_files:,} images, {file} has {len(rows):,} rows")
    doubts += _sample_doubts(root, folders.sample, test, n_test)
    return Layout(
        root=root,
        source="csv",
        train=train,
        valid=None,
        test=test,
        labels=labels,
        sample_submission=folders.sample,
        counts=dict(sorted(counts.items())),
        n_valid=0,
        n_test=n_test,
        sizes=sizes,
        doubts=(*doubts, *unreadable, *label_doubts(counts), *_small_classes(counts)),
    )


def _column_doubts(
    file: str, label_column: str, more_columns: Sequence[str], counts: Counter[str]
) -> list[str]:
    doubts = []
    if more_columns:
        listed = ", ".join(more_columns[:4])
        doubts.append(f"{file} has other columns: {listed}; data.group can use one of them")
    if len(counts) > max(2, counts.total() // 2):
        doubts.append(
            f"column {label_column} has {len(counts):,} different values "
            f"in {counts.total():,} rows: is it a label?"
        )
    return doubts


def _sample_doubts(root: Path, sample: str | None, test: str | None, n_test: int) -> list[str]:
    n_rows = len(read_csv(root / sample)[1]) if sample else n_test
    if n_rows == n_test:
        return []
    holds = test or "no test folder"
    return [f"{sample} has {n_rows:,} rows, {holds} has {n_test:,} images"]


def _are_in(root: Path, folder: str, sample: str) -> bool:
    """Whether a sample submission asks for images of this folder."""
    header, rows = read_csv(root / sample)
    ids = files_by_id(root, folder).keys()
    return all(same_form(row[header[0]]) in ids for row in rows)


def _from_folders(folders: _Folders) -> Layout:
    root, train, valid, test = folders.root, folders.train, folders.valid, folders.test
    assert train is not None
    files = image_files(root / train)
    test_files = image_files(root / test) if test else []
    counts = Counter(file.relative_to(root / train).parts[0] for file in files)
    if len(counts) < 2:
        raise DataError(
            f"{root / train}: {min(counts)!r} would be the only class\n"
            "class folders need two or more; a labels CSV must name the images of its folder"
        )
    names = [file.relative_to(root / train) for file in files]
    check_folders_are_the_labels(root, train, folders.sample, names)
    sizes, unreadable = sizes_of([*files, *test_files])
    return Layout(
        root=root,
        source="folder",
        train=train,
        valid=valid,
        test=test,
        labels=None,
        sample_submission=folders.sample,
        counts=dict(sorted(counts.items())),
        n_valid=len(image_files(root / valid)) if valid else 0,
        n_test=len(test_files),
        sizes=sizes,
        doubts=(*unreadable, *label_doubts(counts), *_small_classes(counts)),
    )


def _small_classes(counts: Counter[str]) -> list[str]:
    single = [name for name, count in counts.items() if count == 1]
    small = [name for name, count in counts.items() if count < 10]
    doubts = []
    if single:
        doubts.append(
            f"class {min(single)!r} has one image, so it cannot be split: "
            "add some, or remove the class"
        )
    if small:
        doubts.append(
            f"{len(small)} of {len(counts)} classes have fewer than 10 images, "
            f"such as {min(small)!r}"
        )
    return doubts
