"""Vocabularies of Marian models: source.spm and target.spm, whose pieces vocab.json numbers.

Most models have one vocabulary for both sides, with the pieces of both SentencePiece models; others have a second one,
target_vocab.json. Models of several target languages have a token such as >>deu<< for each, which is a tag here.
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
    is_placeholder,
    names_after_eos,
    read_names,
    require_ids,
    special_ids,
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
    extra = [_missing_pieces(model, own) for model, own in zip(models, names, strict=True)]
    if shared:
        # one table of embeddings: both sides have the same ids
        extra = [sorted({*extra[0], *extra[1]})] * 2
    source, target = (
        Side(_front(own, settings, file, directory), size, more)
        for own, file, size, more in zip(names, files, sizes, extra, strict=True)
    )
    tokenizer = Tokenizer(
        _reordered(models[0], names_after_eos(source, names[0]), directory / SOURCE_PIECES),
        _reordered(models[1], names_after_eos(target, names[1]), directory / TARGET_PIECES),
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
    controls = {piece for piece in names if _TAG.fullmatch(piece) or is_placeholder(piece)}
    # pieces of the other side: a unigram model can mark them as unused, but with BPE they would change the segmentation
    if not is_unigram(model) and set(names) - controls - set(text_pieces(model)):
        raise UserError(f"{path}: a BPE model that lacks pieces of {VOCABULARY}: only unigram models may lack some")
    return reordered(model, names, controls=controls)


def _missing_pieces(model: Any, names: list[str]) -> list[str]:
    """Pieces of a SentencePiece model that the vocabulary does not number."""
    known = set(names)
    return sorted(piece for piece in text_pieces(model) if piece not in known)


def _front(names: list[str], settings: Settings, file: Path, directory: Path) -> list[int]:
    """Published ids of PAD, UNK, BOS and EOS, and of tags.

    A Marian model begins translations with its PAD, which is therefore our BOS; it has no other PAD.
    """
    unknown, eos, pad = special_ids(names, settings, "eos", "pad", path=file, config=directory / CONFIG)
    tags = [token for token, name in enumerate(names) if _TAG.fullmatch(name)]
    return [NO_TOKEN, unknown, pad, eos, *tags]


def _manifest(directory: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    settings = tokenizer_settings(directory)
    # some models have the name of a language family or of a corpus there
    languages = {
        f"{side}_language": value
        for side in ("source", "target")
        if isinstance(value := settings.get(f"{side}_lang"), str) and _LANGUAGE.fullmatch(value)
    }
    return {**languages, "tags": list(tokenizer.tags), "untagged_source": not tokenizer.tags}
