"""What a folder without whole images could be turned into, and the turning."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ensemble.convert.array_files import array_files
from ensemble.convert.arrays import array_source
from ensemble.convert.channel_files import channel_source
from ensemble.convert.image_folder import LABELS, Images, Source, write_images
from ensemble.convert.part_names import is_below_hidden
from ensemble.convert.pixel_tables import pixel_source
from ensemble.convert.record_set import record_source
from ensemble.convert.table_rows import is_table
from ensemble.convert.tfrecords import is_record_file
from ensemble.dataset.scan import one_line, scan, visible_files
from ensemble.errors import DataError
from ensemble.events import Progress

TABLES = (".csv", ".tsv", ".txt")
N_STRAY = 10  # fewer images than this directly in the folder are a logo or a preview
STRAY_SHARE = 0.01  # of the images in records: as few in subfolders are previews too


@dataclass(frozen=True)
class Conversion:
    """What would be written: kind in words, the number of images, the bytes on the disk.

    notes say what was understood. tables are the folder's other tables, which are copied.
    """

    kind: str
    n_images: int
    n_bytes: int
    notes: tuple[str, ...]
    tables: tuple[Path, ...]
    images: Callable[[], Images] = field(repr=False)

    def write(self, folder: Path, progress: Progress) -> None:
        """Fill an empty folder: train/, valid/ and test/ where there are such images, labels.csv.

        labels.csv has the columns id (a file name) and label for train and valid. Test images that
        have labels lie in class folders. Raises DataError for anything damaged, leaving the folder
        half full, and OSError where the disk refuses.
        """
        write_images(self.images(), folder, self.n_images, progress)
        for table in self.tables:
            target = folder / _name_of_copy(table.name)
            try:
                content = table.open("rb")
            except OSError as error:
                raise DataError(f"{one_line(table)}: cannot be read ({error.strerror})") from None
            with content, target.open("xb") as copy:
                shutil.copyfileobj(content, copy)


def conversion_of(root: Path) -> Conversion | None:
    """What would be converted; None for a folder with whole images, or with nothing to convert.

    Reads names, headers and the first rows. Raises DataError for what is damaged or can be read in
    two ways.
    """
    images = scan(root).images
    if len(images) >= N_STRAY:
        of_channels = channel_source(root, images)
        return _with_tables(root, of_channels, ()) if of_channels else None
    source = _only_source(root, sorted(path for path, _ in visible_files(root) if path.is_file()))
    are_stray = all(image.parent == root for image in images)
    if source is None or (not are_stray and len(images) > STRAY_SHARE * source.n_images):
        return None
    unused = f"{len(images)} images beside them are not used, such as "
    return _with_tables(
        root, source, [unused + image.relative_to(root).as_posix() for image in images[:1]]
    )


def _with_tables(root: Path, source: Source, notes_of_images: Sequence[str]) -> Conversion:
    """The conversion of a source, and of the tables beside it."""
    notes = [*source.notes, *notes_of_images]
    tables = [path for path in sorted(root.iterdir()) if path.suffix.lower() in TABLES]
    tables = [path for path in tables if path.is_file() and not is_below_hidden(root, path)]
    tables = [path for path in tables if path not in source.files]
    notes += [
        f"{table.name} is copied as {_name_of_copy(table.name)}"
        for table in tables
        if table.name != _name_of_copy(table.name)
    ]
    return Conversion(
        kind=source.kind,
        n_images=source.n_images,
        n_bytes=source.n_bytes + sum(table.stat().st_size for table in tables),
        notes=tuple(notes),
        tables=tuple(tables),
        images=source.images,
    )


def _name_of_copy(name: str) -> str:
    """A table's own name, but not that of the labels that are written."""
    return f"original-{name}" if name.lower() == LABELS else name


def _only_source(root: Path, paths: list[Path]) -> Source | None:
    """The records, pixel tables or arrays of a folder. Raises DataError for several kinds."""
    record_files = [path for path in paths if is_record_file(path)]
    of_arrays = [path for path in array_files(paths) if not _is_of_run(path)]
    records = record_source(root, record_files) if record_files else None
    pixels = pixel_source(root, [path for path in paths if is_table(path)])
    if records is not None and pixels is not None:
        raise DataError(
            f"{root}: {records.kind} and {pixels.kind}: each could hold the images\n"
            "move one of them away"
        )
    source = records or pixels
    if source is None:
        return array_source(root, of_arrays)
    if not of_arrays:
        return source
    note = f"{len(of_arrays)} files of arrays are not used, such as {of_arrays[0].name}"
    return replace(source, notes=(*source.notes, note))


def _is_of_run(path: Path) -> bool:
    """Whether a file belongs to a run that ens has stored."""
    return (path.parent / "run.json").is_file()
