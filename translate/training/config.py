"""The configuration of a training run, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from translate.adaptation.config import AdaptConfig
from translate.data.batching import BatchConfig
from translate.data.config import DataConfig, training_corpora
from translate.data.encoders import SamplingConfig, SwitchOutConfig
from translate.decoding.config import SearchConfig, Split
from translate.errors import UserError
from translate.evaluation.metrics import ERRORS, Metric
from translate.evaluation.tokenizers import check_tokenizer
from translate.losses import AuxiliaryConfig
from translate.models.config import ModelConfig
from translate.tokenizer import TokenizerConfig
from translate.training.optimizer import OptimizerConfig, ScheduleConfig, check_schedule
from translate.training.parallel import ComputeConfig, check_training_precision


@dataclass(kw_only=True)
class LossConfig:
    label_smoothing: float = 0.1


@dataclass(kw_only=True)
class AveragingConfig:
    """ema_decay of the running average that is validated and kept (0: the raw weights are); last is how many
    checkpoints the average at the end is made of (0: none is made)."""

    ema_decay: float = 0.999
    last: int = 5


@dataclass(kw_only=True)
class ValidationConfig:
    """every counts updates; metric chooses the best checkpoint and is what patience watches.

    metrics   those reported, for the final test as well; groups are scored by the first two
    tokenize  sacreBLEU's -tok, for validation and the final test; "": by data.target_language, or by the script of the
              references where that is ""
    """

    every: int = 1000
    metrics: list[Metric] = field(default_factory=lambda: [Metric.bleu, Metric.chrf])
    metric: str = "bleu"  # one of those, or loss
    tokenize: str = ""
    batch_tokens: int = 0  # of the source side, while decoding; 0: as many as are fast
    samples: int = 6
    attention_maps: int = 3


@dataclass(kw_only=True)
class RunConfig:
    """Bounds of a run (0: none) and what it keeps; every interval counts updates.

    max_skipped  updates with a gradient that is not finite, in a row, before the run gives up
    """

    dir: str = "runs/default"
    seed: int = 1
    max_steps: int = 0
    max_epochs: float = 0.0
    max_minutes: float = 0.0
    patience: int = 0
    log_every: int = 50
    save_every: int = 1000
    keep: int = 5
    max_skipped: int = 20


@dataclass(kw_only=True)
class BackTranslationConfig:
    """Training pairs made of text in the target language, by a model that is trained for it first.

    monolingual  a file of sentences; "": no back-translation
    search       how they are translated; search.method=sampling gives more varied sources
    keep         share of the translations that is used, the most confident ones
    tag          what stands before a synthetic source
    weight       how many times an epoch sees each synthetic pair
    """

    monolingual: str = ""
    search: SearchConfig = field(default_factory=SearchConfig)
    keep: float = 1.0
    tag: str = "<bt>"
    weight: float = 1.0


@dataclass(kw_only=True)
class PruningConfig:
    """A trial of a sweep with Optuna ends early when its best validation is worse than the others' median at that step.

    trials       how many others must be over (0: no trial ends early)
    validations  how many a trial has at least
    """

    trials: int = 4
    validations: int = 2


@dataclass(kw_only=True)
class TrainConfig:
    """The train command: from text to a scored model in run.dir; the same command continues a run.

    split  which lines are translated in parts, in validation and test, and later by the model. auto: those of more
           sentences than training lines usually have; never: only those too long for the model, as for documents
           with their summaries; sentences: at every sentence end
    """

    name: str = "default"
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    switch_out: SwitchOutConfig = field(default_factory=SwitchOutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    auxiliary: dict[str, AuxiliaryConfig] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    split: Split = Split.auto
    back_translation: BackTranslationConfig = field(default_factory=BackTranslationConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    run: RunConfig = field(default_factory=RunConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)


LOSS = "loss"


def is_minimised(metric: str) -> bool:
    return metric in (LOSS, *ERRORS)


def is_better(
    metric: str, value: float, best: float | None, *, loss: float | None = None, best_loss: float | None = None
) -> bool:
    """True if a validation beats the best so far; None: there is none yet.

    Of two equal values of the metric the one with the lower loss is better. What is not finite is never better.
    """
    if not math.isfinite(value) or (loss is not None and not math.isfinite(loss)):
        return False
    if best is None or not math.isfinite(best):
        return True
    if value == best and loss is not None:
        return best_loss is None or not loss >= best_loss
    return value < best if is_minimised(metric) else value > best


def check(config: TrainConfig) -> None:
    """Raise UserError for values that make no sense, before any work starts."""
    _check_ranges(config)
    _check_choices(config)
    _check_bounds(config)
    check_schedule(config.schedule)
    config.search.check()


def _check_ranges(config: TrainConfig) -> None:
    at_least = {
        "batch.tokens": (config.batch.tokens, 1),
        "batch.accumulation": (config.batch.accumulation, 1),
        "batch.length_multiple": (config.batch.length_multiple, 1),
        "batch.sentence_multiple": (config.batch.sentence_multiple, 1),
        "validation.every": (config.validation.every, 1),
        "run.log_every": (config.run.log_every, 1),
        "run.save_every": (config.run.save_every, 1),
        "run.keep": (config.run.keep, max(1, config.averaging.last)),
        "run.max_skipped": (config.run.max_skipped, 1),
        "run.max_steps": (config.run.max_steps, 0),
        "run.max_epochs": (config.run.max_epochs, 0),
        "run.max_minutes": (config.run.max_minutes, 0),
        "run.patience": (config.run.patience, 0),
        "averaging.last": (config.averaging.last, 0),
        "optimizer.learning_rate": (config.optimizer.learning_rate, 0),
        "optimizer.clip_norm": (config.optimizer.clip_norm, 0),
        "switch_out.source": (config.switch_out.source, 0),
        "switch_out.target": (config.switch_out.target, 0),
        "pruning.trials": (config.pruning.trials, 0),
        "pruning.validations": (config.pruning.validations, 1),
    }
    for key, (value, least) in at_least.items():
        if value < least or math.isnan(value):
            raise UserError(f"{key} ({value}) must be at least {least}")
    for key, share in {
        "loss.label_smoothing": config.loss.label_smoothing,
        "averaging.ema_decay": config.averaging.ema_decay,
        "sampling.source": config.sampling.source,
        "sampling.target": config.sampling.target,
        "sampling.start": config.sampling.start,
    }.items():
        if not 0 <= share < 1:
            raise UserError(f"{key} ({share}) must be at least 0 and below 1")


def _check_choices(config: TrainConfig) -> None:
    check_training_precision(config.compute.precision)
    if len(config.optimizer.betas) != 2:
        raise UserError(f"optimizer.betas ({config.optimizer.betas}) must be two numbers")
    if config.validation.metric not in (choices := [*config.validation.metrics, LOSS]):
        raise UserError(
            f"validation.metric={config.validation.metric} is none of validation.metrics and loss: {', '.join(choices)}"
        )
    if config.validation.tokenize:
        check_tokenizer(config.validation.tokenize, key="validation.tokenize")
    for name, auxiliary in config.auxiliary.items():
        if not 0 <= auxiliary.start < 1:
            raise UserError(f"auxiliary.{name}.start ({auxiliary.start}) must be at least 0 and below 1")
        if auxiliary.NEEDS_ATTENTION and not config.model.has_attention:
            raise UserError(f"auxiliary={name} looks at attention, and the model has none")


def _check_bounds(config: TrainConfig) -> None:
    run = config.run
    if not run.dir:
        raise UserError("run.dir is empty: name a folder for the run")
    bounded = run.max_steps or run.max_epochs or run.max_minutes
    if not (bounded or run.patience):
        raise UserError("the run would never end: set run.max_steps, run.max_epochs, run.max_minutes or run.patience")
    if not bounded and (timed := next(_timed_parts(config), "")):
        raise UserError(f"{timed} is a share of the run: set run.max_steps, run.max_epochs or run.max_minutes")
    if not 0 < config.data.cleaning.max_tokens <= config.model.max_length:
        raise UserError(
            f"data.cleaning.max_tokens ({config.data.cleaning.max_tokens}) must lie between 1 and "
            f"model.max_length ({config.model.max_length}): longer sentences do not fit into the model"
        )


def _timed_parts(config: TrainConfig) -> Iterator[str]:
    """The names of settings that say when something begins or ends."""
    if config.sampling.is_on and config.sampling.start:
        yield "sampling.start"
    yield from (f"auxiliary.{name}.start" for name, loss in config.auxiliary.items() if loss.start)
    yield from (f"start or end of {key}" for key, corpus in training_corpora(config.data) if not corpus.is_permanent)
