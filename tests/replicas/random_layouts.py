"""Random data sets with a known truth, put together from what competitions do."""

import csv
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("cat", "dog", "fox", "owl", "sea lion", "red_panda", "Blue jay", "grey-wolf")
TRAIN = ("train", "train_images", "training_set", "images/train", "images", "labeled", "data/train")
TEST = ("test", "test_images", "Testing", "images/test", "quiz", "holdout", "eval_images", "public")
WRAPPERS = ("", "", "data/", "my data/input/")
NOISE = ("masks", "thumbnails", "readme", "classes", "notes", "logo", "documents", "weights")
LABELS = ("class folders", "a table", "a table", "columns", "file names", "a column of splits")
SAMPLES = ("none", "constant", "random", "columns", "empty", "fractions")
EXTRA = {  # other columns of a table, by row
    "width": lambda i: 8,
    "url": lambda i: f"http://a/{i}",
    "date": lambda i: f"2020-01-{i % 28 + 1:02d}",
    "quality": lambda i: f"{i % 100 / 100}",
    "fold": lambda i: i % 5,
    "sex": lambda i: "MF"[i // 3 % 2],
}


@dataclass
class Layout:
    """A folder, and what is true of it: labels by training image, test images by row of the sample."""

    root: Path
    words: dict[str, object]
    labels: dict[bytes, str] = field(default_factory=dict)
    test: set[bytes] = field(default_factory=set)
    rows: dict[str, bytes] = field(default_factory=dict)
    answer: str = ""


class Maker:
    """What makes one layout: everything is drawn from a seed."""

    def __init__(self, seed: int, root: Path) -> None:
        self.rng = random.Random(seed)
        draw = self.rng.choice
        self.classes = self._classes(draw((2, 3, 4)))
        self.source, self.sample = draw(LABELS), draw(SAMPLES)
        if self.sample == "fractions" and len(self.classes) != 2:
            self.sample = "columns"
        self.train, self.test = draw(TRAIN), draw(TEST)
        if self.source == "a column of splits":
            self.test = draw((self.test, self.train))
        self.is_same = self.train != self.test and self.rng.random() < 0.4
        self.ids, self.suffix = draw(("number", "padded", "hex")), draw((".jpg", ".png", ".JPG"))
        self.spelled = draw(("bare", "suffix", "path", "machine"))
        self.noise = self.rng.sample(NOISE, draw((0, 1, 2, 3)))
        self.base = root / draw(WRAPPERS)
        kept = (
            "source",
            "sample",
            "train",
            "test",
            "is_same",
            "ids",
            "spelled",
            "noise",
            "classes",
        )
        self.layout = Layout(root, {name: getattr(self, name) for name in kept})

    def _classes(self, n_classes: int) -> list[str]:
        kind = self.rng.choice(("words", "numbers", "codes"))
        if kind == "numbers":
            return [str(i) for i in range(n_classes)]
        if kind == "codes":
            return [f"n{self.rng.randrange(10**7, 10**8)}" for _ in range(n_classes)]
        return self.rng.sample(NAMES, n_classes)

    def image(self, name: str) -> bytes:
        """Write an image of noise; returns its bytes."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.frombuffer(self.rng.randbytes(192), np.uint8).reshape(8, 8, 3)
        Image.fromarray(pixels).save(path)
        return path.read_bytes()

    def table(self, file: str, header: list[str], rows: list[list[object]]) -> None:
        """Write a table."""
        self.base.mkdir(parents=True, exist_ok=True)
        with (self.base / file).open("w", newline="") as out:
            writer = csv.writer(out, delimiter=self.rng.choice(",,;"))
            writer.writerows([header, *rows])

    def names(self, n_images: int, first: int) -> list[str]:
        """The names of images, without suffix."""
        numbers = range(first, first + n_images)
        if self.ids == "hex":
            return [f"{self.rng.getrandbits(48):012x}" for _ in numbers]
        return [str(i) if self.ids == "number" else f"{i:05d}" for i in numbers]

    def spell(self, path: str) -> str:
        """An image's id as the tables of this layout write it."""
        name = path.rpartition("/")[2]
        bare = name.removesuffix(self.suffix)
        return {"bare": bare, "suffix": name, "path": path, "machine": f"/kaggle/input/{path}"}[
            self.spelled
        ]

    def make(self) -> Layout:
        """The whole layout, written."""
        train = self.names(self.rng.choice((24, 36)), 0)
        test = self.names(self.rng.choice((6, 9)), 0 if self.is_same else 100)
        labels = [self.classes[i % len(self.classes)] for i in range(len(train))]
        self.rng.shuffle(labels)
        paths = [self._path(name, label) for name, label in zip(train, labels, strict=True)]
        for path, label in zip(paths, labels, strict=True):
            self.layout.labels[self.image(path)] = label
        test_paths = [f"{self.test}/{name}{self.suffix}" for name in test]
        for path in test_paths:
            content = self.image(path)
            self.layout.test.add(content)
            self.layout.rows[self.spell(path)] = content
        self._write_labels(paths, labels, test_paths)
        self._write_sample()
        for kind in self.noise:
            self._write_noise(kind, train)
        return self.layout

    def _path(self, name: str, label: str) -> str:
        if self.source == "class folders":
            return f"{self.train}/{label}/{name}{self.suffix}"
        begin = f"{label}_" if self.source == "file names" else ""
        return f"{self.train}/{begin}{name}{self.suffix}"

    def _write_labels(self, paths: list[str], labels: list[str], test: list[str]) -> None:
        if self.source in ("class folders", "file names"):
            return
        extra = self.rng.sample(list(EXTRA), self.rng.choice((0, 1, 2)))
        id_name = self.rng.choice(("id", "image", "filename", "ImageId"))
        rows: list[list[object]] = []
        for i, (path, label) in enumerate(zip(paths, labels, strict=True)):
            cells = [int(label == name) for name in self.classes]
            rows.append([self.spell(path), *(cells if self.source == "columns" else [label])])
            rows[-1] += [EXTRA[name](i) for name in extra]
        header = list(self.classes) if self.source == "columns" else ["label"]
        if self.source == "a column of splits":
            rows = [[*row, "train"] for row in rows]
            more = [EXTRA[name](0) for name in extra]
            rows += [[self.spell(path), self.classes[0], *more, "test"] for path in test]
            extra = [*extra, "split"]
        self.rng.shuffle(rows)
        file = self.rng.choice(("train.csv", "labels.csv", "metadata.csv"))
        self.table(file, [id_name, *header, *extra], rows)

    def _write_sample(self) -> None:
        cell = {"constant": self.classes[0], "random": self.classes[1], "empty": ""}
        ids = list(self.layout.rows)
        self.rng.shuffle(ids)
        if self.sample == "none":
            return
        if self.sample == "columns":
            self.layout.answer = "probabilities"
            cells = [round(1 / len(self.classes), 3)] * len(self.classes)
            names = self.rng.sample(self.classes, len(self.classes))
            self.table("sample_submission.csv", ["id", *names], [[name, *cells] for name in ids])
            return
        is_share = self.sample == "fractions"
        self.layout.answer = "positive_probability" if is_share else "class_name"
        rows: list[list[object]] = [[name, cell.get(self.sample, 0.5)] for name in ids]
        self.table("sample_submission.csv", ["id", "label"], rows)

    def _write_noise(self, kind: str, train: list[str]) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        if kind in ("masks", "thumbnails") and self.source != "class folders":
            for name in train:
                self.image(f"{kind}/{name}{self.suffix}")
        elif kind == "documents":
            self.image("docs/figure1.png")
            self.image("docs/figure2.png")
        elif kind == "logo":
            self.image("logo.png")
        elif kind == "classes":
            rows: list[list[object]] = [[i, name] for i, name in enumerate(self.classes)]
            self.table("classes.csv", ["class_id", "class_name"], rows)
        elif kind == "notes":
            self.table("notes.csv", ["a", "b"], [[i, 2 * i] for i in range(50)])
        elif kind == "readme":
            (self.base / "README.txt").write_text("Hello, this is\na readme, of data\n")
        elif kind == "weights":
            (self.base / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
