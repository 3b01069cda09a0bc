"""Whether what an archive holds lies beside it already, so that it need not be opened."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath

from ensemble.dataset.archives.members import zip_members
from ensemble.dataset.archives.names import archive_format, content_name
from ensemble.dataset.archives.stored import Archive
from ensemble.dataset.filenames import TEXTS, is_hidden
from ensemble.dataset.scan import visible_files


def content_is_beside(archive: Archive) -> bool:
    """Whether a folder of the archive's name holds images, or a zipped table is beside it.

    Raises DataError for a folder that cannot be read.
    """
    folder, stem = archive.files[-1].parent, content_name(archive.path.name)
    if (folder / stem).is_dir() and any(_images(folder / stem)):
        return True
    table = stem if PurePath(stem).suffix.lower() in TEXTS else _only_table(archive)
    return table is not None and (folder / table).is_file()


def _images(folder: Path) -> Iterator[Path]:
    """Images, and what holds images in another form; no tables, texts and archives."""
    for path, kind in visible_files(folder):
        is_other = kind in TEXTS or archive_format(path.name) is not None
        if kind is None or (kind.startswith(".") and not is_other):
            yield path


def _only_table(archive: Archive) -> str | None:
    """The name of the table that is all that a zip holds; None for other archives."""
    if archive_format(archive.path.name) != "zip":
        return None
    with suppress(Exception), archive.open() as source:  # damage is reported where it is opened
        with zip_members(source, archive.label) as members:
            names = [member.name for member in members]
        names = [name for name in names if not any(map(is_hidden, PurePath(name).parts))]
        if len(names) == 1 and "/" not in names[0]:
            return names[0] if PurePath(names[0]).suffix.lower() in TEXTS else None
    return None
