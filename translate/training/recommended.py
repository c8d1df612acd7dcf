"""Settings that recipe=auto recommends: tables by text size and by model size, rules for the length of the run.

Pure functions of measured numbers. docs/recipes.md gives reasons and sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from translate.console import three_digits
from translate.training.batch_memory import divide_update
from translate.training.open_options import SIZE, Choice, open_part, with_choice, with_size

if TYPE_CHECKING:
    from translate.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TextDefaults:
    """Settings for a text of at most `pairs` pairs.

    vocab_size  small enough for each piece to be frequent (Sennrich and Zhang 2019; Ding et al. 2019)
    model       largest model size that generalises from so many pairs
    dropout     for this model size, in a run of many epochs
    epochs      until the validation score usually stops rising; used if no option sets the length of the run
    """

    pairs: float
    vocab_size: int
    model: str
    dropout: float
    epochs: int


TEXT_DEFAULTS = (
    TextDefaults(pairs=3_000, vocab_size=2_000, model="tiny", dropout=0.3, epochs=150),
    TextDefaults(pairs=10_000, vocab_size=4_000, model="tiny", dropout=0.3, epochs=100),
    TextDefaults(pairs=50_000, vocab_size=8_000, model="mini", dropout=0.3, epochs=60),
    TextDefaults(pairs=200_000, vocab_size=8_000, model="small", dropout=0.3, epochs=40),
    TextDefaults(pairs=600_000, vocab_size=16_000, model="small", dropout=0.2, epochs=25),
    TextDefaults(pairs=2_000_000, vocab_size=16_000, model="base", dropout=0.1, epochs=15),
    TextDefaults(pairs=20_000_000, vocab_size=32_000, model="base", dropout=0.1, epochs=10),
    TextDefaults(pairs=math.inf, vocab_size=32_000, model="big", dropout=0.1, epochs=5),
)


@dataclass(frozen=True, kw_only=True)
class ModelDefaults:
    """Settings for a model of at most this width.

    update_tokens      tokens per update, on all devices together
    gpu_update_tokens  likewise on GPUs, which need large batches to be fast
    learning_rate      peak; lower for wider models
    warmup_steps       at most; a short run has fewer
    """

    width: float
    update_tokens: int
    gpu_update_tokens: int
    learning_rate: float
    warmup_steps: int


MODEL_DEFAULTS = {
    "tiny": ModelDefaults(width=192, update_tokens=1024, gpu_update_tokens=4096, learning_rate=3e-3, warmup_steps=400),
    "mini": ModelDefaults(width=384, update_tokens=1024, gpu_update_tokens=4096, learning_rate=2e-3, warmup_steps=400),
    "small": ModelDefaults(
        width=640, update_tokens=16_384, gpu_update_tokens=32_768, learning_rate=1e-3, warmup_steps=4000
    ),
    "base": ModelDefaults(
        width=640, update_tokens=16_384, gpu_update_tokens=32_768, learning_rate=1e-3, warmup_steps=4000
    ),
    "big": ModelDefaults(
        width=math.inf, update_tokens=32_768, gpu_update_tokens=32_768, learning_rate=5e-4, warmup_steps=4000
    ),
}

# Multiples of a new model's learning rate. At the full rate, fine-tuning all weights forgets the old domain; the few
# weights of a prefix need a higher rate (docs/experiments.md).
ADAPTATION_FACTORS = {"full": 0.1, "lora": 1.0, "adapter": 1.0, "prefix": 10.0}

_ENOUGH_UPDATES = 16_000  # a run with fewer uses smaller batches
_MIN_UPDATE, _MIN_UPDATE_ON_GPU = 1024, 4096  # tokens; smaller updates are not faster on a GPU
_MIN_SENTENCES = 8  # an update has room for at least so many long sentences
_FEW_EPOCHS, _MIN_DROPOUT = 10, 0.1
_DECAY_SHARE = 0.4
_WEIGHT_DECAYS = (0.01, 0.3)  # minimum, maximum
_TRAINING_SHARE = 0.85  # of a run's time; validations take the rest
_MAX_MINUTES = 24 * 60.0  # if no option sets the length of the run
_VALIDATION_SHARE = 0.1  # of a run's time
_VALIDATIONS, _VALIDATIONS_WITH_PATIENCE = (4, 15), (15, 40)  # minimum and maximum per run
_PATIENCE = 10


@dataclass(frozen=True, kw_only=True)
class TextStatistics:
    """Statistics of the training text.

    source_tokens, target_tokens  per epoch
    long_length                   98th percentile of sentence lengths, in tokens
    """

    pairs: int
    source_tokens: int
    target_tokens: int
    long_length: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measured cost of a configuration on this machine."""

    update_seconds: float
    updates_per_epoch: int
    validation_seconds: float = 0.0


