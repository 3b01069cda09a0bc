"""Every image below a folder is found, by content where its suffix says nothing; the rest is counted and named."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset import scan as scan_module
from ensemble.dataset.class_folders import class_folders
from ensemble.dataset.image_folder import ImageFolder
from ensemble.dataset.load import load
from ensemble.dataset.scan import image_files, is_image, passed_over_line, scan
from ensemble.dataset.tables import short_names
from ensemble.errors import DataError
from ensemble.layout.understanding import understand
from ensemble.recipe import Data


def image(kind="JPEG"):
    out = io.BytesIO()
    Image.effect_noise((20, 20), 80).convert("RGB").save(out, kind)
    return out.getvalue()


PHOTO = image()


def make(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "suffix", ["", ".jfif", ".JPE", ".jpg_large", ".heic", ".dat", ".001", ".jpg?w=300", ".image"]
)
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "AVIF", "JPEG2000", "WEBP", "BMP", "TIFF", "GIF", "ICO", "PPM", "QOI"]
)
def test_what_pillow_reads_is_an_image_under_any_suffix_or_none(tmp_path, suffix, kind):
    make(tmp_path, {f"a{suffix}": image(kind)})
    assert image_files(tmp_path) == [tmp_path / f"a{suffix}"]


def test_what_is_no_image_is_counted_by_kind_and_tables_and_leftovers_are_not(tmp_path):
    quiet = (
        "Thumbs.db",
        ".DS_Store",
        "desktop.ini",
        "labels.csv",
        "notes.txt",
        "a.json",
        "a.xml",
        "__MACOSX/._a.jpg",
    )
    counted = {
        "a.heic": b"\0\0\0\x18ftypheic",
        "b.heic": b"\0\0\0\x18ftypheic",
        "film.mp4": PHOTO,
        "BMP notes": b"BMP?",
    }
    make(tmp_path, {"cat/a.jpg": PHOTO} | dict.fromkeys(quiet, b"x" * 99))
    assert passed_over_line(scan(tmp_path)) == ""
    make(tmp_path / "cat", counted)
    assert image_files(tmp_path) == [tmp_path / "cat" / "a.jpg"]
    skipped = f"skipped: 2 .heic, 1 .mp4, 1 without suffix, such as {tmp_path}/cat/a.heic"
    line = f"{skipped}; save .heic as .jpg to use them"
    assert passed_over_line(scan(tmp_path)) == line
    assert passed_over_line(scan(tmp_path), scan(tmp_path / "cat")) == line


def test_a_file_whose_suffix_is_known_need_not_be_opened(tmp_path):
    assert is_image(tmp_path / "not there.JPG")
    assert not is_image(tmp_path / "not there.mp4")
    assert not is_image(tmp_path / "not there.csv")
    assert not is_image(tmp_path / "not there.odd")


def test_a_file_without_a_suffix_that_becomes_an_image_is_seen(tmp_path):
    make(tmp_path, {"a": b"no image"})
    assert image_files(tmp_path) == []
    make(tmp_path, {"a": PHOTO})
    assert image_files(tmp_path) == [tmp_path / "a"]


def test_links_to_folders_and_files_are_followed_also_out_of_the_set(tmp_path):
    make(tmp_path / "store", {"dog/1.jpg": PHOTO, "dog/deep/2.jpg": PHOTO, "cat/3.jpg": PHOTO})
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "dog").symlink_to("../store/dog")
    (tmp_path / "set" / "cat" / "3.jpg").symlink_to(tmp_path / "store" / "cat" / "3.jpg")
    images = class_folders(tmp_path / "set")
    assert images.ids == ("cat/3", "dog/1", "dog/deep/2")
    assert images.labels == ("cat", "dog", "dog")
    (tmp_path / "link").symlink_to("set")
    assert class_folders(tmp_path / "link").ids == images.ids
    assert understand(tmp_path / "link").counts == {"cat": 1, "dog": 2}


@pytest.mark.parametrize("place", ["loop", "cat/loop", "cat/deep/loop"])
@pytest.mark.parametrize("target", [".", "cat", "cat/deep"])
def test_links_in_a_circle_end_with_a_message(tmp_path, place, target):
    make(tmp_path / "set", {"cat/deep/1.jpg": PHOTO, "dog/2.jpg": PHOTO})
    link, goal = tmp_path / "set" / place, tmp_path / "set" / target
    link.symlink_to(os.path.relpath(goal, link.parent))
    if goal in link.parents:
        with pytest.raises(DataError, match=r"loop: a circular link to .*\nremove the link"):
            image_files(tmp_path / "set")
    else:
        assert len(image_files(tmp_path / "set")) == 3 if target != "." else 2


def test_links_that_lead_to_each_other_end_with_a_message(tmp_path):
    make(tmp_path, {"a/1.jpg": PHOTO, "b/2.jpg": PHOTO})
    (tmp_path / "a" / "b").symlink_to("../b")
    (tmp_path / "b" / "a").symlink_to("../a")
    with pytest.raises(DataError, match="a circular link to"):
        image_files(tmp_path)


def test_broken_links_are_named(tmp_path):
    make(tmp_path, {"cat/1.jpg": PHOTO, "dog/2.jpg": PHOTO})
    (tmp_path / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "dog" / "itself.jpg").symlink_to("itself.jpg")
    assert (
        passed_over_line(scan(tmp_path))
        == f"skipped: 2 broken links, such as {tmp_path}/cat/gone.jpg"
    )
    (tmp_path / "bird").symlink_to("no such folder")
    with pytest.raises(
        DataError, match=r"bird: a broken link\nremove the link, or restore its target"
    ):
        class_folders(tmp_path)
    assert "3 broken links" in "".join(understand(tmp_path).notes)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    make(tmp_path, {"cat/1.jpg": PHOTO, "dog/2.jpg": PHOTO})
    allowed = os.scandir

    def refuse(folder):
        if str(folder).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return allowed(folder)

    monkeypatch.setattr(scan_module.os, "scandir", refuse)
    with pytest.raises(
        DataError, match=r"dog: cannot be read .*\ngive this user permission to read"
    ):
        image_files(tmp_path)


def test_init_and_a_data_set_say_what_is_passed_over(tmp_path):
    files = {f"{name}/{i}.jfif": PHOTO for name in ("cat", "dog") for i in range(4)}
    make(tmp_path, files | {"dog/9.heic": b"\0\0\0\x18ftypheic"})
    line = f"skipped: 1 .heic, such as {tmp_path}/dog/9.heic; save .heic as .jpg to use them"
    understood = understand(tmp_path)
    assert (understood.counts, understood.notes) == ({"cat": 4, "dog": 4}, (line,))
    assert load(Data(source="folder", path=str(tmp_path), train=".", valid=0.5)).passed_over == line


@pytest.mark.parametrize("names", [["heic"], ["heic", "mp4"]])
def test_folders_with_no_image_that_can_be_read_say_what_they_hold(tmp_path, names):
    make(
        tmp_path,
        {
            f"{folder}/1.{name}": b"\0\0\0\x18ftypheic"
            for folder in ("cat", "dog")
            for name in names
        },
    )
    for call in (understand, class_folders):
        with pytest.raises(DataError, match=r"skipped: [12] \.heic") as refused:
            call(tmp_path)
        assert str(refused.value).count("\n") < 3


def test_raw_photos_beside_their_jpegs_are_passed_over_not_read_as_thumbnails(tmp_path):
    make(
        tmp_path,
        {f"cat/{i}.{suffix}": image("TIFF") for i in range(3) for suffix in ("NEF", "dng")},
    )
    make(tmp_path, {f"cat/{i}.jpg": PHOTO for i in range(3)})
    assert [path.suffix for path in image_files(tmp_path)] == [".jpg"] * 3
    assert passed_over_line(scan(tmp_path)) == (
        f"skipped: 3 .dng, 3 .nef, such as {tmp_path}/cat/0.dng; save .dng and .nef as .jpg to use them"
    )


@given(
    st.lists(
        st.from_regex(r"([ab.]b/)?[ab1.]{1,3}[ab1](\.png|\.odd)?", fullmatch=True),
        unique=True,
        max_size=12,
    )
)
def test_ids_of_any_names_are_unique_and_whole_without_a_suffix(names):
    ids = short_names(names)
    assert len(set(ids)) == len(ids)
    for name, image_id in zip(names, ids, strict=True):
        assert name == image_id or name.startswith(f"{image_id}.")
        assert "." in name.rpartition("/")[2] or image_id == name


def test_ids_find_files_without_a_suffix(tmp_path):
    make(tmp_path / "train", {"v1.0/a": PHOTO, "b.jfif": PHOTO, "1.5": PHOTO})
    folder = ImageFolder(tmp_path, "train")
    ids = ("v1.0/a", "b", "b.jfif", "1.5", "train/b")
    named = [folder.files[i].name for image_id in ids for i in folder.names.positions(image_id)]
    assert named == ["a", "b.jfif", "b.jfif", "1.5", "b.jfif"]
    assert folder.names.positions("v1") == ()
    assert folder.names.positions("") == ()


@pytest.mark.parametrize("source", ["folder", "csv"])
def test_a_load_walks_every_folder_once_and_the_next_load_sees_what_is_new(
    tmp_path, monkeypatch, source
):
    labelled = [f"train/{name}/{i}.png" for name in "ab" for i in range(4)]
    make(tmp_path, {name: image("PNG") for name in (*labelled, "test/t.png", "train/a/notes.mp4")})
    rows = "".join(f"{name.removeprefix('train/')},{name.split('/')[1]}\n" for name in labelled)
    (tmp_path / "labels.csv").write_text("id,label\n" + rows)
    settings = {"labels": "labels.csv"} if source == "csv" else {}
    data = Data(source=source, path=str(tmp_path), valid=0.5, test="test", **settings)
    walked = []
    scandir = os.scandir

    def watched_scandir(folder):
        walked.append(str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", watched_scandir)
    assert "1 .mp4" in load(data).passed_over
    assert len(walked) == len(set(walked)) == 4
    (tmp_path / "test" / "u.png").write_bytes(image("PNG"))
    assert len(load(data).test) == 2
