"""Wrong by one: a competition's tables, changed before `ens init`, mean the same, or it asks.

Every mutation is applied to a third of the replicas, with ENS_MUTATIONS=all to every one. What is
compared are the files themselves, by content: which label each image has in the recipe's splits,
and which cell of which row each test image gets.
"""

import csv
import hashlib
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import answer_key
import numpy as np
import pytest
import replicas
from answered import by_most_probable

from ensemble.dataset.split import split_images
from ensemble.errors import EnsembleError
from ensemble.hardware import Machine
from ensemble.init import write_recipes
from ensemble.layout.questions import Options
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.submission.shape import Meaning, cells, matched_rows, shape_of_sample

EXPECTED_FILE = Path(replicas.__file__).with_name("expected.csv")
EXPECTED = {
    row["name"]: row for row in csv.DictReader(EXPECTED_FILE.read_text("utf-8").splitlines())
}
MACHINE = Machine.here()


@dataclass(frozen=True)
class Tables:
    """Where a replica's labels and its sample are; images says in which folders, with a suffix."""

    labels: tuple[str, ...]
    id: str
    label: str
    sample: str
    images: tuple[str, str] = ("train/", "test/")
    suffix: str = ".jpg"


TABLES = {
    "dog_breed": Tables(("labels.csv",), "id", "breed", "sample_submission.csv"),
    "cifar10": Tables(("trainLabels.csv",), "id", "label", "sampleSubmission.csv", suffix=".png"),
    "invasive": Tables(("train_labels.csv",), "name", "invasive", "sample_submission.csv"),
    "paddy": Tables(
        *(("train.csv",), "image_id", "label", "sample_submission.csv"),
        images=("train_images/", "test_images/"),
    ),
    "classify_leaves": Tables(
        ("train.csv",), "image", "label", "sample_submission.csv", images=("", "")
    ),
    "aptos": Tables(
        *(("train.csv",), "id_code", "diagnosis", "sample_submission.csv"),
        images=("train_images/", "test_images/"),
        suffix=".png",
    ),
    "state_farm": Tables(
        *(("driver_imgs_list.csv",), "img", "classname", "sample_submission.csv"),
        images=("imgs/train/", "imgs/test/"),
    ),
    "plant_path_2020": Tables(
        *(("train.csv",), "image_id", "", "sample_submission.csv"), images=("images/", "images/")
    ),
    "unibuc_brain": Tables(
        *(("train_labels.txt", "validation_labels.txt"), "id", "class", "sample_submission.txt"),
        images=("data/", "data/"),
        suffix=".png",
    ),
    "food80": Tables(
        *(("train_labels.csv",), "img_name", "label", "sample.csv"),
        images=("train_set/", "test_set/"),
    ),
    "zindi_rice": Tables(
        *(("Train.csv",), "Image_id", "Label", "SampleSubmission.csv"),
        images=("Images/", "Images/"),
    ),
    "naive_bees": Tables(
        *(("train_labels.csv",), "id", "genus", "SubmissionFormat.csv"),
        images=("images/train/", "images/test/"),
    ),
    "seedlings": Tables((), "", "", "sample_submission.csv", suffix=".png"),
    "dogs_redux": Tables((), "", "", "sample_submission.csv"),
    "food11_hw3": Tables((), "", "", "sampleSubmission.csv", images=("training/", "testing/")),
    "platesv2": Tables(
        (), "", "", "sample_submission.csv", images=("plates/train/", "plates/test/")
    ),
}


@dataclass
class Sheet:
    """A table that a mutation changes: its file, rows of texts, and what its columns are."""

    file: Path
    header: list
    rows: list
    id: int
    label: int | None
    folder: str
    suffix: str
    classes: list
    delimiter: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"

    def write(self, file=None):
        with open(file or self.file, "w", newline="", encoding=self.encoding) as stored:
            writer = csv.writer(stored, delimiter=self.delimiter, lineterminator=self.line_end)
            writer.writerows([self.header, *self.rows] if self.header else self.rows)

    def insert(self, position, name, texts):
        """A column before the position; a position beyond the last column adds it at the end."""
        self.header.insert(position, name)
        for row, text in zip(self.rows, texts, strict=True):
            row.insert(position, text)

    def set_ids(self, change):
        for row in self.rows:
            row[self.id] = change(row[self.id])

    def take_columns(self, order):
        self.header = [self.header[i] for i in order]
        self.rows = [[row[i] for i in order] for row in self.rows]


