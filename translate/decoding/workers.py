"""Processes that translate together: each takes sentences from one queue and reports its hypotheses to the parent.

They are forked when there is work, with the model as it is then, and end with it. Each has one thread: two matrix
products side by side take less time than the same two one after the other, each split over two threads.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

import torch

from translate.decoding.search.base import Queue, Report
from translate.errors import UserError
from translate.signals import leave_to_parent, stop_signals


def run_in_processes(work: Callable[[Queue, Report], None], size: int, workers: int, report: Report) -> None:
    """Run work in several processes that share one queue; what they report is passed to report() in this process.

    An error in one of them is raised here, and ends the others.
    """
    # forked processes share the memory of the weights, and nothing has to be pickled
    context = multiprocessing.get_context("fork")
    counter = context.Value("q", 0)
    queue = Queue(size, counter, counter.get_lock())
    processes: list[ForkProcess] = []
    readers: list[Connection] = []
    try:
        for _ in range(workers):
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_run, args=(work, queue, writer, [*readers, reader]), daemon=True)
            with stop_signals.held_back():
                process.start()
                processes.append(process)
                readers.append(reader)
            writer.close()  # later processes must not inherit it: the end of this one closes its pipe
        _receive(list(readers), report)
    finally:
        with stop_signals.held_back():
            for process in processes:
                # after an error the others may be in the middle of a batch that no result needs
                process.kill()
                process.join()
            for reader in readers:
                reader.close()


def _run(
    work: Callable[[Queue, Report], None], queue: Queue, writer: Connection, readers: Sequence[Connection]
) -> None:
    """Body of a worker process."""
    for reader in readers:
        reader.close()  # if the parent is killed, no reader is left, and the next report ends this process as well
    leave_to_parent()
    torch.set_num_threads(1)
    try:
        work(queue, writer.send)
        writer.send(None)
    except Exception as error:  # of any kind: the parent raises it
        # if the parent has been killed, no process reads the error
        with suppress(BrokenPipeError):
            writer.send(error)


def _receive(readers: list[Connection], report: Report) -> None:
    """Pass on reports until every worker has sent None. Raises the error of a worker, UserError for a killed one."""
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


def num_useful_workers(requested: int, num_sentences: int) -> int:
    """Number of processes to share the sentences among; requested 0: one for every thread that PyTorch has."""
    if not sys.platform.startswith("linux"):
        return 1  # elsewhere a forked process cannot continue to compute
    return max(1, min(requested or torch.get_num_threads(), num_sentences // _MIN_SENTENCES))


_MIN_SENTENCES = 16  # per worker: fewer are done before another process has started
