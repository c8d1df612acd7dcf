"""Settings of recipe=auto: two small tables, by the text and by the model, and what follows from the length of a run.

Pure functions of measured numbers. docs/recipes.md has the tables with their sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from translate.training.open_options import SIZE, Choice, open_part, with_choice, with_size

if TYPE_CHECKING:
    from translate.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class ForText:
    """Settings for a text of up to so many pairs.

    vocab_size  pieces: each should occur often enough to be learned (Sennrich and Zhang 2019; Ding et al. 2019)
    model       the largest size that does not only learn the text by heart
    dropout     of that size, when the text is seen often
    epochs      until the validation score usually stops rising, where no option sets the length of the run
    """

    pairs: float
    vocab_size: int
    model: str
    dropout: float
    epochs: int


TEXTS = (
    ForText(pairs=3_000, vocab_size=1_000, model="tiny", dropout=0.3, epochs=150),
    ForText(pairs=10_000, vocab_size=2_000, model="tiny", dropout=0.3, epochs=100),
    ForText(pairs=50_000, vocab_size=4_000, model="mini", dropout=0.3, epochs=60),
    ForText(pairs=200_000, vocab_size=8_000, model="small", dropout=0.3, epochs=40),
    ForText(pairs=600_000, vocab_size=16_000, model="small", dropout=0.2, epochs=25),
    ForText(pairs=2_000_000, vocab_size=16_000, model="base", dropout=0.1, epochs=15),
    ForText(pairs=20_000_000, vocab_size=32_000, model="base", dropout=0.1, epochs=10),
    ForText(pairs=math.inf, vocab_size=32_000, model="big", dropout=0.1, epochs=5),
)


@dataclass(frozen=True, kw_only=True)
class ForModel:
    """Settings for a model of up to this width, and for batches of an update of so many tokens on all devices.

    learning_rate  the peak: the wider the model, the lower
    """

    width: float
    batch_tokens: int
    learning_rate: float
    warmup_steps: int


MODELS = {
    "tiny": ForModel(width=192, batch_tokens=1024, learning_rate=3e-3, warmup_steps=400),
    "mini": ForModel(width=384, batch_tokens=1024, learning_rate=2e-3, warmup_steps=400),
    "small": ForModel(width=640, batch_tokens=16_384, learning_rate=1e-3, warmup_steps=4000),
    "base": ForModel(width=640, batch_tokens=16_384, learning_rate=1e-3, warmup_steps=4000),
    "big": ForModel(width=math.inf, batch_tokens=32_768, learning_rate=5e-4, warmup_steps=4000),
}

_ENOUGH_UPDATES = 16_000  # with fewer, small batches are better than large ones
_SMALLEST_BATCH, _SMALLEST_ON_GPU = 1024, 4096  # on a GPU, smaller ones take as long
_LONG_SENTENCES = 8  # as many of the longest usual ones fit into a batch
_FEW_EPOCHS, _LEAST_DROPOUT = 10, 0.1
_DECAY_SHARE = 0.4
_WEIGHT_DECAYS = (0.01, 0.3)
_TRAINING_SHARE = 0.85  # of a run's time; the rest is for validations
_DAY = 24 * 60.0  # minutes: the longest run where no option sets the length
_VALIDATION_SHARE = 0.1
_VALIDATIONS, _PATIENT_VALIDATIONS = (4, 15), (15, 40)  # least and most in a run, without and with early stopping
_PATIENCE = 10


@dataclass(frozen=True, kw_only=True)
class TextStatistics:
    """Measured numbers of the training text.

    source_tokens, target_tokens  of an epoch
    long_length                   tokens that 2 % of the source or target sentences reach
    """

    pairs: int
    source_tokens: int
    target_tokens: int
    long_length: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measured cost of a configuration on a device: updates and validations in seconds."""

    update_seconds: float
    updates_per_epoch: int
    validation_seconds: float = 0.0


class Device(Protocol):
    """Measures configurations; see TrialUpdates."""

    on_gpu: bool
    devices: int

    def weights(self, config: TrainConfig) -> int: ...
    def cost(self, config: TrainConfig, *, validating: bool = False) -> Cost: ...


def for_text(pairs: int) -> ForText:
    return next(row for row in TEXTS if pairs <= row.pairs)


def for_model(width: int) -> ForModel:
    return next(row for row in MODELS.values() if width <= row.width)


def choose_vocabulary(pairs: int, characters: int) -> Choice:
    """Type and size of the vocabulary.

    characters  different ones that make up nearly all of the text
    """
    size, reason = for_text(pairs).vocab_size, f"{pairs:,} pairs"
    if 2 * characters > size:
        # a piece for each of them would leave none for words
        size, reason = math.ceil(2 * characters / 1000) * 1000, f"{reason} with {characters:,} different characters"
    return Choice({"tokenizer.type": "unigram", "tokenizer.vocab_size": size}, reason)


def choose_settings(config: TrainConfig, text: TextStatistics, device: Device) -> tuple[TrainConfig, list[Choice]]:
    """The configuration with all open options but the vocabulary's chosen, and the choices with their reasons."""
    size, tokens = _choose_model(config, text, device)
    config = with_choice(config, size)
    batch = _choose_batch(config, text, device, tokens)
    config = with_choice(config, batch)
    cost = device.cost(config, validating=True)
    updates = run_updates(config, text, cost)
    choices = [size, batch, _choose_regularisation(config, text, cost, updates), _choose_times(config, cost, updates)]
    for choice in choices:
        config = with_choice(config, choice)
    return config, [open_part(choice, config) for choice in choices]


