"""The best models: those in best_models/; best/ of a continued run scored again after a change, or made again."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from pathlib import Path

from translate.checkpoint import Weights, load_weights, read_weights
from translate.checksums import DamagedError, verify
from translate.errors import UserError
from translate.model_directory import ADAPTER, MANIFEST, MODEL, WEIGHTS, load_manifest
from translate.training.config import TrainConfig
from translate.training.model_writer import ModelWriter
from translate.training.progress import is_better
from translate.training.saved_states import AVERAGE, state_name, state_step
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.validation import Validation, Validator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """Weights that may become the model in best/; file: None for those of the restored state."""

    step: int
    file: Path | None = None
    averaged: list[str] = field(default_factory=list)


def restore_models(
    config: TrainConfig, state: TrainState, states: StateFolder, validator: Validator, models: ModelWriter
) -> None:
    """Make best/ and last/ again where a file is missing or damaged: from the states, whose models they are.

    Called when all updates are counted. The score of best/ is validated again.
    """
    if not states.newest:
        return
    folder, world = models.folder, states.world
    # the main process decides, or the others would not take part in the validations
    damage = world.from_main([_damage(path, state) for path in (folder.best, folder.last)] if world.is_main else [])
    if damage[1]:
        logger.warning(f"{folder.last}: {damage[1]}: made again from step {state.step:,}")
        models.save(folder.last, state.weights, step=state.step)
    if damage[0] and state.progress.best_step:
        logger.warning(f"{folder.best}: {damage[0]}: made again from the states")
        _restore_best(config, state, states, validator, models)
    states.wait()


def _restore_best(
    config: TrainConfig, state: TrainState, states: StateFolder, validator: Validator, models: ModelWriter
) -> None:
    """Make best/ from the best of the candidates; if its score is not the recorded one, save the state with it."""
    folder, world, progress = models.folder, states.world, state.progress
    before = progress.best, progress.best_loss, progress.best_step
    intact = states.intact(states.keep)
    candidates = world.from_main(_candidates(models, intact, state) if world.is_main else [])
    if not candidates:
        logger.warning(f"no state is of step {progress.best_step:,}, the best: the model of the newest replaces it")
        candidates = [Candidate(state.step)]
    # the recorded score is of the lost model: the best candidate counts, whatever its score
    state.record_best(None, None, step=0)
    for candidate in candidates:
        weights = state.weights if candidate.file is None else load_weights(candidate.file)
        _record_if_better(weights, candidate, config, state, validator, models)
    if (progress.best, progress.best_loss, progress.best_step) != before:
        states.write(state)
        if world.is_main:
            folder.result_file.unlink(missing_ok=True)  # scores of the lost model


def _candidates(models: ModelWriter, intact: list[Path], state: TrainState) -> list[Candidate]:
    """The state of the best step, and the average of checkpoints if that was made at this step."""
    found, best_step = [], state.progress.best_step
    for path in intact:
        if state_step(path) == best_step:
            average = path / AVERAGE
            found.append(Candidate(best_step, average if average.exists() else path / WEIGHTS))
    directory = models.folder.average
    if not _damage(directory, state) and step_of(directory) == best_step:
        averaged = load_manifest(directory / MANIFEST).get("averaged", [])
        found.append(Candidate(best_step, directory / WEIGHTS, averaged))
    return found


def _record_if_better(
    weights: Weights,
    candidate: Candidate,
    config: TrainConfig,
    state: TrainState,
    validator: Validator,
    models: ModelWriter,
) -> Validation:
    """Score weights; they become best/ if no better ones have."""
    progress, metric = state.progress, config.validation.metric
    validation = validator.run(weights)
    value = validation.metric(metric)
    if is_better(metric, value, progress.best, loss=validation.loss, best_loss=progress.best_loss):
        state.record_best(value, validation.loss, step=candidate.step)
        # its manifest names the search
        models.save(models.folder.best, weights, step=candidate.step, averaged=candidate.averaged)
    return validation


def score_best_again(
    step: int, config: TrainConfig, state: TrainState, validator: Validator, models: ModelWriter
) -> None:
    """Score the model in best/, of that step, with the current settings: later validations are compared with it.

    step  0: there is no such model
    """
    state.record_best(None, None, step=0)  # a score by other settings is no standard for new ones
    state.progress.best_models = []
    if not step:
        return
    directory = models.folder.best
    averaged = load_manifest(directory / MANIFEST).get("averaged", [])
    weights = read_weights(directory / WEIGHTS, state.model.module)
    validation = _record_if_better(weights, Candidate(step, averaged=averaged), config, state, validator, models)
    logger.info(f"step {step:,}, the best so far, scored again with the current settings  valid {validation.summary()}")


def keep_best_models(config: TrainConfig, state: TrainState, models: ModelWriter, *, value: float, loss: float) -> None:
    """Keep the weights of the run.keep_best best validations in best_models/, those just validated if among them.

    value, loss  of this validation: the metric and the validation loss
    """
    count, progress, metric = config.run.keep_best, state.progress, config.validation.metric
    if not (count and math.isfinite(value) and math.isfinite(loss)):
        return
    rank = sum(not is_better(metric, value, x, loss=loss, best_loss=y) for x, y, _ in progress.best_models)
    # a new list: a snapshot of the state may hold the old one
    progress.best_models = [
        *progress.best_models[:rank],
        [value, loss, state.step],
        *progress.best_models[rank:],
    ][:count]
    if rank < count:
        models.save(models.folder.best_models / state_name(state.step), state.weights, step=state.step)
    models.keep_only(state_name(int(step)) for _, _, step in progress.best_models)


def step_of(directory: Path) -> int:
    """The step of a model; 0: there is none."""
    manifest = directory / MANIFEST
    return int(load_manifest(manifest).get("step", 0)) if manifest.exists() else 0


def _damage(directory: Path, state: TrainState) -> str:
    """The first difference of a model directory from what was written; "" for none."""
    if missing := _missing(directory):
        return missing
    try:
        if not verify(directory):  # of an earlier version
            load_manifest(directory / MANIFEST)
            read_weights(directory / WEIGHTS, state.model.module)
    except UserError as error:
        return error.finding if isinstance(error, DamagedError) else str(error)
    return ""


def _missing(directory: Path) -> str:
    if not directory.is_dir():
        return "the folder is missing"
    own = ADAPTER if (directory / ADAPTER).exists() else MODEL
    return next((f"{name} is missing" for name in (WEIGHTS, own, MANIFEST) if not (directory / name).is_file()), "")
