"""Archives inside folders and inside archives are replaced by what they hold."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.dataset.archives.cached import unpacked
from ensemble.dataset.archives.nested import inner_archives, sizes_of_archives, unpack_all
from ensemble.errors import DataError
from ensemble.paths import cache_root

TAR_MODES = {".tar": "w", ".tgz": "w:gz", ".tar.gz": "w:gz", ".tar.bz2": "w:bz2", ".tbz2": "w:bz2"}
TAR_MODES |= {".tar.xz": "w:xz", ".txz": "w:xz"}
FORMATS = [".zip", ".stored.zip", ".7z", *TAR_MODES]
IMAGES = {"1.jpg": b"one" * 40, "2.jpg": b"two" * 40}
TRAIN = {f"train/{name}": content for name, content in IMAGES.items()}


def packed(files, suffix):
    """The bytes of an archive."""
    out = io.BytesIO()
    if suffix in TAR_MODES:
        with tarfile.open(fileobj=out, mode=TAR_MODES[suffix]) as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    elif suffix == ".7z":
        py7zr = pytest.importorskip("py7zr")
        with py7zr.SevenZipFile(out, "w") as archive:
            for name, content in files.items():
                archive.writestr(content, name)
    else:
        how = zipfile.ZIP_STORED if "stored" in suffix else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(out, "w", how) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    return out.getvalue()


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def named(name, suffix):
    return name + suffix.removeprefix(".stored")


@pytest.fixture
def opened(tmp_path):
    """opened(files): the files of a folder with these after unpack_all, which changes none of them."""
    (tmp_path / "target").mkdir()

    def opened(files, progress=lambda done, total: None):
        root = write(tmp_path / "root", files)
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        unpack_all(root, tmp_path / "target", progress)
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
        assert files_in(root) == files
        return files_in(tmp_path / "target")

    return opened


@pytest.mark.parametrize("content", [TRAIN, IMAGES], ids=["with a folder", "without"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_an_archive_becomes_the_folder_of_its_name(opened, suffix, content):
    files = {named("train", suffix): packed(content, suffix), "labels.csv": b"id,label\n"}
    assert opened(files) == TRAIN | {"labels.csv": b"id,label\n"}


@pytest.mark.parametrize("inner", FORMATS)
@pytest.mark.parametrize("outer", FORMATS)
def test_an_archive_in_any_archive_is_opened(opened, outer, inner):
    layer = {f"sets/{named('train', inner)}": packed(IMAGES, inner), "sets/a.jpg": b"a"}
    expected = {f"all/sets/{name}": content for name, content in TRAIN.items()}
    assert opened({named("all", outer): packed(layer, outer)}) == expected | {
        "all/sets/a.jpg": b"a"
    }


def test_four_archives_in_each_other_are_opened_and_five_refused(opened):
    content = packed(IMAGES, ".zip")
    for depth in range(3):
        content = packed({f"d{depth}.zip": content}, ".zip")
    expected = {f"a/d2/d1/d0/{name}": image for name, image in IMAGES.items()}
    assert opened({"a.zip": content}) == expected
    with pytest.raises(DataError, match=r"more than 4 deep"):
        opened({"a.zip": packed({"b.zip": content}, ".zip")})


TREES = st.recursive(
    st.just(None),
    lambda inner: st.lists(
        st.tuples(inner, st.sampled_from([None, *FORMATS]), st.booleans()), min_size=1, max_size=3
    ),
    max_leaves=6,
)


def tree_of(tree, depth=0):
    """The files of a tree, and the same with folders packed as the tree says, at most four deep."""
    plain, closed = (
        {f"{depth}.jpg": b"image %d" % depth * 9},
        {f"{depth}.jpg": b"image %d" % depth * 9},
    )
    for i, (child, suffix, has_wrapper) in enumerate(tree or ()):
        name = f"folder{depth}{i}"
        inner_plain, inner_closed = tree_of(child, depth + 1)
        plain |= {f"{name}/{file}": content for file, content in inner_plain.items()}
        wrapped = {f"{name}/{file}": content for file, content in inner_closed.items()}
        if suffix is None or depth > 3:
            closed |= wrapped
        else:
            content = packed(wrapped if has_wrapper else inner_closed, suffix)
            closed[named(name, suffix)] = content
    return plain, closed


@settings(max_examples=60, deadline=None)
@given(tree=TREES)
def test_any_folders_packed_in_any_way_are_the_same_tree_again(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("tree")
    plain, closed = tree_of(tree)
    write(folder / "root", closed)
    (folder / "target").mkdir()
    unpack_all(folder / "root", folder / "target", lambda done, total: None)
    assert files_in(folder / "target") == plain
    assert inner_archives(folder / "target") == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.csv.zip", packed({"train.csv": b"id\n1\n"}, ".zip")),
        ("train.zip", packed({"train.csv": b"id\n1\n", "__MACOSX/._train.csv": b"x"}, ".zip")),
        ("all.tar.gz", packed({"train.csv": b"id\n1\n"}, ".tgz")),
        ("train.csv.gz", gzip.compress(b"id\n1\n", mtime=0)),
        ("train.csv.bz2", bz2.compress(b"id\n1\n")),
        ("train.csv.xz", lzma.compress(b"id\n1\n")),
    ],
)
def test_a_packed_table_becomes_a_table(opened, name, content):
    assert opened({name: content, "x/1.jpg": b"x"}) == {"train.csv": b"id\n1\n", "x/1.jpg": b"x"}


def test_archives_whose_content_lies_beside_them_stay_closed(tmp_path):
    table = packed({"labels.csv": b"id\n1\n"}, ".zip")
    write(
        tmp_path,
        {
            "plates/train/dirty/1.jpg": b"1",
            "plates.zip": packed({"plates/train/dirty/1.jpg": b"1"}, ".zip"),
            "labels.csv": b"id\n1\n",
            **{"labels.csv.zip": table, "labels.zip": table, "labels.csv.gz": gzip.compress(b"x")},
            "placeholder.zip": b"PK",
            **{".hidden.zip": table, "__MACOSX/a.zip": table, ".cache/b.zip": table},
        },
    )
    assert inner_archives(tmp_path) == ()
    assert sizes_of_archives(tmp_path) == 0


def test_a_folder_or_a_table_of_an_archives_name_need_not_be_its_content(opened, tmp_path):
    """Labels in train/ and in train.csv say nothing about the images in train.zip."""
    files = {"train/labels.csv": b"id\n", "train.csv": b"id\n", "train.zip": packed(TRAIN, ".zip")}
    assert opened(files) == TRAIN | {"train/labels.csv": b"id\n", "train.csv": b"id\n"}
    assert inner_archives(tmp_path / "root") == (tmp_path / "root" / "train.zip",)


def test_the_size_is_known_from_the_headers_before_anything_is_written(tmp_path, opened):
    inner = packed(TRAIN, ".zip")
    files = {"all.zip": packed({"train.zip": inner}, ".stored.zip"), "b.7z": packed(IMAGES, ".7z")}
    steps = []
    opened(files | {"c.csv": b"x" * 50}, lambda done, total: steps.append((done, total)))
    assert sizes_of_archives(tmp_path / "root") == 480
    assert steps[-1] == (480, 480)
    assert steps == sorted(steps)


def test_plain_files_are_linked_or_else_copied_and_links_are_followed(tmp_path, monkeypatch):
    root = write(tmp_path / "root", {"a/1.jpg": b"1"})
    (root / "link").symlink_to("a")
    (root / "2.jpg").symlink_to("a/1.jpg")
    (root / "gone.jpg").symlink_to("nowhere.jpg")
    for name in ("linked", "copied"):
        (tmp_path / name).mkdir()
        unpack_all(root, tmp_path / name, lambda done, total: None)
        assert files_in(tmp_path / name) == dict.fromkeys(["a/1.jpg", "link/1.jpg", "2.jpg"], b"1")
        assert (tmp_path / name / "gone.jpg").is_symlink()
        is_linked = os.path.samefile(tmp_path / name / "2.jpg", root / "a" / "1.jpg")
        assert is_linked == (name == "linked")

        def refuse(*paths):
            raise OSError("another disk")

        monkeypatch.setattr(os, "link", refuse)


def test_an_archive_of_archives_is_a_folder_in_the_cache(tmp_path):
    files = {f"{name}.zip": packed({f"{name}/1.jpg": b"1"}, ".zip") for name in ("train", "test")}
    (tmp_path / "all.zip").write_bytes(packed(files | {"s.csv": b"id\n"}, ".zip"))
    folder = unpacked(tmp_path / "all.zip")
    assert files_in(folder) == {"train/1.jpg": b"1", "test/1.jpg": b"1", "s.csv": b"id\n"}
    assert [child.name for child in (cache_root() / "unpacked").iterdir()] == [folder.name]


def test_a_cached_folder_in_which_archives_were_left_closed_is_opened_beside_it(tmp_path):
    (tmp_path / "all.zip").write_bytes(packed({"train.zip": packed(TRAIN, ".zip")}, ".zip"))
    folder = unpacked(tmp_path / "all.zip").parent
    (folder / "train" / "1.jpg").unlink()
    (folder / "train" / "2.jpg").unlink()
    (folder / "train").rmdir()
    write(folder, {"train.zip": packed(TRAIN, ".zip"), "s.csv": b"id\n"})
    for _ in range(2):
        assert unpacked(tmp_path / "all.zip") == folder.with_name(f"{folder.name}-opened")
    assert files_in(folder.with_name(f"{folder.name}-opened")) == TRAIN | {"s.csv": b"id\n"}
    assert sorted(files_in(folder)) == ["s.csv", "train.zip"]


def test_a_tar_without_its_end_or_with_a_damaged_header_is_never_half_a_data_set(opened):
    """tarfile takes both for the end of the archive, without a word."""
    content = packed(IMAGES, ".tar")
    for damaged in (content[:2048], content[:1024] + b"\xff" + content[1025:]):
        with pytest.raises(DataError, match=r"train.tar: damaged or unsupported archive"):
            opened({"train.tar": damaged})


LAYERS = [(".stored.zip", ".zip"), (".zip", ".tgz"), (".7z", ".zip"), (".tgz", ".stored.zip")]
WHOLE = {
    (outer, inner): packed({named("in", inner): packed(IMAGES, inner), "a.jpg": b"a" * 30}, outer)
    for outer, inner in LAYERS
}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_byte_in_nested_archives_is_refused_or_changes_nothing(tmp_path_factory, data):
    """Every layer here has checksums; a tar has them for its headers alone."""
    folder = tmp_path_factory.mktemp("byte")
    outer, inner = data.draw(st.sampled_from(LAYERS))
    raw = bytearray(WHOLE[outer, inner])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    write(folder / "root", {named("all", outer): raw})
    (folder / "target").mkdir()
    with suppress(DataError):
        unpack_all(folder / "root", folder / "target", lambda done, total: None)
        expected = {"all/a.jpg": b"a" * 30} | {f"all/in/{name}": IMAGES[name] for name in IMAGES}
        assert files_in(folder / "target") == expected
