"""What a user should check, and what was passed over, in one line each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from ensemble.dataset.depth import measured_ranges
from ensemble.dataset.filenames import same_form
from ensemble.dataset.image_sizes import N_OPENED
from ensemble.dataset.labels import missing_value_lines
from ensemble.dataset.scan import passed_over_line
from ensemble.grouping import grouped
from ensemble.layout.labeling import Labeling
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Table
from ensemble.layout.test_images import TestImages
from ensemble.metrics.class_numbers import number
from ensemble.numbers import count

FEW_IMAGES = 10  # of a class
MANY_FOLDERS = 10  # that could be patients
_CASES = (
    re.compile(r"(?P<label>.*[^\W\d_])[._ -]*\d+"),  # benign_07, benign7
    re.compile(r"[^\W\d_]*\d+[._ -]+(?P<label>[^\d]+)"),  # p07_benign, 07-benign
)
_WORD = re.compile(r"[^\W\d_]+")
_SETS = {  # words in names of folders of images without labels
    *("docs", "doc", "documents", "figures", "assets", "examples"),
    *("results", "outputs", "output", "plots", "charts", "graphs", "logs"),
    *("eval", "evaluation", "holdout", "public", "private", "quiz", "inference", "unseen"),
    *("submission", "predict", "unlabeled", "unlabelled", "images", "imgs"),
}
_FLAGS = {  # words in names of columns that say which rows not to use
    *("ignore", "ignored", "exclude", "excluded", "corrupt", "corrupted", "invalid", "broken"),
    *("bad", "drop", "dropped", "remove", "removed", "unusable", "defective"),
}
_ENDING = re.compile(r"[._ -]+[A-Za-z]*\d+$")
N_NAMED = 3


def doubts_of(
    labeling: Labeling, sample: Table | None, used_sample: Table | None, test: TestImages | None
) -> list[str]:
    """What a user should check about labels, missing files and the sample submission."""
    doubts: list[str] = []
    if labeling.table is not None and labeling.placement is not None:
        cells = labeling.table[labeling.placement.column].cells
        missing = [
            cell
            for cell, image in zip(cells, labeling.placement.images, strict=True)
            if image is None
        ]
        if missing:
            names = ", ".join(missing[:N_NAMED])
            doubts.append(f"{len(missing):,} rows of {labeling.table.file} have no image: {names}")
        doubts += _label_doubts(labeling)
    if labeling.target == "class":
        doubts += missing_value_lines(labeling.counts)
    doubts += [*_class_doubts(labeling), *_alike_doubts(labeling.counts)]
    if sample is not None and used_sample is None and test is None:
        first = sample.columns[0].cells[0][:60]
        is_labeled = bool(labeling.folder.names.positions(sample.columns[0].cells[0]))
        reason = "which has a label" if is_labeled else "which no test image has"
        doubts.append(f"{sample.file} asks for ids such as {first!r}, {reason}")
    elif used_sample is not None and test is not None and len(used_sample) != test.n_rows:
        doubts.append(
            f"{used_sample.file} has {len(used_sample):,} rows, "
            f"{test.folder.name} has {test.n_images:,} images"
        )
    elif test is not None and test.partial:
        doubts.append(test.partial)
    return doubts + (small_classes(labeling.counts) if labeling.target == "class" else [])


def _label_doubts(labeling: Labeling) -> list[str]:
    n_labels, n_images = len(labeling.counts), labeling.counts.total()
    doubts: list[str] = []
    if labeling.target == "class" and n_labels > max(2, n_images // 2):
        doubts.append(
            f"column {labeling.columns[0]} has {n_labels:,} different values "
            f"in {n_images:,} rows: is it a label?"
        )
    others = labeling.table.columns if labeling.table else ()
    flags = [
        column
        for column in others
        if column.name not in labeling.columns
        and set(_WORD.findall(column.name.lower())) & _FLAGS
        and column.is_one is not None
        and any(column.is_one)
    ]
    return doubts + [
        f"column {flag.name} is 1 in {sum(flag.is_one or ()):,} rows: it is not used, their images are"
        for flag in flags
    ]


def _class_doubts(labeling: Labeling) -> list[str]:
    """The doubt about classes in names that end in numbers, about class folders that could be numbered
    cases of fewer classes, and about folders in class folders beside images or other folders.
    """
    if labeling.source == "names":
        return _numbered_doubts(labeling)
    if labeling.source != "folders":
        return []
    called_like_sets = [
        name for name in labeling.classes if set(_WORD.findall(name.lower())) & _SETS
    ]
    of_sets = [
        f"the folder {name!r} is taken as a class: is it one, or images without a label?"
        for name in called_like_sets
    ]
    copies = _copy_doubts(labeling.labels)
    return _case_doubts(labeling.classes) + _inner_doubts(labeling) + of_sets + copies


def _copy_doubts(labels: Mapping[str, str]) -> list[str]:
    """The doubt about one class folder whose files are called as those of others, as copies are."""
    names = {(image.rpartition("/")[2], label) for image, label in labels.items()}
    classes_of = {name: classes for name, classes in grouped(names).items() if len(classes) > 1}
    n_classes = Counter(label for classes in classes_of.values() for label in classes)
    n_files = Counter(labels.values())
    label, n = n_classes.most_common(1)[0] if n_classes else ("", 0)
    is_in_pairs = n == len(classes_of) and n_classes.total() == 2 * n
    if not (is_in_pairs and 2 * n > n_files[label] and len(n_classes) > 2):
        return []
    return [
        f"{n:,} files in {label!r} are called as those of other classes, such as {min(classes_of)}: "
        "are they copies?"
    ]


def _inner_doubts(labeling: Labeling) -> list[str]:
    """The doubt about folders in class folders."""
    parents = {image.rpartition("/")[0] for image in labeling.labels}
    deep = sorted(parent for parent in parents if "/" in parent)
    tops = Counter(parent.partition("/")[0] for parent in parents)
    several = [parent for parent in deep if tops[parent.partition("/")[0]] > 1]
    if not several:
        return []
    inner, top = several[0], several[0].partition("/")[0]
    return [f"{len(deep):,} folders such as {inner} lie in class folders: their class is {top!r}"]


def folder_doubts(labeling: Labeling) -> list[str]:
    """The doubt about many folders that a table gives one label each, as those of patients have."""
    labels_in: dict[str, set[str]] = {}
    for image, label in labeling.labels.items():
        labels_in.setdefault(image.rpartition("/")[0], set()).add(label)
    is_pure = all(len(labels) == 1 for labels in labels_in.values())
    is_many = (
        max(MANY_FOLDERS, len(labeling.counts) + 1) <= len(labels_in) <= len(labeling.labels) / 2
    )
    if labeling.table is None or not is_pure or not is_many:
        return []
    return [
        f"the images lie in {len(labels_in):,} folders such as {min(labels_in)}, each with one label: "
        "if these are patients or the like, a column for data.group keeps them together"
    ]


def _numbered_doubts(labeling: Labeling) -> list[str]:
    """The doubt about classes in file names that end in numbers, and could be fewer without them."""
    named = grouped((_ENDING.sub("", name), name) for name in labeling.classes)
    short, longest = max(named.items(), key=lambda item: len(item[1]))
    if len(longest) < 2 or len(named) < 2:
        return []
    return [
        f"classes such as {longest[0]!r} and {longest[1]!r}: or is {short!r} the class of both?"
    ]


def _case_doubts(names: Sequence[str]) -> list[str]:
    """The doubt about folders that are all called by a case and a class: benign_07, p07_benign."""
    for pattern in _CASES:
        matches = {name: pattern.fullmatch(name) for name in names}
        cases = grouped((match["label"], name) for name, match in matches.items() if match)
        n_named = sum(map(len, cases.values()))
        if n_named == len(names) and len(cases) > 1 and min(map(len, cases.values())) > 1:
            label, (first, second, *_) = next(iter(cases.items()))
            return [f"classes such as {first!r} and {second!r}: or is {label!r} the class of both?"]
    return []


def _alike_doubts(counts: Mapping[str, int]) -> list[str]:
    """Doubts about classes that look the same, the first of each kind."""
    doubts = []
    forms = grouped((same_form(name), name) for name in counts)
    letters = grouped((form.casefold(), form) for form in forms)
    values = {name: number(name) for name in counts}
    by_value = grouped((amount, name) for name, amount in values.items() if amount is not None)
    in_forms = [names for names in forms.values() if len(names) > 1]
    if in_forms:
        listed = " and ".join(f"{ascii(name)} ({counts[name]:,})" for name in in_forms[0])
        doubts.append(f"classes differ by their Unicode form alone: {listed}; rename one of them")
    in_case = [[forms[form][0] for form in alike] for alike in letters.values() if len(alike) > 1]
    if in_case:
        listed = " and ".join(f"{name!r} ({counts[name]:,})" for name in in_case[0])
        doubts.append(f"classes differ by the case of their letters alone: {listed}")
    for same in by_value.values():
        if len(same) > 1:
            listed = " and ".join(f"{name!r} ({counts[name]:,})" for name in same)
            return [*doubts, f"classes are the same number: {listed}"]
    return doubts


def small_classes(counts: Mapping[str, int]) -> list[str]:
    """Doubts about classes that cannot be split, or hardly."""
    single = [name for name, n_images in counts.items() if n_images == 1]
    small = [name for name, n_images in counts.items() if n_images < FEW_IMAGES]
    doubts = []
    if single:
        doubts.append(
            f"class {min(single)!r} has one image, so it cannot be split: "
            "add some, or remove the class"
        )
    if small:
        doubts.append(
            f"{len(small)} of {len(counts)} classes have fewer than {FEW_IMAGES} images, "
            f"such as {min(small)!r}"
        )
    return doubts


def notes_of(
    surveyed: Survey, labeling: Labeling, valid: Folder | None, test: TestImages | None
) -> list[str]:
    """Images that no split has, files that are not images, and values of more than 8 bits."""
    used = {labeling.folder.path_of(image) for image in labeling.labels}
    for folder in filter(None, (valid, test.folder if test else None)):
        used |= {folder.path_of(image) for image in folder.images}
    files = surveyed.scanned.images
    images = [file.relative_to(surveyed.root).as_posix() for file in files]
    unused = [image for image in images if image not in used]
    notes = _reading_notes(labeling, test)
    if unused:
        notes.append(f"not used: {count(len(unused), 'image')}, such as {unused[0]}")
    in_use = [image for image in surveyed.images if image in used]
    some = in_use[:: max(1, len(in_use) // N_OPENED)]
    ranges = measured_ranges([surveyed.root / image for image in some])
    return [*notes, *filter(None, (passed_over_line(surveyed.scanned), str(ranges)))]


def _reading_notes(labeling: Labeling, test: TestImages | None) -> list[str]:
    """How the tables were read where their text alone does not say it."""
    placed = [(labeling.table, labeling.placement)] if labeling.table else []
    notes: list[str] = []
    for table, placement in placed:
        if not table.has_header:
            notes.append(f"{table.file} has no header: its first row names an image, too")
        if table.stripped:
            notes.append(table.stripped)
        if placement is not None and placement.match.rule:
            first_id = table[placement.column].cells[0]
            notes.append(
                f"{table.file}: ids are matched {placement.match.rule}: "
                f"{first_id[:60]!r} is {placement.images[0]!r}"
            )
    if test is not None and test.rule:
        notes.append(f"test images are matched {test.rule}")
    return notes
