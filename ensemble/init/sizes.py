"""The input size that suits the images and this machine."""

from ensemble.hardware import Machine

SMALL = 64  # px: smaller images are enlarged, or the network gets a small stem


def size_lines(side: int, n_train: int, machine: Machine) -> list[str]:
    """The lines about the input size, where the weights' own is not what this machine should use.

    side is the median image's short side in pixels.
    """
    if not (machine.has_hub or machine.has_package):
        size = scratch_size(side, n_train, machine)
        return [f"  size: {size:<18} # px; larger is slower and usually better"]
    if side <= SMALL:
        size = 224 if machine.has_gpu and machine.has_hub else 96
        return [
            f"  size: {size:<18} # stored at {side} px, enlarged on the device",
            "  resize: squish           # nothing is cropped",
        ]
    if machine.has_gpu:
        return []
    return ["  size: auto               # the weights' own; 128 is three times faster"]


def scratch_size(side: int, n_train: int, machine: Machine) -> int:
    """The input side in pixels of a network from scratch."""
    if side <= SMALL:
        return max(32, 8 * round(side / 8))
    if machine.has_gpu:
        return 160
    return 96 if n_train <= 5_000 else 64
