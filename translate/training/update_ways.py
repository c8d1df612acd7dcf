"""The ways to compute an update: eager (one operation at a time), compiled, as CUDA graphs, compiled and as graphs."""

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
    """Input of the functions in CANDIDATES.

    is_trial  raise errors, instead of falling back to eager updates
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
    """Eager updates."""
    yield workload.plain()


@contextmanager
def compiled(workload: Workload, backend: str = "inductor") -> Iterator[MakeUpdate]:
    """Updates with a compiled model; validation, which has many shapes, is not compiled."""
    with with_compiled_model(workload, backend) as (compiled_workload, use_compiled):
        yield use_compiled(compiled_workload.plain())


@contextmanager
def with_compiled_model(workload: Workload, backend: str = "inductor") -> Iterator[tuple[Workload, Wrapper]]:
    """The workload with a compiled model, and a wrapper for functions that are to use the compiled code."""
    module = workload.model.module
    # torch.compile(module) would rename the parameters, also in checkpoints
    module.compile(backend=backend)
    call, module._compiled_call_impl = module._compiled_call_impl, None

    def use_compiled(make_update: MakeUpdate) -> MakeUpdate:
        def wrapped(batches: Sequence[Batch], **options: Any) -> PendingUpdate:
            module._compiled_call_impl = call
            try:
                return make_update(batches, **options)
            finally:
                module._compiled_call_impl = None

        return wrapped

    try:
        # no WeightCasts: the compiler fuses autocast's casts with neighbouring operations
        yield replace(workload, model=replace(workload.model, casts=None)), use_compiled
    finally:
        torch.compiler.reset()


def graphed(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """Updates as CUDA graphs."""
    return recorded(workload, cuda_recorder(workload))


def compiled_and_graphed(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """Updates as CUDA graphs of a compiled model."""
    # compilation may wait for the GPU
    return compiled_and_recorded(workload, cuda_recorder(workload, forbids_waiting=False))


@contextmanager
def compiled_and_recorded(workload: Workload, recorder: Recorder, backend: str = "inductor") -> Iterator[MakeUpdate]:
    """Updates of a compiled model that a recorder replays."""
    with (
        with_compiled_model(workload, backend) as (compiled_workload, use_compiled),
        recorded(compiled_workload, recorder) as make_update,
    ):
        yield use_compiled(make_update)


def probable_way(workload: Workload) -> AbstractContextManager[MakeUpdate]:
    """The way that a run will probably use, chosen without trials: for estimates of its speed."""
    if workload.config.compute.path is FastPath.compiled:
        return compiled(workload)
    if workload.config.compute.path in (FastPath.auto, FastPath.graphed, FastPath.compiled_graphed):
        with suppress(LeftOut):
            return graphed(workload)
    return eager(workload)


def cuda_recorder(workload: Workload, *, forbids_waiting: bool = True) -> CudaRecorder:
    """A recorder of updates; see CudaRecorder. Raises LeftOut if they cannot be recorded."""
    if reason := obstacle(workload):
        raise LeftOut(reason)
    if workload.model.device.type != "cuda":
        raise LeftOut("CUDA graphs need a GPU")
    return CudaRecorder(workload.model.device, forbids_waiting=forbids_waiting)


@contextmanager
def recorded(workload: Workload, recorder: Recorder) -> Iterator[MakeUpdate]:
    """Updates that a recorder replays."""
    updates = GraphedUpdates(workload, recorder)
    try:
        yield updates
    finally:
        updates.close()


# name -> constructor; the others are compared with eager mode
CANDIDATES: dict[str, Constructor] = {
    EAGER: eager,
    "graphed": graphed,
    "compiled_graphed": compiled_and_graphed,
    "compiled": compiled,
}
COMPILED = ("compiled_graphed", "compiled")  # compilation takes minutes
REPLACED = {"compiled": "compiled_graphed"}  # see PathTrials; `compiled` would be compiled anew, and hardly be faster
