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

CPU_PIXELS = 8 * 224**2  # of a batch in evaluation


@cache
def device() -> torch.device:
    """CUDA if available, else the CPU. Prepares it once: TF32 on a GPU, kept activations on a CPU."""
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        # deterministic algorithms of cuBLAS need it; read once, when CUDA starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        return torch.device("cuda", torch.cuda.current_device())
    keep_activations()
    return torch.device("cpu")


def evaluation_batch(n_trained: int, size: int) -> int:
    """How many images of size px pass at a time where nothing is learned: twice as many as in training.

    On a CPU fewer large ones, whose maps stay in its caches: faster, in half the memory.
    """
    on_cpu = device().type == "cpu"
    return max(1, min(2 * n_trained, CPU_PIXELS // size**2)) if on_cpu else 2 * n_trained


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; does not start CUDA."""
    n = torch.cuda.device_count()
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return names[:n] or [str(i) for i in range(n)]


def take_gpu(worker: int) -> None:
    """Leave this process one GPU, workers taking turns. Call this before CUDA starts in the process."""
    gpus = visible_gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[worker % len(gpus)]


def precision(setting: str) -> str:
    """The precision that `fit.precision` means on this device: fp32, bf16 or fp16. Raises TrainingError."""
    on_gpu = device().type == "cuda"
    if setting == "auto":
        if not on_gpu:
            return "fp32"
        # a T4, the free notebooks' card, would emulate bf16 slowly
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if setting != "fp32" and not on_gpu:
        raise TrainingError(
            f"fit.precision: {setting} needs a GPU, but none is visible; use auto or fp32"
        )
    return setting


def set_deterministic(is_on: bool) -> None:
    """Let torch use, on a GPU, only algorithms that give the same bytes twice, or whichever is fastest."""
    is_on = is_on and device().type == "cuda"  # a CPU's give the same bytes anyway
    torch.use_deterministic_algorithms(is_on)
    torch.backends.cudnn.deterministic = is_on


def compile_in_place(network: nn.Module) -> None:
    """Compile the network and keep its parameters' names. Raises TrainingError without a compiler."""
    if device().type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            raise TrainingError(
                "fit.compile: no C++ compiler found\ninstall g++, or leave fit.compile out"
            ) from None
    network.compile()


@contextmanager
def threads_at_most(n: int | None) -> Iterator[None]:
    """Run this block on n threads of torch, None: on as many as before. Their number decides the bytes on a CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name() -> str:
    """The device as run.json names it: the GPU's name, or the CPU's instruction set."""
    if device().type == "cuda":
        return torch.cuda.get_device_name()
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})"


def stream_seed(seed: int, *names: str | int) -> int:
    """The seed of one named random stream of a run, 32 bits."""
    digest = hashlib.blake2b(repr((seed, names)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def seed_everything(seed: int, *names: str | int) -> random.Random:
    """Start a named stream in Python, NumPy and torch; returns a generator of the same stream for data loaders."""
    derived_seed = stream_seed(seed, *names)
    random.seed(derived_seed)
    np.random.seed(derived_seed)
    torch.manual_seed(derived_seed)
    return random.Random(derived_seed)
