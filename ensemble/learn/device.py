"""The device a process trains on, its precision, and its random streams."""

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import nn

from ensemble.errors import TrainingError
from ensemble.memory import keep_activations


@cache
def device() -> torch.device:
    """CUDA where there is one, else the CPU, prepared once: large activations stay in the process."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        # what deterministic algorithms of cuBLAS need; read once, when it starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device("cuda", torch.cuda.current_device())
    keep_activations()
    return torch.device("cpu")


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; CUDA is not started."""
    n = torch.cuda.device_count()
    said = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return said[:n] or [str(i) for i in range(n)]


def take_gpu(worker: int) -> None:
    """Leave this process one GPU, the workers in turn; before CUDA starts in it."""
    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]


def precision(wanted: str) -> str:
    """The precision that `fit.precision` means here: fp32, bf16 or fp16. Raises TrainingError."""
    on_gpu = device().type == "cuda"
    if wanted == "auto":
        if not on_gpu:
            return "fp32"
        # a T4, the free notebooks' card, would emulate bf16 slowly
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if wanted != "fp32" and not on_gpu:
        raise TrainingError(
            f"fit.precision: {wanted} needs a GPU, and none is visible here; use auto or fp32"
        )
    return wanted


def make_deterministic(is_wanted: bool) -> None:
    """Let torch take, on a GPU, only algorithms that give the same bytes twice; or whichever is fastest."""
    is_wanted = is_wanted and device().type == "cuda"  # on a CPU they do anyway
    torch.use_deterministic_algorithms(is_wanted)
    torch.backends.cudnn.deterministic = is_wanted


def compile_in_place(network: nn.Module) -> None:
    """Compile what the network does, under the names it has. Raises TrainingError where no compiler is at hand."""
    if device().type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            raise TrainingError(
                "fit.compile: no C++ compiler is here\ninstall g++, or leave fit.compile out"
            ) from None
    network.compile()


@contextmanager
def threads_at_most(n: int | None) -> Iterator[None]:
    """So many threads of torch in this block; None: as many as there are. Their number decides the bytes on a CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name() -> str:
    """What run.json says about the device: the GPU's name, or the CPU's instruction set."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})"


def stream_seed(seed: int, *names: str | int) -> int:
    """The seed of one named random stream of a run, 32 bits."""
    return int.from_bytes(
        hashlib.blake2b(repr((seed, names)).encode(), digest_size=4).digest(), "big"
    )


def seed_everything(seed: int, *names: str | int) -> random.Random:
    """Start a named stream in Python, NumPy and torch; returns a generator of the same stream for data loaders."""
    value = stream_seed(seed, *names)
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return random.Random(value)
