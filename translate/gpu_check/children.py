"""Child processes: one that fails, crashes or hangs becomes an error in the process that started it."""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

from translate.errors import UserError

FORK = multiprocessing.get_context("fork")  # arguments need not be pickled, and modules stay loaded
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
Value = TypeVar("Value")


class ProcessError(RuntimeError):
    """A child process ended without a result; the message is its error, or the signal that ended it."""


def in_processes(work: Callable[..., Value], *arguments: tuple[Any, ...], seconds: float) -> list[Value]:
    """Results of work(*each) for each of the arguments, computed concurrently, each in its own process.

    The processes are forked, so this process must not have used CUDA. They end with it, even if it is killed. Raises
    ProcessError if one of them fails or does not finish in time; the others are killed then.
    """
    processes: list[ForkProcess] = []
    readers: list[Connection] = []
    try:
        for each in arguments:
            reader, writer = FORK.Pipe(duplex=False)
            process = FORK.Process(target=_send_result, args=(writer, work, each))
            process.start()
            writer.close()  # held by the process alone, so that its end closes the pipe
            processes.append(process)
            readers.append(reader)
        return _receive(processes, readers, seconds)
    finally:
        for process, reader in zip(processes, readers, strict=True):
            process.kill()
            process.join()
            reader.close()


def _receive(processes: list[ForkProcess], readers: list[Connection], seconds: float) -> list[Any]:
    """One result of each process, in their order."""
    results: dict[int, Any] = {}
    deadline = time.monotonic() + seconds
    while len(results) < len(readers):
        ready = wait(
            [reader for number, reader in enumerate(readers) if number not in results], deadline - time.monotonic()
        )
        if not ready:
            raise ProcessError(f"not done after {seconds:.0f} s")
        for reader in ready:
            number = readers.index(reader)  # type: ignore[arg-type]
            try:
                error, results[number] = readers[number].recv()
            except EOFError:
                processes[number].join()
                code = processes[number].exitcode or 0
                raise ProcessError(f"ended by {signal.Signals(-code).name if code < 0 else f'status {code}'}") from None
            if error:
                raise ProcessError(error)
    return [results[number] for number in range(len(readers))]


def _send_result(writer: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Body of a process: send ("", result) or (error, None)."""
    end_with_parent()
    try:
        message = "", work(*arguments)
    except (UserError, ProcessError) as error:  # no traceback needed
        message = str(error), None
    except Exception as error:  # any failure is a finding of the check
        traceback.print_exc()
        lines = str(error).strip().splitlines()
        message = f"{type(error).__name__}: {lines[0] if lines else ''}", None
    writer.send(message)


def end_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even if the parent is killed."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
