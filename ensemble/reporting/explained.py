"""Heat maps of the most confident mistakes, on request: they need images and weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ensemble.dataset.content import read_hashed
from ensemble.dataset.decode import UnreadableImage
from ensemble.dataset.load import DataSet
from ensemble.errors import DataError, EnsembleError, RunError
from ensemble.predictions import Array
from ensemble.reporting.images import Unavailable
from ensemble.reporting.mistakes import ClassMistakes, Mistakes
from ensemble.reporting.thumbnails import Thumbnails, thumbnail_uri, tinted
from ensemble.reporting.values import BlendView, RunView
from ensemble.runs import Run

# of an image by its id, file, content and class: its pixels, and where the network looks
HeatMaps = Callable[[str, Path, bytes, str], tuple[Array, Array | None]]
Explain = Callable[[Run], HeatMaps]
OTHERS = "name other runs: `ens report PATTERN --explain`, or leave out --explain"


def explained(
    blend: BlendView | None,
    views: tuple[RunView, ...],
    images: DataSet | Unavailable,
    thumbnails: Thumbnails,
    explain: Explain,
) -> tuple[BlendView | None, tuple[RunView, ...]]:
    """The blend, without one the best run, with heat maps by its networks.

    Of a blend the member of the largest weight is explained. Raises EnsembleError where the images
    or the weights are not there, or images have no single class.
    """
    if blend:
        of_blend = _with_heat_maps(blend.mistakes, blend.leading, images, thumbnails, explain)
        return replace(blend, mistakes=of_blend), views
    best, *others = views
    of_best = _with_heat_maps(best.mistakes, best.run, images, thumbnails, explain)
    return None, (replace(best, mistakes=of_best), *others)


def _with_heat_maps(
    mistakes: Mistakes,
    run: Run,
    images: DataSet | Unavailable,
    thumbnails: Thumbnails,
    explain: Explain,
) -> ClassMistakes:
    if not isinstance(mistakes, ClassMistakes):
        raise EnsembleError(
            f"{run.data.name}: data.target is {mistakes.target}, and --explain shows where a network "
            f"looks for one class per image\n{OTHERS}"
        )
    try:
        heat_maps = explain(run)
    except RunError as error:
        raise EnsembleError(f"--explain: {str(error).splitlines()[0]}\n{OTHERS}") from None
    if isinstance(images, Unavailable):
        reason = images.details or images.reason
        raise EnsembleError(f"{run.data.name}: --explain needs the images: {reason}\n{OTHERS}")
    shown = tuple(
        replace(image, heat=_uri(image.id, image.predicted, thumbnails, heat_maps))
        for image in mistakes.shown
    )
    return replace(mistakes, shown=shown, explained_by=run.id)


def _uri(image_id: str, class_name: str, thumbnails: Thumbnails, heat_maps: HeatMaps) -> str:
    """The image in gray, tinted where the network looks; "" where that is not known."""
    file = thumbnails.files[image_id]
    try:
        content = read_hashed(file, thumbnails.hashes[file])
        pixels, heat = heat_maps(image_id, file, content, class_name)
    except (UnreadableImage, DataError):
        return ""
    if heat is None:
        return ""
    return thumbnail_uri(Image.fromarray(tinted(pixels, heat)))
