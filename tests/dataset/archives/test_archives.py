"""Archives are unpacked once, and hostile ones write nothing."""

import io
import stat
import tarfile
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.archives import destinations, limits
from ensemble.dataset.archives.cached import folder_of, unpacked
from ensemble.errors import DataError
from ensemble.paths import cache_root

FILES = {"train/a/1.png": b"one", "train/b/2.png": b"two", "labels.csv": b"id,label\n"}


def archive_of(path, files, folders=()):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            for name in folders:
                archive.mkdir(name)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name in folders:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
    return path


def files_in(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_file_that_is_no_archive_is_refused_with_what_is_allowed(tmp_path):
    for name, words in (
        ("a.exe", r"a.exe: not a folder and not an archive \(.zip, .7z, .tar, .tgz, .tar.gz, "),
        ("a.rar", r"a.rar: a rar archive, which ens does not open\nunpack it yourself"),
    ):
        (tmp_path / name).write_bytes(b"Rar!")
        with pytest.raises(DataError, match=words):
            folder_of(tmp_path / name)


@pytest.mark.parametrize("wrapper", ["", "birds-v2/", "./"])
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz", ".tar.gz"])
def test_an_archive_is_unpacked_with_or_without_a_folder_around_everything(
    tmp_path, suffix, wrapper
):
    wrapped = {f"{wrapper}{name}": content for name, content in FILES.items()} | {
        "__MACOSX/._1.png": b"junk"
    }
    path = archive_of(tmp_path / f"birds.x{suffix}", wrapped, folders=[f"{wrapper}empty"])
    found = folder_of(path)
    assert {
        name: content for name, content in files_in(found).items() if "MACOSX" not in name
    } == FILES
    assert found.is_relative_to(cache_root() / "unpacked")
    assert [child.name[:6] for child in (cache_root() / "unpacked").iterdir()] == ["birds-"]


def test_an_archive_is_unpacked_once_however_it_is_reached(tmp_path):
    path = archive_of(tmp_path / "birds.zip", FILES)
    found = unpacked(path)
    (found / "mark").write_text("still the same folder")
    (tmp_path / "copy").mkdir()
    assert unpacked(path.rename(tmp_path / "copy" / "birds.zip")) == found
    assert (found / "mark").exists()


def test_an_archive_with_other_content_gets_another_folder(tmp_path):
    first = unpacked(archive_of(tmp_path / "birds.zip", FILES))
    second = unpacked(archive_of(tmp_path / "birds.zip", FILES | {"labels.csv": b"changed"}))
    assert first != second
    assert files_in(first) == FILES


def refuse(path, said):
    tmp_path = path.parent
    before = files_in(tmp_path)
    with pytest.raises(DataError) as refused:
        unpacked(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)
    assert str(refused.value).count("\n") < 3
    assert files_in(tmp_path) == before
    assert not list((cache_root() / "unpacked").iterdir())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("dogs\\..\\cats/1.jpg", "cats/1.jpg"),
        ("cats/1.jpg", "dogs\\..\\cats/1.jpg"),
        ("cats\\1.jpg", "cats/1.jpg"),
        ("./cats/1.jpg", "cats//1.jpg"),
        ("cats/1.jpg", "dogs/../cats/1.jpg"),
    ],
)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_two_members_that_would_be_one_file_are_refused_and_both_are_named(
    tmp_path, suffix, first, second
):
    path = archive_of(tmp_path / f"a{suffix}", {"cats/0.jpg": b"0", first: b"1", second: b"2"})
    if suffix == ".tar" and "\\" in first + second:
        assert len(files_in(unpacked(path))) == 3
        return
    shown = [name.replace("\\", "/") for name in (first, second)]
    refuse(path, f"{shown[0]!r} and {shown[1]!r} would be one file; refused")


def test_a_disk_that_takes_one_name_for_another_overwrites_nothing(tmp_path, monkeypatch):
    """As on a case-insensitive disk: the second name leads to the first's file."""
    path = archive_of(tmp_path / "a.zip", {"cats/a.jpg": b"1", "CATS/A.jpg": b"2"})
    safe = destinations.safe_path
    monkeypatch.setattr(destinations, "safe_path", lambda name, label: safe(name.lower(), label))
    refuse(path, "'cats/a.jpg' and 'CATS/A.jpg' would be one file; refused")


def test_a_backslash_in_a_tar_is_part_of_a_name(tmp_path):
    path = archive_of(tmp_path / "a.tar", {"cats/a\\b.jpg": b"1", "cats/c.jpg": b"2"})
    assert sorted(files_in(unpacked(path))) == ["a\\b.jpg", "c.jpg"]


EVIL_NAMES = [
    "../evil",
    "a/../../../evil",
    "ABSOLUTE/evil",
    "..\\evil",
    "C:\\evil",
    "C:evil",
    "a/..",
    "x\\y\\../../../evil",
]
EVIL_TAR_NAMES = ["x\\y/../../evil", "x\\../../evil"]  # climb as Linux reads them


@pytest.mark.parametrize("name", EVIL_NAMES)
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_member_outside_the_folder_is_refused_and_nothing_is_left(tmp_path, suffix, name):
    files = {"good": b"1", name.replace("ABSOLUTE", str(tmp_path)): b"evil"}
    refuse(archive_of(tmp_path / f"a{suffix}", files), "would be written outside the folder")


