"""Filter by an external program, which reads pairs and writes a number for each."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from array import array
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from translate.data.filters.pair_rules import Mask
from translate.errors import UserError, excerpt

LONGEST_SILENCE = 600.0  # seconds without reading or writing after which the program counts as hung
_POLL_SECONDS = 0.1
_LONGEST_ANSWER = 100  # bytes
_CHUNKS_AHEAD = 2
_PAIRS_AT_ONCE = 1000  # per write to the program


class PairCommand:
    """A program that reads lines "source TAB target" and writes one number per line for each, in order.

    It is started once per corpus and may buffer its answers; finish() waits for them. One thread writes and another
    reads, so that full pipes cannot deadlock.

    words   program and arguments, run without a shell
    lowest  smallest answer for pairs that are kept
    key     name of the option in errors

    All methods raise UserError if the program cannot be started, exits early or with an error, hangs, or writes
    anything but numbers.
    """

    def __init__(self, words: Sequence[str], *, lowest: float, key: str) -> None:
        self._name = f"{key} ({excerpt(' '.join(words))})"
        self._lowest = lowest
        self._sent = 0
        self._answers = array("d")
        self._problem = ""
        self._waiting: queue.Queue[list[str] | None] = queue.Queue(_CHUNKS_AHEAD)
        self._active_at = time.monotonic()
        try:
            self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            raise UserError(f"{self._name}: cannot be started: {error}") from None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._threads = [threading.Thread(target=self._write, daemon=True), self._reader]
        for thread in self._threads:
            thread.start()

    def send(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Queue pairs for the program; they contain neither TAB nor line break."""
        lines = [f"{source}\t{target}\n" for source, target in zip(sources, targets, strict=True)]
        for start in range(0, len(lines), _PAIRS_AT_ONCE):
            part = lines[start : start + _PAIRS_AT_ONCE]
            self._sent += len(part)
            self._put(part)

    def finish(self) -> Mask:
        """Wait until the program has answered all N pairs and exited; (N,) True for pairs whose answer is too low."""
        self._put(None)
        since = time.monotonic()
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_POLL_SECONDS)
                self._require_progress(since)
        self._require_success()
        return ~(np.array(self._answers) >= self._lowest)  # NaN counts as too low

    def close(self) -> None:
        """Kill the program if it is still running."""
        self._process.kill()
        self._process.wait()

    def _put(self, lines: list[str] | None) -> None:
        since = time.monotonic()
        while True:
            if lines and not self._reader.is_alive():
                self._require_success()
            self._require_progress(since)
            try:
                return self._waiting.put(lines, timeout=_POLL_SECONDS)
            except queue.Full:
                continue

    def _write(self) -> None:
        assert self._process.stdin is not None
        try:
            while (lines := self._waiting.get()) is not None:
                self._process.stdin.write("".join(lines).encode())
                self._process.stdin.flush()
                self._active_at = time.monotonic()
            self._process.stdin.close()
        except OSError:  # the program has exited: _require_success reports it
            while self._waiting.get() is not None:
                continue

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LONGEST_ANSWER):
            self._active_at = time.monotonic()
            try:
                self._answers.append(float(line))
            except ValueError:
                self._problem = f"has answered {excerpt(line.decode(errors='replace').strip())!r}, not with a number"
                return
            if len(self._answers) > self._sent:
                self._problem = f"has written more lines than the {self._sent:,} pairs that it was given"
                return

    def _require_progress(self, since: float) -> None:
        if self._problem:
            self._fail(f"{self._problem} (answer {len(self._answers) + 1:,})")
        if time.monotonic() - max(since, self._active_at) > LONGEST_SILENCE:
            self._fail(f"has neither read nor written for {LONGEST_SILENCE:g} s")

    def _require_success(self) -> None:
        """Raise UserError unless the program has answered all pairs and exited with status 0."""
        if self._problem:  # the program may still be running
            self._fail(self._problem)
        try:
            status = self._process.wait(LONGEST_SILENCE)
        except subprocess.TimeoutExpired:
            self._fail(f"has closed its output, but not ended within {LONGEST_SILENCE:g} s")
        answered = f"{len(self._answers):,} of {self._sent:,} pairs"
        if status:
            self._fail(f"has ended with status {status} after {answered}")
        if len(self._answers) != self._sent:
            self._fail(f"has answered {answered}; it must write a line for each")

    def _fail(self, problem: str) -> NoReturn:
        raise UserError(f"{self._name} {problem}")
