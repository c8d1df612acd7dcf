"""One model of the service: what is known of it, its queue, and the processes that work on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from itertools import islice
from pathlib import Path

from translate.errors import UserError
from translate.serving.batching import BatchQueue, Job, Record
from translate.serving.child_process import ProcessEndedError
from translate.serving.metrics import Metrics
from translate.serving.model_process import ModelProcess, ModelSettings
from translate.serving.model_version import ModelVersion
from translate.serving.options import TranslationOptions

_MOST_CRASHES = 3  # of a job, the second and third alone: then it is the reason
_LONGEST_BATCH = 120.0  # seconds, after which a process counts as stuck
logger = logging.getLogger(__name__)


class ModelFailedError(Exception):
    """A model cannot be loaded, or its processes end when they translate these lines."""


class ServedModel:
    """A model under its name; jobs wait in its queue while it is being loaded.

    name      in requests and metrics
    start     a process; tests start others
    current   the version that new processes load
    memory    bytes of its processes; while it has none, of those that it had
    """

    def __init__(
        self,
        name: str,
        settings: ModelSettings,
        *,
        queue: BatchQueue,
        processes: int,
        metrics: Metrics,
        start: Callable[[ModelSettings], Awaitable[ModelProcess]] = ModelProcess.start,
    ) -> None:
        self.name = name
        self.settings = settings
        self.queue = queue
        self.current = ModelVersion.read(Path(settings.model))
        self.memory = 0
        self.last_used = 0.0
        self.processes = processes
        self._metrics = metrics
        self._start = start
        self._workers: list[asyncio.Task[None]] = []

    @property
    def is_loaded(self) -> bool:
        return bool(self._workers)

    async def load(self) -> None:
        """Start its processes. Raises UserError if it cannot be loaded; jobs that wait then fail."""
        try:
            started = await self._start_processes(self.current)
        except UserError as error:
            self.queue.fail(ModelFailedError(str(error)))
            raise
        self._workers = [asyncio.create_task(self._work(process)) for process in started]

    async def unload(self) -> None:
        """End its processes, after the batches that they have; jobs that wait stay."""
        workers, self._workers = self._workers, []
        await _finish(workers)

    async def replace(self, version: ModelVersion) -> None:
        """Load another version of the files beside the present one, then replace it.

        Raises UserError if it cannot be loaded: the present one stays.
        """
        started = await self._start_processes(version)
        former, self.current = self._workers, version
        self._workers = [asyncio.create_task(self._work(process)) for process in started]
        await _finish(former)

    async def translate(
        self, texts: Sequence[Sequence[str]], options: TranslationOptions, request: Hashable
    ) -> list[asyncio.Future[list[Record]]]:
        """Queue texts; returns the futures of their records. Raises OverloadedError.

        texts  lines each; those of one text are translated in one batch
        """
        self.last_used = time.monotonic()
        alone = bool(self.current.context)
        jobs = [Job(lines=lines, options=options, request=request, alone=alone) for lines in texts]
        await self.queue.put(jobs)
        return [job.result for job in jobs]

    async def _start_processes(self, version: ModelVersion) -> list[ModelProcess]:
        starting = [asyncio.ensure_future(self._start(self.settings)) for _ in range(self.processes)]
        try:
            started = list(await asyncio.gather(*starting))
        except BaseException:
            for task in starting:
                task.cancel()
            for result in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(result, ModelProcess):
                    await result.stop()
            raise
        self.memory = sum(process.facts["memory"] for process in started)
        facts = started[0].facts
        logger.info("%s: loaded %s, %s in %s", self.name, version.hash, facts["engine"], facts["precision"])
        return started

    async def _work(self, process: ModelProcess) -> None:
        """Translate batches until cancelled; a process that has ended is started again."""
        try:
            while True:
                batch = await self.queue.take()
                # shielded: what was taken is finished, also when the model is unloaded
                running = asyncio.create_task(self._translate(process, batch))
                try:
                    is_running = await asyncio.shield(running)
                except asyncio.CancelledError:
                    await running
                    raise
                if not is_running:
                    former, process = process, await self._start(self.settings)
                    self.memory += process.facts["memory"] - former.facts["memory"]
        except UserError as error:
            logger.error("%s: a process has ended, and cannot be started again: %s", self.name, error)
            self._workers = [worker for worker in self._workers if worker is not asyncio.current_task()]
            if not self._workers:  # the next request tries again
                self.queue.fail(ModelFailedError(str(error)))
        finally:
            await process.stop()

    async def _translate(self, process: ModelProcess, batch: Sequence[Job]) -> bool:
        """Translate a batch; False if the process has ended, whose jobs then wait again."""
        lines = [line for job in batch for line in job.lines]
        start, memory = time.monotonic(), process.facts["memory"]
        try:
            async with asyncio.timeout(_LONGEST_BATCH):
                records = await process.translate(lines, batch[0].options)
        except UserError as error:
            _fail(batch, error)
            return True
        except (ProcessEndedError, TimeoutError):
            await process.kill()
            await self._put_back(batch)
            return False
        finally:
            self.queue.task_done()
        self.memory += process.facts["memory"] - memory
        seconds = time.monotonic() - start
        self.queue.update_rate(len(lines), seconds)
        self._metrics.batch_done(self.name, records, seconds)
        rest = iter(records)
        for job in batch:
            own = list(islice(rest, len(job.lines)))
            if job.is_wanted:
                job.result.set_result(own)
        return True

    async def _put_back(self, batch: Sequence[Job]) -> None:
        """Queue jobs whose process has ended, each for a batch of its own; one that has ended several fails."""
        self._metrics.process_ended(self.name)
        logger.warning("%s: a process has ended in a batch of %d", self.name, len(batch))
        for job in batch:
            job.alone, job.crashes = True, job.crashes + 1
        _fail([job for job in batch if job.crashes >= _MOST_CRASHES], ModelFailedError("these lines end the process"))
        await self.queue.put_back([job for job in batch if job.is_wanted])


def _fail(jobs: Sequence[Job], error: Exception) -> None:
    for job in jobs:
        if job.is_wanted:
            job.result.set_exception(error)


async def _finish(workers: Sequence[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
