"""compute.fast_path: the ways to compute an update, and the choice of the fastest that is shown to be right here.

On a GPU `auto` tries all of them on the first updates of a run (path_trials.py), which are discarded. The verdict is
kept in the manifest, with all that it depends on: a continued run takes it over, or names what has changed and tries
again from its restored state. On a CPU `auto` is eager mode, and nothing is tried.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import torch

from translate.batch import Batch
from translate.data.loader import Update, UpdateStream
from translate.distributed import World
from translate.errors import UserError
from translate.files import to_plain
from translate.parsing import from_plain
from translate.recording import CudaRecorder, Recorder
from translate.training import step
from translate.training.compute_config import FastPath
from translate.training.config import RunConfig, TrainConfig
from translate.training.graphed import GraphedUpdates, obstacle
from translate.training.model_writer import ModelWriter
from translate.training.parallel import ParallelModel, TrainingDecision
from translate.training.path_trials import EAGER, UPDATES, Constructor, LeftOut, Outcome, PathTrials
from translate.training.progress import RunProgress
from translate.training.session import provenance
from translate.training.spikes import SpikeLimits
from translate.training.state import TrainState
from translate.training.step import PendingUpdate
from translate.training.stopping import fraction_done

logger = logging.getLogger(__name__)
VERDICT = "fast_path"  # its key in the manifest
# runs with less ahead of them are over before trials and compilation pay
SHORT_UPDATES, SHORT_MINUTES = 1000, 10.0
MARGIN = 0.97  # of eager mode's seconds: what gains less is no reason to leave it


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


@contextmanager
def graphed(workload: Workload) -> Iterator[MakeUpdate]:
    """Updates as CUDA graphs."""
    with recorded(workload, cuda_recorder(workload)) as make_update:
        yield make_update


@contextmanager
def compiled_and_graphed(workload: Workload) -> Iterator[MakeUpdate]:
    """Updates as CUDA graphs of what torch.compile has fused."""
    recorder = cuda_recorder(workload, forbids_waiting=False)  # the compiler may wait
    with fused(workload) as (fused_workload, in_use), recorded(fused_workload, recorder) as make_update:
        yield in_use(make_update)


def cuda_recorder(workload: Workload, *, forbids_waiting: bool = True) -> CudaRecorder:
    """A recorder of updates; see CudaRecorder. Raises LeftOut where they cannot be recorded."""
    if reason := obstacle(workload):
        raise LeftOut(reason)
    if workload.model.device.type != "cuda":
        raise LeftOut("there are CUDA graphs on GPUs alone")
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
    "compiled": compiled,
    "compiled_graphed": compiled_and_graphed,
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The choice among the ways to compute updates, and all that it depends on.

    layout        of batches; tokens: of an update, at most, on either side
    auxiliary     names of the auxiliary losses
    milliseconds  of an update, by name of the way; left_out: the reason against each of the others
    """

    choice: str = ""
    device: str = ""
    torch: str = ""
    cuda: str = ""
    precision: str = ""
    layout: str = ""
    tokens: int = 0
    processes: int = 0
    auxiliary: list[str] = field(default_factory=list)
    milliseconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def changes(self, facts: Mapping[str, Any]) -> list[str]:
        """Facts that this verdict depends on and that differ now, before and after."""
        return [
            f"{name}: {getattr(self, name)} before, {now} now"
            for name, now in facts.items()
            if getattr(self, name) != now
        ]


@contextmanager
def choose_path(
    config: TrainConfig,
    decision: TrainingDecision,
    state: TrainState,
    batches: UpdateStream,
    models: ModelWriter,
    world: World,
) -> Iterator[MakeUpdate]:
    """Context with the function that makes the updates of this session; the state and the stream are as before.

    Raises UserError where the way that is asked for cannot be used.
    """
    wanted = config.compute.path
    if config.compute.compile:
        logger.info("compute.compile=true means compute.fast_path=compiled")
    workload = Workload(state.model, state.optimizer, config, world)
    if wanted is not FastPath.auto:
        name = wanted.value
    elif decision.capabilities.on_gpu:
        name = _choose(workload, decision, state, batches, models)
    else:
        name = EAGER
    with ExitStack() as stack:
        try:
            make_update = stack.enter_context(CANDIDATES[name](workload))
        except LeftOut as reason:
            raise UserError(f"compute.fast_path={name}: {reason}; use compute.fast_path=auto") from None
        yield make_update


