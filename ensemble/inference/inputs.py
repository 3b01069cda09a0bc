"""The images that a user names for a prediction: one folder, image files, or a list of paths."""

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.archives.names import archive_format
from ensemble.dataset.filenames import contents
from ensemble.dataset.scan import image_files, is_image, passed_over_line, scan
from ensemble.dataset.tables import short_names
from ensemble.errors import DataError
from ensemble.predictions import some


def input_images(inputs: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Ids and files: all images in one folder sorted by id, image files, or those in a .txt list.

    An id is the path inside the folder, else the path as the user wrote it, without suffix where it
    stays unique. Raises DataError.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        return _in_folder(inputs[0])
    paths: list[str] = []
    for path in inputs:
        paths += _lines(path) if path.suffix == ".txt" else [str(path)]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing or not paths:
        problem = f"{len(missing)} of {len(paths)} images are not files: {some(missing)}"
        raise DataError(
            f"{problem if paths else 'no image is named'}\nname one folder, image files, "
            "or a .txt with a path per line; paths start from the current folder"
        )
    for text in paths:
        if not is_image(Path(text)):
            problem = f"{text}: not an image, neither by its name nor by its content"
            unpack = f"; unpack it: ens data unpack {shlex.quote(text)}"
            raise DataError(problem + unpack if archive_format(text) else problem)
    repeated = {path for path, n in Counter(paths).items() if n > 1}
    if repeated:
        names = some(path[-60:] for path in repeated)
        raise DataError(f"images that appear more than once: {names}\nname each image once")
    return short_names([Path(path).as_posix() for path in paths]), paths


def _in_folder(folder: Path) -> tuple[list[str], list[str]]:
    files = image_files(folder)
    if not files:
        hint = passed_over_line(scan(folder)) or contents(folder)
        raise DataError(f"{folder}: no image in this folder\n{hint}")
    ids = short_names([file.relative_to(folder).as_posix() for file in files])
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    return [ids[i] for i in order], [str(files[i]) for i in order]


def _lines(path: Path) -> list[str]:
    """The lines of a list that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise DataError(f"{path}: not a readable list ({reason})") from None
    return [line.strip() for line in text.splitlines() if line.strip()]
