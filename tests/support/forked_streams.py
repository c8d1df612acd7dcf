"""Commands in forked processes, which begin with PyTorch imported: with streams, limits and signals of their own."""

from __future__ import annotations

import io
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from in_process import run_main

CLOSED = -1


def fork_command(
    module: str,
    *arguments: str,
    stdin: int = CLOSED,
    stdout: int = CLOSED,
    stderr: int = CLOSED,
    encoding: str = "utf-8",
    before: Callable[[], object] = lambda: None,
) -> int:
    """Begin `python -m translate.MODULE` in a child with these descriptors as its streams; its process id.

    before  is called in the child
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        _set_streams([stdin, stdout, stderr], encoding)
        logging.getLogger("translate").handlers = []
        before()
        sys.argv = [module, *arguments]
        status = run_main(module)
        status = _flush_as_at_exit() or status
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _set_streams(descriptors: list[int], encoding: str) -> None:
    """Streams as Python has them at its start: None where a descriptor is closed."""
    kept = [descriptor if descriptor == CLOSED else os.dup(descriptor) for descriptor in descriptors]
    streams: list[io.TextIOWrapper | None] = []
    for number, descriptor in enumerate(kept):
        if descriptor == CLOSED:
            os.close(number)
            streams.append(None)
            continue
        os.dup2(descriptor, number)
        errors = "backslashreplace" if number == 2 else "strict"
        mode = "r" if number == 0 else "w"
        line_buffering = number == 2 or os.isatty(number)
        streams.append(
            io.TextIOWrapper(open(number, f"{mode}b"), encoding, errors, line_buffering=line_buffering)  # noqa: SIM115
        )
    sys.stdin, sys.stdout, sys.stderr = streams  # type: ignore[assignment]


def _flush_as_at_exit() -> int:
    """The last steps of the interpreter; 120, as it has it, where the streams cannot be flushed."""
    logging.shutdown()
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.write(2, b"Exception ignored while flushing\n")
            status = 120
    return status


def ended(child: int, *, timeout: float = 60) -> int:
    """Wait for a child; its exit status, negative for a signal. One that takes too long is killed."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"process {child} has not ended within {timeout} s")


def small_disk(folder: Path, kib: int) -> bool:
    """Mount a disk of this size at a new folder; False where that is not allowed."""
    folder.mkdir()
    return _succeeds("mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))


def resize_disk(folder: Path, kib: int) -> None:
    assert _succeeds("mount", "-o", f"remount,size={kib}k", str(folder))


def remove_disk(folder: Path) -> None:
    _succeeds("umount", "-l", str(folder))


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