def _choose(
    workload: Workload, decision: TrainingDecision, state: TrainState, batches: UpdateStream, models: ModelWriter
) -> str:
    """The name of the way of an earlier session, or of the fastest one that is right; the same on all processes."""
    world, facts = workload.world, _facts(workload, decision)
    before = _stored(models.manifest)
    # the main process decides: others may be on devices of other names
    changes: list[str] | None = world.from_main(None if before is None else before.changes(facts))
    if before is not None and changes == []:
        logger.info(f"fast path: {before.choice}, as tried before on this device")
        return before.choice
    if changes:
        logger.info(f"fast path: the verdict before was for other conditions ({'; '.join(changes)})")
    if is_short(workload.config.run, state.progress):
        logger.info("fast path: eager, without trials, as the run is short")
        return EAGER
    logger.info(f"fast path: trying {', '.join(CANDIDATES)} in {UPDATES} updates, which are discarded")
    outcomes = PathTrials(CANDIDATES, workload, state, _first_updates(workload.config, state, batches)).run()
    verdict: Verdict = world.from_main(make_verdict(outcomes, facts))
    _log(verdict)
    models.manifest = {**models.manifest, VERDICT: to_plain(verdict)}
    if world.is_main:
        models.folder.write_manifest(models.manifest)
    return verdict.choice


def is_short(run: RunConfig, progress: RunProgress) -> bool:
    """True if few updates or minutes are left."""
    return bool(
        (run.max_steps and run.max_steps - progress.step < SHORT_UPDATES)
        or (run.max_minutes and run.max_minutes - progress.seconds / 60 < SHORT_MINUTES)
    )


def _facts(workload: Workload, decision: TrainingDecision) -> dict[str, Any]:
    """Facts that a verdict depends on, by the names of its fields."""
    config, versions = workload.config, provenance()
    return {
        "device": versions["hardware"],
        "torch": versions["torch"],
        "cuda": torch.version.cuda or torch.version.hip or "",
        "precision": decision.precision.value,
        "layout": "packed" if decision.packed else "padded",
        "tokens": config.batch.tokens * config.batch.accumulation,
        "processes": workload.world.size,
        "auxiliary": sorted(config.auxiliary),
    }


def _stored(manifest: Mapping[str, Any]) -> Verdict | None:
    """The verdict of an earlier session; None where there is none that can be followed."""
    found = manifest.get(VERDICT)
    with suppress(UserError):
        verdict = from_plain(Verdict, found, VERDICT) if isinstance(found, dict) else None
        return verdict if verdict is not None and verdict.choice in CANDIDATES else None
    return None


def _first_updates(config: TrainConfig, state: TrainState, batches: UpdateStream) -> list[Update]:
    """The next updates of the run; the stream then continues from where it was."""
    done, position = fraction_done(config.run, state.progress), batches.position
    updates = [batches.next(done) for _ in range(UPDATES)]
    batches.close()
    batches.seek(position)
    return updates


def make_verdict(outcomes: Mapping[str, Outcome], facts: Mapping[str, Any]) -> Verdict:
    """The fastest way, unless eager mode is about as fast."""
    seconds = {name: outcome.seconds for name, outcome in outcomes.items() if not outcome.reason}
    fastest = min(seconds, key=lambda name: seconds[name])
    return Verdict(
        choice=fastest if seconds[fastest] < MARGIN * seconds[EAGER] else EAGER,
        milliseconds={name: round(1000 * value, 3) for name, value in seconds.items()},
        left_out={name: outcome.reason for name, outcome in outcomes.items() if outcome.reason},
        **facts,
    )


def _log(verdict: Verdict) -> None:
    times = ", ".join(f"{name} {value:.3g} ms" for name, value in verdict.milliseconds.items())
    cuda = f", CUDA {verdict.cuda}" if verdict.cuda else ""
    logger.info(
        f"fast path: {verdict.choice} ({times} an update of at most {verdict.tokens:,} tokens, {verdict.layout}, "
        f"{verdict.precision}; {verdict.device}, torch {verdict.torch}{cuda})"
    )
    if verdict.left_out:
        logger.info(f"fast path: left out: {'; '.join(f'{name} ({why})' for name, why in verdict.left_out.items())}")