@pytest.mark.parametrize("name", EVIL_TAR_NAMES)
def test_a_member_that_climbs_by_either_reading_of_a_backslash_is_refused(tmp_path, name):
    refuse(
        archive_of(tmp_path / "a.tar", {"good": b"1", name: b"evil"}),
        "would be written outside the folder",
    )


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_a_link_or_device_in_a_tar_is_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("photo.png")
        info.type = getattr(tarfile, kind)
        info.linkname = "/etc/passwd"
        archive.addfile(info)
    refuse(tmp_path / "a.tar", "'photo.png' is a link or device; refused")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_link_or_device_in_a_zip_is_refused(tmp_path, kind):
    info = zipfile.ZipInfo("photo.png")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refuse(tmp_path / "a.zip", "'photo.png' is a link or device; refused")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
@pytest.mark.parametrize("damage", ["garbage", "half", "empty"])
def test_a_damaged_archive_is_refused_and_nothing_is_left(tmp_path, suffix, damage):
    path = archive_of(tmp_path / f"a{suffix}", {"x": bytes(range(256)) * 40})
    content = path.read_bytes()
    path.write_bytes(
        {"garbage": b"hello" * 200, "half": content[: len(content) // 2], "empty": b""}[damage]
    )
    refuse(path, "damaged or unsupported archive")


def test_an_archive_that_has_a_file_where_it_needs_a_folder_is_refused(tmp_path):
    refuse(archive_of(tmp_path / "a.zip", {"a": b"1", "a/b": b"2"}), "cannot be unpacked")


@given(st.data())
def test_any_damage_leaves_a_data_error_or_a_whole_folder(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / data.draw(
        st.sampled_from(["a.zip", "a.tar", "a.tgz"])
    )
    archive_of(path, {"a/x": b"abcabc" * 50, "a/y": b"1234" * 50})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 1024) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with suppress(DataError):
        assert unpacked(path).is_dir()


@pytest.mark.parametrize(
    ("limit", "said"), [("MAX_BYTES", "more than 100 bytes"), ("MAX_FILES", "more than 100 files")]
)
def test_an_archive_that_swells_when_unpacked_is_stopped(tmp_path, monkeypatch, limit, said):
    files = (
        {"zeros": bytes(1_000_000)} if limit == "MAX_BYTES" else {f"{i}": b"" for i in range(101)}
    )
    monkeypatch.setattr(limits, limit, 100)
    refuse(archive_of(tmp_path / "bomb.zip", files), said)


def test_a_zip_with_windows_strokes_is_the_same_folder(tmp_path):
    """zipfile writes a name as it is; folders have entries of their own, or none."""
    strokes = {f"pets\\{name}".replace("/", "\\"): content for name, content in FILES.items()}
    for name, folders in (
        ("bare.zip", {}),
        ("folders.zip", {"pets\\": b"", "pets\\train\\a\\": b""}),
    ):
        assert files_in(unpacked(archive_of(tmp_path / name, folders | strokes))) == FILES
    mixed = {
        "pets\\train/a\\1.png": b"one",
        ".\\pets\\train\\b\\2.png": b"two",
        "pets/labels.csv": b"id,label\n",
    }
    assert files_in(unpacked(archive_of(tmp_path / "mixed.zip", mixed))) == FILES


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_names_that_climb_and_stay_inside_are_no_escape(tmp_path, suffix):
    names = {
        "./train/a/1.png": b"one",
        "x/../train/b/./2.png": b"two",
        "train/../labels.csv": b"id,label\n",
    }
    assert files_in(unpacked(archive_of(tmp_path / f"a{suffix}", names))) == FILES


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    "name",
    [
        "..\\evil.png",
        "a\\..\\..\\evil.png",
        "C:\\evil.png",
        "c:evil.png",
        "\\evil.png",
        "\\\\server\\share\\evil.png",
        "/evil.png",
        "../evil.png",
        "a/../../evil.png",
        ".\\..\\evil.png",
        "\\\\?\\C:\\evil.png",
        "a\\../..\\evil.png",
    ],
)
def test_a_real_escape_is_refused_however_it_is_written(tmp_path, suffix, name):
    archive = archive_of(tmp_path / f"a{suffix}", FILES | {name: b"evil"})
    with pytest.raises(DataError, match="outside the folder"):
        unpacked(archive)
    assert not list(tmp_path.rglob("evil.png"))


def test_names_in_utf_8_without_the_flag_and_in_code_page_437_are_both_right(tmp_path):
    """An old zip of macOS holds UTF-8 bytes and does not say so; one of DOS holds code page 437."""
    for stored, shown in (
        ("caf\u00e9/鸟.png".encode(), "caf\u00e9/鸟.png"),
        (b"caf\x82/\x94.png", "caf\u00e9/\u00f6.png"),
    ):
        path = tmp_path / f"{len(stored)}.zip"
        held = ("n" * len(stored)).encode()
        archive_of(path, {held.decode(): b"x", "other/y": b"y"})
        path.write_bytes(path.read_bytes().replace(held, stored))
        assert shown in files_in(unpacked(path))
