"""The shipped recipes: `recipes/` of a clone, `ensemble/shipped_recipes/` of a wheel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ensemble.errors import EnsembleError
from ensemble.files import write_bytes
from ensemble.recipe.recipe import Recipe
from ensemble.recipe.yamlfile import read_mapping

PACKAGE = Path(__file__).resolve().parent.parent
BASE = ".base.yaml"
FOLDER = Path("recipes")  # the folder in documents and commands


@dataclass(frozen=True)
class Shipped:
    """A shipped recipe: its first line, its images' folder and their name for `ens data get`."""

    name: str
    description: str
    source: str
    path: str | None
    get: str | None


def recipes_folder() -> Path:
    """Where the shipped recipes are. Raises EnsembleError."""
    for folder in (PACKAGE / "shipped_recipes", PACKAGE.parent / FOLDER):
        if (folder / "digits.base.yaml").is_file():
            return folder
    raise EnsembleError(f"{PACKAGE}: the recipes that come with ens are missing\ninstall ens again")


def shipped_recipes() -> list[Shipped]:
    """Every shipped recipe, by name. Raises EnsembleError."""
    listed = []
    for path in shipped_matching("*"):
        data = Recipe.load(path).data
        first_line = path.read_text(encoding="utf-8").partition("\n")[0]
        description = first_line.removeprefix("# ").rstrip(".:")
        listed.append(Shipped(path.stem, description, data.source, data.path, data.get))
    return listed


def shipped_matching(pattern: str | Path) -> list[Path]:
    """The shipped recipes `NAME`, `NAME.yaml` or `recipes/NAME.yaml`; `*` and `?` match several.

    A path into any other folder matches none: that file is the user's own. Raises EnsembleError.
    """
    path = Path(pattern)
    if path.parent not in (FOLDER, Path()):
        return []
    name = path.name.removesuffix(".yaml")
    paths = sorted(recipes_folder().glob("*.yaml"))
    return [path for path in paths if not path.name.endswith(BASE) and fnmatchcase(path.stem, name)]


def recipe_files(path: Path) -> list[Path]:
    """The recipe file; where it does not exist, the shipped recipes of that name, if any.

    A pattern that no shell expanded (`recipes/cifar10_*.yaml` in an empty folder) means all that
    match.
    """
    if os.path.lexists(path):
        return [path]
    return shipped_matching(path) or [path]


def copy_shipped(pattern: str, folder: Path = FOLDER) -> dict[Path, bool]:
    """Copy recipes and their bases; whether each file is new, or already had the same bytes.

    Raises EnsembleError, before anything is written, for an unknown name or a file that differs
    from the shipped one.
    """
    recipes = shipped_matching(pattern)
    if not recipes:
        raise EnsembleError(
            f"--copy {pattern[:100]}: ens ships no recipe of that name\n`ens recipes` lists them"
        )
    sources = {
        folder / path.name: path.read_bytes() for recipe in recipes for path in _with_bases(recipe)
    }
    for target, content in sources.items():
        if target.exists() and not (target.is_file() and target.read_bytes() == content):
            raise EnsembleError(
                f"{target}: exists and differs from the shipped recipe; nothing was written\n"
                "rename your file, or run the command in another folder"
            )
    is_new = {target: not target.exists() for target in sources}
    for target, content in sources.items():
        if is_new[target]:
            write_bytes(target, content)
    return is_new


def _with_bases(recipe: Path) -> Sequence[Path]:
    """The recipe's file, its base, the base of that base, and so on."""
    files = [recipe]
    while base := read_mapping(files[-1])[0].get("base"):
        files.append(recipe.parent / base)
    return files
