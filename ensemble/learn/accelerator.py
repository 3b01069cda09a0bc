"""The GPU or CPU as torch sees it, for `ens doctor`; a small matrix product tests it."""

from dataclasses import dataclass

import torch

from ensemble.learn.device import device, device_name, precision


@dataclass(frozen=True)
class Accelerator:
    """What trains. Bytes are 0 on the CPU; problem says why a visible GPU cannot be used."""

    name: str
    precision: str
    threads: int
    cuda: str
    capability: str
    free_bytes: int
    total_bytes: int
    problem: str


def accelerator() -> Accelerator:
    """This process's device, tried once."""
    name, threads, cuda = device_name(), torch.get_num_threads(), torch.version.cuda or ""
    if device().type == "cpu":
        return Accelerator(name, "fp32", threads, cuda, "", 0, 0, "")
    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    capability = f"{major}.{minor}"
    return Accelerator(name, precision("auto"), threads, cuda, capability, free, total, _problem())


def _problem() -> str:
    try:
        ones = torch.ones(64, 64, device=device())
        is_right = float((ones @ ones).sum()) == 64**3
        return "" if is_right else "a matrix product is wrong"
    except RuntimeError as error:  # no kernel for this card, an old driver, or no free memory
        return str(error).splitlines()[0][:150]
