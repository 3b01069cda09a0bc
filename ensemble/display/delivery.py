"""Show what was written to be used elsewhere."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ensemble.bundle.bundle import Bundle
from ensemble.bundle.export import Exported
from ensemble.display.text import count, say
from ensemble.numbers import megabytes


def show_bundle(bundle: Bundle, fp16: bool) -> None:
    """The bundle's parts with their sizes, and what fp16 weights change."""
    n_wheels = len(list((bundle.folder / "wheels").iterdir()))
    say(f"{bundle.folder}, {bundle.archive}: {megabytes(sum(bundle.n_bytes.values()))}")
    say(f"  {megabytes(bundle.n_bytes['runs'])} of runs{', weights as fp16' if fp16 else ''}")
    say(f"  {megabytes(bundle.n_bytes['wheels'])} of {count(n_wheels, 'wheel')}")
    if bundle.unpacked:
        say(
            f"  without the wheels of {', '.join(bundle.unpacked)}: not pure Python, or no file list"
        )
    if bundle.change:
        images = count(bundle.change.n_images, "image")
        classes = f", {bundle.change.n_answers} answers differ"
        answers = "" if bundle.change.n_answers is None else classes
        change = f"predictions change by at most {bundle.change.largest:.2g}"
        say(f"fp16: {change}{answers}, on {images} of the data set")
    elif fp16:
        say("fp16: what it changes was not measured, as the images of the data set are not here")


def bundle_json(bundle: Bundle) -> dict[str, Any]:
    """A written bundle as one object."""
    return {
        "folder": str(bundle.folder),
        "archive": str(bundle.archive),
        "bytes": bundle.n_bytes,
        "without_wheels_of": list(bundle.unpacked),
        "fp16_change": asdict(bundle.change) if bundle.change else None,
    }


def exported_json(exported: Sequence[Exported]) -> list[dict[str, Any]]:
    """Written graphs, each with its largest difference from torch."""
    return [{"path": str(graph.path), "difference": graph.difference} for graph in exported]


def show_exported(exported: Sequence[Exported]) -> None:
    """Each graph, its size, and how far it is from torch."""
    for graph in exported:
        size = megabytes(graph.path.stat().st_size)
        difference = f"probabilities differ from torch's by at most {graph.difference:.1g}"
        say(f"{graph.path}: {size}; {difference} on 32 made-up images")
