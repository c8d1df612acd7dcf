"""Pieces and token names of NLLB: tokenizer.json, or a SentencePiece model whose ids are moved by one.

fairseq has four special tokens in front of the pieces, SentencePiece three; tokens of languages follow the pieces. A
model that transformers has saved since version 5 has tokenizer.json alone: a SentencePiece model is made from it.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.files import read_json
from translate.importing.pieces import PIECES, new_pieces, read_pieces
from translate.importing.vocabulary import TOKENIZER_SETTINGS, set_name, tokenizer_settings
from translate.parsing import parse_json, read_small

TOKENIZER = "tokenizer.json"
_MAX_BYTES = 1 << 27
_FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]  # ids 0 to 3
_SPECIAL_FILES = ("special_tokens_map.json", TOKENIZER_SETTINGS)


def read_nllb_pieces(directory: Path, size: int) -> tuple[Any, list[str]]:
    """The SentencePiece model, and names of tokens by id. Raises UserError for missing and damaged files.

    size  of the vocabulary
    """
    # old versions of transformers encoded in that way, unlike the training of NLLB
    if tokenizer_settings(directory).get("legacy_behaviour"):
        path = directory / TOKENIZER_SETTINGS
        raise UserError(f"{path}: with legacy_behaviour the source's language is behind it; set it to false")
    names = [""] * size
    if (path := directory / TOKENIZER).is_file():
        content = _read(path)
        model = read_pieces(directory / PIECES) if (directory / PIECES).is_file() else _model(content, path)
        for name, token in content["names"]:
            set_name(names, token, name, path)
        return model, names
    path = directory / PIECES
    model = read_pieces(path)
    pieces = [*_FAIRSEQ, *(piece.piece for piece in model.pieces[len(_FAIRSEQ) - 1 :])]
    for token, name in enumerate([*pieces, *_languages(directory)]):
        set_name(names, token, name, path)
    return model, names


def _languages(directory: Path) -> list[str]:
    """Names of the tokens behind the pieces, in their order."""
    for name in _SPECIAL_FILES:
        content = read_json(directory / name) if (directory / name).is_file() else {}
        listed = content.get("additional_special_tokens") or content.get("extra_special_tokens")
        if isinstance(listed, list):
            return [str(token.get("content", "")) if isinstance(token, dict) else str(token) for token in listed]
    return []


def _read(path: Path) -> dict[str, Any]:
    """Model and normaliser of a tokenizer.json, and pairs of name and id. Raises UserError for other content."""
    try:
        content = parse_json(read_small(path, max_bytes=_MAX_BYTES))
        model = content["model"]
        vocabulary = model["vocab"]
        if isinstance(vocabulary, dict):
            names = [*vocabulary.items()]
        else:
            names = [(name, token) for token, (name, _) in enumerate(vocabulary)]
        known = dict(names)
        added = [(token["content"], token["id"]) for token in content.get("added_tokens", [])]
        names += [(name, token) for name, token in added if known.get(name) != token]
        return {"model": model, "normalizer": content.get("normalizer") or {}, "names": names}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the file of a tokenizer, or a damaged one: {excerpt(error)}") from None


def _model(content: dict[str, Any], path: Path) -> Any:
    """The SentencePiece model that a tokenizer.json was once made of. Raises UserError for other kinds of model."""
    kind, vocabulary = content["model"].get("type"), content["model"]["vocab"]
    try:
        if kind == "Unigram":
            scores = {name: float(score) for name, score in vocabulary}
        elif kind == "BPE":
            scores = _bpe_scores(vocabulary, content["model"]["merges"])
        else:
            raise UserError(f"{path}: model.type={excerpt(kind)} is none of BPE, Unigram")
        # the table that SentencePiece normalises characters with, kept as it is
        charsmap = base64.b64decode(_charsmap(content["normalizer"]), validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise UserError(f"{path}: pieces or merges are damaged: {excerpt(error)}") from None
    scores = {name: score for name, score in scores.items() if name and name not in _FAIRSEQ}
    return new_pieces(scores, unigram=kind == "Unigram", charsmap=charsmap)


def _bpe_scores(vocabulary: dict[str, int], merges: list[Any]) -> dict[str, float]:
    """The score of each piece: minus the rank of the first merge that makes it; characters come last.

    SentencePiece merges the pair whose result has the highest score, so that these scores repeat the merges in order.
    """
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        # a pair, in older files as one text
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(first + second, rank)
    return {name: -float(ranks.get(name, len(merges) + token)) for name, token in vocabulary.items()}


def _charsmap(normalizer: dict[str, Any]) -> str:
    """SentencePiece's table of characters, in base 64; "" for none."""
    steps = [normalizer, *normalizer.get("normalizers", [])]
    return next((step["precompiled_charsmap"] for step in steps if step.get("type") == "Precompiled"), "") or ""
