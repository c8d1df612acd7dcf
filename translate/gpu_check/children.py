"""Child processes: if one fails, crashes or hangs, an error is raised in the process that started it.

Each stage runs in a child process, and starts the ranks of data-parallel training as its own children.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

import torch

from translate.distributed import join_world
from translate.errors import UserError

FORK = multiprocessing.get_context("fork")  # arguments need not be pickled, and modules stay loaded
_PR_SET_PDEATHSIG = 1  # of Linux's prctl
_EXTRA_SECONDS = 30.0  # of a rank's limit beyond that of its parent
Value = TypeVar("Value")


class ProcessError(RuntimeError):
    """A child process ended without a result; the message is its error, or the signal that ended it."""


class KilledError(ProcessError):
    """A child process was ended by a signal, or exited by itself."""


def in_processes(work: Callable[..., Value], *arguments: tuple[Any, ...], seconds: float) -> list[Value]:
    """Results of work(*each) for each of the arguments, computed concurrently, each in its own process.

    The processes are forked, so that the calling process must not have used CUDA. They end when it ends, even if it is
    killed. Raises ProcessError if one of them fails or exceeds the time limit, and kills the others.
    """
    processes: list[ForkProcess] = []
    readers: list[Connection] = []
    try:
        for each in arguments:
            reader, writer = FORK.Pipe(duplex=False)
            process = FORK.Process(target=_send_result, args=(writer, work, each))
            process.start()
            writer.close()  # only the child has it open now, so that the pipe is closed when the child ends
            processes.append(process)
            readers.append(reader)
        return _receive(processes, readers, seconds)
    finally:
        for process, reader in zip(processes, readers, strict=True):
            process.kill()
            process.join()
            reader.close()


def in_ranks(work: Callable[..., Value], size: int, *arguments: Any, on_gpus: bool, seconds: float) -> list[Value]:
    """Results of work(world, device, *arguments) on each rank of data-parallel training, as torchrun would start it.

    size     number of ranks: one for each GPU (NCCL), or processes of one thread on the CPU (gloo)
    seconds  time limit of the work

    As with in_processes, the calling process must not have used CUDA, and ProcessError is raised if a rank fails or
    hangs.
    """
    port = free_port()
    ranks = ((work, rank, size, port, on_gpus, seconds, arguments) for rank in range(size))
    return in_processes(_work_as_rank, *ranks, seconds=seconds)


def _work_as_rank(
    work: Callable[..., Value],
    rank: int,
    size: int,
    port: int,
    on_gpus: bool,
    seconds: float,
    arguments: tuple[Any, ...],
) -> Value:
    """Body of the process of a rank."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in own.items()}
    torch.set_num_threads(1)
    device = torch.device("cuda", rank) if on_gpus else torch.device("cpu")
    # later than the parent's limit, so that the parent reports a rank that hangs
    with join_world(device, timeout=seconds + _EXTRA_SECONDS) as world:
        result = work(world, device, *arguments)
        world.wait()  # no rank leaves while others may still exchange gradients
        return result


def free_port() -> int:
    """A TCP port that no program listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


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
                which = f"process {number} " if len(processes) > 1 else ""
                end = signal.Signals(-code).name if code < 0 else f"status {code}"
                raise KilledError(f"{which}ended by {end}") from None
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
