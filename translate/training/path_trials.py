"""Trials of the ways to compute updates: all make the same updates, from the same state, which is restored afterwards.

A way counts as right if losses, gradient norms and the change of the weights over these updates are those of eager
mode, except for rounding (path_comparison.py). How far rounding carries is measured, not assumed: eager mode makes the
updates once more from weights that are moved by one unit of the precision.

Code that torch.compile makes draws other random numbers than eager mode. Where a way differs and the model draws, it is
compared twice: in evaluation mode, without draws, as above, and in training with eager mode with other draws.
"""

from __future__ import annotations

import copy
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from translate.checkpoint import Weights, copy_of, weights_of
from translate.data.loader import Update
from translate.distributed import World
from translate.errors import UserError, excerpt
from translate.models.seq2seq import evaluation_mode
from translate.training.batch_memory import BatchMemory, random_state
from translate.training.path_comparison import Trace, difference, rounding_unit
from translate.training.state import TrainState
from translate.training.step import StepResult
from translate.training.stopping import fraction_done, set_learning_rate

if TYPE_CHECKING:
    from translate.training.update_ways import MakeUpdate, Workload

logger = logging.getLogger(__name__)
EAGER = "eager"
UPDATES = 20
LIMIT_SECONDS = 600.0  # of one way, most of which compilation takes
_TIMED_SECONDS, _LEAST_TIMED = 10.0, 5
_OTHER_SEED = 2**40
Constructor = Callable[["Workload"], AbstractContextManager["MakeUpdate"]]


class LeftOut(Exception):  # noqa: N818 - not an error
    """Raised by a constructor: this way cannot be tried; the message is the reason."""


class _OutOfTime(BaseException):
    """A way is not done within its time; not an Exception, which a compiler may catch."""


@dataclass(frozen=True)
class Outcome:
    """Seconds of an update in this way; or the reason why it is left out."""

    seconds: float = 0.0
    reason: str = ""


