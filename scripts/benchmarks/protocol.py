"""The worker's end of the benchmark: one JSON object per line on standard input and output.

The driver (benchmarks/session.py) sends a worker its settings. The worker loads, sends its versions and then answers
each request until its input ends. Adapters in the environments of peers import this module, so that it needs the
standard library alone, and little of that: starting is measured too.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Message = dict[str, Any]
WARMUP_UPDATES = 3


class AbsentError(Exception):
    """A system cannot take part; the message is the reason."""


class Channel:
    """Messages to and from the driver. Whatever libraries print goes to the log instead."""

    def __init__(self) -> None:
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def receive(self) -> Message | None:
        """The next message; None when the driver has no more."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    def send(self, message: Message) -> None:
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()

    def serve(self, answer: Callable[[Message], Message], *distributions: str) -> None:
        """Send the versions of the libraries, then an answer to each request."""
        self.send({"versions": version_of(*distributions)})
        while (request := self.receive()) is not None:
            self.send(answer(request))


def run_worker(*tasks: Callable[[Message, Channel], None]) -> None:
    """Do the task that the settings name: what an adapter is started for."""
    channel = Channel()
    if settings := channel.receive():
        next(task for task in tasks if task.__name__ == settings["task"])(settings, channel)


class Slices:
    """Pauses a training loop between the slices of time that the driver asks for.

    The loop reports each update, and ends when after_update() is False. The first updates warm up.

    finish  waits for updates that a GPU has not finished, before the clock is read
    answer  answers requests other than {"run": seconds}
    """

    def __init__(
        self,
        channel: Channel,
        *distributions: str,
        finish: Callable[[], object] = lambda: None,
        answer: Callable[[Message], Message] = lambda request: {},
    ) -> None:
        self._channel, self._finish, self._answer = channel, finish, answer
        self._ready: Message | None = {"versions": version_of(*distributions)}  # until the warm-up is over
        self._begin(seconds=0.0)

    def _begin(self, seconds: float) -> None:
        self._tokens = self._updates = 0
        self._started, self._seconds = time.perf_counter(), seconds

    def after_update(self, target_tokens: int) -> bool:
        """Count an update, and wait if the slice is over; False when the driver wants no more."""
        self._tokens += target_tokens
        self._updates += 1
        if (self._ready and self._updates < WARMUP_UPDATES) or time.perf_counter() - self._started < self._seconds:
            return True
        self._finish()
        found = {"tokens": self._tokens, "updates": self._updates, "seconds": time.perf_counter() - self._started}
        self._channel.send(self._ready or found)
        self._ready = None
        while (request := self._channel.receive()) is not None and "run" not in request:
            self._channel.send(self._answer(request))
        self._begin(request["run"] if request else 0.0)
        return request is not None


def serve_decoding(
    settings: Message,
    channel: Channel,
    translate: Callable[[list[Any], int, Message], Sequence[Any]],
    distributions: Sequence[str],
    *,
    read: Callable[[list[int]], Any],
    write: Callable[[Any], list[int]],
) -> None:
    """Answer requests {"setting", "beam", "limit", "one_by_one", "outputs"} for the sentences of the settings.

    translate  gets sentences, the beam's size and the setting; the only part that is timed
    read       makes a sentence of its source ids without EOS
    write      makes the target ids of one of translate's results
    """
    sentences = [read(ids) for ids in json.loads(Path(settings["sentences"]).read_text())]

    def answer(request: Message) -> Message:
        chosen = sentences[: request.get("limit") or None]
        seconds: list[float] = []
        found: list[Any] = []
        for batch in [[sentence] for sentence in chosen] if request.get("one_by_one") else [chosen]:
            started = time.perf_counter()
            found += translate(batch, request["beam"], request["setting"])
            seconds.append(time.perf_counter() - started)
        outputs = {"outputs": [write(result) for result in found]} if request.get("outputs") else {}
        return {"seconds": seconds, "sentences": len(chosen), **outputs}

    channel.serve(answer, *distributions)


def version_of(*distributions: str) -> str:
    """`name version` of each one installed in this environment."""
    from importlib.metadata import version  # here, since not every task needs it

    return ", ".join(f"{name} {version(name)}" for name in distributions)
