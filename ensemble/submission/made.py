"""Submissions that were made: what each asked of its blend, as its manifest says."""

from contextlib import suppress
from pathlib import Path

from ensemble.blending import Options
from ensemble.errors import SubmissionError
from ensemble.submission.manifest import asked_options


def asked_for(folder: Path) -> dict[str, tuple[str, Options, frozenset[str]]]:
    """By the validation rows' fingerprint the newest submission about them, its blend's options and its members.

    What cannot be read as a manifest is passed over.
    """
    found: dict[str, tuple[str, Options, frozenset[str]]] = {}
    there = [path for path in folder.glob("*.json") if path.is_file()]  # a link may lead nowhere
    for path in sorted(there, key=lambda path: (path.stat().st_mtime, path.name)):
        with suppress(OSError, SubmissionError):
            valid, options, members = asked_options(path)
            found[valid] = (path.with_suffix(".csv").name, options, members)
    return found