class Trials(Protocol):
    """Interface of TrialUpdates, which measures configurations on this machine."""

    on_gpu: bool
    devices: int

    def weights(self, config: TrainConfig) -> int: ...
    def fits(self, config: TrainConfig) -> bool: ...
    def cost(self, config: TrainConfig, *, validating: bool = False) -> Cost: ...


def text_defaults(pairs: int) -> TextDefaults:
    return next(row for row in TEXT_DEFAULTS if pairs <= row.pairs)


def model_defaults(width: int) -> ModelDefaults:
    return next(row for row in MODEL_DEFAULTS.values() if width <= row.width)


def choose_adaptation_rate(method: str, width: int) -> Choice:
    """Peak learning rate for adapting a model of this width by a method of adapt=."""
    rate = ADAPTATION_FACTORS[method] * model_defaults(width).learning_rate
    return Choice({"optimizer.learning_rate": float(f"{rate:.2g}")}, f"width {width}, for a trained model")


def choose_vocabulary(pairs: int, characters: int) -> Choice:
    """Type and size of the vocabulary; characters: number of frequent ones, which make up nearly all of the text."""
    size, reason = text_defaults(pairs).vocab_size, f"{pairs:,} pairs"
    if 2 * characters > size:
        # otherwise single characters would take most of the pieces
        size, reason = math.ceil(2 * characters / 1000) * 1000, f"{reason} with {characters:,} frequent characters"
    return Choice({"tokenizer.type": "unigram", "tokenizer.vocab_size": size}, reason)


def choose_settings(config: TrainConfig, text: TextStatistics, trials: Trials) -> tuple[TrainConfig, list[Choice]]:
    """Choose all open options except those of the vocabulary; also returns the choices with their reasons."""
    size, tokens = _choose_model(config, text, trials)
    config = with_choice(config, size)
    batch, rate = choose_batch_size(config, text, trials, tokens), _choose_rate(config, tokens)
    config = with_choice(with_choice(config, batch), rate)
    cost = trials.cost(config, validating=True)
    updates = run_updates(config, text, cost)
    regularisation, length = _choose_regularisation(config, text, cost, updates), _choose_length(config, cost, updates)
    choices = [size, batch, rate, regularisation, length]
    for choice in choices:
        config = with_choice(config, choice)
    return config, [open_part(choice, config) for choice in choices]


def _choose_model(config: TrainConfig, text: TextStatistics, trials: Trials) -> tuple[Choice, int]:
    """Choose the largest model for which the run has one target token per parameter; also returns the run's tokens."""
    if SIZE not in config.chosen:
        return Choice({}, "given"), _tokens_of_run(config, text, trials)
    sizes = list(MODEL_DEFAULTS)
    size, *larger_sizes = sizes[: sizes.index(text_defaults(text.pairs).model) + 1]
    tokens, reason = _tokens_of_run(with_size(config, size), text, trials), f"{text.pairs:,} pairs"
    for larger in larger_sizes:
        parameters, larger_tokens = trials.weights(with_size(config, larger)), tokens
        # a larger model is slower: skip the measurement if it is too large even at the speed of the smaller one
        if parameters <= tokens:
            larger_tokens = _tokens_of_run(with_size(config, larger), text, trials)
        if parameters > larger_tokens:
            reason = f"{larger} has {parameters:,} parameters, but the run only about {larger_tokens:,} target tokens"
            break
        size, tokens = larger, larger_tokens
    return Choice({"model": size}, reason), tokens


def _tokens_of_run(config: TrainConfig, text: TextStatistics, trials: Trials) -> int:
    """Number of target tokens in a run with this model."""
    smallest = Choice({"batch.tokens": _smallest_update(text, trials)}, "trial")
    config = with_choice(config, choose_batch_size(config, text, trials) if _has_steps(config) else smallest)
    cost = trials.cost(config)
    return run_updates(config, text, cost) * text.target_tokens // cost.updates_per_epoch


def choose_batch_size(config: TrainConfig, text: TextStatistics, trials: Trials, tokens: float = math.inf) -> Choice:
    """Choose tokens per batch, as many as memory allows on a GPU, and batches per update.

    tokens  target tokens in the run
    """
    update = _update_tokens(config, text, trials, tokens)
    if trials.on_gpu:
        return divide_update(config, update, trials.devices, trials.fits, cause="take too much of the free memory")
    most = max(model_defaults(config.model.d_model).update_tokens, _smallest_update(text, trials))
    return divide_update(
        config, update, trials.devices, lambda sized: sized.batch.tokens <= most, cause="are not faster on a CPU"
    )


