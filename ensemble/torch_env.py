"""What torch should find when it is imported; called by the command line, worker processes and `ensemble.learn`."""

import os
import warnings


def prepare_torch() -> None:
    """Make OpenMP's threads sleep while they wait, and hide a warning. Call this before torch is imported.

    Threads that wait by spinning made training 2.8 times slower on busy cores and hardly faster on
    quiet ones (docs/log.md); OpenMP reads the policy when torch loads it. torch 2.15 warns about
    torch.jit while timm and fastai are imported, which a user cannot change.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", message=".*torch.jit", category=Warning)