def _choose_model(config: TrainConfig, text: TextStatistics, device: Device) -> tuple[Choice, int]:
    """The largest size for the text whose run has at least one target token for each of its weights; and the tokens."""
    if SIZE not in config.chosen:
        return Choice({}, "given"), _tokens_of_run(config, text, device)
    sizes = list(MODELS)
    size, *larger_sizes = sizes[: sizes.index(for_text(text.pairs).model) + 1]
    tokens, reason = _tokens_of_run(with_size(config, size), text, device), f"{text.pairs:,} pairs"
    for larger in larger_sizes:
        weights, fewer = device.weights(with_size(config, larger)), tokens
        # larger models are slower: one that is too large by the speed of the smaller one need not be tried
        if weights <= tokens:
            fewer = _tokens_of_run(with_size(config, larger), text, device)
        if weights > fewer:
            reason = f"{larger} has {weights:,} weights, and the run about {fewer:,} target tokens"
            break
        size, tokens = larger, fewer
    return Choice({"model": size}, reason), tokens


def _tokens_of_run(config: TrainConfig, text: TextStatistics, device: Device) -> int:
    """Target tokens that a run of this model would see."""
    config = with_choice(config, Choice({"batch.tokens": _batch_tokens(config, text, device)}, "trial"))
    cost = device.cost(config)
    return run_updates(config, text, cost) * text.target_tokens // cost.updates_per_epoch


def _batch_tokens(config: TrainConfig, text: TextStatistics, device: Device, tokens: int = 0) -> int:
    """Batch of one device for a run of so many tokens; 0: the smallest, for trials."""
    row = for_model(config.model.d_model)
    smallest = max(_SMALLEST_ON_GPU if device.on_gpu else _SMALLEST_BATCH, _LONG_SENTENCES * text.long_length)
    # in a run of a given number of updates, large batches take nothing from it
    wanted = row.batch_tokens if _has_steps(config) else min(row.batch_tokens, tokens // _ENOUGH_UPDATES)
    wanted //= device.devices * config.batch.accumulation
    return max(smallest, 1 << max(wanted, 1).bit_length() - 1)  # a power of two


def _choose_batch(config: TrainConfig, text: TextStatistics, device: Device, tokens: int) -> Choice:
    """Batch, learning rate and schedule; tokens: of the run."""
    row = for_model(config.model.d_model)
    values = {
        "batch.tokens": _batch_tokens(config, text, device, tokens),
        "optimizer.learning_rate": row.learning_rate,
        "schedule.name": "warmup_stable_decay",
        "schedule.max_warmup_steps": row.warmup_steps,
        "schedule.decay_share": _DECAY_SHARE,
    }
    return Choice(values, f"width {config.model.d_model}, about {tokens:,} target tokens in the run")


def _choose_regularisation(config: TrainConfig, text: TextStatistics, cost: Cost, updates: int) -> Choice:
    """Dropout by the number of epochs, and weight decay by that of updates."""
    row, epochs = for_text(text.pairs), updates / cost.updates_per_epoch
    dropout = row.dropout
    if for_model(config.model.d_model).width < MODELS[row.model].width:
        dropout -= 0.1
    if epochs < _FEW_EPOCHS:
        dropout = _LEAST_DROPOUT
    # the time scale of the decay, 1 / (rate · decay), is half of the run (Wang and Aitchison 2024)
    decay = 2 / (updates * max(config.optimizer.learning_rate, 1e-9))
    low, high = _WEIGHT_DECAYS
    values = {
        "model.dropout": round(max(dropout, _LEAST_DROPOUT), 2),
        "optimizer.weight_decay": round(min(max(decay, low), high), 3),
    }
    return Choice(values, f"about {updates:,} updates, {epochs:.3g} epochs")


def _choose_times(config: TrainConfig, cost: Cost, updates: int) -> Choice:
    """Length of the run, its validations, and the running average of weights."""
    has_length = _has_steps(config) or bool(config.run.max_epochs or config.run.max_minutes)
    fewest, most = _VALIDATIONS if has_length else _PATIENT_VALIDATIONS
    affordable = _VALIDATION_SHARE * updates * cost.update_seconds / max(cost.validation_seconds, 1e-3)
    validations = min(max(int(affordable), fewest), most)
    # a state is saved with each validation, also where their interval is given
    every = _rounded(updates / validations) if "validation.every" in config.chosen else config.validation.every
    horizon = min(max(updates // 4, 50), 2000)  # updates that the average reaches back
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
    """Number of updates of the run, by its bounds; without any, by the number of pairs, in a day at most."""
    run, minutes, limits = config.run, config.run.max_minutes, list[int]()
    if _has_steps(config):
        limits.append(run.max_steps)
    if run.max_epochs:
        limits.append(int(run.max_epochs * cost.updates_per_epoch))
    if not (limits or minutes):
        limits, minutes = [for_text(text.pairs).epochs * cost.updates_per_epoch], _DAY
    if minutes:
        limits.append(int(_TRAINING_SHARE * 60 * minutes / cost.update_seconds))
    return max(1, min(limits))


def _has_steps(config: TrainConfig) -> bool:
    """True if the number of updates is given."""
    return bool(config.run.max_steps) and "run.max_steps" not in config.chosen


def _rounded(updates: float) -> int:
    """The number to two digits, at least 1."""
    digits = max(0, len(str(int(updates))) - 2)
    return max(1, int(updates // 10**digits * 10**digits))