def sheet_of(name, root, file):
    tables = TABLES[name]
    header, *rows = csv.reader((root / file).read_text().splitlines())
    is_sample = file == tables.sample
    position = 0 if is_sample else header.index(tables.id)
    label = 1 if is_sample and len(header) == 2 else None
    if not is_sample and tables.label:
        label = header.index(tables.label)
    return Sheet(
        *(root / file, header, rows, position, label, tables.images[is_sample], tables.suffix),
        classes=sorted(set(answer_key.CLASSES[name])),
    )


def bare(cell):
    stem, dot, suffix = cell.rpartition(".")
    return stem if dot and suffix.lower() in ("jpg", "png") else cell


def counting(n, first=0):
    return [str(first + i) for i in range(n)]


def shuffled(sheet, rng):
    rng.shuffle(sheet.rows)


def index_column(name, first, is_shuffled, position=0):
    """What pandas writes: a count of the rows, perhaps from before they were shuffled."""

    def mutate(sheet, rng):
        sheet.insert(position, name, counting(len(sheet.rows), first))
        if is_shuffled:
            rng.shuffle(sheet.rows)

    return mutate


def junk(position, name, cell):
    def mutate(sheet, rng):
        texts = [cell(rng, i) for i in range(len(sheet.rows))]
        sheet.insert(position, name, texts)

    return mutate


def ids(change):
    return lambda sheet, rng: sheet.set_ids(lambda cell: change(sheet, cell))


def renamed(id_name=None, label_name=None):
    def mutate(sheet, rng):
        sheet.header[sheet.id] = id_name or sheet.header[sheet.id]
        if label_name and sheet.label is not None:
            sheet.header[sheet.label] = label_name

    return mutate


def headers(change):
    def mutate(sheet, rng):
        sheet.header = list(map(change, sheet.header))

    return mutate


def stored(**settings):
    def mutate(sheet, rng):
        for key, setting in settings.items():
            setattr(sheet, key, setting)

    return mutate


def empty_rows(sheet, rng):
    sheet.rows += [[""] * len(sheet.header)] * 3


def empty_columns(sheet, rng):
    for row in (sheet.header, *sheet.rows):
        row += [""]


def reversed_columns(sheet, rng):
    sheet.take_columns(range(len(sheet.header))[::-1])


def reversed_answers(sheet, rng):
    sheet.take_columns([0, *range(len(sheet.header) - 1, 0, -1)])


def labels(change):
    def mutate(sheet, rng):
        for row in sheet.rows:
            if sheet.label is not None:
                row[sheet.label] = change(row[sheet.label])

    return mutate


def as_float(cell):
    return f"{cell}.0" if cell.isdigit() else cell


def image(sheet, cell):
    return sheet.folder + bare(cell) + sheet.suffix


