"""The configuration of a training run, part by part."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from translate.adaptation import AdaptConfig
from translate.data.augmentation.pair_encoder import SamplingConfig, SwitchOutConfig
from translate.data.augmentation.text import AugmentationConfig
from translate.data.batching import BatchConfig
from translate.data.corpora import LEAST_WEIGHT, MOST_WEIGHT, DataConfig
from translate.decoding.config import SearchConfig, Split
from translate.errors import UserError, require_at_least, require_between, require_numbers, require_share
from translate.losses import AuxiliaryLossConfig
from translate.models.seq2seq import ModelConfig, check_tying
from translate.tags import check_tag
from translate.tokenizer_training import TokenizerConfig
from translate.training.compute_config import ComputeConfig
from translate.training.loggers.logger import LoggerConfig
from translate.training.open_options import OPEN_OPTIONS, Recipe
from translate.training.optimizer import OptimizerConfig, ScheduleConfig
from translate.training.spikes import RecoveryConfig
from translate.training.validation_config import ValidationConfig
from translate.truecasing import Case

MOST_SEED = 2**62  # the rank of a process is added to it


@dataclass(kw_only=True)
class LossConfig:
    """Cross entropy with label smoothing (Szegedy et al. 2016)."""

    label_smoothing: float = 0.1

    def check(self) -> None:
        require_share("loss.label_smoothing", self.label_smoothing)


@dataclass(kw_only=True)
class AveragingConfig:
    """Averages of weights.

    ema_decay  decay of the running average, which is validated and saved; 0: no running average
    last       number of checkpoints to average at the end of the run; 0: none
    """

    ema_decay: float = 0.999
    last: int = 5

    def check(self) -> None:
        require_share("averaging.ema_decay", self.ema_decay)
        require_at_least("averaging.last", self.last, 0)


@dataclass(kw_only=True)
class RunConfig:
    """Folder and limits of a run (0: no limit); intervals are in updates.

    patience     validations without improvement (validation.min_gain) after which the run ends
    keep_best    number of validated models to keep in best_models/, those with the best scores; 0: none
    save_every   interval of saved states, of which the newest `keep` are kept
    max_skipped  updates skipped in a row before training rolls back to an earlier state or ends
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
    keep_best: int = 0
    max_skipped: int = 20

    @property
    def has_bound(self) -> bool:
        """True if the run has a limit other than early stopping."""
        return bool(self.max_steps or self.max_epochs or self.max_minutes)

    def check(self) -> None:
        if not self.dir:
            raise UserError("run.dir is empty: name a folder for the run")
        require_between("run.seed", self.seed, 0, MOST_SEED)
        for key in ("log_every", "save_every", "keep", "max_skipped"):
            require_at_least(f"run.{key}", getattr(self, key), 1)
        for key in ("max_steps", "max_epochs", "max_minutes", "patience", "keep_best"):
            require_at_least(f"run.{key}", getattr(self, key), 0)
        if 0 < self.max_minutes < 0.001:
            raise UserError(f"run.max_minutes ({self.max_minutes}) must be 0 or at least 0.001: no update takes less")
        if not (self.has_bound or self.patience):
            bounds = "run.max_steps, run.max_epochs, run.max_minutes or run.patience"
            raise UserError(f"the run would never end: set {bounds}")


@dataclass(kw_only=True)
class BackTranslationConfig:
    """Back-translation: training pairs made from text in the target language by a reverse model, trained first.

    monolingual  a file of sentences in the target language; "": no back-translation
    search       search for their translations; search.method=sampling gives more varied sources
    keep         share of the translations to use, the most probable ones
    weight       number of times that each synthetic pair occurs in an epoch
    """

    monolingual: str = ""
    search: SearchConfig = field(default_factory=SearchConfig)
    keep: float = 1.0
    tag: str = "<bt>"
    weight: float = 1.0

    def check(self) -> None:
        self.search.check("back_translation.search")
        require_between("back_translation.keep", self.keep, 1e-6, 1.0)
        # checked here, since the pairs become a corpus only after hours
        require_between("back_translation.weight", self.weight, LEAST_WEIGHT, MOST_WEIGHT)
        check_tag("back_translation.tag", self.tag)


@dataclass(kw_only=True)
class PruningConfig:
    """Pruning in sweeps with Optuna: a trial ends if its best validation is worse than the median of the others.

    trials       number of finished trials before any is pruned; 0: no pruning
    validations  minimal number of validations of a trial
    """

    trials: int = 4
    validations: int = 2

    def check(self) -> None:
        require_at_least("pruning.trials", self.trials, 0)
        require_at_least("pruning.validations", self.validations, 1)


class SweepMethod(StrEnum):
    """Source of a sweep's trials: all combinations of values, or proposals by Optuna."""

    grid = "grid"
    optuna = "optuna"


@dataclass(kw_only=True)
class SweepConfig:
    """Hyperparameter search, with --multirun.

    trials          trials per command (optuna)
    startup_trials  random trials before earlier results guide the search
    params          option -> values: interval(0.0, 0.4), choice(2, 4), range(1, 9), tag(log, interval(1e-4, 1e-2))
    storage         URL of the study's database; "": a file in run.dir
    """

    method: SweepMethod = SweepMethod.grid
    trials: int = 12
    startup_trials: int = 5
    seed: int = 1
    params: dict[str, str] = field(default_factory=dict)
    storage: str = ""

    def check(self) -> None:
        for key in ("trials", "startup_trials"):
            require_at_least(f"sweep.{key}", getattr(self, key), 1)
        require_at_least("sweep.seed", self.seed, 0)


