"""Weights on disk: safetensors, written atomically, loaded without pickle."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ensemble.errors import DamagedError
from ensemble.files import atomic_path


def save_weights(state: dict[str, Tensor], path: Path) -> None:
    """Store a state dict. Raises EnsembleError."""
    with atomic_path(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A stored state dict. Raises DamagedError."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DamagedError(f"{path}: is missing") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedError(f"{path}: not a readable safetensors file ({str(error)[:100]})") from None