class PathTrials:
    """Tries ways to compute updates, on all processes of a run.

    updates   the first ones of this session
    replaced  name of a way -> name of an earlier one, beside which it is not tried if that one is right
    """

    def __init__(
        self,
        ways: Mapping[str, Constructor],
        workload: Workload,
        state: TrainState,
        updates: Sequence[Update],
        replaced: Mapping[str, str] = MappingProxyType({}),
    ):
        self._ways, self._state, self._updates, self._replaced = ways, state, updates, replaced
        self._world: World = workload.world
        self._saved, self._rate = state.snapshot([state.of_process()]), state.learning_rate
        self._unit = rounding_unit(workload.model.precision, on_gpu=workload.model.device.type == "cuda")
        memory = BatchMemory()
        memory.too_large = list(workload.model.memory.too_large)
        # sizes that fit, or do not, during trials are no part of the run
        self._workload = replace(workload, model=replace(workload.model, memory=memory), is_trial=True)
        self._num_timed = 0

    def run(self) -> dict[str, Outcome]:
        """The outcome of each way; the state is as before. Raises what eager mode raises."""
        try:
            before = _draws(self._workload)
            self._expected = self._trace(self._ways[EAGER], timed=True)
            self._has_draws = _draws(self._workload) != before
            outcomes = {EAGER: Outcome(self._slowest(self._expected.seconds))}
            for name in self._ways:
                other = self._replaced.get(name, "")
                if other in outcomes and not outcomes[other].reason:
                    outcomes[name] = Outcome(reason=f"{other} makes the same with fewer launches")
                elif name != EAGER:
                    outcomes[name] = self._try(self._ways[name])
            return outcomes
        finally:
            self._restore()
            if self._workload.model.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self._workload.model.device)  # the run reports its own

    def _try(self, way: Constructor) -> Outcome:
        """The outcome of a way, whatever it raises."""
        if self._world.size > 1:
            # by itself first: an error in the midst of an exchange would leave the other processes waiting
            reason, _ = self._guarded(lambda: self._trace(way, alone=True))
            if reason := self._agreed(reason):
                return Outcome(reason=reason)
        reason, seconds = self._guarded(lambda: self._compared(way))
        reason = self._agreed(reason)
        return Outcome(reason=reason) if reason else Outcome(self._slowest(seconds))

    def _guarded(self, work: Callable[[], Trace | str]) -> tuple[str, float]:
        """The reason against a way, or "", and its seconds; work: the trace of a way, or a reason against it."""
        try:
            with _time_limit(LIMIT_SECONDS):
                found = work()
            return (found, 0.0) if isinstance(found, str) else ("", found.seconds)
        except LeftOut as reason:
            return str(reason), 0.0
        except _OutOfTime:
            return f"not done after {LIMIT_SECONDS:.0f} s", 0.0
        # of any kind: compilers and drivers raise what they like, and the run does not need them
        except Exception as error:
            logger.debug("a way to compute updates has failed", exc_info=True)
            return f"{type(error).__name__}: {excerpt(str(error))}", 0.0

    def _agreed(self, reason: str) -> str:
        """A reason of any process."""
        reasons = self._world.gather(reason)
        return next(
            (f"process {rank}: {each}" if len(reasons) > 1 else each for rank, each in enumerate(reasons) if each), ""
        )

    def _slowest(self, seconds: float) -> float:
        return float(max(self._world.gather(seconds)))

    def _compared(self, way: Constructor) -> Trace | str:
        """The trace of a way, or how it differs from eager mode."""
        found = self._trace(way, timed=True)
        if not (reason := difference(found, self._expected, self._rounded, self._unit)):
            return found
        if not self._has_draws:
            return reason
        if reason := difference(self._trace(way, quiet=True), self._quiet, self._quiet_rounded, self._unit):
            return f"without dropout, {reason}"
        if reason := difference(found, self._expected, self._redrawn, self._unit):
            return f"more than other draws explain, {reason}"
        return found

    @cached_property
    def _rounded(self) -> Trace:
        return self._trace(self._ways[EAGER], moved=True)

    @cached_property
    def _redrawn(self) -> Trace:
        return self._trace(self._ways[EAGER], redrawn=True)

    @cached_property
    def _quiet(self) -> Trace:
        return self._trace(self._ways[EAGER], quiet=True)

    @cached_property
    def _quiet_rounded(self) -> Trace:
        return self._trace(self._ways[EAGER], quiet=True, moved=True)

    def _trace(
        self,
        way: Constructor,
        *,
        timed: bool = False,
        quiet: bool = False,
        moved: bool = False,
        redrawn: bool = False,
        alone: bool = False,
    ) -> Trace:
        """Make the updates in some way, from the saved state.

        timed    then make them again, for the time
        quiet    in evaluation mode, without dropout
        moved    from weights that are moved by one unit of the precision
        redrawn  with other random numbers
        alone    the first update alone, without other processes
        """
        self._restore()
        workload, module = self._workload, self._state.model.module
        if alone:
            workload = replace(workload, model=replace(workload.model, forward=module), world=World())
        if moved:
            _move(weights_of(module), self._unit)
        if redrawn:
            torch.manual_seed(_OTHER_SEED + self._world.rank)
        weights = copy_of(weights_of(module))
        with evaluation_mode(module) if quiet else nullcontext(), way(workload) as make_update:
            begun = time.monotonic()
            results = self._make(make_update, self._updates[:1] if alone else self._updates)
            change = {name: weight.to("cpu") - weights[name] for name, weight in weights_of(module).items()}
            if not self._num_timed:
                # as many of the same updates for all ways
                each = (time.monotonic() - begun) / len(self._updates)
                counts = self._world.from_main(int(_TIMED_SECONDS / max(each, 1e-9)))
                self._num_timed = min(max(counts, _LEAST_TIMED), len(self._updates))
            seconds = self._seconds(make_update) if timed else 0.0
        return Trace(results, change, seconds)

    def _make(self, make_update: MakeUpdate, updates: Sequence[Update]) -> list[StepResult]:
        """Make updates as the loop of train.py does; their results."""
        state, config, pending = self._state, self._workload.config, []
        for update in updates:
            done = fraction_done(config.run, state.progress)
            set_learning_rate(state.optimizer, config, state.progress)
            pending.append(make_update(update.batches, step=state.step + 1, fraction_done=done))
            state.advance(update, target_tokens=pending[-1].target_tokens)
        return [each.result() for each in pending]

    def _seconds(self, make_update: MakeUpdate) -> float:
        """Seconds of an update once all shapes have been met."""
        self._synchronize()
        begun = time.monotonic()
        self._make(make_update, self._updates[: self._num_timed])
        self._synchronize()
        return (time.monotonic() - begun) / self._num_timed

    def _synchronize(self) -> None:
        if self._workload.model.device.type == "cuda":
            torch.cuda.synchronize(self._workload.model.device)

    def _restore(self) -> None:
        """Return to the state before the trials, and free memory."""
        state = self._state
        state.optimizer.zero_grad(set_to_none=True)  # of an update that was not finished
        try:
            # a copy: on a CPU the optimizer would take over the tensors themselves, and change them
            state.restore(copy.deepcopy(self._saved), rank=0)
        except RuntimeError as error:  # a kernel that failed takes the GPU from this process
            raise UserError(
                f"trying ways to compute updates has failed for good ({excerpt(str(error))}): set "
                "compute.fast_path=eager"
            ) from None
        state.learning_rate = self._rate
        gc.collect()
        if self._workload.model.device.type == "cuda":
            torch.cuda.empty_cache()


def _move(weights: Weights, size: float) -> None:
    """Move each weight by this share of itself, up or down at random."""
    for number, weight in enumerate(weights.values()):
        generator = torch.Generator(weight.device).manual_seed(number)
        signs = torch.randint(0, 2, weight.shape, generator=generator, device=weight.device) * 2 - 1
        weight.mul_(1 + size * signs)


def _draws(workload: Workload) -> list[list[int]]:
    """States of the generators of this process, to be compared."""
    return [x.tolist() for x in random_state(workload.model.device).values() if isinstance(x, Tensor)]


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Context in which the main thread is interrupted after so many seconds, between two operations of Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
