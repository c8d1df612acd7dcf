"""Whole updates as graphs: recorded once for each shape of batches, replayed over static buffers.

A graph is launched at once, where eager mode launches a thousand kernels one by one. It repeats the same kernels on the
same addresses, so that everything that differs from update to update is in tensors that are overwritten before a
replay: the batches, and numbers that Python computes otherwise (learning rate, number of target tokens, limits).
Weights are changed in place by the optimizer and by TrainState.restore; loading its state gives the optimizer new
tensors, which drops all graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from translate.batch import Batch, Tokens
from translate.memory import is_out_of_memory
from translate.models.seq2seq import Seq2Seq
from translate.recording import Recorder
from translate.training.batch_memory import RandomState, random_state, set_random_state
from translate.training.optimizer import OptimizerName
from translate.training.spikes import SpikeLimits, no_limits
from translate.training.step import (
    Objective,
    PendingUpdate,
    apply_gradient,
    copy_to_cpu,
    count_tokens,
    judge_gradient,
)

if TYPE_CHECKING:
    from translate.training.update_ways import Workload

logger = logging.getLogger(__name__)
# Each takes host memory and seconds to record. Packed batches have few shapes: the number of sentences and the length
# of the longest are powers of two, and long sentences are few.
MOST_GRAPHS = 8
_LARGEST = torch.finfo(torch.float32).max
Shape = tuple[Any, ...]
Part = TypeVar("Part", Batch, Tokens)


def obstacle(workload: Workload) -> str:
    """The reason why updates of a run cannot be recorded; "" if nothing is known against it."""
    config, module = workload.config, workload.model.module
    if workload.world.size > 1:
        return "several processes exchange gradients by hooks, which a graph does not run"
    if config.optimizer.name is OptimizerName.muon:
        return "Muon reads on the CPU whether an update is made"
    if config.auxiliary:
        return "auxiliary losses begin, and draw random numbers, as the CPU decides"
    if type(module).set_training_step is not Seq2Seq.set_training_step:
        return f"model.architecture={config.model.architecture} changes with the number of the update on the CPU"
    return ""


class GraphedUpdates:
    """Makes updates by graphs; see MakeUpdate.

    The first update of a shape is computed as it will be recorded. Updates of further shapes than MOST_GRAPHS are
    computed in the same way, so that a continued run, which meets shapes in another order, repeats the numbers.
    Updates without labels, and those that do not fit into memory, are plain.
    """

    def __init__(self, workload: Workload, recorder: Recorder):
        self._model, self._optimizer, self._config = workload.model, workload.optimizer, workload.config
        self._plain, self._recorder, self._is_trial = workload.plain(), recorder, workload.is_trial
        device = self._model.device
        self._factor, self._most_loss, self._most_norm, self._rate = (torch.zeros((), device=device) for _ in range(4))
        self._objective = Objective(self._model, self._config.loss.label_smoothing, {}, self._factor)
        # two losses and the number of divided batches, norm, spiked, loss scale: PendingUpdate.numbers
        self._numbers = torch.zeros(6, device=device)
        self._graphs: dict[Shape, tuple[list[Batch], Callable[[], None]]] = {}
        self._has_given_up = False
        self._hook = self._optimizer.register_load_state_dict_post_hook(lambda optimizer: self._drop())

    def __call__(
        self,
        batches: Sequence[Batch],
        *,
        step: int,
        fraction_done: float = 0.0,
        limits: Callable[[int], SpikeLimits] = no_limits,
    ) -> PendingUpdate:
        counts = count_tokens(batches)
        is_whole = self._model.memory.parts(batches) == list(batches)
        if self._has_given_up or not counts[0] or not is_whole:
            return self._plain(batches, step=step, fraction_done=fraction_done, limits=limits)
        self._set_numbers(counts[0], limits(counts[0]))
        random = random_state(self._model.device)
        try:
            self._update(batches)
        except (RuntimeError, MemoryError) as error:
            if self._is_trial or not is_out_of_memory(error):
                raise
            # the memory of graphs is theirs alone: without them there is room
            self._give_up("an update outside of the graphs does not fit into memory beside them", random)
            return self._plain(batches, step=step, fraction_done=fraction_done, limits=limits)
        numbers, copied = copy_to_cpu(self._numbers.clone())  # the next update overwrites them
        return PendingUpdate(step, numbers, copied, (), *counts)

    def close(self) -> None:
        """Drop all graphs, and free their memory."""
        self._hook.remove()
        self._drop()

    def _drop(self) -> None:
        if self._graphs and self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)  # the last one may still run
        self._graphs.clear()
        self._recorder.forget()

    def _set_numbers(self, target_tokens: int, most: SpikeLimits) -> None:
        """Write what Python knows of this update to where graphs read it."""
        values = {
            self._factor: 1 / target_tokens,
            self._most_loss: most.loss * target_tokens,
            self._most_norm: most.gradient_norm,
            self._rate: self._optimizer.param_groups[0]["lr"],
        }
        for buffer, value in values.items():
            buffer.fill_(min(value, _LARGEST))  # a kernel's argument: no copy that would wait for the GPU

    def _update(self, batches: Sequence[Batch]) -> None:
        shape = tuple(map(shape_of, batches))
        if shape in self._graphs:
            static, replay = self._graphs[shape]
            for buffers, batch in zip(static, batches, strict=True):
                overwrite(buffers, batch)
            replay()
            return
        if len(self._graphs) == MOST_GRAPHS:
            self._compute(batches)
            return
        static = [buffers_like(batch, self._model.device) for batch in batches]
        work = partial(self._compute, static)
        # this update, which also makes the state of the optimizer: recorded, that would be zeroed at each replay
        self._recorder.warm_up(work)
        try:
            self._graphs[shape] = static, self._recorder.record(work)
        except RuntimeError as error:
            if self._is_trial:
                raise
            self._give_up(f"they cannot be recorded: {str(error).partition(chr(10))[0]}")

    def _compute(self, batches: Sequence[Batch]) -> None:
        """The update, with all that differs from the next one read from tensors."""
        sums = torch.zeros(3, device=self._model.device)
        for batch in batches:
            sums[:-1] += self._objective.add_gradient(batch)
        judged = judge_gradient(
            self._model,
            sums,
            clip_norm=self._config.optimizer.clip_norm,
            most_loss=self._most_loss,
            most_norm=self._most_norm,
        )
        with self._recordable_optimizer():
            apply_gradient(self._model, self._optimizer, judged)
        self._numbers.copy_(judged.numbers)

    @contextmanager
    def _recordable_optimizer(self) -> Iterator[None]:
        """Context in which the optimizer reads its rate from the device, and declares that it can be recorded."""
        groups = self._optimizer.param_groups
        before = [dict(group) for group in groups]
        for group in groups:
            group |= {"lr": self._rate, "capturable": True}
        try:
            yield
        finally:
            for group, values in zip(groups, before, strict=True):
                group.clear()
                group |= values

    def _give_up(self, reason: str, random: RandomState | None = None) -> None:
        """Make plain updates from here on; random: state of the generators to return to."""
        logger.warning(f"compute.fast_path=graphed: {reason}; updates are made in eager mode from here on")
        self._has_given_up = True
        self.close()
        self._optimizer.zero_grad(set_to_none=True)
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
        if random is not None:
            set_random_state(random, self._model.device)


def shape_of(batch: Batch) -> Shape:
    """All that a graph's kernels were chosen for: two batches of one shape differ in the content of tensors alone."""
    return tuple(
        (tuple(side.ids.shape), None if side.offsets is None else len(side.offsets), side.max_length)
        for side in (batch.source, batch.target)
    )


def buffers_like(part: Part, device: torch.device) -> Part:
    """A copy of a batch's tensors on the device that is independent of them, and contiguous."""
    changed: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Tokens):
            changed[field.name] = buffers_like(value, device)
        elif isinstance(value, Tensor):
            changed[field.name] = value.to(device, copy=True, memory_format=torch.contiguous_format)
    return replace(part, **changed)


def overwrite(buffers: Part, part: Part) -> None:
    """Copy the tensors of a batch of the same shape into the buffers."""
    for field in fields(part):
        buffer, value = getattr(buffers, field.name), getattr(part, field.name)
        if isinstance(value, Tokens):
            overwrite(buffer, value)
        elif isinstance(value, Tensor):
            buffer.copy_(value, non_blocking=True)
