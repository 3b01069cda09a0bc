"""The images behind runs, where they are at hand: counts, samples, copies, and thumbnails by id.

A recipe of somebody else's run may name any path. So the page shows images only where every one of them, by
content, id, label and split, is the one that the run was trained on: whoever wrote the run had them. What went
wrong when a path was opened is for the terminal: it may quote a file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ensemble.dataset.audit import Audit, Copy, SplitSummary, audit
from ensemble.dataset.load import DataSet, load
from ensemble.dataset.tables import Images
from ensemble.errors import EnsembleError
from ensemble.numbers import count
from ensemble.recipe import Recipe
from ensemble.report.pictures import Thumbnails
from ensemble.report.values import CopyView, DataView, PartView, Sample
from ensemble.runs import Run

N_SAMPLES, MAX_SAMPLED, N_COPIES = 60, 60, 6  # thumbnails of the grid, classes in it, pairs shown
Progress = Callable[[str, int, int], None]


IMPORTED = "the runs were imported, so no recipe says where they are"
CHANGED = "the images there now are not those that the runs were trained and validated on"
NOT_OPENED = "what the recipe names could not be opened here; `ens report` says why in the terminal"


@dataclass(frozen=True)
class NotAtHand:
    """Why images cannot be shown: reason for the page, details (which may quote files) for the terminal alone."""

    reason: str
    details: str = ""


def images_of(runs: Sequence[Run]) -> DataSet | NotAtHand:
    """The data set that one of these runs was trained and validated on, or why it is not at hand."""
    reasons: dict[str, NotAtHand] = {}
    for run in runs:
        first = run.folds[0]
        if not (first.folder / "recipe.yaml").is_file():
            continue
        try:
            first.check_file("recipe.yaml")
            data = Recipe.load(first.folder / "recipe.yaml").data
            key = f"{first.data.fingerprint} {data.model_dump_json()}"
            if key in reasons:
                continue
            images = load(data, first.fold or 0)
            if (images.fingerprint, images.valid_fingerprint) == (
                first.data.fingerprint,
                run.data.valid,
            ):
                return images
            reasons[key] = NotAtHand(CHANGED, f"{run.id}: {CHANGED}")
        except EnsembleError as error:
            reasons[run.id] = NotAtHand(NOT_OPENED, f"{run.id}: {str(error).splitlines()[0]}")
    return next(iter(reasons.values()), NotAtHand(IMPORTED))


def thumbnails_of(found: DataSet | NotAtHand, runs: Sequence[Run]) -> Thumbnails:
    """Validation images by id; with folds those of all folds, which train and valid share out."""
    if isinstance(found, NotAtHand):
        return Thumbnails({}, {})
    tables = (
        [found.train, found.valid] if any(len(run.folds) > 1 for run in runs) else [found.valid]
    )
    files = {
        image_id: file
        for table in tables
        for image_id, file in zip(table.ids, table.files, strict=True)
    }
    return Thumbnails(files, found.hashes, found.ranges)


def view_of(found: DataSet | NotAtHand, thumbnails: Thumbnails, progress: Progress) -> DataView:
    """What the data section shows."""
    if isinstance(found, NotAtHand):
        return DataView(found.reason, found.details)
    try:
        looked = audit(found, lambda done, total: progress(found.name, done, total))
    except EnsembleError as error:
        return DataView(NOT_OPENED, f"{found.name}: {str(error).splitlines()[0]}")
    return DataView(
        missing="",
        parts=tuple(_split(split) for split in looked.splits),
        counts=looked.counts,
        samples=_samples(found.train, thumbnails),
        leaks=tuple(str(leak) for leak in looked.leaks),
        n_copies=len(looked.copies),
        copies=tuple(_copy(copy, thumbnails) for copy in _worst_first(looked.copies)[:N_COPIES]),
        notes=tuple(_notes(looked)),
    )


def _split(split: SplitSummary) -> PartView:
    stored = ", ".join(
        f"{name} {n:,}" if n < split.n_images else name for name, n in split.formats.items()
    )
    sizes = tuple(f"{width} × {height}" for width, height in split.size_range)
    return PartView(split.name, split.n_images, len(split.counts), sizes, stored)


def _samples(train: Images, thumbnails: Thumbnails) -> tuple[Sample, ...]:
    """Some training pictures of each class, evenly spread over its files; of many classes some."""
    labels = np.array(train.classes)
    classes = sorted(set(train.classes))
    shown = np.unique(np.linspace(0, len(classes) - 1, MAX_SAMPLED).round().astype(int)).tolist()
    each = max(1, min(8, N_SAMPLES // len(shown)))
    found = []
    for name in (classes[i] for i in shown):
        rows = np.flatnonzero(labels == name)
        picked = rows[np.unique(np.linspace(0, len(rows) - 1, each).round().astype(int))].tolist()
        pictures = (thumbnails.of(train.files[row]) for row in picked)
        found.append(Sample(name, tuple(picture for picture in pictures if picture)))
    return tuple(found)


def _worst_first(copies: Sequence[Copy]) -> list[Copy]:
    return sorted(copies, key=lambda copy: (not copy.has_two_labels, not copy.is_across))


def _copy(copy: Copy, thumbnails: Thumbnails) -> CopyView:
    kind = "exact copy" if copy.is_exact else "near copy"
    kind += ", two labels" if copy.has_two_labels else ", across parts" if copy.is_across else ""
    captions = [f"{own.split}: {own.label or own.id}" for own in (copy.first, copy.second)]
    pictures = [thumbnails.of(Path(own.file)) for own in (copy.first, copy.second)]
    return CopyView(kind, (captions[0], captions[1]), (pictures[0], pictures[1]))


def _notes(looked: Audit) -> list[str]:
    """What else is odd, a line each."""
    lines = [
        f"{kind}: {count(len(items), 'image')}, such as {items[0].id}"
        for kind, items in looked.odd.items()
    ]
    if looked.unreadable:
        lines.append(
            f"unreadable: {count(len(looked.unreadable), 'file')}, such as {looked.unreadable[0][0].id}"
        )
    lines += [
        f"class names that look the same: {', '.join(map(repr, alike))}"
        for alike in looked.alike_classes
    ]
    known = [f"known: {looked.overlap}"] if looked.overlap else []
    return [*lines, *looked.notes, *known]
