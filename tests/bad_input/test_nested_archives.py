"""Archives inside folders and archives that mean harm, are damaged, or collide with each other."""

import io
import stat
import struct
import sys
import tarfile
import zipfile
import zlib

import pytest

from ensemble.dataset.archives import limits
from ensemble.dataset.archives.cached import unpacked
from ensemble.dataset.archives.nested import unpack_all
from ensemble.errors import DataError
from ensemble.files import staged_folder

py7zr = pytest.importorskip("py7zr")
NAME = "train/evil.png"
HOSTILE_NAMES = {
    "a climbing name": "../../outside/evil.png",
    "an absolute name": "/tmp/outside/evil.png",
    "a drive of Windows": "C:/outside/evil.png",
    "a name with Windows' strokes": "..\\..\\evil.png",
}


def zipped(files, how=zipfile.ZIP_DEFLATED, kind=0):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = kind << 16
            archive.writestr(info, content, how)
    return out.getvalue()


def stored(files):
    return zipped(files, zipfile.ZIP_STORED)


def tarred(files, mode="w", kind=tarfile.REGTYPE):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../outside/secret.txt"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tgz(files):
    return tarred(files, "w:gz")


def sevenzipped(files, changes=(), is_plain=False, **options):
    """A 7z whose header has these bytes changed, and its checksums made right again."""
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", **options) as archive:
        archive.set_encoded_header_mode(not (changes or is_plain))
        for name, content in files.items():
            archive.writestr(content, name)
    raw = bytearray(out.getvalue())
    start = 32 + int.from_bytes(raw[12:20], "little")
    for old, new in changes:
        assert len(old) == len(new)
        assert old in raw[start:]
        raw[start:] = raw[start:].replace(old, new)
    if changes:
        struct.pack_into("<I", raw, 28, zlib.crc32(raw[start:]))
        struct.pack_into("<I", raw, 8, zlib.crc32(raw[12:32]))
    return bytes(raw)


def sevenzip_named(name):
    held = "n" * len(name)
    return sevenzipped({held: b"x"}, [(held.encode("utf-16-le"), name.encode("utf-16-le"))])


def sevenzip_of_kind(kind):
    regular = struct.pack("<I", 0x8000 | (stat.S_IFREG | 0o600) << 16)[1:]
    attributes = struct.pack("<I", 0x8000 | (kind | 0o600) << 16)[1:]
    return sevenzipped({NAME: b"/etc/passwd"}, [(regular, attributes)])


def encrypted_zip():
    raw = stored({NAME: b"secret"})
    raw = raw.replace(b"PK\3\4\x14\0\0", b"PK\3\4\x14\0\1")
    return raw.replace(b"PK\1\2\x14\3\x14\0\0", b"PK\1\2\x14\3\x14\0\1")


def changed(content, old, new):
    assert old in content
    return content.replace(old, new)


