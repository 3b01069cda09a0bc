"""Weights on disk: safetensors, written atomically, loaded without pickle."""

import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ensemble.errors import DamagedError
from ensemble.files import atomic_path


def save_weights(
    state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Store a state dict and metadata. Raises EnsembleError."""
    with atomic_path(path) as temporary:
        try:
            save_file(
                {name: tensor.contiguous() for name, tensor in state.items()}, temporary, metadata
            )
        except SafetensorError as error:
            raise _system_error(error) from None


def _system_error(error: SafetensorError) -> OSError:
    """The error of the system that safetensors put into words while writing."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return OSError(str(error)[:150])
    return OSError(int(number[1]), os.strerror(int(number[1])))


def read_weights(path: Path) -> dict[str, Tensor]:
    """A stored state dict. Raises DamagedError."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(
            f"{path}: not a readable safetensors file ({str(error)[:100]})"
        ) from None
