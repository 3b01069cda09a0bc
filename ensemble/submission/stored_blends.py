"""The blends behind the submissions of a folder, read from their manifests."""

import os
from contextlib import suppress
from pathlib import Path

from ensemble.blending import Options
from ensemble.errors import SubmissionError
from ensemble.submission.manifest import read_options


def newest_blends(folder: Path) -> dict[str, tuple[str, Options, frozenset[str]]]:
    """By fingerprint of the validation rows the newest blend's file, its options and its run ids.

    The file is its CSV, or without one its manifest.

    Files that are not manifests are skipped.
    """
    blends: dict[str, tuple[str, Options, frozenset[str]]] = {}
    for path in sorted(_manifests(folder), key=lambda path: (path.stat().st_mtime, path.name)):
        with suppress(OSError, SubmissionError):
            valid_fingerprint, options, run_ids = read_options(path)
            csv = path.with_suffix(".csv")
            blends[valid_fingerprint] = ((csv if csv.exists() else path).name, options, run_ids)
    return blends


def named_manifest(name: Path | str, folder: Path = Path("submissions")) -> Path:
    """The manifest of a submission, given by name, CSV or manifest. Raises SubmissionError."""
    path = folder / f"{name}.json"
    if str(name).endswith((".json", ".csv")):
        path = Path(name).with_suffix(".json")
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long
        raise SubmissionError(f"{path}: no such manifest\n{contents_of(folder)}")
    return path


def contents_of(folder: Path) -> str:
    """The blends that a folder of submissions holds, in words."""
    names = sorted(stored.stem for stored in _manifests(folder))
    return f"{folder} holds {', '.join(names[:8]) or 'no manifest'}; `ens blend` writes one"


def _manifests(folder: Path) -> list[Path]:
    """The JSON files of a folder, without broken links and what a killed `ens blend` left."""
    visible = folder.glob("[!.]*.json")
    return [path for path in visible if path.is_file()]
