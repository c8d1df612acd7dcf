"""recipe=auto, and batch.tokens=auto: measure the text, and choose the open settings of a new run."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np

from translate.checkpoint import LoadedModel
from translate.data.dataset import CleanText
from translate.data.prepare import ChooseTokenizer, Prepared
from translate.distributed import World
from translate.tokenizer_training import TokenizerConfig, sample_rows, sampling_weights
from translate.training.config import TrainConfig
from translate.training.open_options import Recipe, open_part, with_choice
from translate.training.recommended import (
    Choice,
    TextStatistics,
    choose_adaptation_rate,
    choose_batch_size,
    choose_settings,
    choose_vocabulary,
)
from translate.training.trial_updates import TrialUpdates

logger = logging.getLogger(__name__)
_SAMPLED_PAIRS = 100_000
_LONG_PERCENTILE = 98


def choose_tokenizer(config: TrainConfig) -> TokenizerConfig | ChooseTokenizer:
    """Settings of a new run's vocabulary, or a function that chooses them from the clean text.

    Raises UserError for a setting that has no effect.
    """
    config.tokenizer.require_effect()
    if config.recipe is not Recipe.auto or config.tokenizer.path:
        return config.tokenizer

    def choose(text: CleanText, weights: Sequence[float]) -> tuple[TokenizerConfig, str]:
        choice = vocabulary_for(text, weights, config.tokenizer.character_coverage)
        return with_choice(config, choice).tokenizer, choice.reason

    return choose


def vocabulary_for(text: CleanText, weights: Sequence[float], coverage: float) -> Choice:
    """Type and size of the vocabulary.

    weights   of the corpora
    coverage  see num_characters
    """
    return choose_vocabulary(len(text.kept), num_characters(text, weights, coverage))


def num_characters(text: CleanText, weights: Sequence[float], coverage: float) -> int:
    """Number of the most frequent characters that make up the share `coverage` of the text.

    They are counted in a sample drawn like the one that the tokenizer is trained on.
    """
    if len(set(weights)) == 1:
        count = min(len(text.kept), _SAMPLED_PAIRS)
        rows = text.kept[np.linspace(0, len(text.kept), count, endpoint=False).astype(int)]
    else:
        rows = text.kept[sample_rows(text.corpus[text.kept], sampling_weights(weights), _SAMPLED_PAIRS, seed=1)]
    codes = [np.frombuffer("".join(side).encode("utf-32-le", "surrogatepass"), "<u4") for side in text.texts(rows)]
    text.release()
    counts = np.sort(np.bincount(np.concatenate(codes)))[::-1]
    return int(np.searchsorted(np.cumsum(counts), coverage * counts.sum()) + 1)


def text_statistics(data: Prepared) -> TextStatistics:
    """Statistics of the first epoch, in which corpora are repeated by their weights."""
    repeats = data.train.repeats(0.0)
    lengths = np.stack([data.train.source_lengths, data.train.target_lengths])
    source_tokens, target_tokens = (repeats * (lengths + 1)).sum(axis=1, dtype=np.float64)  # with EOS
    return TextStatistics(
        pairs=round(float(repeats.sum(dtype=np.float64))),
        source_tokens=int(source_tokens),
        target_tokens=int(target_tokens),
        long_length=int(np.percentile(lengths.max(axis=0), _LONG_PERCENTILE)),
    )


def recommend(config: TrainConfig, data: Prepared, world: World, base: LoadedModel | None = None) -> TrainConfig:
    """Choose values for the open options of a new run, and log them with reasons; all processes get the same.

    base  base model of an adaptation
    """
    if config.recipe is not Recipe.auto:
        return world.from_main(_with_few_choices(config, data, world, base))
    if data.tokenizer_config is not None:
        config = dataclasses.replace(config, tokenizer=data.tokenizer_config)
    text = text_statistics(data)
    config, choices = choose_settings(config, text, TrialUpdates(config, data, world))
    config.check()
    if not config.tokenizer.path:
        tokenizer = {f"tokenizer.{key}": getattr(config.tokenizer, key) for key in ("type", "vocab_size")}
        choices.insert(0, open_part(Choice(tokenizer, data.vocabulary_reason), config))
    logger.info("recipe=auto chooses these settings:")
    for choice in choices:
        if choice.values:
            logger.info(f"  {choice}")
    # other processors may round statistics differently
    return world.from_main(config)


def _with_few_choices(config: TrainConfig, data: Prepared, world: World, base: LoadedModel | None) -> TrainConfig:
    """Choose what is chosen with any recipe: the learning rate of an adaptation, and the size of batches."""
    choices = dict[str, Choice]()
    if base is not None:
        _warn_of_tokenizer(config, base)
        method = config.adapt.method
        choices[f"adapt={method}"] = choose_adaptation_rate(method, config.model.d_model)
    if any(key.startswith("batch.") for key in config.chosen):
        trials = TrialUpdates(config, data, world, base)
        key = "batch.tokens=auto" if "batch.tokens" in config.chosen else "batch.update_tokens"
        choices[key] = choose_batch_size(config, text_statistics(data), trials)
    for key, choice in choices.items():
        if (left_open := open_part(choice, config)).values:
            logger.info(f"{key} chooses {left_open}")
        config = with_choice(config, choice)
    config.check()
    return config


def _warn_of_tokenizer(config: TrainConfig, base: LoadedModel) -> None:
    """Warn of options of the vocabulary beside a base model, which has one."""
    default, size = TokenizerConfig(), base.tokenizer.source_vocab_size
    for name, value in vars(config.tokenizer).items():
        if value not in (getattr(default, name), size):  # a command may repeat the size
            logger.warning(
                f"tokenizer.{name}={value} has no effect beside adapt={config.adapt.method}: the vocabulary is that of "
                f"adapt.model={config.adapt.model}, which has {size:,} pieces"
            )
