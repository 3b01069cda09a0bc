"""What an audit counts: images by class, by label or by range of numbers, and labels together."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ensemble.dataset.label_cells import names_in
from ensemble.dataset.labels import counts_of
from ensemble.dataset.tables import Images
from ensemble.grouping import grouped

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet

N_RANGES = 10  # of numbers, each of the same width
MOST_PAIRS = 5


def split_counts(data: "DataSet") -> dict[str, dict[str, int]]:
    """By split, the images of each class or label, or in each range of numbers."""
    tables = zip(("train", "valid", "test"), data.tables, strict=False)
    labeled = {split: images for split, images in tables if images.labels is not None}
    if data.target != "number":
        counts = {split: counts_of(images, data.target) for split, images in labeled.items()}
        return {split: dict(sorted(by_name.items())) for split, by_name in counts.items()}
    edges = _edges(data)
    return {
        split: dict(
            zip(_ranges(edges), np.histogram(data.truth(images), edges)[0].tolist(), strict=True)
        )
        for split, images in labeled.items()
    }


def _edges(data: "DataSet") -> np.ndarray:
    """The ends of the ranges of numbers, over all labeled images."""
    labeled = [images for images in data.tables if images.labels is not None]
    return np.histogram_bin_edges(np.concatenate([data.truth(each) for each in labeled]), N_RANGES)


def _ranges(edges: np.ndarray) -> list[str]:
    return [f"{low:.6g} to {high:.6g}" for low, high in zip(edges, edges[1:], strict=False)]


def shown_label(text: str, data: "DataSet") -> str:
    """An image's labels as a person reads them."""
    if data.target == "labels":
        return ", ".join(names_in(text)) or "no label"
    return f"{float(text):g}" if data.target == "number" else text


def one_per_label(data: "DataSet") -> Images:
    """The training images, each once for every label, or labeled by its range of numbers.

    Classes and labels come in their order, ranges from the smallest numbers to the largest.
    """
    train = data.train
    if data.target == "number":
        edges = _edges(data)
        places = np.clip(np.searchsorted(edges, data.truth(train), "right") - 1, 0, N_RANGES - 1)
        names = _ranges(edges)
        pairs = [(row, names[places[row]]) for row in np.argsort(places, kind="stable")]
    elif data.target == "labels":
        pairs = [(row, name) for row, text in enumerate(train.classes) for name in names_in(text)]
        pairs.sort(key=lambda pair: pair[1])
    else:
        pairs = sorted(enumerate(train.classes), key=lambda pair: pair[1])
    return Images(
        tuple(train.ids[row] for row, _ in pairs),
        tuple(train.files[row] for row, _ in pairs),
        tuple(name for _, name in pairs),
    )


def labels_together(data: "DataSet") -> list[str]:
    """Lines about how many labels an image has, and which appear together most often."""
    if data.target != "labels":
        return []
    names = [names_in(text) for images in data.tables if images.labels for text in images.labels]
    per_image = Counter(map(len, names))
    pairs = Counter(pair for each in names for pair in combinations(each, 2))
    lines = ["labels per image: " + ", ".join(f"{k}: {per_image[k]:,}" for k in sorted(per_image))]
    if pairs:
        often = sorted(pairs.items(), key=lambda counted: (-counted[1], counted[0]))[:MOST_PAIRS]
        listed = ", ".join(f"{a} + {b} {n:,}" for (a, b), n in often)
        lines.append(f"most often together: {listed}")
    return lines


def alike(classes: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of class names that differ only by case, spaces, - and _, or Unicode form."""
    groups = grouped((_bare(name), name) for name in classes)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _bare(name: str) -> str:
    """A name without spaces, - and _, in one case and one Unicode form."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in folded if not sign.isspace() and sign not in "-_")
