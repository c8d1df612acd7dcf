"""How the driver and a worker talk: one JSON object a line on the worker's standard input and output.

The driver sends the worker's settings, the worker answers when it is ready (loaded and warmed up), and then every
request has one answer. A worker that fails ends; the driver finds the reason at the end of its log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent.parent
LONGEST_ANSWER = 1800.0  # seconds; a worker that takes longer is ended

Message = dict[str, Any]


class AbsentError(Exception):
    """A system that cannot take part, and why."""


class Channel:
    """The worker's end. Whatever libraries print goes to the log instead."""

    def __init__(self) -> None:
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self.settings: Message = self._read() or {}

    def ready(self, **message: Any) -> None:
        self.send({"ready": True, **message})

    def send(self, message: Message) -> None:
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()

    def requests(self) -> Iterator[Message]:
        """Until the driver has no more."""
        while (request := self._read()) is not None:
            yield request

    def serve(self, answer: Callable[[Message], Message]) -> None:
        for request in self.requests():
            self.send(answer(request))

    def _read(self) -> Message | None:
        line = sys.stdin.readline()
        return json.loads(line) if line else None


class Slices:
    """A training loop that is not ours to call: it reports every update and is held up between the driver's slices.

    Updates before the first request warm up.
    """

    def __init__(self, channel: Channel, *, warmup: int, **facts: Any) -> None:
        self._channel, self._warmup, self._facts = channel, warmup, facts
        self._requests = channel.requests()
        self._begin()

    def _begin(self) -> None:
        self._tokens = self._updates = 0
        self._started = time.perf_counter()
        self._seconds = float("inf")

    def after_update(self, target_tokens: int) -> bool:
        """Count an update, wait where a slice is over; False when the driver wants no more."""
        if self._warmup:
            self._warmup -= 1
            if self._warmup:
                return True
            self._channel.ready(**self._facts)
            return self._wait()
        self._tokens += target_tokens
        self._updates += 1
        elapsed = time.perf_counter() - self._started
        if elapsed < self._seconds:
            return True
        self._channel.send({"tokens": self._tokens, "updates": self._updates, "seconds": elapsed})
        return self._wait()

    def _wait(self) -> bool:
        request = next(self._requests, None)
        self._begin()
        if request is not None:
            self._seconds = request["run"]
        return request is not None


class WorkerProcess:
    """The driver's end: a module of benchmarks.workers in an environment of its own."""

    def __init__(
        self,
        module: str,
        settings: Mapping[str, Any],
        *,
        python: str,
        environment: Mapping[str, str],
        log: Path,
        arguments: Sequence[str] = (),
    ) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [python, "-m", f"benchmarks.workers.{module}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**environment, "PYTHONPATH": str(SCRIPTS)},
                encoding="utf-8",
            )
        try:
            self.facts = self.ask(settings)
        except AbsentError:
            self.close()
            raise

    def ask(self, request: Mapping[str, Any]) -> Message:
        """Raises AbsentError with the worker's own last words if it ends instead of answering."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = threading.Timer(LONGEST_ANSWER, self.process.kill)
        limit.start()
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            limit.cancel()
        if not line:
            raise AbsentError(f"{last_words(self.log)} (status {self.process.wait()}; see {self.log})")
        return json.loads(line)

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
            self.process.wait(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def version_of(*distributions: str) -> str:
    """`name version` of each one installed here."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in distributions)


def last_words(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it ended without a word"
