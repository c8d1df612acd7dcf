"""A process that answers messages: it can be ended whatever it is doing, and takes nothing else with it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Self

from translate.serving import messages

_SECONDS_TO_END = 5.0


class ProcessEndedError(Exception):
    """A process has ended without a reply: out of memory, killed, or a fault of a library."""


class ChildProcess:
    """A running process of a module that reads messages from standard input and replies to standard output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str) -> Self:
        """Start a process. Raises OSError where the system has no memory or descriptors left."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the service, which ends its processes itself
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to a message. Raises ProcessEndedError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        reply = None
        try:
            self._process.stdin.write(messages.encode(message))
            await self._process.stdin.drain()
            reply = await messages.receive(self._process.stdout)
        except (BrokenPipeError, ConnectionResetError):  # it has ended
            pass
        if reply is None:
            status = await self._process.wait()
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            raise ProcessEndedError(f"the process has ended ({how})")
        return reply

    async def stop(self) -> None:
        """End the process, by the end of its input, or else by SIGKILL."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _SECONDS_TO_END)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, also in the middle of a reply."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
