"""Commands in forked processes, which begin with PyTorch imported: with streams, limits and signals of their own."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from in_process import run_main

CLOSED = -1
LONGEST = 120.0  # seconds until a test gives up; a busy machine needs some of them


@dataclass
class Forked:
    """A running command; errors: the file of its output, if it has one.

    status  None until it has ended
    """

    pid: int
    errors: Path | None = None
    status: int | None = None

    def send(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def said(self) -> str:
        return "" if self.errors is None else self.errors.read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; fails if the command ends before."""
        limit = time.monotonic() + LONGEST
        while not condition():
            assert self.poll() is None, self.said()
            assert time.monotonic() < limit, self.said()
            time.sleep(0.001)

    def wait_for(self, text: str) -> None:
        """Return when the command has printed the text."""
        self.wait_until(lambda: text in self.said())

    def poll(self) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def end(self) -> int:
        """Wait for the command's end; its status, negative where a signal has ended it. One that hangs is killed."""
        limit = time.monotonic() + LONGEST
        while (status := self.poll()) is None:
            if time.monotonic() > limit:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"the command has not ended within {LONGEST:.0f} s: {self.said()}")
            time.sleep(0.01)
        return status


def fork_command(
    module: str,
    *arguments: str,
    stdin: int = CLOSED,
    stdout: int = CLOSED,
    stderr: int = CLOSED,
    encoding: str = "utf-8",
    before: Callable[[], object] = int,
) -> Forked:
    """Begin `python -m translate.MODULE` in a forked process, with these descriptors as its streams.

    before  is called in the process first, to change what the command does
    """
    sys.stdout.flush()
    if pid := os.fork():
        return Forked(pid)
    status = 1
    try:
        _set_streams([stdin, stdout, stderr], encoding)
        logging.getLogger("translate").handlers = []
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as `python -m translate.MODULE` begins
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which tests under nohup ignore
        before()
        sys.argv = [module, *arguments]
        status = run_main(module)
        status = _flush_as_at_exit() or status
    except BaseException:  # of any kind: the process must not return into the tests
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def call_in_fork(work: Callable[[], object]) -> int:
    """The status of a forked process that calls work(); negative for the signal that ended it.

    An error in it is status 1: it must not return into the tests, which would go on in two processes.
    """
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # of any kind
        traceback.print_exc()
    finally:
        os._exit(status)


@contextmanager
def forked(folder: Path, module: str, *arguments: str, before: Callable[[], object] = int) -> Iterator[Forked]:
    """A forked command that leads a process group, its output in a file of the folder; killed on exit of the context.

    before  is called in the process first, to change what the command does
    """

    def begin() -> None:
        with suppress(PermissionError):
            os.setpgid(0, 0)
        before()

    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / f"{module}-{len(list(folder.iterdir()))}.err"
    with open(errors, "ab") as file:
        output = file.fileno()
        command = fork_command(module, *arguments, stdin=0, stdout=output, stderr=output, before=begin)
    command.errors = errors
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(command.pid, command.pid)  # in both processes: whichever comes first
    try:
        yield command
    finally:
        with suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGKILL)
        command.end()


def waiting_in(module: str, name: str, *, call: int = 1) -> Callable[[], None]:
    """A change of a command: it says "here" at a call of module.name, and waits there for a signal."""

    def change() -> None:
        owner: Any = import_module(f"translate.{module}")
        *path, attribute = name.split(".")
        for part in path:
            owner = getattr(owner, part)
        original, calls = getattr(owner, attribute), iter(range(1, 1 << 30))

        def waiting(*arguments: Any, **settings: Any) -> Any:
            if next(calls) == call:
                os.write(2, b"here\n")
                limit = time.monotonic() + 60
                while not import_module("translate.signals").stop_signals.received:
                    assert time.monotonic() < limit
                    time.sleep(0.01)
            return original(*arguments, **settings)

        setattr(owner, attribute, waiting)

    return change


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
        os.close(descriptor)
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
