"""The audit finds everything planted in a generated set, and nothing in a clean one."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.audit import audit
from ensemble.dataset.copies import leaks
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.label_counts import alike
from ensemble.dataset.load import load
from ensemble.dataset.overlaps import known_overlap
from ensemble.dataset.pixel_store import open_store
from ensemble.display.audits import audit_json, show_audit
from ensemble.recipe import Data


def quiet(done, n):
    pass


def photo(seed):
    rng = np.random.default_rng(seed)
    waves = np.add.outer(np.fft.fftfreq(64) ** 2, np.fft.fftfreq(64) ** 2)
    pixels = np.fft.ifft2(
        np.fft.fft2(rng.normal(size=(3, 64, 64))) / (waves + 1e-4) ** 0.6
    ).real.transpose(1, 2, 0)
    return Image.fromarray((255 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8))


@pytest.fixture
def clean(tmp_path):
    """A folder of train (2 × 12), val (2 × 4) and test (2 × 4) images without a fault."""
    seed = 0
    for split, n in (("train", 12), ("val", 4), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                photo(seed).save(folder / f"{i:02d}.png")
                seed += 1
    return tmp_path / "pets"


@pytest.fixture
def planted(clean):
    """The same with one fault of each kind."""
    cats = clean / "train" / "cat"
    photo(500).save(clean / "whole.jpg", quality=95)
    raw = (clean / "whole.jpg").read_bytes()
    (cats / "truncated.jpg").write_bytes(raw[: len(raw) // 2])
    (clean / "val" / "dog" / "text.jpg").write_text("404 not found")
    shutil.copy(cats / "00.png", clean / "test" / "cat" / "exact.png")
    Image.open(cats / "01.png").save(clean / "test" / "cat" / "recompressed.jpg", quality=50)
    Image.open(cats / "02.png").resize((30, 30)).save(clean / "val" / "cat" / "resized.png")
    shutil.copy(cats / "03.png", clean / "train" / "dog" / "other_label.png")
    photo(501).convert("P").save(clean / "train" / "dog" / "palette.gif")
    photo(502).convert("CMYK").save(clean / "train" / "dog" / "print.jpg", quality=95)
    photo(503).save(clean / "train" / "dog" / "false.jpg", "PNG")
    photo(504).save(clean / "train" / "dog" / "same1.png")
    photo(504).save(clean / "train" / "dog" / "same2.bmp")
    return clean


def audited(folder):
    data = load(Data(source="folder", path=str(folder), valid="val", test="test"))
    return data, audit(data)


def names(copy):
    return copy.first.file.name, copy.second.file.name


def test_a_clean_set_has_no_finding(clean, capsys):
    _, report = audited(clean)
    assert (report.leaks, report.copies, report.unreadable, report.odd) == ((), (), (), {})
    assert (report.alike_classes, report.overlap) == ((), None)
    assert [(split.name, split.n_images, split.counts) for split in report.splits] == [
        ("train", 24, {"cat": 12, "dog": 12}),
        ("valid", 8, {"cat": 4, "dog": 4}),
        ("test", 8, {"cat": 4, "dog": 4}),
    ]
    assert report.splits[0].sizes == {(64, 64): 24}
    assert (report.splits[0].formats, report.splits[0].modes) == ({"PNG": 24}, {"RGB": 24})
    show_audit(report)
    assert "no copies, no unreadable files, no odd formats" in capsys.readouterr().out


def test_everything_planted_is_found_and_nothing_else(planted):
    _, report = audited(planted)
    assert {item.file.name for item, _ in report.unreadable} == {"truncated.jpg", "text.jpg"}
    assert {(*names(copy), copy.is_exact) for copy in report.copies} == {
        ("00.png", "exact.png", True),
        ("01.png", "recompressed.jpg", False),
        ("02.png", "resized.png", False),
        ("03.png", "other_label.png", True),
        ("same1.png", "same2.bmp", True),
    }
    assert [names(copy) for copy in report.copies if copy.has_two_labels] == [
        ("03.png", "other_label.png")
    ]
    assert {names(copy)[1] for copy in report.copies if copy.is_across} == {
        "exact.png",
        "recompressed.jpg",
        "resized.png",
    }
    odd = {kind: [item.file.name for item in items] for kind, items in report.odd.items()}
    assert odd == {
        "CMYK": ["print.jpg"],
        "PNG named .jpg": ["false.jpg"],
        "palette": ["palette.gif"],
    }
    assert {leak.split: len(leak.copies) for leak in report.leaks} == {"valid": 1, "test": 2}


def test_leaks_are_the_audits_and_need_no_decoding_once_the_pixel_store_is_filled(planted):
    data, _ = audited(planted)
    shutil.rmtree(planted.parent / "cache")
    open_store(data.hashes, Geometry(32), quiet)
    totals = []
    found_leaks = leaks(data, lambda done, n: totals.append(n))
    assert totals in ([], [2])  # the two unreadable files
    assert found_leaks == audit(data).leaks
    valid, test = found_leaks
    assert "1 of 10 valid images have a copy among the training images (0 exact, 1 near)" in str(
        valid
    )
    assert "2 of 10 test images" in str(test)
    assert "exact.png of" in str(test) or "recompressed.jpg of" in str(test)


def test_every_copy_of_a_training_image_counts_once(clean):
    for i in range(3):
        shutil.copy(clean / "train" / "cat" / "00.png", clean / "test" / "cat" / f"again{i}.png")
    photo(0).save(clean / "train" / "cat" / "twin.jpg", quality=80)
    data, report = audited(clean)
    (leak,) = leaks(data)
    assert report.leaks == (leak,)
    assert (leak.n_images, len(leak.copies), all(copy.is_exact for copy in leak.copies)) == (
        11,
        3,
        True,
    )


def test_an_unlabelled_test_set_is_audited_without_labels(clean):
    flat = clean / "flat"
    flat.mkdir()
    shutil.copy(clean / "train" / "cat" / "00.png", flat / "x.png")
    data = load(Data(source="folder", path=str(clean), valid="val", test="flat"))
    report = audit(data)
    assert (report.splits[2].counts, report.copies[0].second.label) == ({}, None)
    assert not report.copies[0].has_two_labels
    assert report.copies[0].is_across


def test_the_text_puts_leaks_first_and_names_few_examples(planted, capsys):
    for i in range(9):
        shutil.copy(
            planted / "train" / "cat" / f"0{i}.png",
            planted / "train" / "cat" / f"again[red]{i}.png",
        )
    _, report = audited(planted)
    show_audit(report)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("leak:")
    order = [
        next(i for i, line in enumerate(lines) if line.startswith(start))
        for start in ("leak", "copy with another label", "unreadable", "palette")
    ]
    assert order == sorted(order)
    assert (
        1 <= sum("again[red]" in line for line in lines) <= 5
    )  # as it is written, not as rich's markup


def test_the_json_holds_every_finding(planted):
    _, report = audited(planted)
    stored = json.loads(json.dumps(audit_json(report)))
    assert len(stored["copies"]) == 5
    assert {item["reason"].split(":")[0].split("/")[-1] for item in stored["unreadable"]} == {
        "truncated.jpg",
        "text.jpg",
    }
    assert [split["sizes"] for split in stored["parts"]][2] == [
        {"width": 64, "height": 64, "images": 10}
    ]
    assert {leak["part"]: len(leak["copies"]) for leak in stored["leaks"]} == {
        "valid": 1,
        "test": 2,
    }


def test_variants_of_a_class_are_shown_with_counts_and_what_was_joined_loosely(tmp_path, capsys):
    (tmp_path / "train").mkdir()
    rows = ["id, label"]
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 90)).save(tmp_path / "train" / f"im{i:02d}.png")
        rows.append(f"C:\\me\\im{i:02d}.png, {('cat', 'dog', 'CAT')[i % 3]}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    report = audit(load(Data(source="csv", path=str(tmp_path), valid=0.5)))
    show_audit(report)
    lines = capsys.readouterr().out.splitlines()
    assert "class names that look the same: 'CAT' (4), 'cat' (4)" in lines
    assert "labels.csv: blanks around 13 cells are left out: ' CAT' is 'CAT'" in lines
    assert audit_json(report)["notes"][1] == (
        "labels.csv: ids are matched without the ids' leading path: "
        "'C:\\\\me\\\\im00.png' is 'im00.png'"
    )


def test_class_names_that_look_the_same_are_grouped():
    names = ["Cat", "cat", "guinea pig", "guinea_pig", "caf\u00e9", "cafe\u0301", "dog"]
    assert alike(names) == (
        ("Cat", "cat"),
        ("guinea pig", "guinea_pig"),
        ("caf\u00e9", "cafe\u0301"),
    )
    assert alike(["cat", "cats"]) == ()


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("kaggle:dog-breed-identification", "ImageNet"),
        ("Stanford_Dogs", "ImageNet"),
        ("hymenoptera_data", "ImageNet"),
        ("imagenette2-160", "ImageNet"),
        ("cifar10", "3.3 %"),
        ("cifar-100", "10 %"),
    ],
)
def test_known_overlaps_are_reported_by_name(name, piece):
    overlap = known_overlap(["images", name])
    assert overlap is not None
    assert piece in overlap
    assert known_overlap(["pets", "train"]) is None
