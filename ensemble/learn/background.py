"""Work that training need not wait for, in a thread that ends with the process."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Background(Generic[Answer]):
    """A call in a thread; `take` returns its result once."""

    def __init__(self, work: Callable[[], Answer]) -> None:
        self.work = work
        self.results: list[Answer] = []
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.results.append(self.work())
        except BaseException as error:  # take raises it in the thread that calls it
            self.error = error

    def take(self, wait: float | None = 0.0) -> Answer | None:
        """The result, None if it was taken or is not ready after `wait` seconds; without a limit for None.

        Raises the error of the call.
        """
        self.thread.join(wait)
        if self.thread.is_alive():
            return None
        if self.error is not None:
            raise self.error
        return self.results.pop() if self.results else None
