"""Validation sets, one of each direction: their batches, and the tokenizers of their BLEU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from translate.batch import Batch, pad_batch
from translate.data.batching import BatchConfig, BatchPlan
from translate.data.corpora import ParallelText
from translate.data.languages import TrainedDirection, directions_of, directions_of_manifest
from translate.data.prepare import Prepared
from translate.errors import UserError
from translate.evaluation.tokenizers import TokenizerChoice, choose_tokenizer, reason_missing, tokenizer_of_language
from translate.tokenizer import Tokenizer
from translate.training.config import TrainConfig


@dataclass(frozen=True, eq=False)
class ValidationSet:
    """A validation set, encoded once; tokenizer: of its BLEU."""

    text: ParallelText
    batches: list[Batch]
    tokenizer: TokenizerChoice


def validation_sets(config: TrainConfig, data: Prepared, manifest: Mapping[str, Any]) -> list[ValidationSet]:
    """The validation set, or that of each direction; manifest: of the run."""
    tokens, max_length = config.batch.tokens, config.model.max_length
    return [
        ValidationSet(
            text,
            encode_validation(text, data.tokenizer, tokens=tokens, max_length=max_length),
            tokenizer_of_run(config, text, manifest),
        )
        for text in data.validation_sets
    ]


def tokenizer_of_test(config: TrainConfig, text: ParallelText, sets: Sequence[ValidationSet]) -> TokenizerChoice:
    """The tokenizer of a test set: that of the validation set in its target language."""
    of_language = (each.tokenizer for each in sets if each.text.languages[1] == text.languages[1])
    return next(of_language, None) or tokenizer_of_new_run(config, text)


def encode_validation(text: ParallelText, tokenizer: Tokenizer, *, tokens: int, max_length: int) -> list[Batch]:
    """Padded batches of the pairs that the model can read whole and that have two sides, of the first reference.

    Raises UserError where there are none.
    """
    source = [np.array(ids) for ids in tokenizer.encode_source(text.source)]
    target = [np.array(ids) for ids in tokenizer.encode_target(text.target)]
    # an empty side has no tokens to predict from or to score; the decoder splits long lines, a loss cannot
    fitting = [
        number
        for number, pair in enumerate(zip(source, target, strict=True))
        if all(0 < len(ids) <= max_length for ids in pair)
    ]
    if not fitting:
        raise UserError(
            f"{text.key}: none of its {len(text):,} pairs has two sides of 1 to {max_length} tokens "
            "(model.max_length), so there is no loss to validate with"
        )
    source, target = [source[number] for number in fitting], [target[number] for number in fitting]
    config = BatchConfig(tokens=tokens)
    source_lengths, target_lengths = (np.array([len(ids) for ids in side], dtype=np.int32) for side in (source, target))
    repeats = np.ones(len(fitting), dtype=np.float32)
    # one seed for all validations: the same batches give comparable losses
    plan = BatchPlan(config).epoch((source_lengths, target_lengths), repeats, seed=0, epoch=0)
    return [
        pad_batch([source[i] for i in planned.pairs], [target[i] for i in planned.pairs], config.length_multiple)
        for planned in plan
    ]


def tokenizer_of_new_run(config: TrainConfig, text: ParallelText) -> TokenizerChoice:
    """The configured tokenizer, or the one for the target language or, without that, for the references' script."""
    if config.validation.tokenize:
        return TokenizerChoice(config.validation.tokenize)
    options = ("data.target_language", "validation.tokenize")
    return choose_tokenizer(text.references, language=text.languages[1], options=options)


def tokenizer_of_run(config: TrainConfig, text: ParallelText, manifest: Mapping[str, Any]) -> TokenizerChoice:
    """The tokenizer that the run began with, as scores by another cannot be compared with its best one.

    Raises UserError where it is not installed.
    """
    choice = tokenizer_of_new_run(config, text)
    if config.validation.tokenize:
        return choice
    recorded = {each.name: each.bleu_tokenizer for each in directions_of_manifest(manifest)}
    # older versions did not record it: there it followed the target language
    begun = str(recorded.get(text.name) or manifest.get("bleu_tokenizer") or tokenizer_of_language(text.languages[1]))
    if reason := reason_missing(begun):
        raise UserError(
            f"this run began with BLEU by tok:{begun}, which is not installed here ({reason}): install it, or choose "
            "another run.dir"
        )
    # the set of installed tokenizers may have grown since: the run keeps its own
    if choice.name == begun:
        return choice
    return TokenizerChoice(
        begun, f"BLEU counts by tok:{begun}, as when this run began; a new run takes tok:{choice.name}"
    )


def describe_directions(config: TrainConfig, data: Prepared, base: Mapping[str, Any]) -> dict[str, Any]:
    """BLEU's tokenizer for the manifest; of a model of several directions, each with languages, tag and tokenizer.

    base  manifest of the model that is adapted; {}: none. Its other directions stay, in whatever quality
    """
    tokenizers = {text.name: tokenizer_of_new_run(config, text).name for text in data.validation_sets}
    own, inherited, tokenizer = config.data.directions, directions_of_manifest(base), tokenizers[data.valid.name]
    if not own and inherited:
        own = directions_of([corpus for _, corpus in config.data.training_corpora])
        tokenizers = {each.name: tokenizer for each in own}
    directions = [
        TrainedDirection(
            source_language=each.source_language,
            target_language=each.target_language,
            tag=each.tag,
            bleu_tokenizer=tokenizers[each.name],
        )
        for each in own
    ]
    names = {each.name for each in own}
    directions += [each for each in inherited if each.name not in names]
    recorded = {"directions": [asdict(each) for each in directions]} if directions else {}
    return recorded if config.data.directions else {"bleu_tokenizer": tokenizer, **recorded}
