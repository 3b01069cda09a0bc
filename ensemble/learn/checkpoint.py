"""Weights on disk: safetensors, written atomically, loaded without pickle."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ensemble.errors import DamagedError, EnsembleError
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
        except SafetensorError as error:  # wraps the system's errors while writing
            raise EnsembleError(f"{path}: cannot be written ({str(error)[:150]})") from None


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
