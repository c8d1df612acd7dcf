"""Vocabularies of Marian models: source.spm and target.spm, whose pieces vocab.json numbers.

A model has one vocabulary for both sides, with the pieces of both SentencePiece models, or target_vocab.json as well.
Models of several target languages have a token such as >>deu<< for each, which is a tag here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.importing.pieces import is_unigram, read_pieces, reordered, text_pieces
from translate.importing.settings import CONFIG, Settings
from translate.importing.vocabulary import (
    NO_TOKEN,
    PublishedVocabulary,
    Side,
    id_of,
    is_made_up,
    names_behind,
    read_names,
    require_ids,
    tokenizer_settings,
)
from translate.text import TEXT_FORM
from translate.tokenizer import Tokenizer

SOURCE_PIECES, TARGET_PIECES = "source.spm", "target.spm"
VOCABULARY, TARGET_VOCABULARY = "vocab.json", "target_vocab.json"
_TAG = re.compile(r">>[^<>\s]+<<")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([_-]\w+)*")


def read_marian(directory: Path, settings: Settings) -> PublishedVocabulary:
    """The vocabularies of a Marian model. Raises UserError for files that are missing or do not fit together."""
    shared = settings.share_encoder_decoder_embeddings
    models = [read_pieces(directory / SOURCE_PIECES), read_pieces(directory / TARGET_PIECES)]
    files = [directory / VOCABULARY, directory / (VOCABULARY if shared else TARGET_VOCABULARY)]
    sizes = settings.vocab_size, settings.target_vocab_size
    names = [read_names(file, size) for file, size in zip(files, sizes, strict=True)]
    extra = [_lacking(model, own) for model, own in zip(models, names, strict=True)]
    if shared:
        # one table of embeddings: both sides have the same ids
        extra = [sorted({*extra[0], *extra[1]})] * 2
    source, target = (
        Side(_front(own, settings, file, directory), size, more)
        for own, file, size, more in zip(names, files, sizes, extra, strict=True)
    )
    tokenizer = Tokenizer(
        _reordered(models[0], names_behind(source, names[0]), directory / SOURCE_PIECES),
        _reordered(models[1], names_behind(target, names[1]), directory / TARGET_PIECES),
        text_form=TEXT_FORM,
    )
    rows = target.rows()
    require_ids({"decoder_start_token_id": settings.decoder_start_token_id}, target.size, directory / CONFIG)
    return PublishedVocabulary(
        tokenizer,
        source,
        target,
        start=rows.index(settings.decoder_start_token_id),
        manifest=_manifest(directory, tokenizer),
    )


def _reordered(model: Any, names: list[str], path: Path) -> bytes:
    """The serialised model with these pieces. Raises UserError for a BPE model that lacks some of them."""
    controls = {piece for piece in names if _TAG.fullmatch(piece) or is_made_up(piece)}
    if not is_unigram(model) and set(names) - controls - set(text_pieces(model)):
        raise UserError(f"{path}: a BPE model that lacks pieces of {VOCABULARY}: only unigram models may lack some")
    return reordered(model, names, controls=controls)


def _lacking(model: Any, names: list[str]) -> list[str]:
    known = set(names)
    return sorted(piece for piece in text_pieces(model) if piece not in known)


def _front(names: list[str], settings: Settings, file: Path, directory: Path) -> list[int]:
    """PAD, which no Marian model has apart from the decoder's start, UNK, BOS, EOS, and tags."""
    ids = {"eos_token_id": settings.eos_token_id, "pad_token_id": settings.pad_token_id}
    unknown = id_of(names, "<unk>", file)
    require_ids({**ids, "<unk>": unknown}, len(names), directory / CONFIG)
    tags = [token for token, name in enumerate(names) if _TAG.fullmatch(name)]
    return [NO_TOKEN, unknown, settings.pad_token_id, settings.eos_token_id, *tags]


def _manifest(directory: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    settings = tokenizer_settings(directory)
    languages = {
        f"{side}_language": value
        for side in ("source", "target")
        if isinstance(value := settings.get(f"{side}_lang"), str) and _LANGUAGE.fullmatch(value)
    }
    return {**languages, "tags": list(tokenizer.tags), "untagged_source": not tokenizer.tags}
