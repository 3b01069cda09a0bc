"""Wheels packed from what is installed here: no network, and the versions that trained."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

import ensemble
from ensemble.errors import EnsembleError
from ensemble.files import atomic_path
from ensemble.recipe.shipped import recipes_folder

NAME = "ens-images"
# Pure-Python packages that predicting needs and that a notebook's image may lack or have too old.
# As of 2026-11-26: Kaggle's list of requirements has fastai>=2.8.4, and timm by its base image only.
PACKAGES = ("fastai", "fastcore", "fastdownload", "fastprogress", "fasttransform", "timm")
TAG = "py3-none-any"
WHEEL = f"Wheel-Version: 1.0\nGenerator: ens\nRoot-Is-Purelib: true\nTag: {TAG}\n"
INFO_FILES = ("METADATA", "entry_points.txt")


def pack_wheels(folder: Path) -> tuple[list[Path], list[str]]:
    """Write the wheels of ens and of PACKAGES; returns them, and the names that cannot be packed.

    Raises EnsembleError.
    """
    wheels, unpacked = [pack_ens(folder)], []
    for name in PACKAGES:
        try:
            wheels.append(_pack_installed(distribution(name), folder))
        except (PackageNotFoundError, _NotPure):
            unpacked.append(name)
    return wheels, unpacked


def pack_ens(folder: Path) -> Path:
    """Write the wheel of the ens that is running, be it from a clone or from a wheel.

    Raises EnsembleError.
    """
    # a clone may hold setuptools' egg-info besides, which has no METADATA
    info = next(
        (package for package in distributions(name=NAME) if package.read_text("METADATA")), None
    )
    if info is None:
        raise EnsembleError(
            f"{NAME} is not installed, so its wheel cannot be packed\n"
            "install it: python -m pip install -e . in the clone, or the wheel"
        )
    package = Path(ensemble.__file__).parent
    files = {f"{package.name}/{name}": path for name, path in _files_below(package).items()}
    recipes = recipes_folder()
    files |= {f"ensemble/shipped_recipes/{path.name}": path for path in recipes.glob("*.yaml")}
    return _write(folder, NAME, ensemble.__version__, files, _info_of(info))


class _NotPure(Exception):
    """A package with compiled parts, or whose list of files is missing."""


def _pack_installed(package: Distribution, folder: Path) -> Path:
    """Write the wheel of an installed package. Raises _NotPure, EnsembleError."""
    if package.files is None or "Root-Is-Purelib: true" not in (package.read_text("WHEEL") or ""):
        raise _NotPure
    files = {}
    for file in package.files:
        is_inside = ".." not in file.parts and not file.parts[0].endswith(".dist-info")
        if is_inside and file.suffix != ".pyc":
            files[file.as_posix()] = Path(str(file.locate()))
    return _write(folder, package.metadata["Name"], package.version, files, _info_of(package))


def _files_below(folder: Path) -> dict[str, Path]:
    """The files of a package by their path in it, without compiled ones."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _info_of(package: Distribution) -> dict[str, str]:
    texts = {name: package.read_text(name) for name in INFO_FILES}
    return {name: text for name, text in texts.items() if text}


def _write(
    folder: Path, name: str, version: str, files: Mapping[str, Path], info: Mapping[str, str]
) -> Path:
    """A wheel of files by their path in it, and of texts of its .dist-info folder."""
    stem = f"{name.replace('-', '_')}-{version}"
    contents = {name: path.read_bytes() for name, path in files.items()}
    texts = {**info, "METADATA": _of_version(info["METADATA"], version), "WHEEL": WHEEL}
    contents |= {f"{stem}.dist-info/{name}": text.encode() for name, text in texts.items()}
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{name},{_digest(content)},{len(content)}" for name, content in contents.items()]
    path = folder / f"{stem}-{TAG}.whl"
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in contents.items():
            z.writestr(name, content)
        z.writestr(record, "\n".join([*rows, f"{record},,"]) + "\n")
    return path


def _of_version(metadata: str, version: str) -> str:
    """The metadata with this version: those of an editable installation may be older."""
    head, separator, text = metadata.partition("\n\n")
    lines = [
        f"Version: {version}" if line.startswith("Version:") else line for line in head.split("\n")
    ]
    return "\n".join(lines) + separator + text


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"
