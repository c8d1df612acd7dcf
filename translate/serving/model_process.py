"""A process with one model, as the service sees it: it starts, translates one batch after the other, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from translate.errors import UserError
from translate.serving.child_process import ChildProcess, ProcessEndedError
from translate.serving.config import ServingEngine
from translate.serving.options import TranslationOptions

_WORKER = "translate.serving.worker"
_ATTEMPTS = 3  # to load a model: a process may be killed while it does


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of a model's process.

    model      a run's folder, a model directory or an export
    engine     auto: engine_choice.py
    decoding   entries of DecodingConfig: device, precision, threads
    beam_size  of the search; 0: that of the model's run
    """

    model: str
    engine: ServingEngine
    decoding: dict[str, Any]
    beam_size: int = 0


class ModelProcess:
    """A running process with a loaded model; one request at a time.

    facts  of worker.WorkerModel.describe: engine, precision, bytes of memory
    """

    def __init__(self, process: ChildProcess, facts: dict[str, Any]) -> None:
        self._process = process
        self.facts = facts

    @classmethod
    async def start(cls, settings: ModelSettings) -> Self:
        """Start a process and load the model. Raises UserError with the reason why that is impossible."""
        process = await cls._start(settings)
        if process.facts["has_needless_torch"]:  # hundreds of megabytes; the cache is filled now
            await process.stop()
            process = await cls._start(settings)
        return process

    @classmethod
    async def _start(cls, settings: ModelSettings) -> Self:
        for attempt in range(1, _ATTEMPTS):
            try:
                return await cls._try_start(settings)
            except (ProcessEndedError, OSError):
                await asyncio.sleep(attempt)
        try:
            return await cls._try_start(settings)
        except (ProcessEndedError, OSError) as error:
            raise UserError(f"model={settings.model}: {error}") from None

    @classmethod
    async def _try_start(cls, settings: ModelSettings) -> Self:
        process = await ChildProcess.start(_WORKER)
        try:
            reply = await process.ask(vars(settings))
        except asyncio.CancelledError:
            await process.stop()
            raise
        if "error" in reply:
            await process.stop()
            raise UserError(reply["error"])
        return cls(process, reply["ready"])

    async def translate(self, lines: Sequence[str], options: TranslationOptions) -> list[dict[str, Any]]:
        """A record for each line (worker.py). Raises UserError for unsuitable options, else ProcessEndedError."""
        reply = await self._process.ask({"lines": list(lines), "options": options.to_plain()})
        if "error" in reply:
            raise UserError(reply["error"])
        self.facts["memory"] = reply["memory"]  # terms may have had our engine loaded beside another one
        translations: list[dict[str, Any]] = reply["translations"]
        assert len(translations) == len(lines), "every line has its translation"
        return translations

    async def stop(self) -> None:
        """End the process once it has answered."""
        await self._process.stop()

    async def kill(self) -> None:
        """End the process at once, also in the middle of a batch."""
        await self._process.kill()
