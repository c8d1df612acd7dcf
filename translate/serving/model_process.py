"""A process with one model, as the service sees it: it starts, translates one batch after the other, and ends.

A process can be ended whatever it is doing, gives all of its memory back, and takes nothing else with it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from translate.errors import UserError
from translate.serving import messages
from translate.serving.options import TranslationOptions

_WORKER = "translate.serving.worker"
_SECONDS_TO_END = 5.0


class ProcessEndedError(Exception):
    """The process of a model has ended without a reply: out of memory, killed, or a fault of a library."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of a model's process.

    model      a run's folder, a model directory or an export
    engine     an engine's name, or auto (engine_choice.py)
    decoding   entries of DecodingConfig: device, precision, threads
    beam_size  of the search; 0: that of the model's run
    """

    model: str
    engine: str
    decoding: dict[str, Any]
    beam_size: int = 0


class ModelProcess:
    """A running process with a loaded model; one request at a time.

    facts  engine, precision, bytes of memory
    """

    def __init__(self, process: asyncio.subprocess.Process, facts: dict[str, Any]) -> None:
        self._process = process
        self.facts = facts

    @classmethod
    async def start(cls, settings: ModelSettings) -> Self:
        """Start a process and load the model. Raises UserError with the reason why that is impossible."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _WORKER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the service, which ends its processes itself
        )
        loading = cls(process, {})
        try:
            reply = await loading._ask(vars(settings))
        except ProcessEndedError as error:
            raise UserError(f"model={settings.model}: {error}") from None
        except asyncio.CancelledError:
            await loading.stop()
            raise
        if "error" in reply:
            await loading.stop()
            raise UserError(reply["error"])
        loading.facts = reply["ready"]
        return loading

    @property
    def pid(self) -> int:
        return self._process.pid

    async def translate(self, lines: Sequence[str], options: TranslationOptions) -> list[dict[str, Any]]:
        """A record for each line (worker.py). Raises UserError for unsuitable options, else ProcessEndedError."""
        reply = await self._ask({"lines": list(lines), "options": options.to_plain()})
        if "error" in reply:
            raise UserError(reply["error"])
        translations: list[dict[str, Any]] = reply["translations"]
        assert len(translations) == len(lines), "every line has its translation"
        return translations

    async def stop(self) -> None:
        """End the process, by the end of its input, or else by SIGKILL."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _SECONDS_TO_END)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, also in the middle of a batch."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
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
            raise ProcessEndedError(f"the model's process has ended ({how})")
        return reply
