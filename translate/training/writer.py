"""Files written while the run goes on: to serialise and flush a large model takes as long as many updates."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Writer:
    """One thread that does what it is given, in that order.

    What it writes must not change meanwhile: it is given copies. An error is raised by the next wait.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: list[Future[None]] = []

    def write(self, work: Callable[[], None]) -> None:
        self._pending.append(self._thread.submit(work))

    def wait(self) -> None:
        """Until all is on disk."""
        while self._pending:
            self._pending.pop(0).result()
