"""The accelerator as torch sees it, for `ens doctor`; a short matrix product proves that it works."""

from dataclasses import dataclass

import torch

from ensemble.learn.device import device, device_name, precision


@dataclass(frozen=True)
class Accelerator:
    """What trainings run on. Bytes are 0 on the CPU; problem says why a visible GPU cannot be used."""

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
    if device().type == "cpu":
        return Accelerator(
            device_name(), "fp32", torch.get_num_threads(), torch.version.cuda or "", "", 0, 0, ""
        )
    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    return Accelerator(
        device_name(),
        precision("auto"),
        torch.get_num_threads(),
        torch.version.cuda or "",
        f"{major}.{minor}",
        free,
        total,
        _problem(),
    )


def _problem() -> str:
    try:
        ones = torch.ones(64, 64, device=device())
        return "" if float((ones @ ones).sum()) == 64**3 else "it multiplies wrongly"
    except (
        RuntimeError
    ) as error:  # no kernel for this card, a driver too old, another process holds all memory
        return str(error).splitlines()[0][:150]
