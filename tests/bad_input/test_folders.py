"""Folders of images that do not fit together, and what recipes say about them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RECIPE = "data: {source: folder, path: pictures, valid: val, test: test}\nmodel: {arch: resnet18, pretrained: false}\n"


def nothing():
    """The folders are as they should be."""


def lone(name, n=1):
    for i in range(n):
        path = Path("pictures/train") / name / f"lone{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(path)


def remove(*paths):
    for path in paths:
        shutil.rmtree(Path("pictures") / path)


def move(source, target):
    Path("pictures", target).parent.mkdir(parents=True, exist_ok=True)
    Path("pictures", source).rename(Path("pictures", target))


FAULTS = {
    "no such folder": (
        nothing,
        "data.path=nowhere",
        ["data.path: nowhere does not exist", "looked at"],
    ),
    "a path of 5,000 letters": (
        nothing,
        f"data.path={'p' * 5000}",
        ["data.path", "does not exist"],
    ),
    "a NUL in the path": (nothing, 'data.path="a\\0b"', ["data.path", "does not exist"]),
    "no path at all": (nothing, "data.path=null", ["data.path is missing"]),
    "a recipe as path": (
        nothing,
        "data.path=r.yaml",
        ["r.yaml", "not a folder and not an archive"],
    ),
    "a device as path": (nothing, "data.path=/dev/zero", ["/dev/zero"]),
    "no training folder": (
        lambda: remove("train"),
        "seeds=[0]",
        ["pictures/train", "no such folder", "holds: "],
    ),
    "a training folder beside the path": (
        nothing,
        "data.train=../train",
        ["../train", "no such folder"],
    ),
    "a training folder that is a file": (
        nothing,
        "data.train=train/a/0.png",
        ["0.png", "no such folder"],
    ),
    "no class folders": (
        lambda: remove("train/a", "train/b"),
        "seeds=[0]",
        ["pictures/train", "one folder per class"],
    ),
    "an empty class folder": (
        lambda: Path("pictures/train/c").mkdir(),
        "seeds=[0]",
        ["train/c", "no image in this"],
    ),
    "an image outside the classes": (
        lambda: move("train/a/0.png", "train/0.png"),
        "seeds=[0]",
        ["train/0.png", "outside the class folders"],
    ),
    "one class": (lambda: remove("train/b", "val/b"), "seeds=[0]", ["pictures", "only one class"]),
    "one class behind HTML": (
        lambda: (remove("train/b", "val"), move("train/a", "train/<b onclick=x>")),
        "data.valid=0.5",
        ["only one class ('<b onclick=x>')"],
    ),
    "a class of one image, split": (
        lambda: lone("c"),
        "data.valid=0.5",
        ["class 'c' has one image"],
    ),
    "a class of one image, held out": (
        lambda: lone("c"),
        "data.test=0.5",
        ["class 'c' has one image", "data.rare: keep"],
    ),
    "no validation folder": (
        lambda: remove("val"),
        "seeds=[0]",
        ["pictures/val", "no such folder"],
    ),
    "a validation folder without classes": (
        lambda: move("val/a", "v"),
        "data.valid=v",
        ["pictures/v", "expected one"],
    ),
    "a class that is only validated": (
        lambda: move("val/a", "val/c"),
        "seeds=[0]",
        ["pictures", "validation has classes without training images: c"],
    ),
    "no test folder": (lambda: remove("test"), "seeds=[0]", ["pictures/test", "no such folder"]),
    "an empty test folder": (
        lambda: Path("pictures/e").mkdir(),
        "data.test=e",
        ["pictures/e", "no image in the test"],
    ),
    "no sample": (
        nothing,
        "data.sample_submission=s.csv",
        ["data.sample_submission", "s.csv does not exist"],
    ),
    "a sample that is a folder": (
        nothing,
        "data.sample_submission=val",
        ["data.sample_submission", "val does not exist"],
    ),
    "a sample of 5,000 letters": (
        nothing,
        f"data.sample_submission={'s' * 5000}",
        ["data.sample_submission"],
    ),
    "a column where there is no labels file": (
        nothing,
        "data.valid={column: x}",
        ["data.valid", "labels file"],
    ),
    "groups from a column where there is none": (
        nothing,
        "data={group: patient, source: folder, path: pictures}",
        ["data.group", "class folders have no columns"],
    ),
    "groups where nothing is split": (
        nothing,
        "data.group=duplicates",
        ["data.group", "val", "nothing is split"],
    ),
    "two classes that look the same": (
        lambda: (lone("caf\u00e9", 2), lone("cafe\u0301", 2)),
        "seeds=[0]",
        ["pictures", "two classes look the same"],
    ),
    "a name that is not UTF-8": (
        lambda: Path("pictures/train/a/0.png").rename(
            b"pictures/train/a/\xff.png".decode(errors="surrogateescape")
        ),
        "seeds=[0]",
        ["\\udcff.png", "not text in UTF-8"],
    ),
    "a name of three lines": (
        lambda: move("train/a/0.png", "train/one\ntwo\nthree.png"),
        "seeds=[0]",
        ["train/one\\ntwo\\nthree.png'", "outside the class folders"],
    ),
    "a link that leads to itself": (
        lambda: (remove("train/a"), Path("pictures/train/a").symlink_to("a")),
        "seeds=[0]",
        ["pictures"],
    ),
    "a class folder that is a link to nothing": (
        lambda: (remove("train/a"), Path("pictures/train/a").symlink_to("gone")),
        "seeds=[0]",
        ["pictures"],
    ),
    "folders named as images": (
        lambda: [(Path(f"pictures/train/c/{i}.png").mkdir(parents=True)) for i in range(2)],
        "seeds=[0]",
        ["train/c", "no image in this"],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_folders_that_make_no_data_set(case, refused, write, folders):
    prepare, setting, said = FAULTS[case]
    write("r.yaml", RECIPE)
    prepare()
    refused(f"train r.yaml --set '{setting}'", *said)


CASES = FAULTS
