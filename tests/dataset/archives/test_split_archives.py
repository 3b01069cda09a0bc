"""Archives in numbered parts are one archive."""

import io
import struct
import zipfile

import pytest

from ensemble.dataset.archives.cached import unpack_into, unpacked
from ensemble.dataset.archives.nested import inner_archives, sizes_of_archives, unpack_all
from ensemble.errors import DataError

IMAGES = {f"{i}.jpg": bytes([i]) * (300 + i) for i in range(9)}


def zipped(files=IMAGES, how=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def in_parts(content, n):
    """n parts of one size, the last one smaller."""
    size = -(-len(content) // n)
    return [content[i : i + size] for i in range(0, len(content), size)]


def z_parts(n, how=zipfile.ZIP_STORED):
    """The parts that `zip -s` writes: their central directory names part and offset of each member."""
    content = b"PK\7\x08" + zipped(how=how)
    size = -(-len(content) // n)
    raw = bytearray(content)
    end = raw.rindex(b"PK\5\6")
    table = position = int.from_bytes(raw[end + 16 : end + 20], "little") + 4
    while raw[position : position + 4] == b"PK\1\2":
        lengths = struct.unpack_from("<3H", raw, position + 28)
        offset = int.from_bytes(raw[position + 42 : position + 46], "little") + 4
        struct.pack_into("<H", raw, position + 34, offset // size)
        struct.pack_into("<I", raw, position + 42, offset % size)
        position += 46 + sum(lengths)
    struct.pack_into("<2H", raw, end + 4, (len(raw) - 1) // size, table // size)
    struct.pack_into("<I", raw, end + 16, table % size)
    return in_parts(bytes(raw), n)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}


def named(parts, name, start=1):
    return {f"{name}.{i:03d}": part for i, part in enumerate(parts, start)}


def z_named(parts, stem):
    names = [*(f"{stem}.z{i:02d}" for i in range(1, len(parts))), f"{stem}.zip"]
    return dict(zip(names, parts, strict=True))


CASES = {
    "zip": named(in_parts(zipped(), 5), "train.zip"),
    "zip, stored": named(in_parts(zipped(how=zipfile.ZIP_STORED), 3), "train.zip"),
    "zip, counted from 0": named(in_parts(zipped(), 4), "train.zip", 0),
    "zip, its last part a few bytes": named([zipped()[:-5], zipped()[-5:]], "train.zip"),
    "zip in one part": named([zipped()], "train.zip"),
    "z": z_named(z_parts(4), "train"),
    "z, deflated": z_named(z_parts(2, zipfile.ZIP_DEFLATED), "train"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_split_archive_is_opened_in_a_folder_in_an_archive_and_by_any_of_its_parts(
    case, tmp_path
):
    root, target = tmp_path / "root", tmp_path / "target"
    root.mkdir()
    target.mkdir()
    for name, content in CASES[case].items():
        (root / name).write_bytes(content)
    (root / "all.zip").write_bytes(
        zipped({f"x/{name}": part for name, part in CASES[case].items()})
    )
    assert len(inner_archives(root)) == 2
    assert sizes_of_archives(root) > sum(map(len, IMAGES.values()))
    unpack_all(root, target, lambda done, total: None)
    assert files_in(target / "train") == IMAGES
    assert files_in(target / "all" / "x" / "train") == IMAGES
    assert sorted(child.name for child in target.iterdir()) == ["all", "train"]
    folders = {unpacked(root / name) for name in CASES[case]}
    assert len(folders) == 1
    assert files_in(folders.pop()) == IMAGES


def test_a_7z_in_parts_is_opened(tmp_path):
    py7zr = pytest.importorskip("py7zr")
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        for name, content in IMAGES.items():
            archive.writestr(content, name)
    for name, part in named(in_parts(out.getvalue(), 3), "a.7z").items():
        (tmp_path / name).write_bytes(part)
    (tmp_path / "target").mkdir()
    unpack_into(tmp_path / "a.7z.001", tmp_path / "target")
    assert files_in(tmp_path / "target") == IMAGES


def test_parts_beside_the_file_that_they_were_joined_to_are_passed_over(tmp_path):
    for name, part in named(in_parts(zipped(), 3), "train.zip").items():
        (tmp_path / name).write_bytes(part)
    (tmp_path / "train.zip").write_bytes(zipped())
    assert inner_archives(tmp_path) == (tmp_path / "train.zip",)


def test_a_year_or_a_version_at_the_end_of_a_name_is_no_part(tmp_path):
    (tmp_path / "a.zip.2019").write_bytes(zipped())
    (tmp_path / "scan.001").write_bytes(zipped())
    assert inner_archives(tmp_path) == ()


def test_a_split_zip_above_4_gb_is_refused_with_the_command_that_joins_it(tmp_path):
    raw = bytearray(zipped())
    end = raw.rindex(b"PK\5\6")
    raw[end:end] = b"PK\6\7" + struct.pack("<IQI", 2, 0, 3)
    (tmp_path / "big.zip").write_bytes(raw)
    with pytest.raises(DataError, match=r"`zip -s 0 big.zip --out big_joined.zip` joins it"):
        unpacked(tmp_path / "big.zip")
