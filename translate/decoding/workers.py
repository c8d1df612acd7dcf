"""Several processes that translate together: each takes sentences from one queue and reports what it found.

They are forked when there is work, with the model as it is then, and end with it. One thread each: two matrix products
side by side take less time than the same two one after the other, each split over two threads.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import SimpleNamespace
from typing import Any

import torch

from translate.decoding.config import Hypothesis
from translate.errors import UserError

Found = list[tuple[int, list[Hypothesis]]]
Report = Callable[[Found], None]

_FEWEST_SENTENCES = 16  # of each worker: fewer are done before another process has begun


@dataclass
class Queue:
    """The numbers 0 to size - 1, each taken once, by whichever process comes first."""

    size: int
    counter: Any = field(default_factory=lambda: SimpleNamespace(value=0))
    lock: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def take(self, count_from: Callable[[int], int]) -> list[int]:
        """The next ones, as many as count_from(the first of them) says, while there are any."""
        with self.lock:
            first = self.counter.value
            if first == self.size:
                return []
            stop = min(first + max(0, count_from(first)), self.size)
            self.counter.value = stop
            return list(range(first, stop))


def worthwhile_workers(wished: int, num_sentences: int) -> int:
    """How many processes to share so many sentences among; wished 0: one for every thread that PyTorch has."""
    if not sys.platform.startswith("linux"):
        return 1  # elsewhere a forked process cannot go on computing
    return max(1, min(wished or torch.get_num_threads(), num_sentences // _FEWEST_SENTENCES))


def work_in_processes(work: Callable[[Queue, Report], None], size: int, workers: int, report: Report) -> None:
    """Let several processes work off one queue; what they report is reported here.

    An error in one of them is raised here, and ends the others.
    """
    context = multiprocessing.get_context("fork")
    counter = context.Value("q", 0)
    queue = Queue(size, counter, counter.get_lock())
    processes: list[ForkProcess] = []
    readers: list[Connection] = []
    try:
        for _ in range(workers):
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(work, queue, writer, [*readers, reader]), daemon=True)
            process.start()
            writer.close()  # no later process has it: the end of this one is the end of its pipe
            processes.append(process)
            readers.append(reader)
        _receive(list(readers), report)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for reader in readers:
            reader.close()


def _run(
    work: Callable[[Queue, Report], None], queue: Queue, writer: Connection, readers: Sequence[Connection]
) -> None:
    """What a worker does; an interruption is for the parent to handle."""
    for reader in readers:
        reader.close()  # so that a parent that was killed leaves nobody to report to, which ends this process as well
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    try:
        work(queue, writer.send)
        writer.send(None)
    except Exception as error:
        with suppress(BrokenPipeError):
            writer.send(error)


def _receive(readers: list[Connection], report: Report) -> None:
    while readers:
        for reader in wait(readers):
            assert isinstance(reader, Connection)
            try:
                message = reader.recv()
            except EOFError:
                raise UserError(
                    "a process that translates was ended from outside, perhaps for lack of memory: lower batch_tokens "
                    "or workers"
                ) from None
            if isinstance(message, Exception):
                raise message
            if message is None:
                readers.remove(reader)
            else:
                report(message)
