"""The given images of each row of a sample: one, or several whose predictions are averaged."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ensemble.dataset.column_names import same_name
from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.images_of_rows import by_beginning, by_folder
from ensemble.dataset.match import Match, Names
from ensemble.errors import SubmissionError
from ensemble.submission.shape import Shape, matched_rows

_NEXT_STEP = (
    "name the folder of the images that this sample is about, or their sample; where a row is about "
    "several images, a table of both by --rows"
)


def images_of_rows(
    shape: Shape, image_ids: Sequence[str], table: Path | None = None
) -> tuple[list[list[int]], str]:
    """For each id of the shape the positions of its images, each once, and a line about them or "".

    Several are those that a table lists, else those in the folder that the id names, or whose names
    begin with it. The line says where an id names no single image, how it was matched loosely, and
    which images no row is about. Raises SubmissionError, DataError.
    """
    if table is not None:
        rows, how, rule = _by_table(shape, image_ids, read_table(table))
    else:
        rows, how, rule = _by_name(shape, image_ids)
    row_of = _row_of_images(shape, rows)
    return rows, "; ".join(_lines(len(row_of), len(rows), len(image_ids), how, rule))


def _lines(n_used: int, n_rows: int, n_images: int, how: str, rule: str) -> Iterator[str]:
    """What a user should know about how images and rows were joined."""
    if rule:
        yield f"the sample's ids fit the images only {rule}"
    if n_used > n_rows:
        yield f"{n_used:,} images {how} are averaged into {n_rows:,} rows of the sample"
    if n_used < n_images:
        yield f"{n_images - n_used:,} of {n_images:,} images are in no row of the sample"


def _by_name(shape: Shape, image_ids: Sequence[str]) -> tuple[list[list[int]], str, str]:
    """The positions, what the ids name of several images, and the loose rule, or ""."""
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
                return rows, how, ""
    single, rule = matched_rows(shape, image_ids, _NEXT_STEP)
    return [[position] for position in single], "", rule


def _by_table(
    shape: Shape, image_ids: Sequence[str], table: CsvTable
) -> tuple[list[list[int]], str, str]:
    """The positions of the images that a table lists for each id, and how, as in `_by_name`.

    Raises SubmissionError.
    """
    ids = set(shape.ids)
    columns = {name: table.column(name) for name in table.header}
    id_column = _id_column(shape, table, columns)
    kept = [i for i, cell in enumerate(columns[id_column]) if cell in ids]
    names = Names(image_ids)
    listed = {
        name: [cells[i] for i in kept] for name, cells in columns.items() if name != id_column
    }
    matches = {name: names.match(cells) for name, cells in listed.items()}
    complete = [match for match in matches.values() if match.is_complete]
    if len({match.positions for match in complete}) != 1:
        problem = (
            f"{table.path}: several columns name the given images of these ids"
            if complete
            else _without_image(table, kept, listed, matches)
        )
        raise SubmissionError(
            f"{problem}; they look like {image_ids[0][:60]!r}\n"
            "name a table with a column of images and one of the sample's ids"
        )
    position = {row_id: i for i, row_id in enumerate(shape.ids)}
    rows: list[list[int]] = [[] for _ in shape.ids]
    for i, (at,) in zip(kept, complete[0].positions, strict=True):
        row = rows[position[columns[id_column][i]]]
        if at not in row:  # a table may have several lines about one image
            row.append(at)
    return rows, f"by {table.path.name}", complete[0].rule


def _id_column(shape: Shape, table: CsvTable, columns: Mapping[str, Sequence[str]]) -> str:
    """The column that has all ids of the sample. Raises SubmissionError."""
    ids = set(shape.ids)
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
    return named[0]


def _without_image(
    table: CsvTable,
    kept: Sequence[int],
    listed: Mapping[str, Sequence[str]],
    matches: Mapping[str, Match],
) -> str:
    """The first cell that names none of the given images, where the others of its column do."""
    problem = f"{table.path}: no column names the given images of these ids"
    for name, match in matches.items():
        missing = [i for i, positions in enumerate(match.positions) if len(positions) != 1]
        if 2 * len(missing) < len(kept):
            first = missing[0]
            problem = (
                f"{table.where(kept[first])}: {name} {listed[name][first][:60]!r} is none of the "
                f"given images, as {len(missing):,} of {len(kept):,} cells"
            )
    return problem


def _row_of_images(shape: Shape, rows: Sequence[Sequence[int]]) -> Mapping[int, int]:
    """The row of each image that has one. Raises SubmissionError for an image of two rows."""
    row_of: dict[int, int] = {}
    for row, positions in enumerate(rows):
        for position in positions:
            first = row_of.setdefault(position, row)
            if first != row:
                raise SubmissionError(
                    f"an image is of two rows of the sample, {shape.ids[first][:60]!r} and "
                    f"{shape.ids[row][:60]!r}\n{_NEXT_STEP}"
                )
    return row_of
