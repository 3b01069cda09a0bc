"""Which column of which table labels the images: the one that the sample submission asks for."""

from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.filenames import is_sample, same_form, without_suffix
from ensemble.dataset.tables import files_by_id
from ensemble.errors import DataError

LABELS = ("label", "labels", "target", "class", "breed", "category", "species", "diagnosis", "y")


def labels_file(root: Path, train: str | None, sample: str | None) -> tuple[str, str, str] | None:
    """(file, id column, label column) of a CSV that names the images of the training folder.

    The label column is the one that the sample submission has too, else one of a usual name, else
    the first. Raises DataError for several label columns, and for numbers to predict.
    """
    tables = [path for path in sorted(root.glob("*.csv")) if not is_sample(path.name)]
    if train is None or not tables:
        return None
    sample_id, *sample_columns = read_csv(root / sample)[0] if sample else [""]
    ids = files_by_id(root, train).keys()
    for path in tables:
        header, rows = read_csv(path, LABEL_DELIMITERS)
        id_columns = [
            column for column in header if all(same_form(row[column]) in ids for row in rows[:50])
        ]
        if not id_columns or len(header) < 2:
            continue
        id_column = _id_column(path, rows, id_columns, sample_id)
        label_columns = [column for column in header if column != id_column]
        in_sample = [column for column in label_columns if column in sample_columns]
        usual = [column for column in label_columns if column.lower() in LABELS]
        label_column = (in_sample or usual or label_columns)[0]
        _check_one_label(path, rows, in_sample if len(in_sample) > 1 else label_columns)
        if len(in_sample) > 1:
            raise DataError(
                f"{path}: {', '.join(in_sample)[:200]}: the sample submission asks for all of them\n"
                "several labels per image are not supported; keep one label column"
            )
        if in_sample and _asks_for_numbers(root, sample, label_column):
            raise DataError(
                f"{path}: {label_column}: the sample submission asks for numbers, not classes\n"
                "predicting numbers is not supported; a column of classes is needed"
            )
        return path.name, id_column, label_column
    return None


def _id_column(
    path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str], sample_id: str
) -> str:
    """The column of ids among those that name images: that of the sample, else the only one.

    An index column counts from 0, as image names may do too. Raises DataError where two differ.
    """
    if sample_id in columns:
        return sample_id
    first = columns[0]
    for column in columns[1:]:
        if any(without_suffix(row[column]) != without_suffix(row[first]) for row in rows):
            raise DataError(
                f"{path}: the cells of {first!r} and of {column!r} both name images\n"
                "remove the column that is not the id, or write data.labels into a recipe"
            )
    return first


def _asks_for_numbers(root: Path, sample: str | None, column: str) -> bool:
    """Whether the sample's cells are numbers, one of them neither whole nor a probability."""
    cells = [row[column] for row in read_csv(root / sample)[1]] if sample else []
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return any(number > 1 and not number.is_integer() for number in numbers)


def _check_one_label(path: Path, rows: Sequence[dict[str, str]], columns: Sequence[str]) -> None:
    """Raises DataError where a column for each class says 0 or 1."""
    is_one_hot = all(sorted(row[name] for name in columns)[-2:] == ["0", "1"] for row in rows)
    if len(columns) > 1 and is_one_hot:
        raise DataError(
            f"{path}: {', '.join(columns)[:200]}: a column for each class, "
            "but one label column is needed\n"
            "with pandas: d['label'] = d.iloc[:, 1:].idxmax(axis=1), "
            "then d.iloc[:, [0, -1]].to_csv(…, index=False)"
        )


def check_folders_are_the_labels(
    root: Path, train: str, sample: str | None, files: Sequence[Path]
) -> None:
    """Raises DataError where a table has the sample's column about these images, unlike folders."""
    if not sample:
        return
    sample_columns = read_csv(root / sample)[0][1:]
    class_of = {file.name: file.parts[0] for file in files}
    class_of |= {file.stem: file.parts[0] for file in files}
    for path in sorted(root.glob("*.csv")):
        header, rows = read_csv(path, LABEL_DELIMITERS)
        columns = [column for column in header if column in sample_columns]
        if is_sample(path.name) or not columns:
            continue
        id_columns = [name for name in header if all(row[name] in class_of for row in rows[:50])]
        for id_column in id_columns[:1]:
            if any(row[columns[0]] != class_of.get(row[id_column]) for row in rows):
                raise DataError(
                    f"{path}: {columns[0]}, which the sample submission asks for, differs from "
                    f"the folders in {train}\n"
                    f"for its labels: data.source: csv with all images in one folder; "
                    "for the folders: move the table away"
                )
