"""The recipes' section `data`: which images, labels and splits, each with what it is read from."""

from pathlib import Path

from ensemble.hardware import Machine
from ensemble.init.labels_table import SPLIT, label_columns, needs_table, test_names
from ensemble.init.sizes import size_lines
from ensemble.init.yaml_text import in_quotes, mapping, quoted
from ensemble.layout.groups import GroupColumn
from ensemble.layout.labeling import Labeling
from ensemble.layout.understanding import Understanding

FEW = 2  # images of a class: one for training, one for validation
FEWEST = 20  # images with labels or numbers, of which a test set may be held out


def data_section(
    understanding: Understanding,
    data_path: str,
    labels_file: Path,
    test_file: Path,
    machine: Machine,
) -> str:
    """The text of the recipe that all families share."""
    understood = understanding
    is_table = needs_table(understood)
    lines = [
        f"# {understood.n_train:,} labeled training images{_kinds(understood.labeling)}. "
        "Settings shared by all recipes of this data set.",
        f"# Labels: {_one_line(understood)}",
        "data:",
        f"  source: {'folder' if understood.labeling.source == 'folders' and not is_table else 'csv'}",
        f"  path: {quoted(data_path)}",
        f"  train: {quoted(understood.labeling.folder.name)}",
        *_labels(understood, labels_file if is_table else None),
        _valid(understood),
        _test(understood, test_file),
        *_submission(understood),
        *_groups(understood),
        *size_lines(understood.sizes.side, understood.n_train, machine),
        "augment: standard         # none | light | standard | heavy, or a map of changes",
    ]
    return "\n".join(lines) + "\n"


def _one_line(understood: Understanding) -> str:
    """Where the labels are from and why, in one line of printable characters."""
    labeling = understood.labeling
    text = f"{labeling} ({labeling.evidence})" if labeling.evidence else str(labeling)
    return text if text.isprintable() else ascii(text)


def _labels(understood: Understanding, labels_file: Path | None) -> list[str]:
    labeling = understood.labeling
    if labels_file is not None:
        file, columns = labels_file.as_posix(), label_columns(labeling)
        text = _columns(file, "id", tuple(columns)) if columns else quoted(file)
        return [f"  labels: {text}   # written by ens init", *_target(labeling)]
    if labeling.source == "names":
        return [f"  labels: {{pattern: {in_quotes(labeling.pattern)}}}   # in the file's name"]
    if labeling.table is None or labeling.placement is None:
        return []
    file, image_column = labeling.table.file, labeling.placement.column
    if labeling.source == "columns":
        text = _columns(file, image_column, labeling.columns)
    else:
        text = mapping(file=file, id=image_column, label=labeling.columns[0])
    lines = [f"  labels: {text}", *_target(labeling)]
    if labeling.n_missing:
        lines.append(
            f"  skip_missing: true       # {labeling.n_missing:,} rows have no image, "
            "and are left out"
        )
    return lines


def _columns(file: str, image_column: str, columns: tuple[str, ...]) -> str:
    """The labels by columns of 0 and 1, as a map of the recipe."""
    names = ", ".join(map(in_quotes, columns))
    return f"{mapping(file=file, id=image_column).removesuffix('}')}, columns: [{names}]}}"


def _target(labeling: Labeling) -> list[str]:
    """What is predicted, where that is not one class for each image."""
    if labeling.target == "class":
        return []
    if labeling.target == "number":
        return ["  target: number           # a value per image"]
    lines = ["  target: labels           # several per image"]
    if labeling.source == "column":
        lines.append(f"  separator: {in_quotes(labeling.separator)}           # in a cell")
    return lines


def _kinds(labeling: Labeling) -> str:
    """How many classes or labels there are, in words."""
    if labeling.target == "number":
        return " with numbers"
    return (
        f" of {len(labeling.label_names)} {'labels' if labeling.target == 'labels' else 'classes'}"
    )


def _valid(understood: Understanding) -> str:
    if understood.splits:
        return f"  valid: {mapping(column=understood.splits.recipe_column or SPLIT)}"
    if understood.valid is not None:
        return f"  valid: {quoted(understood.valid.name)}"
    return (
        "  valid: 0.2               # stratified; {folds: 5}: every row is validated, 5 × the cost"
    )


def _test(understood: Understanding, test_file: Path) -> str:
    test = understood.test
    columns = test_names(test)
    if columns:
        return f"  test: {mapping(file=test_file.as_posix(), **columns)}   # written by ens init"
    if test is not None and test.table is not None:
        row = {"row": test.row_column} if test.rows else {}
        return f"  test: {mapping(file=test.table.file, id=test.id_column, **row)}"
    if test is not None:
        return f"  test: {quoted(test.folder.name)}"
    if understood.splits.count("test"):
        return "  # test: the rows of the labels that say so"
    if understood.splits:
        return "  # test: no test images found; the labels say what is for training and validation"
    if _can_hold_out(understood):
        return (
            "  test: 0.15               # no test folder found: held out first, for a final score"
        )
    return f"  # test: 0.15             # not held out: a class has {FEW} images or fewer"


def _can_hold_out(understood: Understanding) -> bool:
    """Whether enough images are left after a test set is held out."""
    if understood.labeling.target != "class":
        return understood.n_train > FEWEST
    return min(understood.counts.values()) > FEW


def _submission(understood: Understanding) -> list[str]:
    """The sample submission, the metric, and what a cell means."""
    cells = understood.cells
    comment = "   # not given (--metric): the default" if cells.is_default else ""
    lines = [f"  metric: {quoted(cells.metric)}{comment}"]
    if understood.sample is not None:
        lines.append(f"  sample_submission: {quoted(understood.sample.file)}")
    if cells.answer is not None:
        reason = f"   # {cells.reason}" if cells.reason.isprintable() and cells.reason else ""
        lines.append(f"  answer: {cells.answer}{reason}")
    if cells.positive is not None:
        lines.append(f"  positive: {in_quotes(cells.positive)}")
    return lines


def _groups(understood: Understanding) -> list[str]:
    lines = []
    for group in understood.groups:
        text = _group_text(group, understood)
        if group is understood.used_group:
            lines.append(f"  group: {text}   # images of one {group.column} stay in one split")
        else:
            lines.append(f"  # group: {text}   # would keep images of one {group.column} together")
    return lines


def _group_text(group: GroupColumn, understood: Understanding) -> str:
    if group.table is None:
        return f"{{pattern: {in_quotes(group.pattern)}}}"
    if group.table is understood.labeling.table:
        return quoted(group.column)
    return mapping(file=group.table.file, id=group.id, column=group.column)
