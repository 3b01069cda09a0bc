"""Ray on a machine with other users: which cluster is meant, what a new one opens, where a worker keeps images."""

import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ensemble.errors import EnsembleError

FLOOR = (2, 59)  # the first Ray whose new clusters ask for a token unless they are told not to
INSTALL = f"pip install 'ray>={FLOOR[0]}.{FLOOR[1]}'"


def check_ray() -> None:
    """Raises EnsembleError where Ray is missing or older than FLOOR. Does not import it: that reads the environment."""
    spec = None
    with suppress(ImportError, ValueError):
        spec = find_spec("ray")
    if spec is None:
        raise EnsembleError(f"--engine ray needs Ray, which is not installed\n{INSTALL}")
    installed = version("ray")
    if tuple(int(number) for number in installed.split(".")[:2]) < FLOOR:
        raise EnsembleError(
            f"--engine ray: Ray {installed} lets everybody who reaches its ports run code on this machine\n{INSTALL}"
        )


def cluster_here() -> str | None:
    """The cluster that RAY_ADDRESS names, else the one that `ray start` began here; None where there is none.

    Raises EnsembleError where somebody else began it: whoever runs a cluster runs code in what connects to it.
    """
    address = os.environ.get("RAY_ADDRESS") or "auto"
    if address != "auto":
        return None if address == "local" else address
    in_linux = os.environ.get("TMPDIR") if sys.platform == "linux" else None
    system = tempfile.gettempdir() if sys.platform == "win32" else "/tmp"
    note = Path(os.environ.get("RAY_TMPDIR") or in_linux or system) / "ray" / "ray_current_cluster"
    try:
        owner, started = note.lstat().st_uid, note.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    if hasattr(os, "getuid") and owner not in (os.getuid(), 0):
        raise EnsembleError(
            f"{note}: names a Ray cluster that another user of this machine began\n"
            f"RAY_ADDRESS=local begins one of your own; --address {started[:50]!r} joins that one, if you trust it"
        )
    return started or None


@contextmanager
def new_cluster() -> Iterator[str]:
    """What Ray must find in the environment before it is imported, to begin a cluster for this user on this machine.

    Yields the folder for its session: Ray's own, /tmp/ray, can be written by everybody.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = (
        "0"  # the only switch by which all its servers bind to loopback
    )
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault(
            "RAY_AUTH_TOKEN", secrets.token_hex(32)
        )  # Ray would write one that others may read
    parent = None if sys.platform == "win32" else "/tmp"  # a socket's path may have 103 bytes
    with tempfile.TemporaryDirectory(
        prefix="ens-ray-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield f"{folder}/ray"  # Ray opens the folder that it is given to everybody, but not the one around it


def worker_cache() -> Path:
    """A folder of this user alone, for what a worker keeps where ENS_CACHE names none. Raises EnsembleError."""
    if not hasattr(os, "getuid"):  # Windows: the temporary folder is the user's own
        return Path(tempfile.gettempdir()) / "ens-cache"
    folder = Path(tempfile.gettempdir()) / f"ens-cache-{os.getuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        status = folder.lstat()
        is_mine = (
            stat.S_ISDIR(status.st_mode)
            and status.st_uid == os.getuid()
            and not status.st_mode & 0o022
        )
        if is_mine:
            folder.chmod(0o700)
    except OSError as error:
        raise EnsembleError(
            f"{folder}: cannot be used ({error.strerror})\nset ENS_CACHE where the worker runs"
        ) from None
    if not is_mine:
        raise EnsembleError(
            f"{folder}: somebody else made it or may write in it, so images kept there could be replaced\n"
            "remove it, or set ENS_CACHE to a folder of yours where the worker runs"
        )
    return folder
