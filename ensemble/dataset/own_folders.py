"""Folders that ens itself wrote, which are never data: runs, figures, recipes, submissions."""

import os
from itertools import islice
from pathlib import Path

from ensemble.files import PNG_MARK

UNPACKED = ".ens-unpacked.json"  # in a folder that ens filled from archives or records
N_CHECKED = 5  # files that show whose a folder is


def is_written_by_ens(folder: Path) -> bool:
    """Whether ens wrote what is in a folder, by its name and by what its files hold."""
    if os.path.isfile(folder / UNPACKED):
        return True
    if folder.name == "runs":
        return any(map(os.path.isfile, islice(folder.glob("*/recipe.yaml"), 1)))
    if folder.name == "inspect":
        figures = list(islice(folder.glob("*/*.png"), N_CHECKED))
        return bool(figures) and all(map(_has_mark, figures))
    if folder.name == "recipes":
        return any(True for _ in folder.glob("*.yaml")) and not _has_other(
            folder, (".yaml", ".csv")
        )
    return folder.name == "submissions" and not _has_other(folder, (".csv", ".json", ".md"))


def _has_mark(figure: Path) -> bool:
    with figure.open("rb") as stored:
        return PNG_MARK in stored.read(2048)


def _has_other(folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a folder holds anything but files of these kinds."""
    return any(
        not child.name.startswith(".") and child.suffix not in suffixes
        for child in folder.iterdir()
    )
