"""Reading an .npz that anyone may have written: no Python objects, no zip bomb."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np

from ensemble.errors import DamagedError
from ensemble.targets import Array

# a file is a zip bomb if its arrays take more than 1 GiB and more than 100 times its own bytes
FREE_BYTES = 1 << 30
MAX_RATIO = 100


def read_npz(content: bytes) -> dict[str, Array]:
    """The arrays in the bytes of an .npz by name. Raises DamagedError, and what numpy raises."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        n_bytes = sum(info.file_size for info in archive.infolist())
    limit = max(FREE_BYTES, MAX_RATIO * len(content))
    if n_bytes > limit:
        raise DamagedError(f"{n_bytes:,} bytes when unpacked, {limit:,} are allowed")
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        return {name: _array(stored, name) for name in stored.files}


def _array(stored: Mapping[str, Array], name: str) -> Array:
    """An array of an .npz. Raises DamagedError for one of Python's objects, which is never read."""
    try:
        return stored[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        raise DamagedError(
            f"{name} holds Python objects\nsave texts by .astype(str), numbers by .astype(float)"
        ) from None
