"""Write the recipes of an image set, once nothing is left to ask."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.dataset.scan import each_folder_once
from ensemble.dataset.split import split_images
from ensemble.errors import DataError, EnsembleError
from ensemble.events import Emit, ignore
from ensemble.files import write_text
from ensemble.hardware import Machine
from ensemble.init.data_section import data_section
from ensemble.init.families import Setting, families
from ensemble.init.labels_table import labels_table, needs_table, test_table
from ensemble.init.unpack import Opened, default_name, opened
from ensemble.layout.questions import Options
from ensemble.layout.understanding import Understanding, understand
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import BASE

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # of a recipe, with room for the family


@dataclass(frozen=True)
class NewRecipes:
    """What the images are, and the recipes written for them on this machine, the base first."""

    understanding: Understanding
    machine: Machine
    files: tuple[Path, ...]


class NotWritten(EnsembleError):
    """No recipes: what was understood leaves questions."""

    def __init__(self, message: str, understanding: Understanding) -> None:
        super().__init__(message)
        self.understanding = understanding


def write_recipes(
    path: str,
    name: str | None,
    folder: Path,
    machine: Machine | None = None,
    options: Options = Options(),  # noqa: B008
    emit: Emit = ignore,
) -> NewRecipes:
    """Recognize an image set and write its recipes; overwrites nothing.

    Raises EnsembleError, and NotWritten where the user has to decide something first.
    """
    name = name or default_name(path)
    if not _NAME.fullmatch(name):
        raise EnsembleError(
            f"--name {name[:100]!r}: allowed are letters, digits, dot, dash, underscore, 80 at most"
        )
    with each_folder_once():
        return _written(path, name, folder, machine, options, emit)


def _written(
    path: str, name: str, folder: Path, machine: Machine | None, options: Options, emit: Emit
) -> NewRecipes:
    source = opened(path, Path(f"{name}_images"), emit)
    understanding = understand(source.root, options)
    _check_settled(path, understanding)
    machine = machine or Machine.here()
    labels_file, test_file = folder / f"{name}.labels.csv", folder / f"{name}.test.csv"
    data_path = _data_path(path, source, understanding.root)
    base = folder / f"{name}{BASE}"
    setting = Setting(name, understanding.sizes.side, understanding.n_train, machine)
    texts = {folder / f"{name}_{family}.yaml": text for family, text in families(setting).items()}
    tables = {labels_file: labels_table(understanding)} if needs_table(understanding) else {}
    test_rows = test_table(understanding)
    if test_rows:
        tables[test_file] = test_rows
    section = data_section(understanding, data_path, labels_file, test_file, machine)
    _write({base: section, **texts, **tables})
    for file in texts:
        Recipe.load(file)
    try:
        _check_reads_the_same(next(iter(texts)), understanding)
    except DataError as error:  # such as a class that cannot be split
        reason = str(error).partition("\n")[0]
        doubts = (*understanding.doubts, f"a training would stop: {reason}")
        understanding = replace(understanding, doubts=doubts)
    return NewRecipes(understanding, machine, (base, *texts, *tables))


def _check_settled(path: str, understanding: Understanding) -> None:
    """Raises NotWritten for open questions."""
    questions = understanding.questions
    if questions:
        options = sorted({option.split()[0] for q in questions for option, _ in q.choices})
        raise NotWritten(
            f"{path}: {len(questions)} open question{'s' * (len(questions) > 1)}; "
            f"no recipes written\nadd {' and '.join(options)} with one of the choices above",
            understanding,
        )


def _write(texts: dict[Path, str]) -> None:
    for file in texts:
        if file.exists():
            raise EnsembleError(f"{file}: exists and is not overwritten\nchoose another --name")
    for file, text in texts.items():
        write_text(file, text)


def _check_reads_the_same(recipe: Path, understanding: Understanding) -> None:
    """Check that a recipe reads the images that were understood. Raises EnsembleError."""
    data = Recipe.load(recipe).data
    splits = split_images(data, understanding.root)
    n_labeled = len(splits.train) + len(splits.valid)
    n_test = len(splits.test) if splits.test else 0
    if isinstance(data.test, float):
        n_labeled, n_test = n_labeled + n_test, 0
    expected = understanding.n_train + understanding.n_valid, understanding.n_test
    if (n_labeled, n_test) != expected:
        raise EnsembleError(
            f"{recipe}: reads {n_labeled:,} labeled and {n_test:,} test images, "
            f"but {expected[0]:,} and {expected[1]:,} were understood\n"
            "please report this as a bug, with `ens init --json` of this folder"
        )


def _data_path(path: str, source: Opened, root: Path) -> str:
    """An archive as the user wrote it, else the folder where the layout begins."""
    if source.is_archive:
        return path
    if source.root != source.given:
        return root.as_posix()  # unpacked beside the recipes
    return str(root if Path(path).is_absolute() else _relative(path, root))


def _relative(path: str, root: Path) -> Path:
    """The layout's root relative to ENS_DATA or the current folder, as the user's path is."""
    for parent in (os.environ.get("ENS_DATA"), "."):
        folder = (Path(parent) / path).absolute() if parent else None
        if folder and root.absolute().is_relative_to(folder):
            return Path(path) / root.absolute().relative_to(folder)
    return root
