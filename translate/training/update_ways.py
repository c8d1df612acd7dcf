"""The ways to compute an update: one operation at a time, compiled, as CUDA graphs, or both of the last two."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch

from translate.batch import Batch
from translate.distributed import World
from translate.recording import CudaRecorder, Recorder
from translate.training import step
from translate.training.compute_config import FastPath
from translate.training.config import TrainConfig
from translate.training.graphed import GraphedUpdates, obstacle
from translate.training.parallel import ParallelModel
from translate.training.path_trials import EAGER, Constructor, LeftOut
from translate.training.spikes import SpikeLimits
from translate.training.step import PendingUpdate


class MakeUpdate(Protocol):
    """A way to make one update of the weights from the batches of this process; see train_step."""

    def __call__(
        self,
        batches: Sequence[Batch],
        *,
        step: int,
        fraction_done: float = 0.0,
        limits: Callable[[int], SpikeLimits] = ...,
    ) -> PendingUpdate: ...


Wrapper = Callable[[MakeUpdate], MakeUpdate]


@dataclass(frozen=True, eq=False)
class Workload:
    """All that a way to compute updates is made from.

    is_trial  errors are raised, instead of being answered by plain updates
    """

    model: ParallelModel
    optimizer: torch.optim.Optimizer
    config: TrainConfig
    world: World
    is_trial: bool = False

    def plain(self) -> MakeUpdate:
        """train_step of this model."""
        return partial(step.train_step, self.model, self.optimizer, config=self.config, world=self.world)


@contextmanager
def eager(workload: Workload) -> Iterator[MakeUpdate]:
    """Updates one operation at a time."""
    yield workload.plain()


@contextmanager
def compiled(workload: Workload, backend: str = "inductor") -> Iterator[MakeUpdate]:
    """Updates with a model that torch.compile has fused; validation, with its many shapes, is not compiled."""
    with fused(workload, backend) as (fused_workload, in_use):
        yield in_use(fused_workload.plain())


@contextmanager
def fused(workload: Workload, backend: str = "inductor") -> Iterator[tuple[Workload, Wrapper]]:
    """The workload of a model that torch.compile has fused, and what lets a function use the fused model."""
    module = workload.model.module
    # torch.compile() would rename the parameters, and checkpoints with them
    module.compile(backend=backend)
    call, module._compiled_call_impl = module._compiled_call_impl, None

    def in_use(make_update: MakeUpdate) -> MakeUpdate:
        def wrapped(batches: Sequence[Batch], **options: Any) -> PendingUpdate:
            module._compiled_call_impl = call
            try:
                return make_update(batches, **options)
            finally:
                module._compiled_call_impl = None

        return wrapped

    try:
        # the compiler fuses the casts of autocast with what surrounds them
        yield replace(workload, model=replace(workload.model, casts=None)), in_use
    finally:
        torch.compiler.reset()


def graphed(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """Updates as CUDA graphs."""
    return recorded(workload, cuda_recorder(workload))


def compiled_and_graphed(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """Updates as CUDA graphs of what torch.compile has fused."""
    return compiled_and_recorded(workload, cuda_recorder(workload, forbids_waiting=False))  # the compiler may wait


@contextmanager
def compiled_and_recorded(workload: Workload, recorder: Recorder, backend: str = "inductor") -> Iterator[MakeUpdate]:
    """Updates that a recorder repeats, with a model that torch.compile has fused."""
    with fused(workload, backend) as (fused_workload, in_use), recorded(fused_workload, recorder) as make_update:
        yield in_use(make_update)


def likely(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """The way that a run will probably take, without trials: for estimates of its speed."""
    if workload.config.compute.path is FastPath.compiled:
        return compiled(workload)
    if workload.config.compute.path in (FastPath.auto, FastPath.graphed, FastPath.compiled_graphed):
        with suppress(LeftOut):
            return graphed(workload)
    return eager(workload)


def cuda_recorder(workload: Workload, *, forbids_waiting: bool = True) -> CudaRecorder:
    """A recorder of updates; see CudaRecorder. Raises LeftOut where they cannot be recorded."""
    if reason := obstacle(workload):
        raise LeftOut(reason)
    if workload.model.device.type != "cuda":
        raise LeftOut("CUDA graphs need a GPU")
    return CudaRecorder(workload.model.device, forbids_waiting=forbids_waiting)


@contextmanager
def recorded(workload: Workload, recorder: Recorder) -> Iterator[MakeUpdate]:
    """Updates that a recorder repeats."""
    updates = GraphedUpdates(workload, recorder)
    try:
        yield updates
    finally:
        updates.close()


# name -> constructor; eager mode is what the others are compared with
CANDIDATES: dict[str, Constructor] = {
    EAGER: eager,
    "graphed": graphed,
    "compiled_graphed": compiled_and_graphed,
    "compiled": compiled,
}
COMPILED = ("compiled_graphed", "compiled")  # minutes of compilation come first
REPLACED = {"compiled": "compiled_graphed"}  # see PathTrials: compiled once more, it would hardly be faster
