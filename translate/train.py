"""python -m translate.train: train a model, or continue a run, and score it; with --multirun, many."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack

import torch

from translate.adaptation import ADAPTATIONS
from translate.config import Tables, is_given, run_command
from translate.data.prepare import prepare
from translate.device import tune_process
from translate.distributed import join_world
from translate.errors import UserError
from translate.importing.base_model import load_base_model
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.monitoring.make_baselines import keep_baselines
from translate.signals import Interrupted, stop_signals
from translate.training.back_translation import back_translate
from translate.training.before_adaptation import score_before
from translate.training.best_model import keep_best_models, restore_models
from translate.training.changes import open_run, take_up_changes
from translate.training.config import SweepMethod, TrainConfig
from translate.training.fast_path import choose_path
from translate.training.final_evaluation import final_evaluation, require_best
from translate.training.loggers import LOGGERS
from translate.training.manifest import describe_run, keep_held_out, with_run_case
from translate.training.model_writer import ModelWriter
from translate.training.open_options import require_effect
from translate.training.optimizer import make_optimizer
from translate.training.parallel import decide_run, parallelize
from translate.training.parts import make_model, update_stream, with_base_model
from translate.training.plan import plan
from translate.training.recipe import choose_tokenizer, recommend
from translate.training.recovery import Recovery
from translate.training.run_folder import RunFolder, errors_logged
from translate.training.run_summary import log_description
from translate.training.session import compare_processes, take_up_session
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.stopping import (
    StopRequests,
    Trial,
    bound_reached,
    fraction_done,
    set_learning_rate,
    stop_reason,
)
from translate.training.tracking import Reporter
from translate.training.validation import Validator

logger = logging.getLogger("translate.train")  # not __name__, which is __main__ in the command


def train(config: TrainConfig, trial: Trial | None = None) -> float | None:
    """Train a model as configured, or continue the run in run.dir; then score the best one on the test set.

    trial  the run is one of a sweep, which may end it early; it is not scored on the test set then

    Returns the best validation's metric; None when a signal ended the run, which the same command continues.

    Raises UserError for settings, files or folders that do not go together, before the work starts, and
    DivergedError where training diverges and recovery does not help.
    """
    with ExitStack() as stack:
        stack.enter_context(stop_signals.listening())  # for callers other than a command
        folder = stack.enter_context(RunFolder(config.run.dir))
        # first, so that an error of anything below is in the log of the run
        stack.enter_context(errors_logged(folder.log_file))
        config = with_base_model(config)
        tune_process(config.compute.threads)
        decision = decide_run(config)
        world = stack.enter_context(join_world(decision.device, timeout=config.compute.timeout))
        compare_processes(config, decision, world)
        changes = open_run(folder, config, world)
        config = changes.settings
        config.check()  # a run that has begun has settings of its own
        # after open_run, which has locked the folder: the log is of one process at a time
        reporter = stack.enter_context(Reporter(config, folder, world, trial))

        # Data: the main process cleans and encodes, the others then find everything in the cache. A continued run keeps
        # its tokenizer: another version of this program, or of SentencePiece, may learn another one from the same text.
        base = load_base_model(config.adapt)
        tokenizer = base.tokenizer if base else folder.tokenizer() or choose_tokenizer(config)
        data = world.main_first(lambda: prepare(config.data, tokenizer, verified=not world.is_main))
        data = with_run_case(data, base, folder)
        logger.info(data.cleaning.table())
        if data.mix:
            logger.info(data.mix)

        # Settings that are not given, by text, speed of the device and run.max_minutes; a continued run has them.
        if not folder.has_begun:
            config = recommend(config, data, world, base)
        reporter.config, decision = config, decide_run(config)
        manifest = describe_run(config, data, base, folder, world)
        data = keep_held_out(data, folder, world)

        # Model: one seed gives all processes equal weights; different ones from then on, different dropout masks.
        torch.manual_seed(config.run.seed)
        model = parallelize(make_model(config, data, base), world, decision)
        torch.manual_seed(config.run.seed + world.rank)

        # State: everything that a checkpoint holds; restoring it continues the run bit for bit.
        optimizer = make_optimizer(model.module, config.optimizer)
        state = TrainState(model, optimizer, ema_decay=config.averaging.ema_decay)
        vocab_size = data.tokenizer.target_vocab_size
        states = StateFolder(folder, world, keep=config.run.keep, every=config.run.save_every, vocab_size=vocab_size)
        states.restore_newest(state)

        batches = stack.enter_context(update_stream(config, data, decision, world))
        validator = Validator(config, data, model, world, precision=decision.decoding_precision, manifest=manifest)
        models = ModelWriter(folder, config, data, world, manifest=manifest, scoring=validator.settings)
        log_description(config, data, decision, batches, validator, state, states)
        reporter.begin(state)
        take_up_session(config, decision, state, world, manifest=manifest)
        restore_models(config, state, states, validator, models)
        if changes:
            take_up_changes(changes, config, state, states, validator, models)
        if base is not None:
            score_before(config, data, state, validator, folder, reporter)

        # Loop: updates, until a bound is reached or the run is asked to stop.
        recovery = Recovery(config, data.train, state, states, batches, is_trial=trial is not None)
        # not earlier: new batch settings let the next epoch begin
        batches.seek(state.progress.position)
        # train_step, or on a GPU a faster way to compute the same; updates that try them are discarded
        make_update = stack.enter_context(choose_path(config, decision, state, batches, models, world))
        started = time.monotonic() - state.progress.seconds  # as if all sessions had been one
        reporter.resume()
        # from here on a signal, or an error of logging or validation, ends the run when its state is saved
        requests = stack.enter_context(StopRequests.noted())
        if is_validation_due(config, state):  # the last session ended before it
            validate(config, validator, state, models, reporter, trial)
            save(state, states, models)
        while not (reason := stop_reason(config, state, requests, trial, world, started=started)):
            # rate, mix of corpora and losses are functions of this fraction: a resumed run computes the same
            done = fraction_done(config.run, state.progress)
            set_learning_rate(optimizer, config, state.progress)
            update = batches.next(done)
            step = state.step + 1
            limits = recovery.limits(update, done)
            pending = make_update(update.batches, step=step, fraction_done=done, limits=limits)
            state.advance(update, target_tokens=pending.target_tokens)
            # Read the result of the update before while the GPU works on this one; wait only where it is needed now.
            reporter.collect(state, states, pending, wait=states.overdue or is_due(config, step))
            if recovery.is_needed:
                # diverged: back to an earlier state, with another order of the data, later also half the learning rate
                recovery.roll_back(reporter)
                continue

            with requests.noting_errors():
                if step % config.run.log_every == 0:
                    reporter.log(state)
                if is_validation_due(config, state):
                    validate(config, validator, state, models, reporter, trial)
            if step % config.run.save_every == 0 or states.overdue:
                save(state, states, models)
            reporter.resume()

        # End: the result of the last update is still pending.
        reporter.collect(state, states, wait=True)
        recovery.require_sound()
        # a signal leaves little time: the state is saved, and the next session validates
        if not requests and state.progress.validated < state.step:
            with requests.noting_errors():
                validate(config, validator, state, models, reporter, trial)
            requests.agree(world)
            save(state, states, models)
        elif states.newest < state.step:
            save(state, states, models)
        states.wait()
        reporter.stopped(requests.describe() or reason, state, states, interrupted=bool(requests))
        requests.raise_error()
        if requests.received:
            return None
        require_best(config, state, states)
        if trial is not None and trial.pruned:
            reporter.results(state)
        else:
            with stop_signals.interruptible("stopping; the model is saved, and the same command evaluates it"):
                evaluations = final_evaluation(config, data, state, states, validator, models, reporter)
                if world.is_main:
                    keep_baselines(folder.best, validator.translator, data.tests, evaluations)
        if trial is not None:
            trial.loss = state.progress.best_loss
        return state.progress.best


def is_validation_due(config: TrainConfig, state: TrainState) -> bool:
    """True if the model is to be validated after this update and has not been."""
    return state.step % config.validation.every == 0 and state.progress.validated < state.step


def is_due(config: TrainConfig, step: int) -> bool:
    """True if means are logged, the model is validated or the state is saved after this update."""
    return any(step % every == 0 for every in (config.run.log_every, config.validation.every, config.run.save_every))


def validate(
    config: TrainConfig,
    validator: Validator,
    state: TrainState,
    models: ModelWriter,
    reporter: Reporter,
    trial: Trial | None,
) -> None:
    """Score the model (its running average if there is one); keep it if it is the best so far.

    A signal ends it: the next session validates.
    """
    models.folder.writer.wait()  # decoding may fork, which a thread at work would not survive
    average = state.average.weights if state.average is not None else None
    try:
        validation = validator.run(average, progress=reporter.progress("validating"), explain=True)
    except Interrupted:
        return
    value = validation.metric(config.validation.metric)
    min_gain = validation.least_gain(config.validation.min_gain)
    best = state.record_validation(config.validation.metric, value, validation.loss, min_gain=min_gain)
    if best:
        models.save(models.folder.best, state.weights, step=state.step)
    keep_best_models(config, state, models, value=value, loss=validation.loss)
    if trial is not None:
        trial.report(state.step, value, at_end=bool(bound_reached(config.run, state.progress)))
    reporter.validation(validation, validator, state, best=best)


def save(state: TrainState, states: StateFolder, models: ModelWriter) -> None:
    """Save the state and the current model, unless numbers are not finite: then after the next sound update."""
    if states.save(state):
        models.save(models.folder.last, state.weights, step=state.step)


def run(config: TrainConfig, trial: Trial | None = None) -> float | None:
    """Train, with back-translation if that is configured; trial: of a sweep. Returns the best validation score."""
    if trial is None and config.sweep.method is SweepMethod.optuna:
        raise UserError("sweep=optuna makes many runs: add --multirun")
    if trial is not None and config.plan:
        raise UserError("plan=true is of one run: leave --multirun out, and give each option one value")
    if config.back_translation.monolingual and not config.plan:
        return back_translate(config, trial, train=train)
    require_effect(config, is_given)
    if config.plan:
        plan(config)
        return None
    return train(config, trial)


# tables of choices
CHOICES: Tables = {"model": ARCHITECTURES, "adapt": ADAPTATIONS}
ADDITIONS: Tables = {"auxiliary": AUXILIARY_LOSSES, "logger": LOGGERS}

if __name__ == "__main__":
    run_command("train", TrainConfig, run, choices=CHOICES, additions=ADDITIONS)