def _update_tokens(config: TrainConfig, text: TextStatistics, trials: Trials, tokens: float) -> int:
    """Tokens per update, on all devices together; tokens: target tokens in the run."""
    if config.batch.update_tokens:
        return config.batch.update_tokens
    row = model_defaults(config.model.d_model)
    wanted = row.gpu_update_tokens if trials.on_gpu else row.update_tokens
    # large updates reduce the number of updates, unless the user sets that number
    if not _has_steps(config):
        wanted = int(min(wanted, tokens / _ENOUGH_UPDATES))
    return max(_smallest_update(text, trials), 1 << max(wanted, 1).bit_length() - 1)  # a power of two


def _smallest_update(text: TextStatistics, trials: Trials) -> int:
    return max(_MIN_UPDATE_ON_GPU if trials.on_gpu else _MIN_UPDATE, _MIN_SENTENCES * text.long_length)


def _choose_rate(config: TrainConfig, tokens: int) -> Choice:
    """Choose learning rate and schedule; tokens: target tokens in the run."""
    row = model_defaults(config.model.d_model)
    values = {
        "optimizer.learning_rate": row.learning_rate,
        "schedule.name": "warmup_stable_decay",
        "schedule.max_warmup_steps": row.warmup_steps,
        "schedule.decay_share": _DECAY_SHARE,
    }
    return Choice(values, f"width {config.model.d_model}, about {tokens:,} target tokens in the run")


def _choose_regularisation(config: TrainConfig, text: TextStatistics, cost: Cost, updates: int) -> Choice:
    """Choose dropout by the number of epochs, and weight decay by the number of updates."""
    row, epochs = text_defaults(text.pairs), updates / cost.updates_per_epoch
    dropout = row.dropout
    if model_defaults(config.model.d_model).width < MODEL_DEFAULTS[row.model].width:
        dropout -= 0.1
    if epochs < _FEW_EPOCHS:
        dropout = _MIN_DROPOUT
    # 1 / (rate · decay), the time scale of weight decay in updates, is half the run (Wang and Aitchison 2024)
    decay = 2 / (updates * max(config.optimizer.learning_rate, 1e-9))
    low, high = _WEIGHT_DECAYS
    values = {
        "model.dropout": round(max(dropout, _MIN_DROPOUT), 2),
        "optimizer.weight_decay": round(min(max(decay, low), high), 3),
    }
    return Choice(values, f"about {updates:,} updates, {three_digits(epochs)} epochs")


def _choose_length(config: TrainConfig, cost: Cost, updates: int) -> Choice:
    """Choose the length of the run, the validation interval, and the running average of weights."""
    has_length = _has_steps(config) or bool(config.run.max_epochs or config.run.max_minutes)
    fewest, most = _VALIDATIONS if has_length else _VALIDATIONS_WITH_PATIENCE
    affordable = _VALIDATION_SHARE * updates * cost.update_seconds / max(cost.validation_seconds, 1e-3)
    validations = min(max(int(affordable), fewest), most)
    # a state is saved with each validation, even if the interval of validations is given
    every = _rounded(updates / validations) if "validation.every" in config.chosen else config.validation.every
    horizon = min(max(updates // 4, 50), 2000)  # updates that the running average spans
    values = {
        "run.max_steps": 0 if has_length else updates,
        "run.patience": 0 if has_length else _PATIENCE,
        "validation.every": every,
        "run.save_every": every,
        "averaging.ema_decay": round(1 - 1 / horizon, 4),
        "averaging.last": 0,
    }
    return Choice(values, f"{cost.update_seconds:.3g} s an update, {cost.validation_seconds:.3g} s a validation")


def run_updates(config: TrainConfig, text: TextStatistics, cost: Cost) -> int:
    """Number of updates in the run: what its limits allow or, without limits, the epochs for this text within a day."""
    run, minutes, limits = config.run, config.run.max_minutes, list[int]()
    if _has_steps(config):
        limits.append(run.max_steps)
    if run.max_epochs:
        limits.append(int(run.max_epochs * cost.updates_per_epoch))
    if not (limits or minutes):
        limits, minutes = [text_defaults(text.pairs).epochs * cost.updates_per_epoch], _MAX_MINUTES
    if minutes:
        limits.append(int(_TRAINING_SHARE * 60 * minutes / cost.update_seconds))
    return max(1, min(limits))


def _has_steps(config: TrainConfig) -> bool:
    """True if the user sets the number of updates."""
    return bool(config.run.max_steps) and "run.max_steps" not in config.chosen


def _rounded(updates: float) -> int:
    """The number rounded down to two significant digits, at least 1."""
    digits = max(0, len(str(int(updates))) - 2)
    return max(1, int(updates // 10**digits * 10**digits))