JUNK = {
    "a text": ("source", lambda rng, i: "web"),
    "a number": ("version", lambda rng, i: "1"),
    "sizes": ("size", lambda rng, i: str(rng.randrange(3000))),
    "fractions": ("mean", lambda rng, i: f"{rng.random():.4f}"),
    "flags": ("flipped", lambda rng, i: str(i // 2 % 2)),
    "two texts": ("device", lambda rng, i: ("phone", "scanner")[i // 2 % 2]),
    "hashes": ("hash", lambda rng, i: f"{rng.random():.9f}x"),
}
# of any table
MUTATIONS = {
    "rows shuffled": shuffled,
    "zeros dropped": ids(lambda sheet, cell: cell.lstrip("0") or "0"),
    "zeros added": ids(lambda sheet, cell: cell.zfill(8) if cell.isdigit() else cell),
    "ids as decimals": ids(lambda sheet, cell: as_float(cell)),
    "ids with suffix": ids(lambda sheet, cell: bare(cell) + sheet.suffix),
    "ids without suffix": ids(lambda sheet, cell: bare(cell)),
    "ids in capitals": ids(lambda sheet, cell: (bare(cell) + sheet.suffix).upper()),
    "ids with folder": ids(image),
    "ids from here": ids(lambda sheet, cell: "./" + image(sheet, cell)),
    "ids of another system": ids(
        lambda sheet, cell: "C:\\data\\" + image(sheet, cell).replace("/", "\\")
    ),
    "ids between blanks": ids(lambda sheet, cell: f" {cell} "),
    "id renamed": renamed("bar"),
    "label renamed": renamed(label_name="foo"),
    "id and label renamed": renamed("bar", "foo"),
    "names exchanged": renamed("label", "id"),
    "header in capitals": headers(str.upper),
    "header in small letters": headers(str.lower),
    "header with blanks": headers(lambda name: f"{name} "),
    **{
        f"index {name!r} from {first}{' of shuffled rows' * is_shuffled}": index_column(
            name, first, is_shuffled
        )
        for name in ("", "index", "Unnamed: 0")
        for first in (0, 1)
        for is_shuffled in (False, True)
    },
    "index last": index_column("index", 0, False, position=99),
    **{
        f"{kind} {place}": junk(position, name, cell)
        for place, position in (("first", 0), ("last", 99))
        for kind, (name, cell) in JUNK.items()
    },
    "columns reversed": reversed_columns,
    "answers reversed": reversed_answers,
    "empty rows": empty_rows,
    "an empty column": empty_columns,
    "semicolons": stored(delimiter=";"),
    "tabs": stored(delimiter="\t"),
    "a mark of UTF-8": stored(encoding="utf-8-sig"),
    "line ends of Windows": stored(line_end="\r\n"),
    "empty lines": stored(line_end="\n\n"),
    "labels as decimals": labels(as_float),
    "blanks before labels": labels(lambda cell: f" {cell}"),
}

# that give a sample more columns, or other first ones: refused
MORE_COLUMNS = {
    name for name in MUTATIONS if name.startswith("index") or name.endswith((" first", " last"))
} | {"an empty column"}
MAY_BE_REFUSED = {"columns reversed"}  # read where the answers repeat themselves
QUESTIONS = {("names exchanged", "naive_bees")}  # about one replica alone: floats named id


def no_header(sheet, rng):
    sheet.header = []


def first_row_again(sheet, rng):
    sheet.rows.append(sheet.rows[0])


def another_label(sheet, rng):
    if sheet.label is not None:
        other = next(row for row in sheet.rows if row[sheet.label] != sheet.rows[0][sheet.label])
        changed = list(sheet.rows[0])
        changed[sheet.label] = other[sheet.label]
        sheet.rows.append(changed)


def no_label(sheet, rng):
    if sheet.label is not None:
        sheet.rows[1][sheet.label] = ""


def an_unknown_id(sheet, rng):
    sheet.rows.insert(
        1, [f"zz{cell}" if i == sheet.id else cell for i, cell in enumerate(sheet.rows[0])]
    )


OF_LABELS = {"no header": no_header, "two labels": another_label, "no label": no_label}
OF_SAMPLE = {"a row twice": first_row_again, "unknown id": an_unknown_id}


def copied(file, change):
    """Another table beside one: a changed copy of it."""

    def mutate(sheet, rng):
        unchanged = [list(row) for row in sheet.rows]
        change(sheet, rng)
        sheet.write(sheet.file.with_name(file))
        sheet.rows = unchanged

    return mutate


def labels_of_the_next(sheet, rng):
    if sheet.label is not None:
        texts = [row[sheet.label] for row in sheet.rows]
        for row, text in zip(sheet.rows, [*texts[1:], texts[0]], strict=True):
            row[sheet.label] = text


def half_of_the_rows(sheet, rng):
    sheet.rows = sheet.rows[::2]


def filled_with_classes(sheet, rng):
    if sheet.label is not None:
        for i, row in enumerate(sheet.rows):
            row[sheet.label] = sheet.classes[i % len(sheet.classes)]


BESIDE_LABELS = {
    "older labels": copied("a_old.csv", labels_of_the_next),
    "older labels, sorted last": copied("z_old.csv", labels_of_the_next),
    "some of the labels": copied("a_few.csv", half_of_the_rows),
    "the same labels": copied("a_copy.csv", lambda sheet, rng: None),
}
BESIDE_SAMPLE = {
    "a submission of classes": copied("my_submission.csv", filled_with_classes),
    "a submission of shuffled rows": copied("my_submission.csv", shuffled),
    "a copy of the sample": copied("submission_example.csv", lambda sheet, rng: None),
}


def sample_named(file, change=None):
    def mutate(sheet, rng):
        (change or (lambda sheet, rng: None))(sheet, rng)
        sheet.file.unlink()
        sheet.file = sheet.file.with_name(file)

    return mutate


NAMES_OF_SAMPLE = {
    "sample named example.csv": sample_named("example.csv"),
    "sample with classes named example.csv": sample_named("example.csv", filled_with_classes),
    "sample named submission.csv": sample_named("submission.csv"),
}


def in_a_folder(root, rng):
    moved = root.with_name("moved")
    root.rename(moved)
    root.mkdir()
    moved.rename(root / "my-data")


def in_two_folders(root, rng):
    in_a_folder(root, rng)
    in_a_folder(root, rng)


def beside_clutter(root, rng):
    images = [path for path in root.rglob("*") if path.suffix in (".jpg", ".png")][:4]
    for folder in {root, *(path.parent for path in images)}:
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (root / "README.md").write_text("# the data\na, b\n")
    (root / "readme.txt").write_text("This is a readme,\nof two lines, and commas\n")
    for path in images:
        copy = root / "__MACOSX" / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")


def beside_table(header, cell):
    def mutate(root, rng):
        rows = "".join(f"{i},{cell(rng, i)}\n" for i in range(1, 31))
        (root / "a_shops.csv").write_text(f"{header}\n{rows}")

    return mutate


FOLDERS = {
    "in a folder": in_a_folder,
    "in two folders": in_two_folders,
    "beside clutter": beside_clutter,
    "beside prices": beside_table("id,price", lambda rng, i: rng.randrange(100)),
    "beside kinds": beside_table("id,kind", lambda rng, i: "ab"[i // 3 % 2]),
    "beside other labels": beside_table("id,label", lambda rng, i: "ab"[i // 3 % 2]),
    "beside names": beside_table("class_id,class_name", lambda rng, i: f"name {i}"),
}


def content(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def row_name(text):
    """A row's id, however it is written: without folder, suffix, case and leading zeros."""
    last = bare(text.strip().replace("\\", "/").rpartition("/")[2]).casefold()
    return last.removesuffix(".0").lstrip("0")


def plain(text):
    return text.strip().removesuffix(".0").casefold()


def meaning(name, root, folder):
    """What the recipes of a replica read and write, by content. Raises EnsembleError."""
    positive = "dog" if name == "dogs_redux" else None
    options = Options(metric=EXPECTED[name]["metric"], positive=positive)
    written = write_recipes(str(root), "x", folder / "recipes", MACHINE, options)
    understood, section = written.understanding, Recipe.load(written.files[1]).data
    splits = split_images(section, understood.root)
    label_of = {
        content(file): plain(label)
        for images in (splits.train, splits.valid)
        for file, label in zip(images.files, images.classes, strict=True)
    }
    labeling = understood.labeling
    for image_name, label in labeling.labels.items():
        file = content(understood.root / labeling.folder.path_of(image_name))
        assert label_of.get(file, plain(label)) == plain(label), "the recipe reads another label"
    valid = None
    if not isinstance(section.valid, float):
        valid = set(map(content, splits.valid.files))
    return label_of, valid, written_cells(section, understood.root, splits)


def written_cells(section, root, splits):
    """By row and test image the cells that are written where a class is the likeliest one."""
    files = dict(zip(splits.test.ids, map(content, splits.test.files), strict=True))
    assert section.sample_submission, "no sample is used"
    classes = tuple(sorted(set(splits.train.classes)))
    asked_for = Meaning(section.answer, section.metric, section.positive)
    ids = splits.test.ids
    shape = shape_of_sample(root / section.sample_submission, classes, asked_for, ids)
    rows, _ = matched_rows(shape, splits.test.ids)
    written = {}
    for position, label in enumerate(classes):
        probs = np.full((len(files), len(classes)), 0.1 / len(classes))
        probs[:, position] += 0.9
        predictions = Predictions(np.array(splits.test.ids), classes, probs)
        for row_id, row, texts in zip(
            shape.ids, rows, cells(shape, by_most_probable(predictions), rows), strict=True
        ):
            columns = list(map(plain, shape.columns[1:])) if len(texts) > 1 else [""]
            key = row_name(row_id), files[splits.test.ids[row]], plain(label)
            written[key] = dict(zip(columns, map(plain, texts), strict=True))
    return written


def replica(name, folder):
    root = folder / "input" / "set"
    root.mkdir(parents=True)
    replicas.make(name, root)
    return root


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    """The meaning of each replica without a mutation, which agrees with the answer key."""
    meanings = {}
    for name in TABLES:
        folder = tmp_path_factory.mktemp(name)
        root = replica(name, folder)
        meanings[name] = meaning(name, root, folder)
        files = {content(path): path.relative_to(root) for path in root.rglob("*.[jp][pn]g")}
        for file, label in meanings[name][0].items():
            truth = answer_key.true_class(name, files[file].as_posix())
            assert label == plain(truth)
    return meanings


def check(name, folder, unchanged, monkeypatch):
    """Check that a mutated replica means the same; what it is asked or refused with, else ""."""
    monkeypatch.chdir(folder)
    try:
        changed = meaning(name, folder / "input" / "set", folder)
    except EnsembleError as refusal:
        error = str(refusal)
    else:
        assert changed == unchanged[name]
        return ""
    assert error.count("\n") < 3
    return error


QUICK = ("cifar10", "unibuc_brain")
WITH_LABELS = [name for name in TABLES if TABLES[name].labels]
FOR_BOTH = [name for name in MUTATIONS if name.startswith(("index", "id", "header", "names"))]
EVERY = 1 if os.environ.get("ENS_MUTATIONS") == "all" else 3


def pairs(mutations, names=tuple(TABLES)):
    """Every mutation of a third of the replicas, in turns, and of the quick ones.

    ENS_MUTATIONS=all takes every pair.
    """
    return [
        pytest.param(mutation, name, marks=() if name in QUICK else pytest.mark.slow)
        for i, mutation in enumerate(mutations)
        for j, name in enumerate(names)
        if name in QUICK or (i + j) % EVERY == 0
    ]


def mutated(mutate, name, folder, files):
    """A replica of which these tables are changed."""
    root, rng = replica(name, folder), random.Random(0)
    for file in files:
        sheet = sheet_of(name, root, file)
        mutate(sheet, rng)
        sheet.write()


@pytest.mark.parametrize(("mutation", "name"), pairs(MUTATIONS, WITH_LABELS))
def test_a_changed_labels_table_means_the_same(mutation, name, tmp_path, unchanged, monkeypatch):
    mutated(MUTATIONS[mutation], name, tmp_path, TABLES[name].labels)
    error = check(name, tmp_path, unchanged, monkeypatch)
    assert not error or (mutation, name) in QUESTIONS, error


@pytest.mark.parametrize(("mutation", "name"), pairs(MUTATIONS))
def test_a_changed_sample_means_the_same(mutation, name, tmp_path, unchanged, monkeypatch):
    mutated(MUTATIONS[mutation], name, tmp_path, [TABLES[name].sample])
    error = check(name, tmp_path, unchanged, monkeypatch)
    has_more_columns = mutation in MORE_COLUMNS
    is_open = mutation in MAY_BE_REFUSED or (mutation, name) in QUESTIONS
    assert bool(error) == has_more_columns or is_open, error


@pytest.mark.slow
@pytest.mark.parametrize(("mutation", "name"), pairs(FOR_BOTH, WITH_LABELS))
def test_both_changed_alike_mean_the_same(mutation, name, tmp_path, unchanged, monkeypatch):
    tables = TABLES[name]
    mutated(MUTATIONS[mutation], name, tmp_path, [*tables.labels, tables.sample])
    error = check(name, tmp_path, unchanged, monkeypatch)
    assert bool(error) == (mutation in MORE_COLUMNS) or (mutation, name) in QUESTIONS, error


@pytest.mark.parametrize(("mutation", "name"), pairs(OF_LABELS | BESIDE_LABELS, WITH_LABELS))
def test_doubtful_labels_are_never_taken(mutation, name, tmp_path, unchanged, monkeypatch):
    mutate = (OF_LABELS | BESIDE_LABELS)[mutation]
    mutated(mutate, name, tmp_path, TABLES[name].labels[:1])
    check(name, tmp_path, unchanged, monkeypatch)


@pytest.mark.parametrize(("mutation", "name"), pairs(OF_SAMPLE))
def test_a_damaged_sample_is_refused(mutation, name, tmp_path, unchanged, monkeypatch):
    mutated(OF_SAMPLE[mutation], name, tmp_path, [TABLES[name].sample])
    assert check(name, tmp_path, unchanged, monkeypatch)


@pytest.mark.parametrize("name", TABLES)
def test_a_sample_without_a_header_means_the_same(name, tmp_path, unchanged, monkeypatch):
    mutated(no_header, name, tmp_path, [TABLES[name].sample])
    is_refused = EXPECTED[name]["answer"] == "probabilities"
    is_refused |= name in ("paddy", "food11_hw3")  # without a label, or ids that lost their zeros
    assert bool(check(name, tmp_path, unchanged, monkeypatch)) == is_refused


@pytest.mark.parametrize(("mutation", "name"), pairs(BESIDE_SAMPLE | NAMES_OF_SAMPLE))
def test_no_other_table_is_taken_as_the_sample(mutation, name, tmp_path, unchanged, monkeypatch):
    mutate = (BESIDE_SAMPLE | NAMES_OF_SAMPLE)[mutation]
    mutated(mutate, name, tmp_path, [TABLES[name].sample])
    error = check(name, tmp_path, unchanged, monkeypatch)
    assert not error or mutation not in ("a copy of the sample", "sample named submission.csv")


@pytest.mark.parametrize(("mutation", "name"), pairs(FOLDERS))
def test_what_lies_around_changes_nothing(mutation, name, tmp_path, unchanged, monkeypatch):
    root = replica(name, tmp_path)
    FOLDERS[mutation](root, random.Random(0))
    error = check(name, tmp_path, unchanged, monkeypatch)
    assert not error or mutation == "beside other labels", error