def half(content):
    return content[: len(content) // 2]


def in_parts(content, n=3):
    size = -(-len(content) // n)
    return [content[i : i + size] for i in range(0, len(content), size)]


def parts(content, *order):
    """Files train.zip.001 and so on: the parts of a zip in this order, None where one is left out."""
    return {
        f"train.zip.{i:03d}": content[part] for i, part in enumerate(order, 1) if part is not None
    }


IMAGES = {f"{i}.png": bytes(range(256)) * 3 + bytes([i]) for i in range(30)}
GOOD_PARTS = in_parts(stored(IMAGES))
SECRET = {"password": "hunter2", "filters": [{"id": py7zr.FILTER_COPY}]}
SECRET["filters"] += [{"id": py7zr.FILTER_CRYPTO_AES256_SHA256}]
BLANKS = bytes(1_500_000)
# what is wrong: (the archive inside, its name, what the message says besides the path to it)
INNER = {
    **{
        f"zip, {case}": (zipped({name: b"x"}), "in.zip", [name.replace("\\", "/"), "outside the"])
        for case, name in HOSTILE_NAMES.items()
    },
    **{
        f"tar, {case}": (tarred({name: b"x"}), "in.tar", ["outside the folder"])
        for case, name in HOSTILE_NAMES.items()
    },
    **{
        f"7z, {case}": (sevenzip_named(name), "in.7z", ["outside the folder"])
        for case, name in HOSTILE_NAMES.items()
    },
    "zip, a link": (zipped({NAME: b"x"}, kind=stat.S_IFLNK), "in.zip", [NAME, "link or device"]),
    "zip, a device": (zipped({NAME: b"x"}, kind=stat.S_IFBLK), "in.zip", [NAME, "link or device"]),
    "tar, a link": (tarred({NAME: b""}, kind=tarfile.SYMTYPE), "in.tar", [NAME, "link or device"]),
    "tar, a hard link": (tarred({NAME: b""}, kind=tarfile.LNKTYPE), "in.tar", [NAME, "link or"]),
    "tar, a device": (tarred({NAME: b""}, kind=tarfile.CHRTYPE), "in.tar", [NAME, "link or"]),
    "tar, a pipe": (tarred({NAME: b""}, kind=tarfile.FIFOTYPE), "in.tar", [NAME, "link or device"]),
    "7z, a link": (sevenzip_of_kind(stat.S_IFLNK), "in.7z", [NAME, "link or device"]),
    "7z, a device": (sevenzip_of_kind(stat.S_IFCHR), "in.7z", [NAME, "link or device"]),
    "7z, a socket": (sevenzip_of_kind(stat.S_IFSOCK), "in.7z", [NAME, "link or device"]),
    "zip, encrypted": (encrypted_zip(), "in.zip", [NAME, "encrypted"]),
    "7z, encrypted": (sevenzipped({NAME: b"x"}, **SECRET), "in.7z", [NAME, "encrypted"]),
    "7z, encrypted names": (
        sevenzipped({NAME: b"x"}, header_encryption=True, **SECRET),
        "in.7z",
        ["encrypted, even the names"],
    ),
    "zip, half": (half(zipped(IMAGES)), "in.zip", ["damaged or unsupported"]),
    "tar, half": (half(tarred(IMAGES)), "in.tar", ["damaged or unsupported"]),
    "tgz, half": (half(tgz(IMAGES)), "in.tgz", ["damaged or unsupported"]),
    "tar.xz, half": (half(tarred(IMAGES, "w:xz")), "in.tar.xz", ["damaged or unsupported"]),
    "tbz2, half": (half(tarred(IMAGES, "w:bz2")), "in.tbz2", ["damaged or unsupported"]),
    "7z, half": (half(sevenzipped(IMAGES)), "in.7z", ["damaged or unsupported"]),
    "csv.gz, half": (half(tgz(IMAGES)), "in.csv.gz", ["damaged or unsupported"]),
    "zip, another content than its sum says": (
        changed(stored({NAME: b"abcdefgh"}), b"abcdefgh", b"abcdefgX"),
        "in.zip",
        [NAME, "CRC"],
    ),
    "zip, a member that its end does not count": (
        changed(zipped({"a": b"a"}), b"PK\5\6\0\0\0\0\1\0\1\0", b"PK\5\6\0\0\0\0\2\0\2\0"),
        "in.zip",
        ["damaged or unsupported", "1 members, and not as many"],
    ),
    "zip, cut behind a zip inside it": (
        stored({"a.png": b"a" * 99, "b.zip": stored(IMAGES)}).rpartition(b"PK\1\2")[0][:-50],
        "in.zip",
        ["damaged or unsupported", "cut off"],
    ),
    "zip, a folder with content": (
        changed(stored({"a.png": b"x"}), b"a.png", b"a.pn/"),
        "in.zip",
        ["'a.pn/' is a folder with content"],
    ),
    "7z, another content than its sum says": (
        changed(
            sevenzipped({NAME: b"abcdefgh"}, filters=[{"id": py7zr.FILTER_COPY}]),
            b"abcdefgh",
            b"abcdefgX",
        ),
        "in.7z",
        ["damaged or unsupported"],
    ),
    "7z, a damaged header": (
        changed(sevenzipped({NAME: b"x"}, is_plain=True), "evil".encode("utf-16-le"), b"\xff" * 8),
        "in.7z",
        ["damaged or unsupported"],
    ),
    "tar, a damaged header": (
        changed(tarred({"a": b"a", NAME: b"x"}), b"evil", b"EVIL"),
        "in.tar",
        ["damaged or unsupported", "bad checksum"],
    ),
    "tar without its end": (tarred({"a": b"a"})[:1024], "in.tar", ["cut off or damaged"]),
    "zip, HTML of a login page": (b"<html>sign in</html>" * 9, "in.zip", ["damaged or unsup"]),
    "7z, text": (b"hello world\n" * 9, "in.7z", ["damaged or unsupported"]),
    "7z called zip": (sevenzipped({NAME: b"x"}), "in.zip", ["its content is that of a .7z"]),
    "zip called 7z": (zipped({NAME: b"x"}), "in.7z", ["its content is that of a .zip"]),
    "tar called zip": (tarred({NAME: b"x"}), "in.zip", ["its content is that of a .tar"]),
    "rar called zip": (b"Rar!\x1a\x07\1\0" * 9, "in.zip", ["its content is that of a .rar"]),
    "rar": (b"Rar!\x1a\x07\1\0" * 9, "in.rar", ["a rar archive, which ens does not open"]),
    "zip without members": (zipped({}), "in.zip", ["an archive without files"]),
    "tar without members": (tarred({}), "in.tar", ["an archive without files"]),
    "zip with hidden files alone": (zipped({"__MACOSX/._a": b"x"}), "in.zip", ["without files"]),
    "zip, one name twice": (
        zipped({"a/1.png": b"1", "b/../a/1.png": b"2"}),
        "in.zip",
        ["'a/1.png' and 'b/../a/1.png' would be one file"],
    ),
    "tar, one name twice": (
        tarred({"a/1.png": b"1", "./a/1.png": b"2"}),
        "in.tar",
        ["'a/1.png' and './a/1.png' would be one file"],
    ),
    "7z, one name twice": (
        sevenzipped({"a": b"1", "b": b"2"}, [("b".encode("utf-16-le"), "a".encode("utf-16-le"))]),
        "in.7z",
        ["'a' and 'a' would be one file"],
    ),
    "zip, an archive twice": (
        zipped({"x.zip": zipped(IMAGES), "./x.zip": zipped(IMAGES)}),
        "in.zip",
        ["'x.zip' and './x.zip' would be one file"],
    ),
    "zip, a file where a folder is needed": (
        zipped({"train": b"x", "train/0.png": b"y"}),
        "in.zip",
        ["cannot be unpacked"],
    ),
    "zip, it swells": (zipped({NAME: BLANKS}), "in.zip", ["bytes when unpacked"]),
    "tgz, it swells": (tgz({NAME: BLANKS}), "in.tgz", ["bytes when unpacked"]),
    "tar.xz, it swells": (tarred({NAME: BLANKS}, "w:xz"), "in.tar.xz", ["bytes when unpacked"]),
    "7z, it swells": (sevenzipped({NAME: BLANKS}), "in.7z", ["bytes when unpacked"]),
    "csv.bz2, it swells": (tarred({NAME: BLANKS}, "w:bz2"), "in.csv.bz2", ["when unpacked"]),
}
OUTER = {".zip": zipped, ".stored.zip": stored, ".tar": tarred, ".tgz": tgz, ".7z": sevenzipped}
WRONG_PART = ["train.zip.001", "damaged or unsupported"]
MANY = zipped({f"{i}.png": bytes(100_000) for i in range(4)})
# what is wrong: (the files of the folder, what the message says)
FOLDERS = {
    "split zip, the middle part is missing": (
        parts(GOOD_PARTS, 0, None, 2),
        ["train.zip.001", "missing: train.zip.002"],
    ),
    "split zip, the first part is missing": (
        parts(GOOD_PARTS, None, 1, 2),
        ["train.zip.002", "missing: train.zip.001"],
    ),
    "split zip, the last part is missing": (parts(GOOD_PARTS, 0, 1), WRONG_PART),
    "split zip, the last part is cut": (
        parts([*GOOD_PARTS[:2], half(GOOD_PARTS[2])], 0, 1, 2),
        WRONG_PART,
    ),
    "split zip, the middle part is cut": (
        parts([GOOD_PARTS[0], half(GOOD_PARTS[1]), GOOD_PARTS[2]], 0, 1, 2),
        WRONG_PART,
    ),
    "split zip, a part is empty": (parts([*GOOD_PARTS[:2], b""], 0, 1, 2), WRONG_PART),
    "split zip, wrong order": (parts(GOOD_PARTS, 1, 0, 2), WRONG_PART),
    "split zip, one part twice": (parts(GOOD_PARTS, 0, 0, 2), WRONG_PART),
    "split zip, the last part first": (parts(GOOD_PARTS, 2, 1, 0), WRONG_PART),
    "split zip in a zip, a part is missing": (
        {"all.zip": zipped(parts(GOOD_PARTS, 0, None, 2))},
        ["all.zip: train.zip.001", "missing: train.zip.002"],
    ),
    "split zip in a 7z, wrong order": (
        {"all.7z": sevenzipped(parts(GOOD_PARTS, 1, 0, 2))},
        ["all.7z: train.zip.001", "damaged"],
    ),
    "z01 without its zip": (
        {"train.z01": GOOD_PARTS[0], "train.z02": GOOD_PARTS[1]},
        ["train.z01", "missing: train.zip"],
    ),
    "z01 of another zip": (
        {"train.z01": GOOD_PARTS[0], "train.zip": zipped(IMAGES)[:-30]},
        ["train.zip", "damaged"],
    ),
    "the last part of a split zip": (
        {"train.zip": changed(zipped(IMAGES), b"PK\5\6\0\0\0\0", b"PK\5\6\2\0\2\0")},
        ["train.zip", "the last of 3 parts"],
    ),
    "7z in parts, one is missing": (
        {"a.7z.001": b"7z", "a.7z.003": b"x"},
        ["a.7z.001", "missing: a.7z.002"],
    ),
    "five deep": (
        {"1.zip": zipped({"2.zip": zipped({"3.zip": stored({"4.zip": zipped({"5.zip": MANY})})})})},
        ["1.zip: 2.zip: 3.zip: 4.zip: 5.zip", "more than 4 deep"],
    ),
    "many small archives that swell together": (
        {"bomb.zip": zipped({f"{i}.zip": MANY for i in range(9)})},
        ["bomb.zip", "1,000,000 bytes when unpacked"],
    ),
    "archives that swell together in three layers": (
        {
            "bomb.7z": sevenzipped(
                {f"{i}.zip": stored({f"{k}.zip": MANY for k in "ab"}) for i in "xyz"}
            )
        },
        ["bomb.7z", "1,000,000 bytes when unpacked"],
    ),
    "a bomb beside a large archive": (
        {"a.zip": stored({"1.png": BLANKS[:900_000]}), "b.zip": zipped({NAME: BLANKS})},
        ["b.zip", "1,000,000 bytes when unpacked"],
    ),
    "more files than may be, over all layers": (
        {"a.zip": zipped({f"{i}.zip": zipped(IMAGES) for i in range(4)})},
        ["a.zip: ", "more than 100 files"],
    ),
    "two archives with one file": (
        {"train.zip": zipped(IMAGES), "train.tar": tarred(IMAGES)},
        ["train.zip", "'0.png' would be one file"],
    ),
    "two archives whose names differ in case": (
        {"Train.zip": zipped(IMAGES), "train.zip": zipped(IMAGES)},
        ["train.zip", "'train' would be one file or folder with 'Train'"],
    ),
    "a folder whose name differs in case": (
        {"TRAIN/a.csv": b"id\n", "train.zip": zipped(IMAGES)},
        ["train.zip", "'train' would be one file or folder with 'TRAIN'"],
    ),
    "a folder in a zip whose name differs in case from an archive beside it": (
        {"all.zip": zipped({"Train/a.csv": b"id\n", "train.zip": zipped(IMAGES)})},
        ["all.zip: train.zip", "'train' would be one file or folder with 'Train'"],
    ),
    "a file in the folder whose name differs in case": (
        {"train/A.csv": b"id\n", "train.zip": zipped({"a.csv": b"id\n", "1.png": b"1"})},
        ["train.zip", "'a.csv' would be one file or folder with 'A.csv'"],
    ),
    "a file in the folder with the name of a member": (
        {"train/a.csv": b"id\n", "train.zip": zipped({"a.csv": b"id2\n", "1.png": b"1"})},
        ["train.zip", "'a.csv' would be one file or folder with 'a.csv'"],
    ),
    "a file with the name of the folder": (
        {"train": b"x", "train.zip": zipped(IMAGES)},
        ["train.zip", "'train' would be one file or folder with 'train'"],
    ),
    "a table in two archives": (
        {"a.7z": sevenzipped({"t.csv": b"1"}), "b.7z": sevenzipped({"t.csv": b"2"})},
        ["b.7z", "'t.csv' would be one file"],
    ),
}


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """refused(files, words): a folder with these files is refused in these words, and nothing else happens."""
    monkeypatch.setattr(limits, "FREE_BYTES", 1_000_000)
    monkeypatch.setattr(limits, "MAX_FILES", 100)

    def tree():
        return {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}

    def unpack_folder(root):
        with staged_folder(tmp_path / "out" / "opened") as staging:
            unpack_all(root, staging, lambda done, total: None)

    def refused(files, words, unpack=unpack_folder):
        root = tmp_path / "in"
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        for folder in ("out", "cache/unpacked"):
            (tmp_path / folder).mkdir(parents=True)
        before = tree()
        with pytest.raises(DataError) as caught:
            unpack(root)
        message = str(caught.value)
        assert message.startswith(str(root)), message
        assert message.count("\n") < 3
        assert len(message) < 2000
        for text in words:
            assert text in message
        assert tree() == before

    return refused


@pytest.mark.parametrize("case", INNER)
def test_an_archive_in_a_folder(case, refused):
    content, name, words = INNER[case]
    refused({f"sets/{name}": content}, [f"sets/{name}: ", *words])


@pytest.mark.parametrize("outer", OUTER)
@pytest.mark.parametrize("case", INNER)
def test_an_archive_in_an_archive(case, outer, refused):
    content, name, words = INNER[case]
    whole = OUTER[outer]({"a.png": b"a", f"sets/{name}": content, "z.png": b"z"})
    file = f"all{outer.removeprefix('.stored')}"
    refused(
        {file: whole}, [file, *words] if "swells" in case else [f"{file}: sets/{name}: ", *words]
    )


@pytest.mark.parametrize("case", FOLDERS)
def test_archives_in_a_folder(case, refused):
    refused(*FOLDERS[case])


@pytest.mark.parametrize("case", INNER)
def test_an_archive_in_an_archive_that_a_recipe_names(case, refused):
    content, name, words = INNER[case]
    refused({"all.zip": stored({name: content})}, words, lambda root: unpacked(root / "all.zip"))


def test_7z_without_its_package_says_the_pip_line(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "py7zr", None)
    words = ["a.zip: b.7z: 7z archives need py7zr, which is not installed\npip install 'py7zr>="]
    refused({"a.zip": zipped({"b.7z": b"7z" * 20})}, words)


CASES = INNER | FOLDERS
