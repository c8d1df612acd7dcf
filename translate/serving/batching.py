"""The queue of one model: jobs of all requests, taken in batches, each request in turn."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from translate.serving.options import TranslationOptions

Record = dict[str, Any]  # of one line (worker.py)
_USUAL_LENGTH = 200  # characters of a line
_SMOOTHING = 0.2  # of the rate, which estimates how long a queue takes
_LONGEST_RETRY = 60  # seconds


class OverloadedError(Exception):
    """As many wait as may, sentences or others; retry_after: seconds after which there is probably room."""

    def __init__(self, retry_after: int, *, what: str = "sentences") -> None:
        super().__init__(f"too many {what} are waiting: try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(eq=False, kw_only=True)
class Job:
    """Lines that are translated in one batch, and the future of their records.

    request  owner of the job
    alone    no other job is in its batch: lines that are each other's context, or that may have ended a process
    crashes  number of processes that have ended while they translated it
    """

    lines: Sequence[str]
    options: TranslationOptions
    request: Hashable = None
    alone: bool = False
    crashes: int = 0
    result: asyncio.Future[list[Record]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @cached_property
    def size(self) -> int:
        """Number of usual lines that take as long: a long line counts as several, and so does one with terms."""
        terms = {source.lower() for source, _ in self.options.terms}
        lowered = [line.lower() for line in self.lines]
        return sum(1 + len(line) // _USUAL_LENGTH + sum(term in line for term in terms) for line in lowered)

    @property
    def is_wanted(self) -> bool:
        """False once the request has ended: its client has left, or its time is up."""
        return not self.result.done()


class BatchQueue:
    """Waiting jobs of all requests.

    sentences  most lines of a batch, fewer if they are long
    limit      most lines that may wait; a job that is larger than that is taken if nothing waits
    """

    def __init__(self, *, sentences: int, limit: int) -> None:
        self._sentences = sentences
        self._limit = limit
        # by request, in the order of their turns
        self._jobs: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        self._changed = asyncio.Condition()
        self._rate = 0.0  # lines a second
        self._num_running = 0  # batches that were taken and are not done
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_idle(self) -> bool:
        """True if no job waits or is being translated."""
        return self._idle.is_set()

    async def join(self) -> None:
        """Wait until the queue is idle."""
        await self._idle.wait()

    @property
    def waiting(self) -> int:
        """Number of lines that wait."""
        return sum(len(job.lines) for jobs in self._jobs.values() for job in jobs if job.is_wanted)

    async def put(self, jobs: Sequence[Job]) -> None:
        """Queue all jobs of a request. Raises OverloadedError, and queues none, if they are too many."""
        waiting = self.waiting
        if waiting and waiting + sum(len(job.lines) for job in jobs) > self._limit:
            raise OverloadedError(self._retry_after(waiting))
        self._idle.clear()
        async with self._changed:
            for job in jobs:
                self._jobs.setdefault(job.request, deque()).append(job)
            self._changed.notify_all()

    async def put_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs again, before all others."""
        async with self._changed:
            for job in reversed(jobs):
                self._jobs.setdefault(job.request, deque()).appendleft(job)
                self._jobs.move_to_end(job.request, last=False)
            self._changed.notify_all()

    async def take(self) -> list[Job]:
        """The next batch, as soon as there is a job: of equal options, one job of each request in turn.

        Call task_done once it is translated.
        """
        async with self._changed:
            while not (batch := self._take()):
                self._update_idle()  # all jobs may have been cancelled
                await self._changed.wait()
            self._num_running += 1
            return batch

    def task_done(self) -> None:
        """Note that a batch is done or was put back."""
        self._num_running -= 1
        self._update_idle()

    def update_rate(self, lines: int, seconds: float) -> None:
        """Note how long the lines of a batch took."""
        rate = lines / max(seconds, 1e-3)
        self._rate = rate if not self._rate else (1 - _SMOOTHING) * self._rate + _SMOOTHING * rate

    def fail(self, error: Exception) -> None:
        """End all waiting jobs with an error."""
        for jobs in self._jobs.values():
            for job in jobs:
                if job.is_wanted:
                    job.result.set_exception(error)
        self._jobs.clear()
        self._update_idle()

    def _update_idle(self) -> None:
        if not self._num_running and not self.waiting:
            self._idle.set()

    def _take(self) -> list[Job]:
        batch: list[Job] = []
        size = 0
        turns = deque(self._jobs)
        while turns:
            request = turns.popleft()
            jobs = self._jobs[request]
            while jobs and not jobs[0].is_wanted:
                jobs.popleft()
            if jobs and self._fits(jobs[0], batch, size):
                batch.append(jobs.popleft())
                size += batch[-1].size
                self._jobs.move_to_end(request)
                turns.append(request)
            elif not jobs:
                del self._jobs[request]
        return batch

    def _fits(self, job: Job, batch: Sequence[Job], size: int) -> bool:
        if not batch:
            return True
        if job.alone or batch[0].alone:
            return False
        return job.options == batch[0].options and size + job.size <= self._sentences

    def _retry_after(self, waiting: int) -> int:
        return min(max(1, math.ceil(waiting / self._rate)), _LONGEST_RETRY) if self._rate else 1
