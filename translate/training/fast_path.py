"""compute.fast_path: choose the fastest way to compute updates that is correct on this device.

On a GPU `auto` tries all ways on the first updates of a run (path_trials.py), which are discarded. The verdict is
stored in the manifest, with all that it depends on. A continued run follows it or, if something has changed, logs the
change and repeats the trials from its restored state. On a CPU `auto` is eager mode, without trials.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from translate.data.loader import Update, UpdateStream
from translate.distributed import World
from translate.errors import UserError
from translate.files import to_plain
from translate.parsing import from_plain
from translate.training.compute_config import FastPath
from translate.training.config import RunConfig, TrainConfig
from translate.training.model_writer import ModelWriter
from translate.training.parallel import TrainingDecision
from translate.training.path_trials import EAGER, UPDATES, Constructor, LeftOut, Outcome, PathTrials
from translate.training.progress import RunProgress
from translate.training.session import provenance
from translate.training.state import TrainState
from translate.training.stopping import fraction_done
from translate.training.update_ways import CANDIDATES, COMPILED, REPLACED, MakeUpdate, Workload

logger = logging.getLogger(__name__)
VERDICT = "fast_path"  # its key in the manifest
# with less left of a run, trials (FEW) or compilation (SHORT) take longer than they can save
FEW_UPDATES, FEW_MINUTES = 200, 1.0
SHORT_UPDATES, SHORT_MINUTES = 1000, 10.0
TOO_SHORT = "the run is too short for compilation to pay off"
MARGIN = 0.97  # share of eager mode's time below which another way is chosen


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The chosen way to compute updates, and all that the choice depends on.

    layout        of batches: packed or padded
    tokens        per update of one process, at most, on either side
    auxiliary     names of the auxiliary losses
    milliseconds  per update, by name of the way
    left_out      the reason against each of the other ways
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
        """Facts that have changed since this verdict, with the old and the new value."""
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
    """Context with the function that makes the updates of this session; trials leave state and stream unchanged.

    Raises UserError if the configured way cannot be used.
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
    if decision.fp8 and name not in COMPILED:
        logger.warning(f"compute.fp8=true is slow with compute.fast_path={name}, which does not fuse its casts")
    try:
        path = CANDIDATES[name](workload)
    except LeftOut as reason:
        raise UserError(f"compute.fast_path={name}: {reason}; use compute.fast_path=auto") from None
    with path as make_update:
        yield make_update


def _choose(
    workload: Workload, decision: TrainingDecision, state: TrainState, batches: UpdateStream, models: ModelWriter
) -> str:
    """Name of the way that an earlier session chose, or of the fastest correct one; the same on all processes."""
    world, facts = workload.world, _facts(workload, decision)
    before = _stored(models.manifest)
    # the main process decides: the devices of others may have other names
    changes: list[str] | None = world.from_main(None if before is None else before.changes(facts))
    if before is not None and changes == []:
        logger.info(f"fast path: {before.choice}, as tried before on this device")
        return before.choice
    if changes:
        logger.info(f"fast path: the earlier verdict was for other conditions ({'; '.join(changes)})")
    ways = worth_trying(workload.config.run, state.progress)
    if len(ways) == 1:
        logger.info("fast path: eager, without trials, as the run is short")
        return EAGER
    logger.info(f"fast path: trying {', '.join(ways)} in {UPDATES} updates, which are discarded")
    updates = _first_updates(workload.config, state, batches)
    outcomes = PathTrials(ways, workload, state, updates, REPLACED).run()
    outcomes |= {name: Outcome(reason=TOO_SHORT) for name in CANDIDATES if name not in ways}
    verdict: Verdict = world.from_main(make_verdict(outcomes, facts))
    _log(verdict)
    models.manifest = {**models.manifest, VERDICT: to_plain(verdict)}
    if world.is_main:
        models.folder.write_manifest(models.manifest)
    return verdict.choice


def worth_trying(run: RunConfig, progress: RunProgress) -> dict[str, Constructor]:
    """The ways that can save more time in the rest of the run than their trial takes; always includes eager mode."""
    if _has_less(run, progress, FEW_UPDATES, FEW_MINUTES):
        return {EAGER: CANDIDATES[EAGER]}
    is_short = _has_less(run, progress, SHORT_UPDATES, SHORT_MINUTES)
    return {name: way for name, way in CANDIDATES.items() if not (is_short and name in COMPILED)}


def _has_less(run: RunConfig, progress: RunProgress, updates: int, minutes: float) -> bool:
    """True if less than so many updates or minutes are left."""
    return bool(
        (run.max_steps and run.max_steps - progress.step < updates)
        or (run.max_minutes and run.max_minutes - progress.seconds / 60 < minutes)
    )


def _facts(workload: Workload, decision: TrainingDecision) -> dict[str, Any]:
    """Facts that a verdict depends on, by the names of its fields."""
    config, versions = workload.config, provenance()
    return {
        "device": versions["hardware"],
        "torch": versions["torch"],
        "cuda": torch.version.cuda or torch.version.hip or "",
        "precision": decision.arithmetic,
        "layout": "packed" if decision.packed else "padded",
        "tokens": config.batch.tokens * config.batch.accumulation,
        "processes": workload.world.size,
        "auxiliary": sorted(config.auxiliary),
    }


def _stored(manifest: Mapping[str, Any]) -> Verdict | None:
    """The verdict of an earlier session; None if there is none, or if this version cannot read it."""
    found = manifest.get(VERDICT)
    with suppress(UserError):
        verdict = from_plain(Verdict, found, VERDICT) if isinstance(found, dict) else None
        return verdict if verdict is not None and verdict.choice in CANDIDATES else None
    return None


def _first_updates(config: TrainConfig, state: TrainState, batches: UpdateStream) -> list[Update]:
    """The next updates of the run; the stream is set back to its position."""
    done, position = fraction_done(config.run, state.progress), batches.position
    updates = [batches.next(done) for _ in range(UPDATES)]
    batches.close()
    batches.seek(position)
    return updates


def make_verdict(outcomes: Mapping[str, Outcome], facts: Mapping[str, Any]) -> Verdict:
    """Choose the fastest way, or eager mode if that is about as fast."""
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
