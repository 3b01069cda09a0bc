"""Names of files and folders: which files are images, ids without a suffix, ids matched as text."""

import os
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

# of images that Pillow reads; a file with another suffix, or none, is one where its content is
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif", ".avifs", ".tga",
    ".ico", ".psd", ".qoi", ".dds", ".sgi", ".pcx", ".fits",
}  # fmt: skip
# tables, texts and what systems leave: no images, and no news
TEXTS = {
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm", ".pdf",
    ".ini", ".db", ".log", ".py", ".ipynb", ".sh", ".url", ".lnk", ".names", ".sqlite", ".xlsx", ".docx",
}  # fmt: skip
# no images either, but somebody may have taken them for some
OTHERS = {
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mp3", ".wav", ".zip", ".tar", ".tgz", ".gz", ".7z", ".rar",
    ".npy", ".npz", ".pkl", ".pt", ".pth", ".h5", ".hdf5", ".parquet", ".safetensors", ".onnx", ".svg", ".eps", ".dcm",
    ".nii",
}  # fmt: skip


def without_suffix(name: str) -> str:
    """An id without an image file's suffix; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def bare_name(name: str) -> str:
    """A POSIX path without the suffix of its last part, whatever that is; a number behind a dot is none."""
    stem, dot, suffix = name.rpartition(".")
    is_suffix = dot and "/" not in suffix and not suffix.isdigit() and not stem.endswith("/")
    return stem if is_suffix and stem else name


def matcher(stored: Iterable[str]) -> Callable[[str], list[int]]:
    """A function from an id to the places of the stored ids that it may mean; more than one is never a match.

    Equal texts first, then equal letters in other Unicode, then without a suffix: of any kind on one side, of an image
    that is known on both.
    """
    exact, composed, short = dict[str, list[int]](), dict[str, list[int]](), dict[str, list[int]]()
    for place, name in enumerate(stored):
        exact.setdefault(name, []).append(place)
        composed.setdefault(same_form(name), []).append(place)
        for form in {bare_name(name), without_suffix(name)} - {name}:
            short.setdefault(same_form(form), []).append(place)

    def places_of(name: str) -> list[int]:
        form = same_form(name)
        if name in exact or form in composed:
            return exact.get(name) or composed[form]
        bare, known = same_form(bare_name(name)), same_form(without_suffix(name))
        return sorted({*composed.get(bare, ()), *short.get(form, ()), *short.get(known, ())})

    return places_of


def is_sample(name: str) -> bool:
    """Whether a file is called like a competition's sample submission, which nothing may write over."""
    return "sample" in name.lower() and "sub" in name.lower()


def same_form(name: str) -> str:
    """A name in Unicode's composed form: macOS writes é as two characters, a CSV mostly as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def contents(folder: Path) -> str:
    """What stands in a folder, for an error message."""
    if not os.path.isdir(folder):
        return f"{str(folder.absolute())[:200]} is not there either"
    names = sorted(child.name[:60] for child in folder.iterdir())[:8]
    return f"{folder} holds: {', '.join(names) or 'nothing'}"
