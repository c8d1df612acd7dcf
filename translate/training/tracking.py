"""Output of a run: its log, a progress line, and TensorBoard, where runs are compared."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from translate.console import ProgressLine, markdown_table, start_log
from translate.decoding.translation import Splits
from translate.distributed import World
from translate.evaluation.evaluate import Evaluation
from translate.explanation import Explanation, draw_alignment, draw_heads
from translate.files import flatten, to_plain
from translate.training.config import TrainConfig
from translate.training.event_file import EventFile
from translate.training.progress import RunProgress
from translate.training.run_folder import RunFolder
from translate.training.spikes import far_loss
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.step import PendingUpdate, StepResult
from translate.training.stopping import Trial, expected_steps, fraction_done
from translate.training.validation import Validation, Validator

logger = logging.getLogger(__name__)

_SAMPLE_CHARACTERS = 500
# settings that people compare runs by: TensorBoard's HParams tab grows unreadable with more
COMPARED = (
    "model.architecture",
    "model.attention",
    "model.d_model",
    "model.ffn_dim",
    "model.num_heads",
    "model.encoder_layers",
    "model.decoder_layers",
    "model.dropout",
    "batch.tokens",
    "loss.label_smoothing",
    "optimizer.learning_rate",
    "run.seed",
    "schedule.warmup_steps",
    "tokenizer.vocab_size",
)


class Reporter:
    """Reads the results of updates, and shows them and those of validations; only the main process shows anything.

    config  of the run; settings that the recipe chooses come after the first lines of the log

    A context, which ends with all events in TensorBoard's files, however the run ends.
    """

    def __init__(self, config: TrainConfig, folder: RunFolder, world: World, trial: Trial | None = None):
        self.config, self._folder, self._world, self._trial = config, folder, world, trial
        self._line = ProgressLine(silent=not world.is_main)
        self._board: EventFile | None = None
        self._pending: list[PendingUpdate] = []
        self._results: list[StepResult] = []  # since the last means
        self._since = time.monotonic()
        self._warned_of_warmup = self._described_splits = False
        # every process would print the same lines, and write them into one file
        start_log(path=folder.log_file, silent=not world.is_main)
        for note in folder.notes:
            logger.warning(note)
        if trial is not None:
            logger.info(trial.describe())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.clear()
        if self._board is not None:
            self._board.flush()

    def begin(self, state: TrainState) -> None:
        """Open TensorBoard's files, and drop events after the step that the run continues from."""
        if self._world.is_main:
            # a killed session may have shown steps after its last checkpoint, which come again
            purge_step = state.step + 1 if state.step or state.progress.roll_backs else 0
            self._board = EventFile(self._folder.tensorboard, purge_step=purge_step)
        self._warn_of_long_warmup(state.progress)

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

    def rolled_back(self, state: TrainState) -> None:
        """Drop what is known of updates after the step that training has returned to."""
        self._pending, self._results = [], []
        self._line.clear()
        if self._board is not None:
            self._board.flush()
        self.begin(state)

    def log(self, state: TrainState) -> None:
        """Show means over the updates since the last time, on the progress line and in TensorBoard."""
        self._warn_of_long_warmup(state.progress)
        results, self._results = self._results, []
        if self._board is None or not results:
            return
        now = time.monotonic()
        rate = state.optimizer.param_groups[0]["lr"]
        values = mean_values(results, seconds=now - self._since, learning_rate=rate)
        self._since = now
        self._board.scalars({**values, **state.progress.counts()}, state.step)
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

    def validation(self, validation: Validation, validator: Validator, *, step: int, best: bool) -> None:
        """Show losses, scores, a few translations and their attention; best: they are the best so far.

        Where there are several directions, the means have the names of a single one.
        """
        if self._board is not None:
            self._scalars(self._board, "valid", validation, step)
            for each in validation.sets:
                group = "valid" if len(validation.sets) == 1 else f"valid_{each.name}"
                if len(validation.sets) > 1:
                    self._scalars(self._board, group, Validation([each]), step)
                if each.evaluation is not None:
                    self._translations(self._board, group, each.evaluation, each.explanations, step)
            # validations are rare: a viewer need not wait
            self._board.flush()
        splits = sum((each.evaluation.splits for each in validation.sets if each.evaluation), Splits())
        if not self._described_splits and (note := validator.translator.describe(splits)):
            self._described_splits = True
            logger.info(f"valid: {note}")
        logger.info(f"step {step:,}  valid {validation.summary()}" + ("  best so far" if best else ""))
        for line in validation.lines_of_directions():
            logger.info(f"step {step:,}  {line}")

    def _scalars(self, board: EventFile, group: str, validation: Validation, step: int) -> None:
        values = {**validation.losses(), **{metric.value: value for metric, value in validation.scores.items()}}
        board.scalars({f"{group}/{name}": value for name, value in values.items()}, step)

    def _translations(
        self, board: EventFile, group: str, evaluation: Evaluation, explanations: Sequence[Explanation], step: int
    ) -> None:
        details = {f"{group}/{name}": x for score in evaluation.scores.values() for name, x in score.details.items()}
        speed = len(evaluation.source) / max(evaluation.seconds, 1e-9)
        board.scalars({**details, f"speed/{group}_sentences_per_second": speed}, step)
        for part in evaluation.by_length:
            metric, score = next(iter(part.scores.items()))
            board.scalars({f"{group}_{metric}_by_length/{part.name}": score.value}, step)
        board.text(f"{group}_translations", _samples(evaluation, self.config.validation.samples), step)
        for number, explanation in enumerate(explanations, start=1):
            board.picture(f"{group}_cross_attention/{number}", draw_alignment(explanation), step)
            for heads in explanation.heads:
                board.picture(f"{group}_attention_heads_{number}/{heads.kind}", draw_heads(heads), step)

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
        if self._board is not None:
            self._board.text("result", f"```\n{text}\n```", step)

    def hparams(self, state: TrainState, scores: Mapping[str, float] | None = None) -> None:
        """Add the run's row, settings and results, to TensorBoard's HParams tab.

        scores  of the test set
        """
        if self._board is None:
            return
        results = dict(scores or {})
        if state.progress.best is not None:
            results[f"valid_{self.config.validation.metric}"] = state.progress.best
        results["minutes"] = state.progress.seconds / 60
        results["million_parameters"] = sum(p.numel() for p in state.model.module.parameters()) / 1e6
        named = {f"result/{name}": value for name, value in results.items()}
        for summary in hparams(_compared_settings(self.config, self._trial), named):
            self._board.add(summary)
        self._board.scalars(named, state.step)
        self._board.flush()


