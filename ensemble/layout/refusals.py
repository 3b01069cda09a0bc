"""Why a folder cannot be understood, and what would help."""

from ensemble.dataset.filenames import contents
from ensemble.dataset.match import N_LOOKED_AT
from ensemble.dataset.scan import passed_over_line
from ensemble.dataset.split_names import usual_split
from ensemble.errors import DataError
from ensemble.layout.column_labels import no_label_reason
from ensemble.layout.placement import Placed
from ensemble.layout.roles import Roles
from ensemble.layout.sample_file import looks_like_sample
from ensemble.layout.survey import MAX_TABLES, Survey

# formats of tables that competitions ship beside images
UNREAD_TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".mat")
OTHER_TABLES = (*UNREAD_TABLES, ".json", ".jsonl", ".pkl", ".xml", ".h5", ".hdf5")
OTHER_PICTURES = (".dcm", ".npy", ".nii", ".svs", ".mp4", ".avi", ".mov")
OF_ONE_IMAGE = (".xml", ".json", ".txt", ".cls")  # formats of annotations of a single image


def one_class(surveyed: Survey, split_folders: Roles) -> DataError | None:
    """The error for a training folder with a single class folder, None for any other."""
    for folder in split_folders["train"]:
        if len(folder.classes) == 1:
            return DataError(
                f"{surveyed.root / folder.name}: {folder.classes[0]!r} would be the only class\n"
                + (
                    _other_tables_line(surveyed)
                    or "class folders need two or more; a table must name the images of its folder"
                )
            )
    return None


def no_label(placed: Placed) -> DataError | None:
    """The error for tables about images without a column of labels, None without such tables."""
    if not placed:
        return None
    by_sample = sorted(placed.values(), key=lambda about: looks_like_sample(about[0].file))
    table, placement = by_sample[0]
    why = [no_label_reason(column, table) for column in table.others(placement.column)[:5]]
    found = "; ".join(why) or "it has no other column"
    return DataError(
        f"{table.file}: its {placement.column} names the images, but no column holds labels: {found}\n"
        "labels are classes that repeat, several labels with a mark between them, 0 and 1 in a column "
        "for each label, or numbers; fix the column, or name it with --label"
    )


def _other_tables_line(surveyed: Survey) -> str:
    """A line about files that may hold labels, in formats that are not read; "" without any."""
    folders = [surveyed.root, *sorted(surveyed.root.glob("*/"))]
    next_step = "a CSV with a column of file names and one of labels"
    for folder in (*folders, *sorted(surveyed.root.glob("*/*/"))):
        files = sorted(folder.glob("[!.]*"))
        of_images = [path for path in files if path.suffix.lower() in OF_ONE_IMAGE]
        tables = [path for path in files if path.suffix.lower() in OTHER_TABLES]
        if len(of_images) > 1 and surveyed.folders["."].may_name([p.name for p in of_images]):
            name = of_images[0].relative_to(surveyed.root).as_posix()
            return f"{name[:60]}: a file for each image is not read as labels: write {next_step}"
        if 0 < len(tables) <= MAX_TABLES and folder in folders:
            name = tables[0].relative_to(surveyed.root).as_posix()
            return f"{name[:60]} is not read as labels: save it as {next_step}"
    return ""


def _several_images(surveyed: Survey) -> str:
    """The lines about a table with several images for each row, "" without one."""
    names = surveyed.folders["."].names
    for table in sorted(surveyed.tables, key=lambda table: looks_like_sample(table.file)):
        for column in table.columns:
            some = column.cells[:N_LOOKED_AT]
            is_id = column.is_unique
            if is_id and any(len(names.begun(cell)) > 1 for cell in some):
                problem = names.problem_of(column.cells, "image")
                return (
                    f"{table.file}: its rows are not images: {column.name} {problem}\n"
                    "write a table with a row for each image: its file name and its label"
                )
    return ""


def nothing_to_learn(surveyed: Survey) -> DataError:
    """The error for a folder without anything to learn from."""
    several = _several_images(surveyed)
    if several:
        return DataError(several)
    lines = [
        f"{surveyed.root}: neither class folders (train/<class>/… or <class>/…), nor a table whose "
        "ids are images, nor classes in the file names",
        contents(surveyed.root),
        _other_tables_line(surveyed)
        or _ids_line(surveyed)
        or _split_line(surveyed)
        or _other_pictures_line(surveyed),
    ]
    return DataError("\n".join(filter(None, lines)))


def _ids_line(surveyed: Survey) -> str:
    """A line about what a table would need to be one of labels, "" without a table."""
    images = surveyed.folders["."]
    for table in surveyed.tables:
        if len(table.columns) > 1 and images.images and not looks_like_sample(table.file):
            column = table.columns[0]
            problem = images.names.problem_of(column.cells, "image")
            return f"{table.file}: {column.name} {problem}: one column must name the images"
    return ""


def _split_line(surveyed: Survey) -> str:
    """A line about images beside class folders, or about a folder of images called like a split."""
    for folder in surveyed.folders.values():
        name = usual_split(folder.last_name)
        if folder.has_loose_images and len(folder.subfolders) > 1:
            stray = next(image for image in folder.images if "/" not in image)
            return f"{folder.path_of(stray)} lies beside folders of images: move it into its class"
        if name and not folder.subfolders and len(surveyed.folders["."].subfolders) > 1:
            return f"{folder.name} is a usual name of the {name} images: rename it if it is a class"
    return ""


def _other_pictures_line(surveyed: Survey) -> str:
    """A line about files that are not images, and what to do about pictures in other formats."""
    line = passed_over_line(surveyed.scanned)
    has_pictures = any(kind in surveyed.scanned.passed_over for kind in OTHER_PICTURES)
    return f"{line}: save the pictures as PNG or JPEG" if has_pictures else line
