"""The file beside an array of decoded pixels: its unreadable images and its checksums.

Checksums find damaged and changed files, not a forger, who can write the sidecar as well.
"""

import random
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ensemble.errors import EnsembleError
from ensemble.files import write_text

BLOCK = 1 << 20  # bytes under one checksum
# of a larger array, opening it checks a sample of blocks, unless its time of change is another
N_CHECKED = 256


class Sidecar(BaseModel):
    """unreadable: rows without pixels and why; checksums: CRC-32 of each block of the array."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    native: bool
    unreadable: list[tuple[int, str]]
    checksums: list[int]
    changed: int  # st_mtime_ns of the array's file
    own_checksum: int = 0  # of this file, computed with a zero here

    def sealed(self) -> "Sidecar":
        """The same with its own checksum."""
        text = self.model_copy(update={"own_checksum": 0}).model_dump_json()
        return self.model_copy(update={"own_checksum": zlib.crc32(text.encode())})


def write_sidecar(
    array: Path, sidecar: Path, native: bool, unreadable: Sequence[tuple[int, str]]
) -> None:
    """Write the sidecar of a complete array. Raises EnsembleError, OSError."""
    n_blocks = _n_blocks(array)
    described = Sidecar(
        native=native,
        unreadable=list(unreadable),
        checksums=list(_checksums(array, range(n_blocks))),
        changed=array.stat().st_mtime_ns,
    )
    _write(sidecar, described)


def _write(sidecar: Path, described: Sidecar) -> None:
    write_text(sidecar, described.sealed().model_dump_json())


def read_sidecar(array: Path, sidecar: Path) -> Sidecar:
    """The sidecar of an array, whose bytes are checked against it. Raises OSError, ValueError.

    Small arrays are read whole; of large ones a sample of blocks, another one each time.
    """
    described = Sidecar.model_validate_json(sidecar.read_bytes())
    n_blocks = _n_blocks(array)
    if described != described.sealed() or len(described.checksums) != n_blocks:
        raise ValueError(f"{sidecar}: does not describe {array.name}")
    changed = array.stat().st_mtime_ns
    blocks = list(range(n_blocks))
    if n_blocks > N_CHECKED and changed == described.changed:
        blocks = sorted({0, n_blocks - 1, *random.Random().sample(blocks, N_CHECKED // 4)})
    if [described.checksums[block] for block in blocks] != list(_checksums(array, blocks)):
        raise ValueError(f"{array}: has changed since it was written")
    if changed != described.changed:  # a copied cache: a sample is enough the next time
        with suppress(EnsembleError):
            _write(sidecar, described.model_copy(update={"changed": changed}))
    return described


def _n_blocks(array: Path) -> int:
    return -(-array.stat().st_size // BLOCK)


def _checksums(array: Path, blocks: Iterable[int]) -> Iterable[int]:
    with array.open("rb") as stored:
        for block in blocks:
            stored.seek(block * BLOCK)
            yield zlib.crc32(stored.read(BLOCK))
