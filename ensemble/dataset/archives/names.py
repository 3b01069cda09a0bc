"""What a file's name says of an archive: its format, the name of its content, its part number."""

import re
from pathlib import PurePath

from ensemble.dataset.filenames import TEXTS

FORMATS = {
    **{".zip": "zip", ".7z": "7z", ".rar": "rar", ".tar": "tar"},
    **dict.fromkeys((".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz"), "tar"),
}
ARCHIVES = tuple(suffix for suffix, kind in FORMATS.items() if kind != "rar")
COMPRESSED = (".gz", ".bz2", ".xz")  # of one file
LAST_SUFFIXES = {suffix.rpartition(".")[2] for suffix in (*FORMATS, *COMPRESSED)}
NUMBERED = re.compile(r"(?P<whole>.+)\.(?P<number>\d{3})")  # train.zip.001
Z_NUMBERED = re.compile(r"(?P<stem>.+\.)(?P<z>[zZ])(?P<number>\d{2,5})")  # train.z01
SIGNATURES = {
    b"PK\3\4": ".zip",
    b"PK\5\6": ".zip",
    b"7z\xbc\xaf\x27\x1c": ".7z",
    b"Rar!\x1a\x07": ".rar",
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ\0": ".xz",
}


def archive_format(name: str) -> str | None:
    """zip, 7z, tar, rar, or table for a compressed table such as a.csv.gz; None for other files.

    A part of a split archive has the format of the whole.
    """
    last = name.rpartition(".")[2].lower()
    if last not in LAST_SUFFIXES and not last.lstrip("z").isdigit():
        return None  # quickly: it is asked for every file of a folder
    whole = _whole(name).lower()
    suffix = _archive_suffix(whole)
    if suffix:
        return FORMATS[suffix]
    path = PurePath(whole)
    is_table = path.suffix in COMPRESSED and PurePath(path.stem).suffix in TEXTS
    return "table" if is_table else None


def content_name(name: str) -> str:
    """The name of what an archive holds: train for train.zip.001, a.csv for a.csv.zip, a.csv.gz."""
    whole = _whole(name)
    suffix = _archive_suffix(whole.lower()) or PurePath(whole).suffix
    return whole[: -len(suffix)]


def part_of(name: str) -> tuple[str, int] | None:
    """The name of the whole and the part's number; None for what is not a part."""
    match = NUMBERED.fullmatch(name)
    if match and archive_format(match["whole"]):
        return match["whole"], int(match["number"])
    match = Z_NUMBERED.fullmatch(name)
    if match is None:
        return None
    return match["stem"] + ("zip" if match["z"] == "z" else "ZIP"), int(match["number"])


def format_by_content(head: bytes) -> str | None:
    """The suffix that fits a file's first bytes, 262 or more; None where no archive begins so."""
    if head[257:262] == b"ustar":
        return ".tar"
    return next((suffix for mark, suffix in SIGNATURES.items() if head.startswith(mark)), None)


def _whole(name: str) -> str:
    part = part_of(name)
    return part[0] if part else name


def _archive_suffix(name: str) -> str | None:
    """The longest suffix of an archive that a lower-case name ends with, more than that alone."""
    endings = [end for end in FORMATS if name.endswith(end) and len(name) > len(end)]
    return max(endings, key=len, default=None)
