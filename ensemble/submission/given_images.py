"""The given images of each row of a sample: one, or several whose predictions are averaged."""

from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.column_names import same_name
from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.images_of_rows import by_beginning, by_folder
from ensemble.dataset.match import Names
from ensemble.errors import SubmissionError
from ensemble.submission.shape import Shape, matched_rows

_NEXT_STEP = (
    "name the folder of the images that this sample is about, or their sample; where a row is about "
    "several images, a table of both by --rows"
)


def images_of_rows(
    shape: Shape, image_ids: Sequence[str], table: Path | None = None
) -> tuple[list[list[int]], str]:
    """For each id of the shape the positions of its images, and a line where it does not name one.

    Several are those that a table lists, else those in the folder that the id names, or whose names
    begin with it. Raises SubmissionError, DataError.
    """
    if table is not None:
        return _by_table(shape, image_ids, read_table(table))
    if not Names(image_ids).match(shape.ids).is_complete:
        position = {image_id: i for i, image_id in enumerate(image_ids)}
        for how, index in (
            ("in the folders that its ids name", by_folder),
            ("whose names begin with its ids", by_beginning),
        ):
            images_of = index(image_ids)
            match = Names(images_of).match(shape.ids)
            names = tuple(images_of)
            if match.is_complete:
                rows = [[position[i] for i in images_of[names[at]]] for (at,) in match.positions]
                return _checked(shape, rows, how)
    single, rule = matched_rows(shape, image_ids, _NEXT_STEP)
    line = f"the sample's ids fit the images only {rule}" if rule else ""
    return [[position] for position in single], line


def _by_table(
    shape: Shape, image_ids: Sequence[str], table: CsvTable
) -> tuple[list[list[int]], str]:
    ids = set(shape.ids)
    columns = {name: table.column(name) for name in table.header}
    with_ids = [name for name, cells in columns.items() if ids <= set(cells)]
    named = [name for name in with_ids if same_name(name, shape.columns[0])] or with_ids
    if len(named) != 1:
        problem = (
            "no column has all ids of the sample" if not named else "several columns have them"
        )
        raise SubmissionError(
            f"{table.path}: {problem}, such as {shape.ids[0][:60]!r}\n"
            "name a table with a column of images and one of the sample's ids"
        )
    kept = [i for i, cell in enumerate(columns[named[0]]) if cell in ids]
    names = Names(image_ids)
    matches = [
        match
        for name, cells in columns.items()
        if name != named[0] and (match := names.match([cells[i] for i in kept])).is_complete
    ]
    if len({match.positions for match in matches}) != 1:
        problem = "several columns name" if matches else "no column names"
        raise SubmissionError(
            f"{table.path}: {problem} the given images of these ids, such as {image_ids[0][:60]!r}\n"
            "name a table with a column of images and one of the sample's ids"
        )
    position = {row_id: i for i, row_id in enumerate(shape.ids)}
    rows: list[list[int]] = [[] for _ in shape.ids]
    for i, (at,) in zip(kept, matches[0].positions, strict=True):
        rows[position[columns[named[0]][i]]].append(at)
    return _checked(shape, rows, f"by {table.path.name}")


def _checked(shape: Shape, rows: list[list[int]], how: str) -> tuple[list[list[int]], str]:
    """Raises SubmissionError for an image of two rows."""
    row_of: dict[int, int] = {}
    for row, positions in enumerate(rows):
        for position in positions:
            first = row_of.setdefault(position, row)
            if first != row:
                raise SubmissionError(
                    f"an image is of two rows of the sample, {shape.ids[first][:60]!r} and "
                    f"{shape.ids[row][:60]!r}\n{_NEXT_STEP}"
                )
    line = (
        f"{len(row_of):,} images {how} are averaged into {len(rows):,} rows of the sample"
        if len(row_of) > len(rows)
        else ""
    )
    return rows, line
