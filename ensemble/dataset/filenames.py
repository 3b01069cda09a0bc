"""Names of files and folders: which files are images, ids without a suffix, ids matched as text."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

# Suffixes of images that Pillow reads; a file with an unknown suffix, or none, is judged by content
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib"),
    *(".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c"),
    *(".jpc", ".jpf", ".jpx", ".avif", ".avifs", ".tga", ".ico", ".psd", ".qoi", ".dds", ".sgi"),
    *(".pcx", ".fits"),
}
# Tables, texts and files of the system: not images, and never worth a message
TEXTS = {
    *(".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".htm", ".pdf", ".ini", ".db", ".log", ".py", ".ipynb", ".sh", ".url", ".lnk"),
    *(".names", ".sqlite", ".xlsx", ".docx"),
}
# Photos of phones and cameras that Pillow does not read; of raw ones it would read the thumbnail
RAW = {".dng", ".nef", ".cr2", ".cr3", ".arw", ".orf", ".rw2", ".pef", ".srw", ".raf"}
UNREAD_PHOTOS = {".heic", ".heif", ".jxl"} | RAW
# Not images either, but somebody may take them for images: a message says that they are passed over
OTHER_FILES = {
    *(".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mp3", ".wav", ".zip", ".tar", ".tgz"),
    *(".gz", ".7z", ".rar", ".npy", ".npz", ".pkl", ".pt", ".pth", ".h5", ".hdf5", ".parquet"),
    *(".safetensors", ".onnx", ".svg", ".eps", ".dcm", ".nii"),
    *RAW,
}


def without_suffix(name: str) -> str:
    """An id without an image file's suffix; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def bare_name(name: str) -> str:
    """A POSIX path without its suffix, whatever that is; digits are not a suffix."""
    stem, dot, suffix = name.rpartition(".")
    is_suffix = dot and "/" not in suffix and not suffix.isdigit() and not stem.endswith("/")
    return stem if is_suffix and stem else name


_OF_SYSTEMS = ("$RECYCLE.BIN", "System Volume Information", "lost+found")


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out: hidden, or written by a system."""
    return name.startswith((".", "__MACOSX", "@eaDir")) or name in _OF_SYSTEMS


def is_sample(name: str) -> bool:
    """Whether a file is named like a sample submission, which must not be overwritten."""
    return "sample" in name.lower() and "sub" in name.lower()


def same_form(name: str) -> str:
    """A name in Unicode's composed form: macOS writes é as two characters, a CSV mostly as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folded_form(name: str) -> str:
    """A name in one Unicode form and case, without blanks around it."""
    return same_form(name).strip().casefold()


def names_below(folder: Path, files: Sequence[Path]) -> list[str]:
    """The files' POSIX paths under a folder that holds them all."""
    n_above = len(str(folder / "_")) - 1
    return [str(file)[n_above:].replace(os.sep, "/") for file in files]


def contents(folder: Path) -> str:
    """What a folder holds, for an error message."""
    if not os.path.isdir(folder):
        return f"{str(folder.absolute())[:200]} does not exist either"
    names = sorted(child.name[:60] for child in folder.iterdir())[:8]
    return f"{folder} holds: {', '.join(names) or 'nothing'}"
