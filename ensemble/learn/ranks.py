"""One run on several processes: data-parallel by torch, through accelerate and fastai's DistributedTrainer.

The first process leads: it alone reads states, writes files and tells events. It says to the others which training to
take part in, and each does what the first does with its share of every batch. fastai is not told that there are others:
its own gathering repeats rows, gives them back in another order and waits where one process works alone (docs/log.md).
"""

import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed

from ensemble.errors import EnsembleError, RecipeError, TrainingError
from ensemble.events import ignore

Result = TypeVar("Result")
HIDDEN = ("RANK", "WORLD_SIZE")  # by which fastai asks whether there are others
PATIENCE = timedelta(hours=6)  # decoding and reading on the first process may take long


class _Group:
    """The processes of the run at hand; one alone where there is no group."""

    rank, size = 0, 1
    is_lost = False  # the others stopped somewhere else than the first

    def leave(self) -> None:
        """There is no group any more."""
        if self.size == 1 and not distributed.is_initialized():
            return  # they never met, perhaps for want of accelerate
        from accelerate.state import AcceleratorState, PartialState

        if distributed.is_initialized():
            distributed.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState._reset_state()
        self.rank, self.size, self.is_lost = 0, 1, False


GROUP = _Group()


def n_wanted(gpus: float) -> int:
    """How many processes a recipe's `resources.gpu` means here: a GPU each, as many as there are."""
    return min(int(gpus), torch.cuda.device_count()) if GROUP.size == 1 else 1


@contextmanager
def group(n: int) -> Iterator[None]:
    """This process leads n - 1 new ones in this block. Raises TrainingError."""
    if n < 2:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
    }
    command = [
        sys.executable,
        "-c",
        "from ensemble.learn.ranks import follow_while_led; follow_while_led()",
    ]
    environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    others = [
        subprocess.Popen(
            command,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is the leader's, and the pipe tells them
        )
        for rank in range(1, n)
    ]
    try:
        os.environ.update(own | {"RANK": "0", "LOCAL_RANK": "0"})
        join()
        yield
        dismiss()
    finally:
        for name in (*own, "RANK", "LOCAL_RANK"):
            os.environ.pop(name, None)
        for other in others:
            if not sys.exc_info()[0]:
                with suppress(subprocess.TimeoutExpired):
                    other.wait(60)
            other.kill()
            other.communicate()
        GROUP.leave()


def follow_while_led() -> None:
    """The life of a process that `group` began; it ends with the one that leads."""

    def watch() -> None:
        os.read(0, 1)  # ends when the pipe does; a buffered read would not let the interpreter end
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    join()
    follow()
    GROUP.leave()


def join() -> int:
    """Meet the others that the environment names, as accelerate and torchrun set it; this one's rank."""
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError:
        raise TrainingError(
            "training on several GPUs needs accelerate\npip install 'accelerate>=1.0'"
        ) from None
    if GROUP.size == 1:
        os.environ.setdefault(
            "OMP_NUM_THREADS", "1"
        )  # else accelerate warns; torch's own number is the leader's
        on_cpu = not torch.cuda.is_available()
        state = Accelerator(
            cpu=on_cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)]
        ).state
        GROUP.rank, GROUP.size = state.process_index, state.num_processes
        for name in HIDDEN:
            os.environ.pop(name, None)
    return GROUP.rank


def together(work: Callable[..., Result], *args: Any, emit: Callable[..., None]) -> Result:
    """Do some work in all processes of the group; only the first tells events. Raises EnsembleError."""
    if GROUP.size == 1:
        return work(*args, emit=emit)
    if GROUP.is_lost:
        raise TrainingError(
            "the processes of this command are out of step since a run failed\nstart it again"
        )
    GROUP.is_lost = True
    distributed.broadcast_object_list([pickle.dumps((work, args, torch.get_num_threads()))])
    try:
        result = work(*args, emit=emit)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "peer" not in str(error):
            raise
        raise TrainingError(
            "another process of this run has ended; what it said stands above"
        ) from None
    GROUP.is_lost = False
    return result


def follow() -> None:
    """Take part in whatever the first process begins, until it ends."""
    while True:
        order: list[Any] = [None]
        distributed.broadcast_object_list(order)
        if order[0] is None:
            return
        work, args, threads = pickle.loads(order[0])
        torch.set_num_threads(threads)
        with suppress(EnsembleError):  # the first process tells it
            work(*args, emit=ignore)


def dismiss() -> None:
    """The others may go."""
    if not GROUP.is_lost:
        distributed.broadcast_object_list([None])


def is_first() -> bool:
    """Whether this process writes files."""
    return GROUP.rank == 0


def shared(make: Callable[[], Result]) -> Result:
    """What the first process makes, in all of them."""
    if GROUP.size == 1:
        return make()
    made = [pickle.dumps(make()) if is_first() else None]
    distributed.broadcast_object_list(made)
    assert made[0] is not None
    return pickle.loads(made[0])  # type: ignore[no-any-return]


def in_turn(make: Callable[[], Result]) -> Result:
    """Made in the first process, then, from what it has cached, in the others. Raises EnsembleError in all or none."""
    if GROUP.size == 1:
        return make()
    made, problems = None, [""] * GROUP.size
    for turn in (True, False):
        problem = ""
        try:
            made = make() if is_first() == turn else made
        except EnsembleError as error:
            problem = str(error) or type(error).__name__
        distributed.all_gather_object(problems, problem)
        if any(problems):
            GROUP.is_lost = False
            raise TrainingError(next(filter(None, problems)))
    assert made is not None
    return made


def named(device: str) -> str:
    """A device as run.json names it."""
    return device if GROUP.size == 1 else f"{GROUP.size} × {device}"


def own_rows(rows: np.ndarray) -> np.ndarray:
    """This process's share of some rows."""
    return rows[GROUP.rank :: GROUP.size]


def all_rows(own: np.ndarray) -> np.ndarray:
    """What all processes say about their shares, back in the order of the rows, each once."""
    if GROUP.size == 1:
        return own
    shares = [own] * GROUP.size
    distributed.all_gather_object(shares, own)
    rows = np.empty((sum(map(len, shares)), *own.shape[1:]), own.dtype)
    for rank, share in enumerate(shares):
        rows[rank :: GROUP.size] = share
    return rows


def parallel(is_whole: bool) -> list[Any]:
    """What a fit of the whole network needs where there are several processes; of a cached head each trains a copy."""
    if GROUP.size == 1 or not is_whole:
        return []
    from ensemble.learn.parallel import (
        Parallel,
    )  # imports accelerate, which the extra gpus installs

    return [Parallel()]


def check_batch(batch_size: int) -> None:
    """Raises RecipeError where a batch cannot be shared."""
    if batch_size % GROUP.size:
        raise RecipeError(
            f"fit.batch_size: {batch_size} images do not go into {GROUP.size} equal shares, one for each GPU\n"
            f"set a multiple of {GROUP.size}"
        )
