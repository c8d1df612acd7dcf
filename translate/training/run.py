"""A training run, top to bottom: take, update, record, validate and save until it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from translate.console import ProgressLine, start_log
from translate.data.loader import Curriculum, Update
from translate.device import choose_device, tune_process
from translate.distributed import join_world, leave_world
from translate.errors import DivergedError
from translate.losses import AuxiliaryConfig
from translate.training.attention_maps import attention_maps
from translate.training.build import Run, build, with_model_of_base
from translate.training.changes import Changes
from translate.training.config import TrainConfig, check, is_better
from translate.training.final_evaluation import finish, record_settings, require_best
from translate.training.introduction import introduce
from translate.training.resume import take_up_changes
from translate.training.run_folder import RunFolder, errors_logged
from translate.training.state import RunProgress
from translate.training.step import train_step
from translate.training.stopping import Interruption, expected_steps, learning_rate, reason_to_stop, share_done
from translate.training.trial import Trial
from translate.training.validation import swapped_weights

logger = logging.getLogger("translate")


def train(config: TrainConfig, trial: Trial | None = None) -> float | None:
    """Train a model as configured, or continue the run in run.dir; then score the best one on the test set.

    trial: the run is one of a sweep, which may end it early; it is not scored on the test set then.

    Returns the best validation's metric; None when a signal ended the run early.

    Raises UserError for settings, files or folders that do not go together, before the work starts, and
    DivergedError when the gradient stays non-finite.
    """
    folder = RunFolder(Path(config.run.dir))
    with errors_logged(folder.log):
        return _train(config, folder, trial)


def _train(config: TrainConfig, folder: RunFolder, trial: Trial | None) -> float | None:
    config = with_model_of_base(config)
    check(config)
    tune_process(config.compute.threads)
    world = join_world(choose_device(config.compute.device))
    line = ProgressLine(silent=not world.is_main)
    interruption = Interruption()
    try:
        changes: Changes = world.from_main(folder.open(config) if world.is_main else None)
        config = replace(config, schedule=changes.schedule)
        start_log(path=folder.log, silent=not world.is_main)
        if trial is not None:
            logger.info(trial.introduce())
        run = build(config, folder=folder, world=world, line=line, trial=trial)
        if world.is_main:
            introduce(run)
        with run.tracker or nullcontext():
            if changes:
                take_up_changes(run, changes)
            warn_of_long_warmup(run)
            if not train_until_over(run, interruption):
                return None
            require_best(run)
            if trial is not None and trial.hopeless:
                record_settings(run)
            else:
                finish(run)
        if trial is not None:
            trial.loss = run.state.progress.best_loss
        return run.state.progress.best
    finally:
        line.clear()
        interruption.forget()
        folder.close()
        leave_world()


def train_until_over(run: Run, interruption: Interruption) -> bool:
    """The loop; False when a signal ended it early."""
    config, state = run.config, run.state
    with closing(Curriculum(run.loader, state.progress.place)) as curriculum:
        while not (reason := why_stop(run, interruption)):
            learn(run, curriculum.next(share_done(config.run, state.progress)))
            if state.progress.step % config.run.log_every == 0:
                record(run)
            if state.progress.step % config.validation.every == 0:
                validate(run)
            if state.progress.step % config.run.save_every == 0 or run.save_is_due:
                save(run)
    run.line.clear()
    if not interruption.wished and state.progress.validated < state.progress.step:
        validate(run)
        save(run)
    elif state.saved < state.progress.step:
        save(run)
    run.wait_for_files()
    logger.info(f"stopped at step {state.progress.step:,}: {reason}")
    if interruption.wished:
        saved = f"saved in {run.folder.path}; the same command continues the run"
        logger.info(saved if state.saved else "nothing was saved yet; the same command starts the run from scratch")
    return not interruption.wished


def why_stop(run: Run, interruption: Interruption) -> str:
    """The reason to stop here, the same on every process; empty: there is none. Also reads the clock."""
    seconds = run.seconds_before + time.monotonic() - run.session_start if run.world.is_main else 0.0
    control = run.world.sum(torch.tensor([float(interruption.wished), seconds], dtype=torch.float64))
    wished, run.state.progress.seconds = control.tolist()
    interruption.wished = bool(wished)
    if wished:
        return "interrupted"
    if run.trial is not None and run.trial.hopeless:
        return "other trials were better at this step (pruning)"
    return reason_to_stop(run.config.run, run.state.progress)


def learn(run: Run, taken: Update) -> None:
    """Make one update; while the device works on it, the result of the one before is read."""
    config, progress = run.config, run.state.progress
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(config, progress)
    launched = train_step(
        run.model,
        run.optimizer,
        taken.batches,
        step=progress.step + 1,
        smoothing=config.loss.label_smoothing,
        clip_norm=config.optimizer.clip_norm,
        world=run.world,
        auxiliary=auxiliary_losses(config, progress),
    )
    settle(run)
    progress.step += 1
    progress.place, progress.epochs = taken.after, taken.epochs
    progress.target_tokens += launched.target_tokens
    if run.average is not None:
        run.average.update(run.model.module, progress.step)
    run.launched = launched


def auxiliary_losses(config: TrainConfig, progress: RunProgress) -> dict[str, AuxiliaryConfig]:
    """The auxiliary losses that take part at this point of the run."""
    share = share_done(config.run, progress)
    return {name: loss for name, loss in config.auxiliary.items() if share >= loss.start}


def settle(run: Run) -> None:
    """Wait for the pending update and count it. Raises DivergedError after too many skipped ones in a row."""
    if run.launched is None:
        return
    progress = run.state.progress
    result, run.launched = run.launched.result(), None
    if not result.skipped:
        progress.skipped_in_a_row, progress.last_success, progress.loss = 0, progress.step, result.loss
        run.meter.add(result)
        return
    progress.skipped += 1
    if str(progress.skipped).strip("0") == "1":  # 1, 10, 100, …
        cause = "the loss or gradient was not finite" if result.diverged else "the loss scale of fp16 was too large"
        logger.warning(f"step {progress.step:,}: {cause}, the update is skipped ({progress.skipped:,} so far)")
    if not result.diverged:
        return  # the scale has been halved
    progress.skipped_in_a_row += 1
    if progress.skipped_in_a_row >= run.config.run.max_skipped:
        raise diverged(run)


def diverged(run: Run) -> DivergedError:
    """Make the error for a diverged run, which says how to go on; states saved after it diverged are removed."""
    progress, rate = run.state.progress, run.config.optimizer.learning_rate
    run.writer.wait()
    vocab_size = run.data.tokenizer.target_vocab_size
    kept = run.world.from_main(run.state.discard_diverged(vocab_size=vocab_size) if run.world.is_main else 0)
    outcome = f"goes on from step {kept:,}" if kept else "starts from scratch, because no state had been saved before"
    return DivergedError(
        f"training has diverged: the loss or gradient was not finite in {progress.skipped_in_a_row} updates in a row "
        f"(run.max_skipped), the last one at step {progress.step:,}. Lower optimizer.learning_rate ({rate:g}) or set a "
        f"longer warm-up (schedule.warmup_steps): the same command with, for example, "
        f"optimizer.learning_rate={rate / 4:g} {outcome} in run.dir={run.folder.path}"
    )


def record(run: Run) -> None:
    """Means since the last time, for the progress line and TensorBoard."""
    settle(run)
    warn_of_long_warmup(run)
    progress = run.state.progress
    if run.tracker is None or not run.meter.results:
        return
    rate = run.optimizer.param_groups[0]["lr"]
    values = run.meter.report(learning_rate=rate, skipped=progress.skipped)
    run.tracker.scalars({**values, "train/epoch": progress.epochs}, progress.step)
    share = share_done(run.config.run, progress)
    seconds_left = progress.seconds * (1 - share) / share if share else 0.0
    run.line.show(_progress_text(progress, values, share=share, seconds_left=seconds_left))


def _progress_text(progress: RunProgress, values: Mapping[str, float], *, share: float, seconds_left: float) -> str:
    skipped = f"  {progress.skipped:,} skipped" if progress.skipped else ""
    return (
        f"step {progress.step:,}  epoch {progress.epochs:.2f}  loss {values['train/loss']:.3f}  "
        f"lr {values['train/learning_rate']:.1e}  {values['speed/target_tokens_per_second']:,.0f} tokens/s  "
        f"{share:.0%}  ETA {tqdm.format_interval(seconds_left)}{skipped}"
    )


def validate(run: Run) -> None:
    """Score the model; keep it if it is the best so far."""
    settle(run)
    run.writer.wait()  # decoding may fork, which a thread that is at work would not survive
    config, progress = run.config, run.state.progress
    with swapped_weights(run.model, run.average.weights if run.average else None):
        validation = run.validation_of(None)
        if run.tracker is not None:
            evaluation, count = validation.evaluation, config.validation.attention_maps
            pairs = list(zip(evaluation.source, evaluation.hypotheses, strict=True)) if evaluation else []
            maps = attention_maps(run.model.module, run.data.tokenizer, pairs[: 10 * count], count)
            run.tracker.validation(validation, maps, samples=config.validation.samples, step=progress.step)
    evaluation = validation.evaluation
    if evaluation and not progress.validated and (note := run.validator.translator.describe(evaluation.splits)):
        logger.info(f"valid: {note}")
    progress.validated = progress.step
    value, loss = validation.metric(config.validation.metric), validation.loss
    better = is_better(config.validation.metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
    if better:
        progress.best, progress.best_loss, progress.best_step, progress.stale = value, loss, progress.step, 0
        run.keep(run.weights, run.folder.best)
    else:
        progress.stale += 1
    if run.trial is not None:
        run.trial.validated(progress.step, value, over=bool(reason_to_stop(config.run, progress)))
    logger.info(f"step {progress.step:,}  valid {validation.summary()}" + ("  best so far" if better else ""))


def save(run: Run) -> None:
    """Save the state and the current model, or, while numbers are not finite, put that off to the next sound update."""
    settle(run)
    if not run.state.is_sound:
        if not run.save_is_due:
            logger.warning(
                f"step {run.state.progress.step:,} is not saved, as its update failed; the next sound one will be"
            )
        run.save_is_due = True
        return
    run.save_is_due = False
    run.writer.wait()  # one state at a time is held in memory
    run.state.save(run.config.run.keep, run.writer)
    run.keep(run.weights, run.folder.last)


def warn_of_long_warmup(run: Run) -> None:
    """Warn, once, where the configured warm-up takes more than half of the run."""
    warmup, steps = run.config.schedule.warmup_steps, expected_steps(run.config.run, run.state.progress)
    if warmup and warmup > steps / 2 and not run.warned_of_warmup:
        run.warned_of_warmup = True
        logger.warning(
            f"schedule.warmup_steps={warmup:,} is more than half of this run of about {steps:,.0f} updates: leave it "
            "out for a warm-up of at most a tenth of the run"
        )
