"""The recipes' section `data`: which images, labels and splits, each with what it is read from."""

from pathlib import Path

from ensemble.hardware import Machine
from ensemble.init.labels_table import SPLIT, needs_table
from ensemble.init.sizes import size_lines
from ensemble.init.yaml_text import in_quotes, mapping, quoted
from ensemble.layout.groups import GroupColumn
from ensemble.layout.understanding import Understanding

FEW = 2  # images of a class: one for training, one for validation


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
        f"# {understood.n_train:,} labeled training images of {len(understood.counts)} classes. "
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
        return [f"  labels: {quoted(labels_file.as_posix())}   # written by ens init"]
    if labeling.source == "names":
        return [f"  labels: {{pattern: {in_quotes(labeling.pattern)}}}   # in the file's name"]
    if labeling.table is None or labeling.placement is None:
        return []
    columns = mapping(
        file=labeling.table.file, id=labeling.placement.column, label=labeling.columns[0]
    )
    lines = [f"  labels: {columns}"]
    if labeling.n_missing:
        lines.append(
            f"  skip_missing: true       # {labeling.n_missing:,} rows have no image, "
            "and are left out"
        )
    return lines


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
    if test is not None and test.ids:
        return f"  test: {mapping(file=test_file.as_posix(), id='id')}   # written by ens init"
    if test is not None and test.table is not None:
        return f"  test: {mapping(file=test.table.file, id=test.id_column)}"
    if test is not None:
        return f"  test: {quoted(test.folder.name)}"
    if understood.splits.count("test"):
        return "  # test: the rows of the labels that say so"
    if understood.splits:
        return "  # test: no test images found; the labels say what is for training and validation"
    if min(understood.counts.values()) > FEW:
        return (
            "  test: 0.15               # no test folder found: held out first, for a final score"
        )
    return f"  # test: 0.15             # not held out: a class has {FEW} images or fewer"


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
