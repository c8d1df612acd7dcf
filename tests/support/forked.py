"""Commands in a forked process, which need not import PyTorch: for tests that end them by signals."""

from __future__ import annotations

import os
import runpy
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

LONGEST = 120.0  # seconds until a test gives up; a busy machine needs some of them


@dataclass
class Forked:
    """A running command, the leader of a process group of its own; errors: the file of its stderr."""

    pid: int
    errors: Path
    status: int | None = None

    def send(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.pid, number)

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return when the condition holds; fails if the command ends before."""
        limit = time.monotonic() + LONGEST
        while not condition():
            assert self.poll() is None, self.said()
            assert time.monotonic() < limit, self.said()
            time.sleep(0.01)

    def wait_for(self, text: str) -> None:
        """Return when the command has printed the text on stderr."""
        self.wait_until(lambda: text in self.said())

    def poll(self) -> int | None:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def end(self) -> int:
        """Wait for the command's end; its status, negative where a signal has killed it."""
        limit = time.monotonic() + LONGEST
        while (status := self.poll()) is None:
            assert time.monotonic() < limit, self.said()
            time.sleep(0.01)
        return status


@contextmanager
def forked(folder: Path, module: str, *arguments: str, before: Callable[[], object] = int) -> Iterator[Forked]:
    """`python -m translate.MODULE` in a forked process, its output in the folder; killed at the end of the context.

    before  is called in the process first, to change what the command does
    """
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / f"{module}-{len(list(folder.iterdir()))}.err"
    errors.touch()
    pid = os.fork()
    if not pid:
        _run(errors, module, arguments, before)
    command = Forked(pid, errors)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)  # in both processes: whichever comes first
    try:
        yield command
    finally:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
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


def _run(errors: Path, module: str, arguments: tuple[str, ...], before: Callable[[], object]) -> None:
    """Body of the forked process, which never returns."""
    status = 1
    try:
        with suppress(PermissionError):
            os.setpgid(0, 0)
        descriptor = os.open(errors, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 2)
        os.dup2(descriptor, 1)
        sys.stdout, sys.stderr = (os.fdopen(each, "w", encoding="utf-8", buffering=1) for each in (1, 2))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as `python -m translate.MODULE` begins
        sys.argv = [module, *arguments]
        before()
        runpy.run_module(f"translate.{module}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
