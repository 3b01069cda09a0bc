"""The audit of a data set: what would spoil a score first, then what is in it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ensemble.dataset.audit import Audit, AuditedImage, Copy, SplitSummary
from ensemble.display.charts import is_drawn, show_bars
from ensemble.display.text import escape, out, say, table

EXAMPLES, MAX_CLASSES, MAX_BARS = 5, 12, 24


def show_audit(audit: Audit) -> None:
    """Leaks, one picture under two labels, unreadable files; then copies, odd formats and what each part holds."""
    for leak in audit.leaks:
        out.print(f"[bold red]leak:[/] {escape(str(leak))}", soft_wrap=True)
    kinds = {
        "one picture under two labels": [copy for copy in audit.copies if copy.has_two_labels],
        "copy across parts": [copy for copy in audit.copies if copy.is_across],
        "copy inside a part": [copy for copy in audit.copies if not copy.is_across],
    }
    for kind, copies in kinds.items():
        _examples(kind, [_pair(copy) for copy in copies], is_bad=kind != "copy inside a part")
    if audit.copies:
        say(
            "where a fraction or folds split the images, data.group: duplicates keeps copies in one part"
        )
    _examples(
        "unreadable",
        [f"{image.split}: {reason}" for image, reason in audit.unreadable],
        is_bad=True,
    )
    for alike in audit.alike_classes:
        say(f"class names that look the same: {', '.join(map(repr, alike))}")
    for kind, images in audit.odd.items():
        _examples(kind, [_named(image) for image in images], is_bad=False)
    if not (audit.copies or audit.unreadable or audit.alike_classes or audit.odd):
        say("no copies, no unreadable files, no odd formats")
    for line in (*audit.notes, f"known: {audit.overlap}" if audit.overlap else ""):
        if line:
            say(line)
    _parts(audit)


def _examples(kind: str, lines: Sequence[str], is_bad: bool) -> None:
    if not lines:
        return
    colour = "bold red" if is_bad else "bold"
    more = f", the first {EXAMPLES}" if len(lines) > EXAMPLES else ""
    out.print(f"[{colour}]{escape(kind)}:[/] {len(lines):,}{more}", soft_wrap=True)
    for line in lines[:EXAMPLES]:
        say(f"  {line}")


def _pair(copy: Copy) -> str:
    return f"{'exact' if copy.is_exact else 'near'}: {_named(copy.first)} = {_named(copy.second)}"


def _named(image: AuditedImage) -> str:
    return f"{image.split} {image.file}" + (f" ({image.label})" if image.label is not None else "")


def _parts(audit: Audit) -> None:
    shown = table(f"{audit.name}", "part")
    for name in (
        "images",
        "classes",
        "per class",
        "smallest",
        "median",
        "largest",
        "formats",
        "modes",
    ):
        shown.add_column(name, justify="left" if name in ("formats", "modes") else "right")
    for split in audit.splits:
        counts = split.counts.values()
        per_class = f"{min(counts):,}–{max(counts):,}" if counts else "–"
        stored = (_counted(split.formats, split.n_images), _counted(split.modes, split.n_images))
        n_classes = f"{len(counts):,}" if counts else "–"
        sizes = [f"{width}×{height}" for width, height in split.size_range] or ["–"] * 3
        shown.add_row(
            split.name, f"{split.n_images:,}", n_classes, per_class, *sizes, *map(escape, stored)
        )
    out.print(shown)
    classes = sorted({label for split in audit.splits for label in split.counts})
    show_bars("images by class", audit.counts, MAX_BARS)
    if len(classes) <= MAX_CLASSES and not is_drawn():
        for split in audit.splits:
            if split.counts:
                say(
                    f"{split.name}: "
                    + ", ".join(f"{label} {split.counts.get(label, 0):,}" for label in classes)
                )


def _counted(counts: dict[str, int], n_images: int) -> str:
    """`JPEG`, or `JPEG 240, GIF 1`."""
    if list(counts.values()) == [n_images]:
        return next(iter(counts))
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def audit_json(audit: Audit) -> dict[str, Any]:
    """The audit as `--json` prints it: every finding, not examples alone."""
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