@dataclass(kw_only=True)
class TrainConfig:
    """Train a model on parallel text and score it; the same command continues an interrupted run.

    Example: python -m translate.train data.train.path=FILE run.dir=runs/mine

    recipe  auto, the default without an experiment: settings that you leave out are chosen for the text, the device and
            run.max_minutes. fixed: they are the same for any text
    plan    print settings, memory and time of the run without training
    batch   tokens=auto: batches as large as the memory of the GPU allows, as many as make an update of
            batch.update_tokens (0: by the width of the model) on all devices together
    split   lines to translate in parts, in validation and test, and later by the model. auto: lines with more sentences
            than training lines usually have; never: only lines too long for the model, as for summarisation;
            sentences: all lines of several sentences, at every sentence end
    case    lines in capitals or Title Case to translate in the usual case of their words, likewise. auto: all, unless
            the training text has many of them; restore: all; keep: none
    """

    OPEN: ClassVar = OPEN_OPTIONS

    name: str = "default"
    recipe: Recipe = Recipe.fixed
    chosen: list[str] = field(default_factory=list)
    plan: bool = False
    data: DataConfig = field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    switch_out: SwitchOutConfig = field(default_factory=SwitchOutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    auxiliary: dict[str, AuxiliaryLossConfig] = field(default_factory=dict)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    split: Split = Split.auto
    case: Case = Case.auto
    back_translation: BackTranslationConfig = field(default_factory=BackTranslationConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    logger: dict[str, LoggerConfig] = field(default_factory=dict)
    run: RunConfig = field(default_factory=RunConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    pruning: PruningConfig = field(default_factory=PruningConfig)

    def check(self) -> None:
        """Raise UserError for invalid values: of each part, then of parts that depend on each other."""
        require_numbers(self)
        for part in vars(self).values():
            if hasattr(part, "check"):
                part.check()
        self._check_losses()
        for name, logger in self.logger.items():
            logger.check(f"logger.{name}")
        self._check_times()
        self._check_update_tokens()
        self._check_vocabularies()
        if self.data.context and (self.augmentation.is_on or self.back_translation.monolingual):
            raise UserError("data.context: augmentation and back_translation take lines out of context: leave one out")
        # the final average is made of saved states
        if self.averaging.last > self.run.keep:
            raise UserError(f"averaging.last ({self.averaging.last}) must be at most run.keep ({self.run.keep})")
        if not 0 < self.data.cleaning.max_tokens <= self.model.max_length:
            raise UserError(
                f"data.cleaning.max_tokens ({self.data.cleaning.max_tokens}) must lie between 1 and "
                f"model.max_length ({self.model.max_length}): longer sentences do not fit into the model"
            )
        self.data.check_files()

    def _check_losses(self) -> None:
        for name, auxiliary in self.auxiliary.items():
            auxiliary.check(f"auxiliary.{name}")
            if auxiliary.NEEDS_ATTENTION and not self.model.has_attention:
                raise UserError(
                    f"auxiliary={name} needs attention weights, and model.architecture={self.model.architecture} "
                    "returns none with these settings"
                )

    def _check_update_tokens(self) -> None:
        """Raise UserError for a size of updates beside numbers that set another one."""
        if self.batch.update_tokens and not {"batch.tokens", "batch.accumulation"} & set(self.chosen):
            raise UserError(
                f"batch.update_tokens={self.batch.update_tokens} has no effect beside batch.tokens and "
                "batch.accumulation: set it to 0, or leave one of them out"
            )

    def _check_vocabularies(self) -> None:
        """Raise UserError for settings that contradict the vocabulary, before it is learned; a base model has one."""
        if not self.adapt.begins_anew:
            if self.recipe is Recipe.auto:
                raise UserError(f"recipe=auto is for new models: leave it out beside adapt={self.adapt.method}")
            self.tokenizer.require_no_path("adapt.model, which has a vocabulary")
            return
        check_tying(self.model, shared=self.tokenizer.shared)
        source_size, target_size = self.tokenizer.sizes
        self.search.check_model(target_size, self.model.max_length)
        if self.back_translation.monolingual:
            self.back_translation.search.check_model(source_size, self.model.max_length, "back_translation.search")

    def _check_times(self) -> None:
        """Raise UserError for settings by fractions of the run if its length is not known."""
        if self.run.has_bound:
            return
        timed = [f"auxiliary.{name}.start" for name, loss in self.auxiliary.items() if loss.start]
        timed += [f"start or end of {key}" for key, corpus in self.data.training_corpora if not corpus.is_permanent]
        if self.sampling.is_on and self.sampling.start:
            timed.insert(0, "sampling.start")
        if self.augmentation.is_on and self.augmentation.start:
            timed.insert(0, "augmentation.start")
        if timed:
            raise UserError(f"{timed[0]} is a share of the run: set run.max_steps, run.max_epochs or run.max_minutes")
