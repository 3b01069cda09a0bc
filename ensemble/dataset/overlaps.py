"""Data sets whose images overlap with ImageNet or with themselves, so that scores are too high."""

from collections.abc import Iterable

# What is known about data sets, by a piece of their name in letters and digits; the first that fits
OVERLAPS = {
    "dogbreed": "the photos are those of Stanford Dogs, taken from ImageNet: weights pre-trained "
    "on ImageNet have seen the test images with their breeds, so scores are too high",
    "stanforddogs": "the photos are taken from ImageNet: weights pre-trained on ImageNet have seen "
    "the test images with their breeds, so scores are too high",
    "hymenoptera": "the photos come from ImageNet: weights pre-trained on ImageNet have probably "
    "seen the validation images, so scores are too high",
    "imagenette": "a part of ImageNet: weights pre-trained on ImageNet have learned these classes",
    "imagewoof": "a part of ImageNet: weights pre-trained on ImageNet have learned these classes",
    "cifar100": "10 % of the official test images have a near duplicate in the set "
    "(Barz and Denzler, 2020)",
    "cifar10": "3.3 % of the official test images have a near duplicate in the set "
    "(Barz and Denzler, 2020)",
}


def known_overlap(names: Iterable[str]) -> str | None:
    """What is known about a data set by one of its names, such as those of its folders."""
    bare = ["".join(filter(str.isalnum, name.casefold())) for name in names]
    for piece, overlap in OVERLAPS.items():
        if any(piece in name for name in bare):
            return overlap
    return None
