"""The audit of a data set: first what would spoil a score, then what is in it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ensemble.dataset.audit import Audit, SplitSummary
from ensemble.dataset.copies import AuditedImage, Copy
from ensemble.display.text import escape, out, say, table
from ensemble.targets import NOUNS

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet
    from ensemble.recipe import Data

MAX_EXAMPLES, MAX_CLASSES = 5, 24
ACROSS, WITHIN = "copy across splits", "copy within a split"


def show_audit(audit: Audit) -> None:
    """Leaks, copies, unreadable files, odd formats; then the splits and the classes."""
    for leak in audit.leaks:
        out.print(f"[bold red]leak:[/] {escape(str(leak))}", soft_wrap=True)
    _copies(audit.copies)
    unreadable = [f"{image.split}: {reason}" for image, reason in audit.unreadable]
    _examples("unreadable", unreadable, is_bad=True)
    for names in audit.alike_classes:
        counts = ", ".join(f"{name!r} ({_n_images(audit, name):,})" for name in names)
        say(f"class names that look the same: {counts}")
    for kind, images in audit.odd.items():
        _examples(kind, [_named(image) for image in images], is_bad=False)
    if not (audit.copies or audit.unreadable or audit.alike_classes or audit.odd):
        say("no copies, no unreadable files, no odd formats")
    for note in audit.notes:
        say(note)
    if audit.overlap:
        say(f"known: {audit.overlap}")
    _splits(audit)
    _classes(audit)


def _n_images(audit: Audit, label: str) -> int:
    return sum(audit.counts.get(label, {}).values())


def _copies(copies: Sequence[Copy]) -> None:
    two_labels = [copy for copy in copies if copy.has_two_labels]
    across = [copy for copy in copies if copy.is_across]
    within = [copy for copy in copies if not copy.is_across]
    _examples("copy with another label", [_pair(copy) for copy in two_labels], is_bad=True)
    _examples(ACROSS, [_pair(copy) for copy in across], is_bad=True)
    _examples(WITHIN, [_pair(copy) for copy in within], is_bad=False)
    if copies:
        say(
            "where a fraction or folds split the images, "
            "`data.group: duplicates` keeps copies in one split"
        )


def _examples(kind: str, lines: Sequence[str], is_bad: bool) -> None:
    if not lines:
        return
    style = "bold red" if is_bad else "bold"
    more = f", the first {MAX_EXAMPLES}" if len(lines) > MAX_EXAMPLES else ""
    out.print(f"[{style}]{escape(kind)}:[/] {len(lines):,}{more}", soft_wrap=True)
    for line in lines[:MAX_EXAMPLES]:
        say(f"  {line}")


def _pair(copy: Copy) -> str:
    return f"{'exact' if copy.is_exact else 'near'}: {_named(copy.first)} = {_named(copy.second)}"


def _named(image: AuditedImage) -> str:
    label = "" if image.label is None else f" ({image.label})"
    return f"{image.split} {image.file}{label}"


def _splits(audit: Audit) -> None:
    """A row per property, a column per split: it fits a narrow terminal."""
    shown = table(audit.name, "")
    for split in audit.splits:
        shown.add_column(split.name, justify="right", overflow="fold")
    properties = [_properties(split, NOUNS[audit.target]) for split in audit.splits]
    for name in properties[0]:
        shown.add_row(name, *(escape(each[name]) for each in properties))
    out.print(shown)


def _properties(split: SplitSummary, kinds: tuple[str, str]) -> dict[str, str]:
    counts = split.counts.values()
    sizes = [f"{width}×{height}" for width, height in split.size_range] or ["–"] * 3
    return {
        "images": f"{split.n_images:,}",
        kinds[1]: f"{len(counts):,}" if counts else "–",
        f"images per {kinds[0]}": f"{min(counts):,}–{max(counts):,}" if counts else "–",
        "smallest, px": sizes[0],
        "median": sizes[1],
        "largest": sizes[2],
        "formats": _shares(split.formats, split.n_images),
        "modes": _shares(split.modes, split.n_images),
    }


def _shares(counts: dict[str, int], n_images: int) -> str:
    """`JPEG`, or `JPEG 240, GIF 1`."""
    if list(counts.values()) == [n_images]:
        return next(iter(counts))
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _classes(audit: Audit) -> None:
    """The images of each class by labeled split, the largest classes first."""
    counts = audit.counts
    if not counts:
        return
    splits = [split.name for split in audit.splits if split.counts]
    kind, kinds = NOUNS[audit.target]
    shown = table(f"images by {kind}", kind)
    for split in splits:
        shown.add_column(split, justify="right")
    for name in list(counts)[:MAX_CLASSES]:
        shown.add_row(escape(name), *(f"{counts[name][split]:,}" for split in splits))
    out.print(shown)
    if len(counts) > MAX_CLASSES:
        say(f"and {len(counts) - MAX_CLASSES:,} smaller {kinds}")


def inspect_json(
    recipe: str, data: "Data", images: "DataSet", answer: str | None, audit: Audit
) -> dict[str, Any]:
    """What `ens inspect` found, as one JSON object: what `ens init` says, then the audit."""
    n_valid, n_test = len(images.valid), len(images.test) if images.test else 0
    return {
        "target": images.target,
        "classes": 0 if images.target == "number" else len(images.classes),
        "labelled": len(images.train) + n_valid,
        "valid": n_valid,
        "test": n_test,
        "answer": answer if n_test else None,
        "metric": data.metric,
        "groups": [data.group if isinstance(data.group, str) else str(data.group)]
        if data.group
        else [],
        "questions": [],
        "recipes": [recipe],
        **audit_json(audit),
    }


def audit_json(audit: Audit) -> dict[str, Any]:
    """The audit as `--json` prints it: every finding, not only examples."""
    return {
        "data": audit.name,
        "parts": [_split_json(split) for split in audit.splits],
        "leaks": [
            {
                "part": leak.split,
                "n_images": leak.n_images,
                "copies": [_copy_json(copy) for copy in leak.copies],
            }
            for leak in audit.leaks
        ],
        "copies": [_copy_json(copy) for copy in audit.copies],
        "unreadable": [
            _image_json(image) | {"reason": reason} for image, reason in audit.unreadable
        ],
        "odd": {
            kind: [_image_json(image) for image in images] for kind, images in audit.odd.items()
        },
        "alike_classes": [list(names) for names in audit.alike_classes],
        "overlap": audit.overlap,
        "notes": list(audit.notes),
    }


def _split_json(split: SplitSummary) -> dict[str, Any]:
    sizes = [
        {"width": width, "height": height, "images": n}
        for (width, height), n in sorted(split.sizes.items())
    ]
    return asdict(split) | {"sizes": sizes}


def _copy_json(copy: Copy) -> dict[str, Any]:
    flags = {
        "exact": copy.is_exact,
        "across_parts": copy.is_across,
        "two_labels": copy.has_two_labels,
    }
    return {"first": _image_json(copy.first), "second": _image_json(copy.second)} | flags


def _image_json(image: AuditedImage) -> dict[str, Any]:
    return {"part": image.split, "id": image.id, "label": image.label, "file": str(image.file)}
