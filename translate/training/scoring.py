"""BLEU's tokenizer in a run: chosen at its start and kept to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from translate.errors import UserError
from translate.evaluation.tokenizers import TokenizerChoice, choose_tokenizer, reason_missing, tokenizer_of_language
from translate.training.config import TrainConfig

References = Sequence[Sequence[str]]


def tokenizer_of_new_run(config: TrainConfig, references: References) -> TokenizerChoice:
    """The configured tokenizer, or the one for the target language or, without that, for the references' script."""
    if config.validation.tokenize:
        return TokenizerChoice(config.validation.tokenize)
    options = ("data.target_language", "validation.tokenize")
    return choose_tokenizer(references, language=config.data.target_language, options=options)


def tokenizer_of_run(config: TrainConfig, references: References, manifest: Mapping[str, Any]) -> TokenizerChoice:
    """The tokenizer that the run began with, as scores by another cannot be compared with its best one.

    Raises UserError where it is not installed.
    """
    choice = tokenizer_of_new_run(config, references)
    if config.validation.tokenize:
        return choice
    begun = str(manifest.get("bleu_tokenizer") or tokenizer_of_language(config.data.target_language))
    if reason := reason_missing(begun):
        raise UserError(
            f"this run began with BLEU by tok:{begun}, which is not installed here ({reason}): install it, or choose "
            "another run.dir"
        )
    if choice.name == begun:
        return choice
    return TokenizerChoice(
        begun, f"BLEU counts by tok:{begun}, as when this run began; a new run takes tok:{choice.name}"
    )
