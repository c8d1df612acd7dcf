"""The direction of a model of many languages (M2M100, NLLB): tokens of its languages as prefixes of sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from translate.data.formats.language_names import language_of_name
from translate.errors import UserError, excerpt
from translate.model_directory import LANGUAGE_TOKENS
from translate.models.seq2seq import ModelConfig
from translate.models.transformer_config import TransformerConfig
from translate.tokenizer import EOS

_LISTED = 8  # languages in a message
# codes of macrolanguages (ISO 639), for which NLLB has codes of single languages and scripts
_NLLB_CODES = {
    "ar": "arb_Arab",
    "az": "azj_Latn",
    "et": "est_Latn",
    "fa": "pes_Arab",
    "lv": "lvs_Latn",
    "mn": "khk_Cyrl",
    "ms": "zsm_Latn",
    "ne": "npi_Deva",
    "no": "nob_Latn",
    "om": "gaz_Latn",
    "ps": "pbt_Arab",
    "sq": "als_Latn",
    "sw": "swh_Latn",
    "uz": "uzn_Latn",
    "zh": "zho_Hans",
    "zh-hant": "zho_Hant",
    "zh-tw": "zho_Hant",
}


def with_languages(
    config: ModelConfig, manifest: Mapping[str, Any], languages: Sequence[str], *, group: str = "data."
) -> ModelConfig:
    """The configuration of a model of many languages for one direction; any other configuration as it is.

    languages  source and target; "" keeps the one that the model has
    group      of the options that name the languages, for errors

    Raises UserError for a language that the model lacks, and where none is given or kept.
    """
    tokens = manifest.get(LANGUAGE_TOKENS)
    if not tokens or not isinstance(config, TransformerConfig):
        return config
    if not isinstance(tokens, dict) or not all(type(token) is int for token in tokens.values()):
        raise UserError(f"the manifest.json of the model: {LANGUAGE_TOKENS} is damaged")
    source, target = (
        token_of_language(language, tokens, option=option) if language else None
        for language, option in zip(languages, (f"{group}source_language", f"{group}target_language"), strict=True)
    )
    source_prefix = config.source_prefix if source is None else [source]
    # the decoder reads EOS, or what else it begins with, before the token of the language
    start = config.target_prefix[:1] or [EOS]
    target_prefix = config.target_prefix if target is None else [*start, target]
    if not source_prefix or len(target_prefix) < 2:
        raise UserError(
            f"a model of many languages ({_some(tokens)}): set {group}source_language and {group}target_language"
        )
    return dataclasses.replace(config, source_prefix=source_prefix, target_prefix=target_prefix)


def token_of_language(language: str, tokens: Mapping[str, int], *, option: str) -> int:
    """Id of a language's token: by the model's own code of it, such as eng_Latn, or a code such as en."""
    if language in tokens:
        return tokens[language]
    wanted = language.lower().replace("_", "-")
    two_letters = language_of_name(wanted) or wanted.partition("-")[0]
    # the table comes first: without it, zh would be whichever of zho_Hans and zho_Hant the vocabulary has first
    candidates = [_NLLB_CODES.get(wanted, ""), wanted, _NLLB_CODES.get(two_letters, ""), two_letters]
    candidates += [
        token for token in tokens if "_" in token and language_of_name(token.partition("_")[0]) == two_letters
    ]
    for candidate in candidates:
        if candidate in tokens:
            return tokens[candidate]
    raise UserError(f"{option}={excerpt(language)}: the model has no such language, only {_some(tokens)}")


def _some(tokens: Mapping[str, int]) -> str:
    names = sorted(tokens)
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