def mean_values(results: Sequence[StepResult], *, seconds: float, learning_rate: float) -> dict[str, float]:
    """Means over some updates that took so many seconds, by TensorBoard tag; losses are per target token."""
    target = sum(result.target_tokens for result in results)
    source = sum(result.source_tokens for result in results)
    positions = sum(result.positions for result in results)

    def mean(losses: Iterable[float]) -> float:
        # by tokens: an update of few tokens counts little
        return sum(x * result.target_tokens for x, result in zip(losses, results, strict=True)) / target

    return {
        "train/loss": mean(result.loss for result in results),
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
        f"step {progress.step:,}  epoch {progress.epochs:.2f}  loss {values['train/loss']:.3f}  "
        f"lr {values['train/learning_rate']:.1e}  {values['speed/target_tokens_per_second']:,.0f} tokens/s  "
        f"{done:.0%}  ETA {tqdm.format_interval(seconds_left)}{skipped}"
    )


def _compared_settings(config: TrainConfig, trial: Trial | None) -> dict[str, Any]:
    """Settings for TensorBoard's HParams tab: those usually compared, and in a sweep those it varies."""
    values = flatten(to_plain(config))
    # of a sweep only the varied options differ: columns for all others would be noise
    if trial is not None:
        return {option: values.get(option, text) for option, text in trial.varied.items()}
    chosen = {"auxiliary": " ".join(config.auxiliary) or "none", "adapt": config.adapt.method}
    return {key.rpartition(".")[2]: values[key] for key in COMPARED if key in values} | chosen


def _samples(evaluation: Evaluation, count: int) -> str:
    """A Markdown table of evenly spaced lines: source, translation, reference."""
    count = min(count, len(evaluation.source))
    indices = [number * len(evaluation.source) // count for number in range(count)]
    sides = evaluation.source, evaluation.hypotheses, evaluation.references[0]
    rows = [[side[index][:_SAMPLE_CHARACTERS] for side in sides] for index in indices]
    return markdown_table(["source", "translation", "reference"], rows)
