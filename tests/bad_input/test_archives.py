"""Archives that mean harm, are damaged, or hold no data set."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from ensemble.dataset.archives import limits

EVIL = "outside/evil.png"
ZIP_NAMES = {
    "a climbing name": f"../../../{EVIL}",
    "a name that climbs from inside": f"train/a/../../../../../{EVIL}",
    "a climbing name behind a dot": f"./../../../{EVIL}",
    "an absolute name": "ABSOLUTE/outside/evil.png",
    "a name with Windows' strokes": "..\\..\\evil.png",
    "a drive of Windows": "C:/evil.png",
    "a server of Windows": "\\\\server\\share\\evil.png",
    "a name that is two dots": "train/..",
}


def png():
    return Path("pictures/test/t0.png").read_bytes()


def zipped(path, files, how=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def tarred(path, files=(), mode="w", **fields):
    """A tar of these files and then, where there are fields, of one member whose header has them."""
    with tarfile.open(path, mode) as archive:
        for name, content in dict(files).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if fields:
            info = tarfile.TarInfo("train/a/evil.png")
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info)


def zip_of_kind(kind):
    info = zipfile.ZipInfo("train/a/evil.png")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr(info, "../../../../outside/secret.txt")


def changed(path, old, new):
    raw = Path(path).read_bytes()
    assert old in raw
    Path(path).write_bytes(raw.replace(old, new))


def damaged_zip(old, new, how=zipfile.ZIP_STORED):
    zipped("a.zip", {"train/a/0.png": png(), "train/b/0.png": png()}, how)
    changed("a.zip", old, new)


def cut(path, share):
    raw = Path(path).read_bytes()
    Path(path).write_bytes(raw[: int(len(raw) * share)])


def good_zip():
    zipped(
        "a.zip", {f"train/{name}/{i}.png": png() + bytes([i]) for name in "ab" for i in range(20)}
    )


def good_tar(path, mode):
    tarred(path, {f"train/{name}/{i}.png": png() for name in "ab" for i in range(20)}, mode)


def sparse_tar():
    """A member of 1 TB, all of it a hole, in an archive of 2 kB: GNU's old sparse header."""
    tarred("a.tar", size=0, type=tarfile.GNUTYPE_SPARSE)
    raw = bytearray(Path("a.tar").read_bytes())
    raw[257:265] = b"ustar  \0"
    raw[386:410] = b"00000000000\0" * 2  # the map: nothing at 0
    raw[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")  # the real size
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    Path("a.tar").write_bytes(raw)


def two_names():
    zipped("a.zip", {"train/a/0.png": png()})
    before, _, after = Path("a.zip").read_bytes().rpartition(b"train")
    Path("a.zip").write_bytes(before + b"brain" + after)


def nameless():
    """Python's zipfile raises IndexError where it asks whether this is a folder; atheris found it."""
    zipped("a.zip", {"train/a/0.png": png()})
    changed("a.zip", b"\x0d\0\0\0", b"\0\0\x0d\0")


def encrypted_zip():
    damaged_zip(b"PK\x03\x04\x14\x00\x00\x00", b"PK\x03\x04\x14\x00\x01\x00")
    changed("a.zip", b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")


def tar_of_names():
    """One file per folder, 300 folders deep with names of 200 letters: longer than any path may be."""
    tarred("a.tar", {"/".join(["n" * 200] * 300) + "/0.png": png()})


FAULTS = {
    **{
        f"zip: {name}": (
            lambda name=name: zipped(
                "a.zip", {name.replace("ABSOLUTE", str(Path.cwd().parent)): b"x"}
            ),
            said,
        )
        for name, said in ((own, ["a.zip", "outside the folder"]) for own in ZIP_NAMES.values())
    },
    **{
        f"tar: {name}": (
            lambda name=name: tarred(
                "a.tar", {name.replace("ABSOLUTE", str(Path.cwd().parent)): b"x"}
            ),
            ["a.tar", "outside the folder"],
        )
        for name in ZIP_NAMES.values()
    },
    "zip: a link": (lambda: zip_of_kind(stat.S_IFLNK), ["a.zip", "evil.png", "link or device"]),
    "zip: a character device": (
        lambda: zip_of_kind(stat.S_IFCHR),
        ["a.zip", "evil.png", "link or device"],
    ),
    "zip: a block device": (
        lambda: zip_of_kind(stat.S_IFBLK),
        ["a.zip", "evil.png", "link or device"],
    ),
    "zip: a pipe": (lambda: zip_of_kind(stat.S_IFIFO), ["a.zip", "evil.png", "link or device"]),
    "zip: a socket": (lambda: zip_of_kind(stat.S_IFSOCK), ["a.zip", "evil.png", "link or device"]),
    "tar: a link": (
        lambda: tarred("a.tar", type=tarfile.SYMTYPE, linkname="../../../../outside/secret.txt"),
        ["a.tar", "evil.png", "link or device"],
    ),
    "tar: a hard link": (
        lambda: tarred("a.tar", type=tarfile.LNKTYPE, linkname="../../../../outside/secret.txt"),
        ["a.tar", "evil.png", "link or device"],
    ),
    "tar: a hard link to a member": (
        lambda: tarred(
            "a.tar", {"train/a/0.png": b"x"}, type=tarfile.LNKTYPE, linkname="train/a/0.png"
        ),
        ["a.tar", "evil.png", "link or device"],
    ),
    "tar: a folder that is a link, and a file in it": (
        lambda: tarred("a.tar", type=tarfile.SYMTYPE, name="train/a", linkname="../../../outside"),
        ["a.tar", "train/a", "link or device"],
    ),
    "tar: a character device": (
        lambda: tarred("a.tar", type=tarfile.CHRTYPE),
        ["a.tar", "link or device"],
    ),
    "tar: a block device": (
        lambda: tarred("a.tar", type=tarfile.BLKTYPE),
        ["a.tar", "link or device"],
    ),
    "tar: a pipe": (lambda: tarred("a.tar", type=tarfile.FIFOTYPE), ["a.tar", "link or device"]),
    "tar: a member of an unknown type": (lambda: tarred("a.tar", type=b"Z"), ["a.tar"]),
    "zip: empty": (lambda: Path("a.zip").write_bytes(b""), ["a.zip", "damaged or unsupported"]),
    "zip: without members": (lambda: zipped("a.zip", {}), ["neither class folders"]),
    "zip: text": (
        lambda: Path("a.zip").write_text("hello\n" * 100),
        ["a.zip", "damaged or unsupported"],
    ),
    "zip: HTML of a login page": (
        lambda: Path("a.zip").write_text("<html>sign in</html>"),
        ["a.zip", "damaged"],
    ),
    "zip: a tar": (lambda: good_tar("a.zip", "w"), ["a.zip", "damaged or unsupported"]),
    "zip: half": (lambda: (good_zip(), cut("a.zip", 0.5)), ["a.zip", "damaged or unsupported"]),
    "zip: another content than its sum says": (
        lambda: damaged_zip(b"IHDR", b"IHDX"),
        ["a.zip", "CRC"],
    ),
    "zip: a broken stream": (
        lambda: (
            zipped("a.zip", {"x": b"abc" * 99}),
            changed("a.zip", Path("a.zip").read_bytes()[31:39], b"\xff" * 8),
        ),
        ["a.zip", "damaged or unsupported"],
    ),
    "zip: a member without a name": (nameless, ["a.zip", "damaged or unsupported"]),
    "zip: encrypted": (encrypted_zip, ["a.zip", "encrypted"]),
    "zip: a method nobody knows": (
        lambda: damaged_zip(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x00\x00\x63\x00"),
        ["a.zip"],
    ),
    "zip: two names for one member": (two_names, ["a.zip", "damaged or unsupported"]),
    "zip: a file where a folder is needed": (
        lambda: zipped("a.zip", {"train": b"x", "train/a/0.png": b"y"}),
        ["a.zip", "cannot be unpacked"],
    ),
    "zip: a name of 300 letters": (
        lambda: zipped("a.zip", {"n" * 300 + ".png": b"x"}),
        ["a.zip", "cannot be unpacked"],
    ),
    "zip: only texts": (
        lambda: zipped("a.zip", {"README.md": b"x", "LICENSE": b"y"}),
        ["neither class folders"],
    ),
    "zip: only hidden files": (
        lambda: zipped("a.zip", {"__MACOSX/._0.png": b"x"}),
        ["neither class folders"],
    ),
    "zip: an archive in it": (
        lambda: zipped("a.zip", {"train.zip": b"PK"}),
        ["neither class folders", "train.zip"],
    ),
    "zip: swells a hundredfold": (
        lambda: zipped("a.zip", {"train/a/0.png": bytes(2_000_000)}),
        ["a.zip", "bytes when unpacked"],
    ),
    "zip: many that swell": (
        lambda: zipped("a.zip", {f"train/a/{i}.png": bytes(40_000) for i in range(100)}),
        ["a.zip", "bytes when unpacked"],
    ),
    "tgz: swells a hundredfold": (
        lambda: tarred("a.tgz", {"train/a/0.png": bytes(2_000_000)}, "w:gz"),
        ["a.tgz", "bytes when unpacked"],
    ),
    "tar: a hole of 1 TB": (sparse_tar, ["a.tar"]),
    "tar: text": (
        lambda: Path("a.tar").write_text("hello\n" * 200),
        ["a.tar", "damaged or unsupported"],
    ),
    "tar: empty": (lambda: Path("a.tar").write_bytes(b""), ["a.tar", "damaged or unsupported"]),
    "tar: half a member": (
        lambda: (tarred("a.tar", {"x": bytes(9000)}), cut("a.tar", 0.2)),
        ["a.tar", "damaged"],
    ),
    "tar: names longer than any path": (tar_of_names, ["a.tar", "cannot be unpacked"]),
    "tgz: half": (
        lambda: (good_tar("a.tgz", "w:gz"), cut("a.tgz", 0.5)),
        ["a.tgz", "damaged or unsupported"],
    ),
    "tgz: no tar in it": (
        lambda: Path("a.tgz").write_bytes(gzip.compress(b"hello" * 400)),
        ["a.tgz", "damaged"],
    ),
    "tgz: another sum": (
        lambda: (
            good_tar("a.tgz", "w:gz"),
            Path("a.tgz").write_bytes(Path("a.tgz").read_bytes()[:-8] + bytes(8)),
        ),
        ["a.tgz", "damaged or unsupported"],
    ),
    "tar.gz: a broken stream": (
        lambda: (
            good_tar("a.tar.gz", "w:gz"),
            changed("a.tar.gz", Path("a.tar.gz").read_bytes()[20:60], b"\xff" * 40),
        ),
        ["a.tar.gz", "damaged or unsupported"],
    ),
    "7z": (
        lambda: Path("a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c"),
        ["a.7z", "damaged or unsupported"],
    ),
    "rar": (
        lambda: Path("a.rar").write_bytes(b"Rar!\x1a\x07"),
        ["a.rar", "a rar archive, which ens does not open"],
    ),
    "an executable": (
        lambda: Path("a.exe").write_bytes(struct.pack("<2s58xI", b"MZ", 64)),
        ["a.exe", "not an archive (.zip, .7z, .tar, .tgz"],
    ),
}


@pytest.fixture
def small_bombs(monkeypatch):
    """A bomb may be small here: more than 1 MB from less than a hundredth is one."""
    monkeypatch.setattr(limits, "FREE_BYTES", 1_000_000)


@pytest.mark.parametrize("case", FAULTS)
def test_an_archive_that_is_no_data_set(case, refused, folders, small_bombs):
    prepare, said = FAULTS[case]
    prepare()
    (archive,) = Path().glob("a.*")
    refused(f"init {archive}", *said)
    assert not (Path.cwd().parent / EVIL).exists()
    if "neither class folders" not in said:
        assert list(Path(".ens_cache").glob("unpacked/*")) == []
        assert list(Path(".ens_cache").glob("unpacked/.*")) == []


CASES = FAULTS
