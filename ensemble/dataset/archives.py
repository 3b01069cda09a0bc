"""Archives, unpacked once into the cache; hostile and damaged ones leave nothing behind."""

import gzip
import os
import posixpath
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ensemble.errors import DataError
from ensemble.files import ENVIRONMENT, not_written, sha256, staged_folder
from ensemble.paths import cache_root

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
MAX_FILES, MAX_BYTES = 5_000_000, 2 * 1024**4
# beyond 256 MB, content may have 100 times the bytes of the archive: images hardly shrink
FREE_BYTES, MAX_RATIO = 1 << 28, 100
BLOCK = 1 << 20  # bytes that are copied at once


def folder_of(path: Path, inside: str = "") -> Path:
    """The folder itself, or the one that an archive holds, unpacked once. Raises DataError.

    `inside` is a folder that the recipe names; an archive that has it has no wrapper folder.
    """
    return unpacked(path, inside) if path.is_file() else path


def unpacked(archive: Path, inside: str = "") -> Path:
    """An archive's folder, unpacked once into the cache, named by its content. Raises DataError."""
    if not archive.name.lower().endswith(ARCHIVES):
        raise DataError(f"{archive}: not a folder and not an archive ({', '.join(ARCHIVES)})")
    target = cache_root() / "unpacked" / f"{archive.name.split('.')[0]}-{sha256(archive)[:12]}"
    if not target.exists():
        try:
            with staged_folder(target) as staging:
                unpack_into(archive, staging)
        except OSError as error:
            if not target.exists():  # else another process was faster, with the same content
                problem = f"cannot hold what is in {archive}"
                raise DataError(not_written(target.parent, error, problem)) from None
    return _without_wrapper(target, inside)


def _without_wrapper(folder: Path, inside: str) -> Path:
    """The folder inside a single folder that wraps everything, as archives often have it."""
    if inside not in ("", ".") and (folder / inside).exists():
        return folder
    children = [child for child in folder.iterdir() if not child.name.startswith((".", "__MACOSX"))]
    return children[0] if len(children) == 1 and children[0].is_dir() else folder


def unpack_into(archive: Path, target: Path) -> None:
    """Write an archive's files below a folder, and nothing outside it.

    Raises DataError for a bad archive, and OSError where the disk or its permissions refuse.
    """
    try:
        _unpack(archive, target)
    except DataError:
        raise
    except gzip.BadGzipFile as error:
        raise _damaged(archive, error) from None
    except OSError as error:
        if error.errno in ENVIRONMENT:
            raise
        reason = error.strerror or error
        raise DataError(f"{archive}: cannot be unpacked into {target.parent} ({reason})") from None
    except Exception as error:  # whatever zipfile and tarfile raise, IndexError among them
        raise _damaged(archive, error) from None


def _damaged(archive: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:150]  # tarfile has a line for every compression it tried
    return DataError(f"{archive}: damaged or unsupported archive ({reason})")


def _unpack(archive: Path, target: Path) -> None:
    is_zip = archive.name.lower().endswith(".zip")
    members = _zip_members(archive) if is_zip else _tar_members(archive)
    limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * archive.stat().st_size))
    n_bytes = 0
    renamed: dict[Path, str] = {}
    for n_files, (name, source) in enumerate(members, start=1):
        if n_files > MAX_FILES:
            raise DataError(f"{archive}: more than {MAX_FILES:,} files")
        destination = target / _safe(name, archive)
        destination.parent.mkdir(parents=True, exist_ok=True)
        _check_is_new(destination, name, target, archive, renamed)
        if destination.relative_to(target).as_posix() != name:
            renamed[destination] = name
        with destination.open("wb") as out:
            while block := source.read(BLOCK):
                n_bytes += len(block)
                if n_bytes > limit:
                    raise DataError(f"{archive}: more than {limit:,} bytes when unpacked; refused")
                out.write(block)


def _check_is_new(
    destination: Path, name: str, target: Path, archive: Path, renamed: Mapping[Path, str]
) -> None:
    """Raises DataError where an earlier member has this destination, in any case of its name."""
    if not os.path.isfile(destination):
        return
    files = destination.parent.iterdir()
    first = next(file for file in files if file.samefile(destination))
    first_name = renamed.get(first, first.relative_to(target).as_posix())
    raise DataError(
        f"{archive}: {first_name[:200]!r} and {name[:200]!r} would be one file; refused\n"
        "unpack it yourself and give data.path the folder, "
        "or pack it again without one of them"
    )


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name = _decoded_name(info)
            if name.endswith("/"):
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise DataError(f"{archive}: {name[:200]!r} is a link or device; refused")
            with opened.open(info) as source:
                yield name, source


def _decoded_name(info: zipfile.ZipInfo) -> str:
    """A member's name with / between folders, and in UTF-8 where its bytes are UTF-8.

    Old Windows tools write \\ between folders. Old tools for macOS and Linux write UTF-8
    without the flag that says so, and zipfile takes it for code page 437.
    """
    name = info.filename.replace("\\", "/")
    if info.flag_bits & 0x800:
        return name
    with suppress(UnicodeError):
        return name.encode("cp437").decode("utf-8")
    return name


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.isdir():
                continue
            source = opened.extractfile(info) if info.isfile() else None
            if source is None:
                raise DataError(f"{archive}: {info.name[:200]!r} is a link or device; refused")
            with source:
                yield info.name, source
        while opened.fileobj and opened.fileobj.read(BLOCK):
            pass  # gzip verifies its checksum at the very end


def _safe(name: str, archive: Path) -> PurePosixPath:
    """A member's path below the folder; `a/../b` is b. Raises DataError for one outside of it."""
    with_slashes = name.replace("\\", "/")  # as Windows reads it; on Linux a name may hold \\
    for normal in map(posixpath.normpath, (with_slashes, name)):
        path = PurePosixPath(normal)
        if path.is_absolute() or path.parts[:1] in ((), ("..",)) or PureWindowsPath(normal).drive:
            raise DataError(
                f"{archive}: {name[:200]!r} would be written outside the folder; refused"
            )
    return PurePosixPath(posixpath.normpath(with_slashes if os.name == "nt" else name))
