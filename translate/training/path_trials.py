"""Trials of the ways to compute updates: all make the same updates, from the same state, which is restored afterwards.

A way is correct if its losses, gradient norms and change of the weights are those of eager mode, except for rounding
(path_comparison.py). The effect of rounding is measured: eager mode repeats the updates from weights that are perturbed
by one rounding unit of the precision.

Compiled code draws other random numbers than eager mode. If a way differs and the model uses random numbers, it is
compared twice more: without dropout, as above; and with dropout, where it may differ as much as eager mode with another
seed does.
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
_TIMED_SECONDS, _MIN_TIMED_UPDATES = 10.0, 5
_OTHER_SEED = 2**40
Constructor = Callable[["Workload"], AbstractContextManager["MakeUpdate"]]


class LeftOut(Exception):  # noqa: N818 - not an error
    """Raised by a constructor if this way cannot be used; the message is the reason."""


class _OutOfTime(BaseException):
    """A trial has exceeded its time limit; a BaseException, since compilers may catch Exception."""


@dataclass(frozen=True)
class Outcome:
    """Seconds per update, or the reason why the way is left out."""

    seconds: float = 0.0
    reason: str = ""


class PathTrials:
    """Tries ways to compute updates, on all processes of a run.

    updates   the first updates of this session
    replaced  name of a way -> name of an earlier way; if the earlier way is correct, the first is not tried
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
        # the run must not remember which sizes of batches fitted during trials
        self._workload = replace(workload, model=replace(workload.model, memory=memory), is_trial=True)
        self._num_timed = 0

    def run(self) -> dict[str, Outcome]:
        """The outcome of each way; the state is restored. Errors of eager mode are raised."""
        try:
            before = _generator_states(self._workload)
            self._expected = self._trace(self._ways[EAGER], timed=True)
            self._is_random = _generator_states(self._workload) != before
            outcomes = {EAGER: Outcome(self._slowest(self._expected.seconds))}
            for name in self._ways:
                other = self._replaced.get(name, "")
                if other in outcomes and not outcomes[other].reason:
                    outcomes[name] = Outcome(reason=f"{other} computes the same with fewer launches")
                elif name != EAGER:
                    outcomes[name] = self._try(self._ways[name])
            return outcomes
        finally:
            self._restore()
            if self._workload.model.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self._workload.model.device)  # the run reports its own peak

    def _try(self, way: Constructor) -> Outcome:
        """The outcome of a way, whatever it raises."""
        if self._world.size > 1:
            # first without exchange of gradients, where an error would leave the other processes waiting
            reason, _ = self._caught(lambda: self._trace(way, alone=True))
            if reason := self._reason_of_any_process(reason):
                return Outcome(reason=reason)
        reason, seconds = self._caught(lambda: self._compared(way))
        reason = self._reason_of_any_process(reason)
        return Outcome(reason=reason) if reason else Outcome(self._slowest(seconds))

    def _caught(self, work: Callable[[], Trace | str]) -> tuple[str, float]:
        """Call `work` with a time limit, and turn what it raises into a reason against the way.

        work  returns the trace of the way, or a reason against it

        Returns the reason ("" if there is none) and the seconds per update.
        """
        try:
            with _time_limit(LIMIT_SECONDS):
                found = work()
            return (found, 0.0) if isinstance(found, str) else ("", found.seconds)
        except LeftOut as reason:
            return str(reason), 0.0
        except _OutOfTime:
            return f"not done after {LIMIT_SECONDS:.0f} s", 0.0
        # compilers and drivers raise errors of any type, and the run can continue without this way
        except Exception as error:
            logger.debug("a way to compute updates has failed", exc_info=True)
            return f"{type(error).__name__}: {excerpt(str(error))}", 0.0

    def _reason_of_any_process(self, reason: str) -> str:
        """The first reason of all processes, "" if none has one."""
        reasons = self._world.gather(reason)
        return next(
            (f"process {rank}: {each}" if len(reasons) > 1 else each for rank, each in enumerate(reasons) if each), ""
        )

    def _slowest(self, seconds: float) -> float:
        return float(max(self._world.gather(seconds)))

    def _compared(self, way: Constructor) -> Trace | str:
        """The trace of a way, or a message on how it differs from eager mode."""
        found = self._trace(way, timed=True)
        if not (reason := difference(found, self._expected, self._perturbed, self._unit)):
            return found
        if not self._is_random:
            return reason
        without_dropout = self._trace(way, dropout=False)
        if reason := difference(without_dropout, self._no_dropout, self._no_dropout_perturbed, self._unit):
            return f"without dropout, {reason}"
        if reason := difference(found, self._expected, self._other_seed, self._unit):
            return f"more than other random numbers explain, {reason}"
        return found

    # traces of eager mode; see _trace

    @cached_property
    def _perturbed(self) -> Trace:
        return self._trace(self._ways[EAGER], perturbed=True)

    @cached_property
    def _other_seed(self) -> Trace:
        return self._trace(self._ways[EAGER], other_seed=True)

    @cached_property
    def _no_dropout(self) -> Trace:
        return self._trace(self._ways[EAGER], dropout=False)

    @cached_property
    def _no_dropout_perturbed(self) -> Trace:
        return self._trace(self._ways[EAGER], dropout=False, perturbed=True)

    def _trace(
        self,
        way: Constructor,
        *,
        timed: bool = False,
        dropout: bool = True,
        perturbed: bool = False,
        other_seed: bool = False,
        alone: bool = False,
    ) -> Trace:
        """Make the updates in some way, from the saved state.

        timed       then make some of them again, to time them
        dropout     False: in evaluation mode
        perturbed   from weights that are perturbed by one rounding unit of the precision
        other_seed  with other random numbers
        alone       only the first update, without the other processes
        """
        self._restore()
        workload, module = self._workload, self._state.model.module
        if alone:
            workload = replace(workload, model=replace(workload.model, forward=module), world=World())
        if perturbed:
            _perturb(weights_of(module), self._unit)
        if other_seed:
            torch.manual_seed(_OTHER_SEED + self._world.rank)
        weights = copy_of(weights_of(module))
        with nullcontext() if dropout else evaluation_mode(module), way(workload) as make_update:
            begun = time.monotonic()
            results = self._make(make_update, self._updates[:1] if alone else self._updates)
            change = {name: weight.to("cpu") - weights[name] for name, weight in weights_of(module).items()}
            if not self._num_timed:
                # every way is timed on the same updates
                each = (time.monotonic() - begun) / len(self._updates)
                counts = self._world.from_main(int(_TIMED_SECONDS / max(each, 1e-9)))
                self._num_timed = min(max(counts, _MIN_TIMED_UPDATES), len(self._updates))
            seconds = self._seconds(make_update) if timed else 0.0
        return Trace(results, change, seconds)

    def _make(self, make_update: MakeUpdate, updates: Sequence[Update]) -> list[StepResult]:
        """Make updates as the loop of train.py does, and return their results."""
        state, config, pending = self._state, self._workload.config, []
        for update in updates:
            done = fraction_done(config.run, state.progress)
            set_learning_rate(state.optimizer, config, state.progress)
            pending.append(make_update(update.batches, step=state.step + 1, fraction_done=done))
            state.advance(update, target_tokens=pending[-1].target_tokens)
        return [each.result() for each in pending]

    def _seconds(self, make_update: MakeUpdate) -> float:
        """Seconds per update, after all shapes of batches have been compiled or recorded."""
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
            # a copy: on a CPU the optimizer would adopt the saved tensors, and change them
            state.restore(copy.deepcopy(self._saved), rank=0)
        except RuntimeError as error:  # after a failed kernel this process cannot use the GPU any more
            raise UserError(
                f"the trials of compute.fast_path have failed, and cannot be continued ({excerpt(str(error))}): set "
                "compute.fast_path=eager"
            ) from None
        state.learning_rate = self._rate
        gc.collect()
        if self._workload.model.device.type == "cuda":
            torch.cuda.empty_cache()


def _perturb(weights: Weights, size: float) -> None:
    """Multiply each weight by 1 + size or 1 - size, at random."""
    for number, weight in enumerate(weights.values()):
        generator = torch.Generator(weight.device).manual_seed(number)
        signs = torch.randint(0, 2, weight.shape, generator=generator, device=weight.device) * 2 - 1
        weight.mul_(1 + size * signs)


def _generator_states(workload: Workload) -> list[list[int]]:
    """States of the random generators of this process, to be compared."""
    return [x.tolist() for x in random_state(workload.model.device).values() if isinstance(x, Tensor)]


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Context in which _OutOfTime is raised in the main thread after so many seconds, between two Python operations."""
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
