"""Output of a run: its log, a progress line, and its loggers, such as TensorBoard."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import torch
from tqdm import tqdm

from translate.console import ProgressLine, start_log
from translate.decoding.translation import Splits
from translate.distributed import World
from translate.evaluation.evaluate import Evaluation
from translate.explanation import Explanation, draw_alignment, draw_heads
from translate.signals import Interrupted
from translate.training.config import TrainConfig
from translate.training.loggers.combined import CombinedLogger
from translate.training.loggers.logger import INTERVAL, Status
from translate.training.progress import RunProgress
from translate.training.run_description import describe_for_loggers
from translate.training.run_folder import RunFolder
from translate.training.samples import sample_table
from translate.training.spikes import far_loss
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.step import PendingUpdate, StepResult
from translate.training.stopping import Trial, expected_steps, fraction_done
from translate.training.validation import SetValidation, Validation, Validator
from translate.training.validation_files import write_hypotheses

logger = logging.getLogger(__name__)


class Reporter:
    """Reads the results of updates, and shows them and those of validations; only the main process shows anything.

    config  of the run; settings that the recipe chooses come after the first lines of the log

    A context, which closes the loggers, however the run ends.
    """

    def __init__(self, config: TrainConfig, folder: RunFolder, world: World, trial: Trial | None = None):
        self.config, self._folder, self._world, self._trial = config, folder, world, trial
        self._line = ProgressLine(silent=not world.is_main)
        self._loggers: CombinedLogger | None = None
        self._status = Status.interrupted
        self._pending: list[PendingUpdate] = []
        self._results: list[StepResult] = []  # since the last means
        self._seconds, self._resumed = 0.0, time.monotonic()  # of training since the last means
        self._warned_of_warmup = self._described_splits = False
        # every process would print the same lines, and write them into one file
        start_log(path=folder.log_file, silent=not world.is_main)
        for note in folder.notes:
            logger.warning(note)
        if trial is not None:
            logger.info(trial.describe())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._line.clear()
        if self._loggers is not None:
            is_failed = kind is not None and not issubclass(kind, Interrupted)
            self._loggers.close(Status.failed if is_failed else self._status)

    def begin(self, state: TrainState) -> None:
        """Open the loggers, for updates after the one that the run continues from."""
        if self._world.is_main:
            run = describe_for_loggers(self.config, self._folder, self._trial, step=state.step)
            self._loggers = CombinedLogger(self.config.logger, run)
        self._warn_of_long_warmup(state.progress)
        self.resume()

    def resume(self) -> None:
        """Let the clock of training run again, after validation, saving and the like."""
        self._resumed = time.monotonic()

    def progress(self, task: str) -> Callable[[float], None]:
        """A display of work between two updates, which is given the share that is done."""
        return lambda share: self._line.busy(task, share)

    def collect(
        self, state: TrainState, states: StateFolder, pending: PendingUpdate | None = None, *, wait: bool
    ) -> None:
        """Count the results of the updates before `pending`; with wait that of `pending`, too."""
        if pending is not None:
            self._pending.append(pending)
        # one may stay: the GPU works on it, and reading it would wait
        while len(self._pending) > (not wait):
            result = self._pending.pop(0).result()
            state.count_result(result, far_loss=far_loss(states.vocab_size))
            if not result.skipped:
                self._results.append(result)
            elif str(skipped := state.progress.skipped).strip("0") == "1":  # 1, 10, 100, …
                logger.warning(f"step {result.step:,}: {result.cause}; the update is skipped ({skipped:,} so far)")
            if result.divided and str(divided := state.progress.divided).strip("0") == "1":
                logger.info(f"step {result.step:,}: batches in halves, to fit into memory ({divided:,} so far)")
        now = time.monotonic()
        self._seconds, self._resumed = self._seconds + now - self._resumed, now

    def rolled_back(self, state: TrainState) -> None:
        """Drop what is known of updates after the step that training has returned to."""
        self._pending, self._results = [], []
        self._line.clear()
        if self._loggers is not None:
            self._loggers.rewind(state.step)

    def log(self, state: TrainState) -> None:
        """Show means over the updates since the last time, on the progress line and in the loggers."""
        self._warn_of_long_warmup(state.progress)
        results, self._results = self._results, []
        seconds, self._seconds = self._seconds, 0.0
        if self._loggers is None or not results:
            return
        rate = state.optimizer.param_groups[0]["lr"]
        values = mean_values(results, seconds=max(seconds, 1e-9), learning_rate=rate)
        self._loggers.scalars({**values, **state.progress.counts()}, state.step)
        done = fraction_done(self.config.run, state.progress)
        self._line.show(_progress_text(state.progress, values, done=done))

    def _warn_of_long_warmup(self, progress: RunProgress) -> None:
        """Warn, once, where the configured warm-up takes more than half of the run."""
        warmup, steps = self.config.schedule.warmup_steps, expected_steps(self.config.run, progress)
        if warmup and warmup > steps / 2 and not self._warned_of_warmup:
            self._warned_of_warmup = True
            logger.warning(
                f"schedule.warmup_steps={warmup:,} is more than half of this run of about {steps:,.0f} updates: leave "
                "it out for a warm-up of at most a tenth of the run"
            )

    def validation(self, validation: Validation, validator: Validator, state: TrainState, *, best: bool) -> None:
        """Show losses, scores, a few translations and their attention, and keep all translations.

        best  they are the best so far

        Where there are several directions, the means have the names of a single one.
        """
        step = state.step
        if self._world.is_main:
            write_hypotheses(self._folder.validation, validation, step=step, best_step=state.progress.best_step)
        if self._loggers is not None:
            self._curves(self._loggers, validation, step)
            for each in validation.sets:
                if each.evaluation is not None:
                    self._translations(
                        self._loggers, _group(validation, each), each.evaluation, each.explanations, step
                    )
            # validations are rare: a viewer need not wait
            self._loggers.flush()
        splits = sum((each.evaluation.splits for each in validation.sets if each.evaluation), Splits())
        if not self._described_splits and (note := validator.translator.describe(splits)):
            self._described_splits = True
            logger.info(f"valid: {note}")
        logger.info(f"step {step:,}  valid {validation.summary()}" + ("  best so far" if best else ""))
        for line in validation.lines_of_directions():
            logger.info(f"step {step:,}  {line}")

    def _curves(self, loggers: CombinedLogger, validation: Validation, step: int) -> None:
        losses = validation.losses()
        values = {"loss/valid": losses.pop("loss")} | {f"valid/{name}": value for name, value in losses.items()}
        values |= {f"score/{metric.value}": value for metric, value in validation.scores.items()}
        if (half_width := validation.half_width) is not None:
            score, name = validation.scores[validation.main], f"{INTERVAL}/{validation.main.value}"
            values |= {f"{name}_low": score - half_width, f"{name}_high": score + half_width}
        for each in validation.sets if len(validation.sets) > 1 else ():
            own = {"loss": each.loss} | {metric.value: value for metric, value in each.scores.items()}
            values |= {f"{_group(validation, each)}/{name}": value for name, value in own.items()}
        loggers.scalars(values, step)

    def _translations(
        self,
        loggers: CombinedLogger,
        group: str,
        evaluation: Evaluation,
        explanations: Sequence[Explanation],
        step: int,
    ) -> None:
        details = {f"{group}/{name}": x for score in evaluation.scores.values() for name, x in score.details.items()}
        speed = len(evaluation.source) / max(evaluation.seconds, 1e-9)
        loggers.scalars({**details, f"speed/{group}_sentences_per_second": speed}, step)
        for part in evaluation.by_length:
            metric, score = next(iter(part.scores.items()))
            loggers.scalars({f"{group}_{metric}_by_length/{part.name}": score.value}, step)
        loggers.text(f"{group}_translations", sample_table(evaluation, self.config.validation.samples), step)
        for number, explanation in enumerate(explanations, start=1):
            loggers.picture(f"{group}_cross_attention/{number}", draw_alignment(explanation), step)
            for heads in explanation.heads:
                loggers.picture(f"{group}_attention_heads_{number}/{heads.kind}", draw_heads(heads), step)

    def stopped(self, reason: str, state: TrainState, states: StateFolder, *, interrupted: bool) -> None:
        """Log why the run ends here and, if a signal or an error interrupted it, how to continue it."""
        self._line.clear()
        logger.info(f"stopped at step {state.step:,}: {reason}{state.progress.disturbances()}")
        if interrupted:
            saved = f"step {states.newest:,} is saved in {self._folder.path}; the same command continues the run"
            logger.info(
                saved if states.newest else "nothing was saved yet; the same command starts the run from scratch"
            )

    def result(self, text: str, step: int) -> None:
        """Show the results on the test set."""
        logger.info(text)
        if self._loggers is not None:
            self._loggers.text("result", f"```\n{text}\n```", step)

    def results(self, state: TrainState, scores: Mapping[str, float] | None = None) -> None:
        """Add constants that are known at the end of the run to the loggers: in TensorBoard, columns of HParams.

        scores  of the test sets
        """
        progress, values = state.progress, dict(scores or {})
        if progress.best is not None:
            values[f"valid {self.config.validation.metric}"] = progress.best
        if progress.best_loss is not None:
            values["valid loss"] = progress.best_loss
        # the names follow those of nearly all settings in the alphabet, the order of TensorBoard's columns
        values["time (minutes)"] = progress.seconds / 60
        values["updates"] = progress.step
        values["weights (million)"] = sum(p.numel() for p in state.model.module.parameters()) / 1e6
        self._status = Status.finished
        if self._loggers is not None:
            self._loggers.results(values)


def _group(validation: Validation, each: SetValidation) -> str:
    """The group of tags of a validation set, which has a name of its own where there are several."""
    return "valid" if len(validation.sets) == 1 else f"valid_{each.name}"


def mean_values(results: Sequence[StepResult], *, seconds: float, learning_rate: float) -> dict[str, float]:
    """Means over some updates that took so many seconds, by tag; losses are per target token."""
    target = sum(result.target_tokens for result in results)
    source = sum(result.source_tokens for result in results)
    positions = sum(result.positions for result in results)

    def mean(losses: Iterable[float]) -> float:
        # by tokens: an update of few tokens counts little
        return sum(x * result.target_tokens for x, result in zip(losses, results, strict=True)) / target

    return {
        "loss/train": mean(result.loss for result in results),
        "train/cross_entropy": mean(result.cross_entropy for result in results),
        "train/gradient_norm": sum(result.gradient_norm for result in results) / len(results),
        "train/learning_rate": learning_rate,
        **{
            f"train/auxiliary/{name}": mean(result.auxiliary[name] for result in results)
            for name in results[0].auxiliary
        },
        "speed/target_tokens_per_second": target / seconds,
        "speed/updates_per_second": len(results) / seconds,
        "train/target_tokens_per_update": target / len(results),
        "train/padding_share": 1 - (source + target) / positions,
        "speed/memory_gib": peak_memory(),
    }


def peak_memory() -> float:
    """GiB: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _progress_text(progress: RunProgress, values: Mapping[str, float], *, done: float) -> str:
    """The progress line; done: the fraction of the run that is done."""
    # both count all sessions, so that a restart does not disturb the estimate
    seconds_left = progress.seconds * (1 - done) / done if done else 0.0
    skipped = f"  {progress.skipped:,} skipped" if progress.skipped else ""
    return (
        f"step {progress.step:,}  epoch {progress.epochs:.2f}  loss {values['loss/train']:.3f}  "
        f"lr {values['train/learning_rate']:.1e}  {values['speed/target_tokens_per_second']:,.0f} tokens/s  "
        f"{done:.0%}  ETA {tqdm.format_interval(seconds_left)}{skipped}"
    )
