"""Tokenizers in the format of transformers: files of MarianTokenizer, M2M100Tokenizer and NllbTokenizer."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.checkpoint import LoadedModel
from translate.errors import UserError
from translate.files import write_json
from translate.importing.m2m100 import VOCABULARY
from translate.importing.marian import SOURCE_PIECES, TARGET_PIECES, TARGET_VOCABULARY
from translate.importing.nllb import TOKENIZER
from translate.importing.pieces import PIECES, RESERVED, is_unigram, read_pieces, text_pieces
from translate.importing.settings import M2M100
from translate.importing.vocabulary import NO_TOKEN, TOKENIZER_SETTINGS, published_rows
from translate.model_directory import LANGUAGE_TOKENS
from translate.models.transformer_config import TransformerConfig
from translate.tokenizer import BOS, EOS, PAD, TOKENIZER_FILES, UNK, Tokenizer

EXPORTED_TOKENIZER_FILES = (
    SOURCE_PIECES,
    TARGET_PIECES,
    VOCABULARY,
    TARGET_VOCABULARY,
    PIECES,
    TOKENIZER,
    TOKENIZER_SETTINGS,
)
JOINT_MODEL, SOURCE_MODEL, TARGET_MODEL = TOKENIZER_FILES


@dataclass(frozen=True)
class Ids:
    """Ids of tokens in an export: those of the vocabulary that was imported, or ours.

    source, target            the published id of each of our ids; NO_TOKEN for none
    source_rows, target_rows  our id of each published one
    """

    source: list[int]
    target: list[int]

    @classmethod
    def of(cls, loaded: LoadedModel, model_type: str) -> Ids:
        """Raises UserError for a damaged manifest, and for an M2M100 that was not imported."""
        sizes = loaded.tokenizer.source_vocab_size, loaded.tokenizer.target_vocab_size
        origin = loaded.manifest.get("huggingface")
        if origin is None:
            if model_type == M2M100:
                raise UserError("model.positions=fairseq: only imported models fit M2M100")
            return cls(list(range(sizes[0])), list(range(sizes[1])))
        try:
            orders = [
                published_rows(list(origin[side]["front"]), int(origin[side]["size"])) for side in ("source", "target")
            ]
        except (KeyError, TypeError, ValueError):
            orders = [[], []]
        for order, size in zip(orders, sizes, strict=True):
            real = [token for token in order if token != NO_TOKEN]
            # a permutation: each published id exactly once
            if not real or len(order) > size or sorted(real) != list(range(len(real))):
                raise UserError(f"{loaded.directory}: the entry huggingface of the manifest is damaged")
        return cls(*orders)

    @property
    def source_rows(self) -> list[int]:
        return _inverse(self.source)

    @property
    def target_rows(self) -> list[int]:
        return _inverse(self.target)

    @property
    def has_pad(self) -> bool:
        """False for Marian, where the token that the decoder begins with is also PAD."""
        return self.target[PAD] != NO_TOKEN

    @property
    def pad(self) -> int:
        return self.target[PAD] if self.has_pad else self.target[BOS]

    def of_target(self, token: int) -> int:
        return self.target[token]


def _inverse(published: Sequence[int]) -> list[int]:
    ours = {row: token for token, row in enumerate(published) if row != NO_TOKEN}
    return [ours[row] for row in range(len(ours))]


def write_tokenizer(directory: Path, loaded: LoadedModel, config: TransformerConfig, ids: Ids) -> None:
    """Write the files of the tokenizer that transformers has for the model."""
    if loaded.manifest.get(LANGUAGE_TOKENS):
        _write_multilingual(directory, loaded, config, ids)
    else:
        _write_marian(directory, loaded, config, ids)


def _names(pieces: Any, rows: Sequence[int], ids: Ids) -> list[str]:
    """Names by published id."""
    names: list[str] = pieces(rows)
    # in Marian, the id that translations begin with is PAD, and our BOS
    if not ids.has_pad:
        names[ids.pad] = RESERVED[PAD]
    return names


def _write_marian(directory: Path, loaded: LoadedModel, config: TransformerConfig, ids: Ids) -> None:
    tokenizer: Tokenizer = loaded.tokenizer
    names = [
        _names(tokenizer.source_pieces, ids.source_rows, ids),
        _names(tokenizer.target_pieces, ids.target_rows, ids),
    ]
    tokenizer.save(directory)
    if (joint := directory / JOINT_MODEL).exists():
        shutil.copyfile(joint, directory / SOURCE_PIECES)
        joint.rename(directory / TARGET_PIECES)
    else:
        (directory / SOURCE_MODEL).rename(directory / SOURCE_PIECES)
        (directory / TARGET_MODEL).rename(directory / TARGET_PIECES)
    # vocabularies learned from joint text are equal, and are written once, as those of OPUS-MT are
    is_separate = names[0] != names[1]
    for file, own in [(VOCABULARY, names[0])] + ([(TARGET_VOCABULARY, names[1])] if is_separate else []):
        write_json(directory / file, {name: token for token, name in enumerate(own)})
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": loaded.manifest.get("source_language") or None,
        "target_lang": loaded.manifest.get("target_language") or None,
        "separate_vocabs": is_separate,
        "model_max_length": config.max_length + 1,  # EOS counts there
        "pad_token": RESERVED[PAD],
        "unk_token": RESERVED[UNK],
        "eos_token": RESERVED[EOS],
        "clean_up_tokenization_spaces": False,
        # MarianTokenizer finds tags such as >>deu<< by itself
        "additional_special_tokens": [tag for tag in tokenizer.tags if not tag.startswith(">>")],
    }
    write_json(directory / TOKENIZER_SETTINGS, settings)


def _write_multilingual(directory: Path, loaded: LoadedModel, config: TransformerConfig, ids: Ids) -> None:
    """Files of M2M100Tokenizer or NllbTokenizer, which know the languages of the model by their tokens."""
    codes = {token: code for code, token in loaded.manifest[LANGUAGE_TOKENS].items()}
    names = _names(loaded.tokenizer.source_pieces, ids.source_rows, ids)
    settings: dict[str, Any] = {
        "tokenizer_class": "M2M100Tokenizer",
        "src_lang": codes.get(config.source_prefix[0]) if config.source_prefix else None,
        "tgt_lang": codes.get(config.target_prefix[1]) if len(config.target_prefix) > 1 else None,
        **{f"{key}_token": RESERVED[token] for key, token in (("pad", PAD), ("unk", UNK), ("bos", BOS), ("eos", EOS))},
    }
    loaded.tokenizer.save(directory)
    (directory / JOINT_MODEL).rename(directory / PIECES)
    # M2M100 writes the token of English as __en__, NLLB as eng_Latn
    if any(name.startswith("__") for name in (names[ids.source[token]] for token in codes)):
        # M2M100Tokenizer numbers the languages by itself, from the first id that vocab.json leaves
        first = min(ids.source[token] for token in codes)
        write_json(directory / VOCABULARY, {name: token for token, name in enumerate(names[:first])})
    else:
        settings["tokenizer_class"] = "NllbTokenizer"
        write_json(directory / TOKENIZER, _nllb(directory / PIECES, names, settings["src_lang"]))
        # its ids are ours; NllbTokenizer would take them for those of fairseq
        (directory / PIECES).unlink()
    write_json(directory / TOKENIZER_SETTINGS, settings)


def _nllb(path: Path, names: list[str], language: str | None) -> dict[str, Any]:
    """The content of a tokenizer.json. Raises UserError for a unigram model, of which no NLLB is made.

    names     of tokens by published id
    language  name of the token in front of each source; None for a model without a direction
    """
    model = read_pieces(path)
    if is_unigram(model):
        raise UserError(f"{path}: a unigram model; that of NllbTokenizer is BPE")
    texts = set(text_pieces(model))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": name, **flags} for token, name in enumerate(names) if name not in texts
        ],
        "normalizer": _normalizer(model.normalizer_spec.precompiled_charsmap),
        "pre_tokenizer": _metaspace(),
        "post_processor": _post_processor(names, language),
        "decoder": _metaspace(),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": RESERVED[UNK],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {name: token for token, name in enumerate(names) if name in texts or name in RESERVED.values()},
            "merges": _merges(model),
        },
    }


def _post_processor(names: list[str], language: str | None) -> dict[str, Any]:
    """The tokens around a sentence: that of its language in front, EOS at the end."""
    front = [_special(language)] if language else []
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    end = _special(RESERVED[EOS])
    used = [RESERVED[EOS], *([language] if language else [])]
    return {
        "type": "TemplateProcessing",
        "single": [*front, first, end],
        "pair": [*front, first, second, end],
        "special_tokens": {name: {"id": name, "ids": [names.index(name)], "tokens": [name]} for name in used},
    }


def _special(name: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def _metaspace() -> dict[str, Any]:
    # "▁" in front of the first word as well, as SentencePiece writes it
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}


def _normalizer(charsmap: bytes) -> dict[str, Any]:
    """SentencePiece's table of characters, then its removal of repeated spaces."""
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    table = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode("ascii")}
    return {"type": "Sequence", "normalizers": [*([table] if charsmap else []), spaces]}


def _merges(model: Any) -> list[list[str]]:
    """All pairs of pieces that make a piece, the pieces with the highest scores first.

    SentencePiece stores no merges, only scores that rank the pieces: any pair with a piece as its result may be merged.
    """
    known = set(text_pieces(model))
    ranked = sorted((piece for piece in model.pieces if piece.piece in known), key=lambda piece: -piece.score)
    return [
        [text[:cut], text[cut:]]
        for text in (piece.piece for piece in ranked)
        for cut in range(1, len(text))
        if text[:cut] in known and text[cut:] in known
    ]
