"""Signals that ask a process to stop: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (its terminal closes).

The first one is answered at once by a line on stderr. Where nothing would be lost it then ends the work by an
exception; where there is something to save it is noted, and the work looks for it. A second one ends the process.

A handler written in Python runs in the main thread and between two operations, and the training of a tokenizer or a
backward pass is one operation of seconds or minutes. So a thread answers: it reads the numbers of signals from a pipe,
which the interpreter's own handler, written in C, fills the moment they arrive.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPING = "stopping"
# `timeout` and batch systems signal a process and its group: within this time they count as one
_DUPLICATE_SECONDS = 0.5
# Where nothing would be lost, the process ends by itself if its main thread is inside an operation for longer than the
# first, or has not cleaned up within the second.
_STUCK_SECONDS, _CLEANING_SECONDS = 1.0, 10.0
_TICK_SECONDS = 0.1
_END = 0  # no signal's number


class Interrupted(KeyboardInterrupt):
    """A signal ended the work where nothing would be lost: its number, and the line that answered it."""

    def __init__(self, number: int, answer: str):
        super().__init__(number, answer)  # all arguments, so that it can be pickled
        self.number, self.answer = number, answer

    def __str__(self) -> str:
        return self.answer


class StopSignals:
    """The signals of a process; stop_signals is the only one.

    received  number of the first signal; 0: none
    """

    def __init__(self) -> None:
        self._listening = False
        self._reset()

    def _reset(self) -> None:
        self.received = 0
        self._plan = STOPPING
        self._deferred = self._raised = self._disregarding = False
        self._answer = ""
        self._answered: float | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Context in which signals are answered; inside another one, and in other threads, it changes nothing."""
        if self._listening or threading.current_thread() is not threading.main_thread():
            yield
            return
        self._reset()
        reading, writing = os.pipe()
        os.set_blocking(writing, False)  # as the interpreter requires
        watcher = threading.Thread(target=self._watch, args=(reading,), name="signals", daemon=True)
        watcher.start()
        former_pipe = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        # an ignored signal stays ignored, as under nohup
        heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in heard}
        self._listening = True
        try:
            yield
        finally:
            self._deferred = True  # no exception between the following steps
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(former_pipe)
            os.write(writing, bytes([_END]))
            watcher.join()
            os.close(reading)
            os.close(writing)
            self._listening = False

    @contextmanager
    def left_to_host(self) -> Iterator[None]:
        """Context in which listening() changes nothing: signals belong to the program that calls this package."""
        before, self._listening = self._listening, True
        try:
            yield
        finally:
            self._listening = before

    @contextmanager
    def deferred(self, plan: str) -> Iterator[None]:
        """Context with something to save: signals are noted, and answered by the plan."""
        yield from self._in_mode(plan, deferred=True)

    @contextmanager
    def interruptible(self, plan: str = "") -> Iterator[None]:
        """Context that a signal ends by Interrupted, one noted before included; "": the plan stays."""
        yield from self._in_mode(plan or self._plan, deferred=False)

    def _in_mode(self, plan: str, *, deferred: bool) -> Iterator[None]:
        before = self._plan, self._deferred
        self._plan, self._deferred = plan, deferred
        is_leaving = False
        try:
            self._interrupt()
            yield
        except Interrupted:
            is_leaving = True
            raise
        finally:
            self._plan, self._deferred = before
            # where there is something to save the exception is caught, and may be needed once more
            self._raised = is_leaving and not self._deferred

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Short context that no signal ends half-way; a process that is forked in it may still ignore them."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._interrupt()

    def disregard_launcher(self) -> None:
        """Forget a signal that was noted, and all that follow: torchrun sends SIGTERM once one process has ended."""
        self._disregarding = True  # the thread may still have to read the signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.received, self._raised = 0, False

    @property
    def interrupting(self) -> bool:
        """True while Interrupted is on its way out: other errors are consequences of it."""
        return self._raised

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._note(number)
        self._interrupt()

    def _note(self, number: int) -> None:
        """Note the first signal, in the main thread or the other, whichever comes first, and the plan at that time."""
        if self._disregarding:
            return
        self._answer = self._answer or self._describe(number)
        self.received = self.received or number

    def _interrupt(self) -> None:
        if self.received and not self._deferred and not self._raised:
            self._raised = True
            raise Interrupted(self.received, self._describe(self.received))

    def _describe(self, number: int) -> str:
        return f"{signal.Signals(number).name}: {self._plan}"

    def _watch(self, pipe: int) -> None:
        """Body of the thread: answer signals, and end the process where the main thread cannot."""
        since: float | None = None  # when a signal was to end the work
        while True:
            readable, _, _ = select.select([pipe], [], [], _TICK_SECONDS if self.received else None)
            for number in os.read(pipe, 64) if readable else b"":
                if number == _END:
                    return
                if number in STOP_SIGNALS:
                    self._respond(number)
            # a context with something to save may have begun or ended meanwhile
            if not self.received or self._deferred:
                since = None
                continue
            since = since or time.monotonic()
            if time.monotonic() - since > (_CLEANING_SECONDS if self._raised else _STUCK_SECONDS):
                os._exit(128 + self.received)

    def _respond(self, number: int) -> None:
        """Answer the first signal, and end the process at a second one."""
        now = time.monotonic()
        if self._answered is None:
            self._answered = now
            self._note(number)
            _say(f"{self._answer}; again to end at once")
        # a terminal that closes sends more than one SIGHUP
        elif number != signal.SIGHUP and now - self._answered > _DUPLICATE_SECONDS:
            os._exit(128 + number)


stop_signals = StopSignals()


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Context of a command, which exits with status 128 + N after signal N, as shells have it."""
    try:
        with stop_signals.listening():
            try:
                yield
            except Exception:
                # after Interrupted, an error on its way out is a consequence, such as of an exchange that was cut off
                if not stop_signals.interrupting:
                    raise
    except Interrupted as error:
        # of another process of the run, where this one has received none
        stop_signals.received = stop_signals.received or error.number
    if stop_signals.received:
        sys.exit(128 + stop_signals.received)


def end_silently() -> None:
    """Let Ctrl-C end the process at once until signals are answered: Python prints a traceback of its imports."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def leave_to_parent() -> None:
    """Ignore the signals, in a process forked inside StopSignals.held_back: those of a group reach the parent too."""
    signal.set_wakeup_fd(-1)  # the parent's pipe
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def _say(line: str) -> None:
    """Print a line on stderr, without its lock, which the main thread may hold; none where a reader is slow."""
    rank = os.environ.get("RANK", "0")
    # a new line, as a progress display may have begun one
    start = "\n" if os.isatty(2) else ""
    text = f"{start}{'' if rank == '0' else f'process {rank}: '}{line}\n"
    with suppress(OSError, ValueError):
        # waiting here would keep the next signal unanswered
        if select.select([], [2], [], 0)[1]:
            os.write(2, text.encode())
