"""What lies in a folder that nobody has described: class folders, parts, a labels file, a sample submission."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.dataset.archives import folder_of
from ensemble.dataset.csvfile import BETWEEN_LABELS, read_csv
from ensemble.dataset.filenames import contents, is_sample, same_form
from ensemble.dataset.scan import image_files, passed_over_line, scan
from ensemble.dataset.tables import files_by_id
from ensemble.errors import DataError
from ensemble.paths import find

TRAIN = ("train", "training", "train_images", "train_imgs", "images", "imgs", "jpg")
VALID = ("val", "valid", "validation", "dev")
TEST = ("test", "testing", "test_images", "test_imgs", "eval")
LABELS = ("label", "labels", "target", "class", "breed", "category", "species", "diagnosis", "y")
N_LOOKED_AT = 300  # headers that are read to learn sizes


@dataclass(frozen=True)
class Sizes:
    """Widths and heights of some images, and the files whose header no decoder accepts."""

    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    unreadable: tuple[Path, ...]

    @property
    def side(self) -> int:
        """The median picture's short side in pixels."""
        return min(self.median)


@dataclass(frozen=True)
class Layout:
    """A recipe's data section as far as a folder tells it; labels is (file, id column, label column).

    counts is the number of labelled images by class; n_test is 0 without a test folder. notes are lines about files
    that are no images, and about values of more than 8 bits.
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
        """Labelled images, without those of a validation folder."""
        return sum(self.counts.values())


def recognise(path: str) -> Layout:
    """The layout of a folder or archive. Raises DataError where it is none that is known."""
    root = _inner(folder_of(find(path)))
    folders = _folders(root)
    train, valid, test = (_named(folders, names) for names in (TRAIN, VALID, TEST))
    samples = [own.name for own in sorted(root.glob("*.csv")) if is_sample(own.name)]
    sample = _fitting(root, samples, test)
    doubts = (
        (f"sample submissions: {', '.join(samples)}; {sample} is taken",)
        if len(samples) > 1
        else ()
    )
    found = _recognised(root, folders, train, valid, test, sample)
    return _with_notes(replace(found, doubts=(*doubts, *found.doubts)))


def _with_notes(layout: Layout) -> Layout:
    """The layout with what its folders hold besides images, and how values of more than 8 bits will be scaled.

    These are measured on some files, spread over all; a training measures its own.
    """
    from ensemble.dataset.depth import measured_now

    folders = dict.fromkeys(part for part in (layout.train, layout.valid, layout.test) if part)
    scans = [scan(layout.root / folder) for folder in folders]
    files = sorted({file for scanned in scans for file in scanned.images})
    ranges = measured_now(files[:: max(1, len(files) // N_LOOKED_AT)])
    notes = (passed_over_line(*scans), str(ranges))
    return replace(layout, notes=tuple(note for note in notes if note))


def _folders(root: Path) -> dict[str, Path]:
    """The folders by name; where one holds the training and test images in folders of their own, these after them."""

    def within(folder: Path) -> list[Path]:
        return [
            child
            for child in sorted(folder.iterdir())
            if child.is_dir() and child.name[0] not in "._"
        ]

    top = within(root)
    nested = [
        own
        for folder in top
        for own in within(folder)
        if all(
            any(other.name.lower() in names for other in within(folder)) for names in (TRAIN, TEST)
        )
    ]
    return {folder.relative_to(root).as_posix(): folder for folder in [*top, *nested]}


def _fitting(root: Path, samples: Sequence[str], test: str | None) -> str | None:
    """The sample submission with as many rows as there are test images, else the first."""
    if len(samples) < 2 or test is None:
        return next(iter(samples), None)
    n_tests = len(image_files(root / test))
    return next((name for name in samples if len(read_csv(root / name)[1]) == n_tests), samples[0])


def _recognised(
    root: Path,
    folders: dict[str, Path],
    train: str | None,
    valid: str | None,
    test: str | None,
    sample: str | None,
) -> Layout:
    labelled = _labels_file(root, train)
    if labelled is not None:
        return _from_csv(root, *labelled, test, sample)
    if (
        train is None
        and folders
        and not valid
        and not test
        and all(_has_images(folder) for folder in folders.values())
    ):
        train = "."
    if train is None or not _class_names(root / train):
        lines = [
            f"{root}: neither class folders (train/<class>/… or <class>/…) nor a labels CSV beside a folder of images",
            contents(root),
            passed_over_line(scan(root)),
        ]
        raise DataError("\n".join(filter(None, lines)))
    return _from_folders(root, train, valid, test, sample)


def _inner(root: Path) -> Path:
    """Downloads often wrap everything in a folder, or two."""
    while True:
        children = [
            child for child in root.iterdir() if not child.name.startswith((".", "__MACOSX"))
        ]
        if (
            len(children) != 1
            or not children[0].is_dir()
            or _class_names(children[0]) == []
            and _has_images(children[0])
        ):
            return root
        if children[0].name.lower() in TRAIN:
            return root
        root = children[0]


def _named(folders: dict[str, Path], names: Sequence[str]) -> str | None:
    """The first folder of such a name that holds images."""
    by_lower = {
        Path(name).name.lower(): name for name in reversed(folders)
    }  # of two, the one that is not nested
    found = [by_lower[name] for name in names if name in by_lower]
    return next((name for name in found if _has_images(folders[name])), None)


def _has_images(folder: Path) -> bool:
    return bool(image_files(folder))


def _class_names(folder: Path) -> list[str]:
    children = [child for child in folder.iterdir() if child.is_dir() and child.name[0] not in "._"]
    return sorted(child.name for child in children if _has_images(child))


def _labels_file(root: Path, train: str | None) -> tuple[str, str, str, str] | None:
    """(folder, file, id column, label column) of a CSV that names the images of a folder."""
    for path in sorted(root.glob("*.csv")):
        if is_sample(path.name) or train is None:
            continue
        header, rows = read_csv(path, BETWEEN_LABELS)
        known = files_by_id(root, train).keys()
        ids = [
            column for column in header if all(same_form(row[column]) in known for row in rows[:50])
        ]
        others = [column for column in header if column not in ids[:1]]
        if ids and others:
            label = next((column for column in others if column.lower() in LABELS), others[0])
            return train, path.name, ids[0], label
    return None


def _from_csv(
    root: Path,
    train: str,
    file: str,
    id_column: str,
    label_column: str,
    test: str | None,
    sample: str | None,
) -> Layout:
    header, rows = read_csv(root / file, BETWEEN_LABELS)
    counts = Counter(row[label_column] for row in rows)
    others = [column for column in header if column not in (id_column, label_column)]
    _check_one_label(root / file, rows, [label_column, *others])
    doubts = (
        [f"{file} has more columns: {', '.join(others[:4])}; data.group can keep rows together"]
        if others
        else []
    )
    if len(counts) > max(2, len(rows) // 2):
        doubts.append(
            f"column {label_column} has {len(counts):,} different values in {len(rows):,} rows: is it a label?"
        )
    n_files = len(image_files(root / train))
    if test is None and sample and n_files > len(rows) and _are_in(root, train, sample):
        test = train  # one folder for both: the test images are those without a label
    elif n_files != len(rows):
        doubts.append(f"{train} holds {n_files:,} images, {file} has {len(rows):,} rows")
    tests = image_files(root / test) if test and test != train else []
    n_tests = n_files - len(rows) if test == train else len(tests)
    if sample:
        n_asked = len(read_csv(root / sample)[1])
        if n_asked != n_tests:
            doubts.append(
                f"{sample} asks for {n_asked:,} rows, {test or 'no test folder'} holds {n_tests:,} images"
            )
    sizes, more = _sizes([*image_files(root / train), *tests])
    return Layout(
        root,
        "csv",
        train,
        None,
        test,
        (file, id_column, label_column),
        sample,
        dict(sorted(counts.items())),
        0,
        n_tests,
        sizes,
        (*doubts, *more, *_small_classes(counts)),
    )


def _check_one_label(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str]) -> None:
    """Raises DataError where a column for each class says 0 or 1."""
    if len(columns) > 1 and all(
        sorted(row[name] for name in columns)[-2:] == ["0", "1"] for row in rows
    ):
        raise DataError(
            f"{path}: {', '.join(columns)[:200]}: a column for each class, but one label column is needed\n"
            "with pandas: d['label'] = d.iloc[:, 1:].idxmax(axis=1), then d.iloc[:, [0, -1]].to_csv(…, index=False)"
        )


def _are_in(root: Path, folder: str, sample: str) -> bool:
    """Whether a sample submission asks for images of this folder."""
    header, rows = read_csv(root / sample)
    known = files_by_id(root, folder).keys()
    return all(same_form(row[header[0]]) in known for row in rows)


def _from_folders(
    root: Path, train: str, valid: str | None, test: str | None, sample: str | None
) -> Layout:
    files = image_files(root / train)
    counts = Counter(file.relative_to(root / train).parts[0] for file in files)
    n_valid, tests = (
        len(image_files(root / valid)) if valid else 0,
        image_files(root / test) if test else [],
    )
    sizes, doubts = _sizes([*files, *tests])
    return Layout(
        root,
        "folder",
        train,
        valid,
        test,
        None,
        sample,
        dict(sorted(counts.items())),
        n_valid,
        len(tests),
        sizes,
        (*doubts, *_small_classes(counts)),
    )


def _small_classes(counts: Counter[str]) -> list[str]:
    small = [name for name, count in counts.items() if count < 10]
    lone = [name for name in small if counts[name] == 1]
    few = (
        f"{len(small)} of {len(counts)} classes have fewer than 10 images, such as {min(small)!r}"
        if small
        else ""
    )
    one = (
        f"class {min(lone)!r} has one image, so it cannot be split: add some, or take the class away"
        if lone
        else ""
    )
    return [doubt for doubt in (one, few) if doubt]


def _sizes(files: Sequence[Path]) -> tuple[Sizes, list[str]]:
    """Sizes by the headers of some files spread over all, and what is odd about them. Raises DataError."""
    from ensemble.dataset.decode import open_image

    step = max(1, len(files) // N_LOOKED_AT)
    found: list[tuple[int, int]] = []
    unreadable: list[Path] = []
    for file in files[::step]:
        try:
            with open_image(file) as image:
                found.append(image.size)
        except Exception:  # whatever a decoder raises on a damaged header, the file is unreadable
            unreadable.append(file)
    if not found:
        raise DataError(
            f"{files[0].parent}: no image there can be opened, the first: {files[0].name}"
        )
    by_area = sorted(found, key=lambda size: (size[0] * size[1], size))
    median = (
        round(statistics.median(w for w, _ in found)),
        round(statistics.median(h for _, h in found)),
    )
    sizes = Sizes(by_area[0], median, by_area[-1], tuple(unreadable))
    return sizes, [
        f"{len(unreadable)} files are no readable images, such as {unreadable[0].name}"
    ] if unreadable else []
