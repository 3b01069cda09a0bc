"""Connect to Ray on a machine with other users: which cluster is joined, what a new one opens."""

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ensemble.errors import EnsembleError

MINIMUM = (2, 59)  # the first Ray whose new clusters require a token by default
INSTALL = f"pip install 'ray>={MINIMUM[0]}.{MINIMUM[1]}'"


def check_ray() -> None:
    """Raise EnsembleError if Ray is missing or too old.

    This does not import Ray, which reads the environment at import.
    """
    spec = None
    with suppress(ImportError, ValueError):
        spec = find_spec("ray")
    if spec is None:
        raise EnsembleError(f"--engine ray needs Ray, which is not installed\n{INSTALL}")
    installed = version("ray")
    if tuple(int(number) for number in installed.split(".")[:2]) < MINIMUM:
        raise EnsembleError(
            f"--engine ray: Ray {installed} is too old: "
            f"anyone who can reach its ports can run code on this machine\n{INSTALL}"
        )


def check_address(address: str | None) -> None:
    """Raise EnsembleError for a URL: Ray Client would read this machine's images on another one."""
    if address and "://" in address:
        raise EnsembleError(
            f"--address {address[:100]}: is a URL; run ens on a machine of the cluster\n"
            "write HOST:PORT, or leave --address out"
        )


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A connection to the cluster at an address, else to the one that runs here, else to a new one.

    A connection that this process already has is used and stays open. Raises EnsembleError.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or running_cluster()
    session: AbstractContextManager[str | None] = nullcontext() if address else private_session()
    with session as session_folder, _initialized(address, session_folder):
        yield


@contextmanager
def _initialized(address: str | None, session_folder: str | None) -> Iterator[None]:
    import ray

    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            include_dashboard=False,
            logging_level=logging.ERROR,
            _temp_dir=session_folder,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise EnsembleError(
            f"--engine ray: cannot connect to Ray at {address or 'this machine'} ({reason})\n"
            "the address comes from --address, RAY_ADDRESS or `ray start` on this machine\n"
            "--address HOST:PORT joins another cluster; RAY_ADDRESS=local starts a new one"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def running_cluster() -> str | None:
    """The address in RAY_ADDRESS, else of the cluster that `ray start` started here, else None.

    Raises EnsembleError if another user started it: a cluster runs code in what connects to it.
    """
    address = os.environ.get("RAY_ADDRESS") or "auto"
    if address != "auto":
        return None if address == "local" else address
    address_file = _ray_folder() / "ray_current_cluster"
    try:
        owner = address_file.lstat().st_uid
        address = address_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    if hasattr(os, "getuid") and owner not in (os.getuid(), 0):
        raise EnsembleError(
            f"{address_file}: names a Ray cluster that another user of this machine started\n"
            "RAY_ADDRESS=local starts your own cluster\n"
            f"--address {address[:50]!r} joins that one, if you trust its owner"
        )
    return address or None


def _ray_folder() -> Path:
    """Where `ray start` writes on this machine."""
    if os.environ.get("RAY_TMPDIR"):
        return Path(os.environ["RAY_TMPDIR"]) / "ray"
    if sys.platform == "win32":
        return Path(tempfile.gettempdir()) / "ray"
    if sys.platform == "linux":
        return Path(os.environ.get("TMPDIR") or "/tmp") / "ray"
    return Path("/tmp/ray")


@contextmanager
def private_session() -> Iterator[str]:
    """Prepare a new cluster for this user alone: set Ray's environment before Ray is imported.

    Yields the folder for its session: Ray's own, /tmp/ray, is writable for everyone.
    """
    # the only switch that makes all its servers bind to loopback
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray would write a token file that others may read
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    parent = None if sys.platform == "win32" else "/tmp"  # a socket's path has at most 103 bytes
    with tempfile.TemporaryDirectory(
        prefix="ens-ray-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield f"{folder}/ray"  # Ray opens its session folder to everyone, but not the parent
