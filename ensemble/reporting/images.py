"""The images that runs were trained on, where available: counts, examples, copies, thumbnails.

A recipe of somebody else's run may name any path. So the page shows images only where every one of
them, by content, id, label and split, is the one that the run was trained on: whoever wrote the run
had them. Why a path could not be opened is shown in the terminal alone: it may quote a file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.dataset.audit import Audit, SplitSummary, audit
from ensemble.dataset.copies import Copy
from ensemble.dataset.label_counts import one_per_label
from ensemble.dataset.load import DataSet, load
from ensemble.dataset.tables import Images
from ensemble.errors import EnsembleError
from ensemble.numbers import count
from ensemble.recipe import Recipe
from ensemble.reporting.thumbnails import Thumbnails
from ensemble.reporting.values import ClassExamples, CopyView, DataView, SplitView
from ensemble.runs import Run

N_EXAMPLES, MAX_CLASSES, MAX_PER_CLASS = 60, 60, 8  # thumbnails in all, classes, thumbnails of one
N_COPIES = 6  # pairs shown
Progress = Callable[[str, int, int], None]
IMPORTED = "the runs were imported, so no recipe says where they are"
CHANGED = "they have changed since the runs were trained and validated on them"
NOT_OPENED = "the images that the recipe names could not be opened here; `ens report` prints the reason in the terminal"


@dataclass(frozen=True)
class Unavailable:
    """Why images cannot be shown.

    reason is for the page, details are for the terminal: they may quote files.
    """

    reason: str
    details: str = ""


def images_of(runs: Sequence[Run]) -> DataSet | Unavailable:
    """The data set that one of these runs was trained on, or why it is unavailable."""
    failures: dict[str, Unavailable] = {}
    for run in runs:
        first = run.folds[0]
        if not (first.folder / "recipe.yaml").is_file():
            continue
        try:
            first.check_file("recipe.yaml")
            data = Recipe.load(first.folder / "recipe.yaml").data
            key = f"{first.data.fingerprint} {data.model_dump_json()}"
            if key in failures:
                continue
            images = load(data, first.fold or 0)
            fingerprints = (images.fingerprint, images.valid_fingerprint)
            if fingerprints == (first.data.fingerprint, run.data.valid):
                return images
            failures[key] = Unavailable(CHANGED, f"{run.id}: {CHANGED}")
        except EnsembleError as error:
            failures[run.id] = Unavailable(NOT_OPENED, f"{run.id}: {str(error).splitlines()[0]}")
    return next(iter(failures.values()), Unavailable(IMPORTED))


def thumbnails_of(images: DataSet | Unavailable, runs: Sequence[Run]) -> Thumbnails:
    """Validation images by id; with folds the training images too: other folds validate on them."""
    if isinstance(images, Unavailable):
        return Thumbnails({}, {})
    has_folds = any(len(run.folds) > 1 for run in runs)
    files: dict[str, Path] = {}
    for table in [images.train, images.valid] if has_folds else [images.valid]:
        names = table.groups if images.validates_rows and table.groups else table.ids
        files |= zip(reversed(names), reversed(table.files), strict=True)  # the first of a row
    return Thumbnails(files, images.hashes, images.ranges)


def view_of(images: DataSet | Unavailable, thumbnails: Thumbnails, progress: Progress) -> DataView:
    """What the page's section about the images shows."""
    if isinstance(images, Unavailable):
        return DataView(images.reason, images.details)
    try:
        audited = audit(images, lambda done, total: progress(images.name, done, total))
    except EnsembleError as error:
        return DataView(NOT_OPENED, f"{images.name}: {str(error).splitlines()[0]}")
    copies = sorted(audited.copies, key=lambda copy: (not copy.has_two_labels, not copy.is_across))
    return DataView(
        unavailable="",
        splits=tuple(_split(split) for split in audited.splits),
        counts=audited.counts,
        examples=tuple(_examples(one_per_label(images), thumbnails)),
        leaks=tuple(str(leak) for leak in audited.leaks),
        n_copies=len(copies),
        copies=tuple(_copy(copy, thumbnails) for copy in copies[:N_COPIES]),
        notes=tuple(_notes(audited)),
    )


def _split(split: SplitSummary) -> SplitView:
    formats = ", ".join(
        f"{name} {n:,}" if n < split.n_images else name for name, n in split.formats.items()
    )
    sizes = tuple(f"{width} × {height}" for width, height in split.size_range)
    return SplitView(split.name, split.n_images, len(split.counts), sizes, formats)


def _examples(train: Images, thumbnails: Thumbnails) -> Iterator[ClassExamples]:
    """Some training images of each class, evenly spread; of many classes MAX_CLASSES."""
    labels = np.array(train.classes)
    classes = list(dict.fromkeys(train.classes))
    rows = _spread(len(classes), MAX_CLASSES)
    per_class = max(1, min(MAX_PER_CLASS, N_EXAMPLES // len(rows)))
    for name in (classes[row] for row in rows):
        of_class = np.flatnonzero(labels == name)
        files = [train.files[of_class[i]] for i in _spread(len(of_class), per_class)]
        uris = [thumbnails.of(file) for file in files]
        yield ClassExamples(name, tuple(uri for uri in uris if uri))


def _spread(n: int, n_chosen: int) -> list[int]:
    """At most n_chosen of the numbers from 0 to n - 1, evenly spread from the first to the last."""
    return [int(i) for i in np.unique(np.linspace(0, n - 1, n_chosen).round())]


def _copy(copy: Copy, thumbnails: Thumbnails) -> CopyView:
    kind = "exact copy" if copy.is_exact else "near copy"
    if copy.has_two_labels:
        kind += ", two labels"
    elif copy.is_across:
        kind += ", across splits"
    first, second = copy.first, copy.second
    captions = (
        f"{first.split}: {first.label or first.id}",
        f"{second.split}: {second.label or second.id}",
    )
    return CopyView(kind, captions, (thumbnails.of(first.file), thumbnails.of(second.file)))


def _notes(audited: Audit) -> Iterator[str]:
    """What else is odd, a line each."""
    for kind, images in audited.odd.items():
        yield f"{kind}: {count(len(images), 'image')}, such as {images[0].id}"
    if audited.unreadable:
        example, _ = audited.unreadable[0]
        yield f"unreadable: {count(len(audited.unreadable), 'file')}, such as {example.id}"
    for names in audited.alike_classes:
        yield f"class names that look the same: {', '.join(map(repr, names))}"
    yield from audited.notes
    if audited.overlap:
        yield f"known: {audited.overlap}"
