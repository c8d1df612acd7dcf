"""plan=true: pairs, batches, memory and time of a run, without training."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tqdm import tqdm

from translate.console import start_log, three_digits
from translate.data.prepare import Prepared, prepare
from translate.device import tune_process
from translate.distributed import join_world
from translate.importing.base_model import load_base_model
from translate.training.changes import find_changes
from translate.training.config import TrainConfig
from translate.training.parallel import decide_run
from translate.training.parts import with_base_model
from translate.training.recipe import choose_tokenizer, recommend, text_statistics
from translate.training.recommended import Cost, TextStatistics
from translate.training.run_folder import RunFolder
from translate.training.saved_states import read_config
from translate.training.session import compare_processes
from translate.training.tracking import peak_memory
from translate.training.trial_updates import TrialUpdates

logger = logging.getLogger(__name__)
_COPIES_WHILE_SAVING = 6  # in sizes of the weights: weights, average, two moments of AdamW, and files to be written


def plan(config: TrainConfig) -> None:
    """Print time and memory of a run with this configuration, without making or locking its folder.

    Raises UserError as train() does.
    """
    config = with_base_model(config)
    tune_process(config.compute.threads)
    decision = decide_run(config)
    with join_world(decision.device, timeout=config.compute.timeout) as world:
        start_log(silent=not world.is_main)
        compare_processes(config, decision, world)
        folder = RunFolder(config.run.dir)
        if folder.has_begun:
            config = find_changes(config, read_config(folder.config_file), folder=folder.path).settings
        base = load_base_model(config.adapt)
        tokenizer = base.tokenizer if base else folder.tokenizer() or choose_tokenizer(config)
        data = world.main_first(lambda: prepare(config.data, tokenizer, verified=not world.is_main))
        logger.info(data.cleaning.table())
        if not folder.has_begun:
            config = recommend(config, data, world, base)
        trials = TrialUpdates(config, data, world, base)
        cost, weights = trials.cost(config, validating=True), trials.weights(config)
        if world.is_main:
            for line in _lines(config, data, text_statistics(data), cost, weights):
                logger.info(line)


@dataclass(frozen=True)
class Schedule:
    """Expected length of a run.

    seconds     including the translation of the test sets
    is_bounded  False if only early stopping ends the run: the numbers are then those of one validation interval
    """

    updates: int
    validations: int
    seconds: float
    is_bounded: bool


def expected_schedule(config: TrainConfig, cost: Cost, *, test_seconds: float) -> Schedule:
    """Length of a run that reaches the first of its limits, without early stopping."""
    run, every = config.run, config.validation.every
    # an update with its share of a validation
    seconds = cost.update_seconds + cost.validation_seconds / every
    limits = [run.max_steps] if run.max_steps else []
    if run.max_epochs:
        limits.append(int(run.max_epochs * cost.updates_per_epoch))
    if run.max_minutes:
        limits.append(int(60 * run.max_minutes / seconds))
    updates = max(1, min(limits, default=every))
    validations = -(-updates // every)
    total = updates * cost.update_seconds + validations * cost.validation_seconds
    if config.averaging.last > 1:
        total += cost.validation_seconds
    return Schedule(updates, validations, total + test_seconds, bool(limits))


def _lines(config: TrainConfig, data: Prepared, text: TextStatistics, cost: Cost, weights: int) -> Iterator[str]:
    test = sum(map(len, data.tests))
    valid = sum(map(len, data.validation_sets))
    test_seconds = cost.validation_seconds * test / valid
    schedule = expected_schedule(config, cost, test_seconds=test_seconds)
    tokens = text.target_tokens / cost.updates_per_epoch
    epochs = schedule.updates / cost.updates_per_epoch
    yield f"plan of run.dir={config.run.dir}: nothing was trained, only data.cache was written"
    yield f"pairs: {len(data.train):,} to train on, {valid:,} to validate, {test:,} to test"
    if data.mix:
        yield data.mix
    yield f"updates per epoch: {cost.updates_per_epoch:,}, of about {tokens:,.0f} target tokens"
    yield f"model: {weights:,} weights"
    until = "until the first validation" if not schedule.is_bounded else "" if not config.run.patience else "at most "
    yield (
        f"updates: {until}{schedule.updates:,} ({three_digits(epochs)} epochs), {cost.update_seconds:.3g} s each; "
        f"validations: {schedule.validations:,}, {cost.validation_seconds:.3g} s each"
    )
    yield f"memory: about {_memory(weights):.2f} GiB{' of the GPU' if torch.cuda.is_available() else ''}"
    ending = "" if schedule.is_bounded else f" a validation interval; run.patience={config.run.patience} ends the run"
    yield f"time: {until}about {tqdm.format_interval(schedule.seconds)}{ending}"


def _memory(weights: int) -> float:
    """Peak memory in GiB: that of the trial updates and, on a CPU, of the copies while a state is saved."""
    copies = 0 if torch.cuda.is_available() else _COPIES_WHILE_SAVING * 4 * weights
    return peak_memory() + copies / 2**30
