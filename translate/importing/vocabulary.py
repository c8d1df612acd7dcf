"""Vocabularies of published models: the published id of each of our token ids.

Our vocabularies begin with PAD, UNK, BOS and EOS, then tags; published ones have these tokens at other ids. An imported
vocabulary is therefore a permutation of the published one. It is determined by the published ids of its first tokens
(front), since all others follow in their order: this short list in the manifest is enough to export the model again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.files import read_json
from translate.importing.pieces import RESERVED
from translate.importing.settings import Settings
from translate.tokenizer import EOS, Tokenizer

NO_TOKEN = -1  # in a list of published ids: the published vocabulary has no such token
TOKENIZER_SETTINGS = "tokenizer_config.json"
UNKNOWN = "<unk>"  # in all published vocabularies
_PLACEHOLDER = "<unused:"


@dataclass(frozen=True)
class Side:
    """One side's vocabulary.

    front  published ids of our first tokens: PAD, UNK, BOS, EOS, tags
    size   of the published vocabulary
    extra  pieces that SentencePiece knows and the published vocabulary lacks, with ids after all others. They are read
           as UNK, as transformers does: without an id of their own, SentencePiece would segment the text in another way
    """

    front: list[int]
    size: int
    extra: list[str] = field(default_factory=list)

    def rows(self) -> list[int]:
        """The published id of each of ours; NO_TOKEN for none. Extra pieces are UNK."""
        unknown = self.front[1]
        return published_rows(self.front, self.size) + [unknown] * len(self.extra)

    def is_token(self) -> list[bool]:
        """False for ids that stand for no published token of their own."""
        return [row != NO_TOKEN for row in published_rows(self.front, self.size)] + [False] * len(self.extra)


def published_rows(front: list[int], size: int) -> list[int]:
    """The published id of each of our ids, for a vocabulary that begins with these; NO_TOKEN for none."""
    first = set(front)
    return front + [token for token in range(size) if token not in first]


@dataclass(frozen=True)
class PublishedVocabulary:
    """Our tokenizer with the vocabularies of a published model.

    start            our id of the token that the decoder begins with
    manifest         entries for the manifest
    """

    tokenizer: Tokenizer
    source: Side
    target: Side
    start: int
    manifest: dict[str, Any] = field(default_factory=dict)


def read_names(path: Path, size: int) -> list[str]:
    """Names of a vocabulary's tokens by id, from a vocab.json; "" for ids that it leaves out.

    Raises UserError for ids that are no numbers below `size`, or given twice.
    """
    if not path.is_file():
        raise UserError(f"{path}: this file of the model is missing; copy it, too")
    vocabulary = read_json(path)
    names = [""] * size
    for name, token in vocabulary.items():
        set_name(names, token, name, path)
    return names


def set_name(names: list[str], token: Any, name: Any, path: Path) -> None:
    """Name the token of an id. Raises UserError for an id that is no number below the size, or is given twice."""
    if type(token) is not int or not 0 <= token < len(names) or not isinstance(name, str):
        found = f"{excerpt(repr(name))} ({excerpt(token)})"
        raise UserError(f"{path}: the id of {found} must be one of the {len(names):,} that the model has")
    if names[token]:
        raise UserError(f"{path}: {excerpt(repr(name))} and {excerpt(repr(names[token]))} have the id {token}")
    names[token] = name


def special_ids(names: list[str], settings: Settings, *special: str, path: Path, config: Path) -> list[int]:
    """Id of UNK by the names of tokens, then ids by config.json, such as that of eos for "eos".

    path, config  of the vocabulary and of config.json, for errors

    Raises UserError for ids that are missing, out of range, or given twice.
    """
    if UNKNOWN not in names:
        raise UserError(f"{path}: {UNKNOWN} is missing, which every vocabulary has")
    ids = {f"{name}_token_id": getattr(settings, f"{name}_token_id") for name in special}
    # config.json does not name UNK
    ids[UNKNOWN] = names.index(UNKNOWN)
    require_ids(ids, len(names), config)
    return [ids[UNKNOWN], *(ids[f"{name}_token_id"] for name in special)]


def require_ids(ids: Mapping[str, int], size: int, path: Path) -> None:
    """Raise UserError for ids of special tokens that are not of the vocabulary, or given twice."""
    for name, token in ids.items():
        if not 0 <= token < size:
            raise UserError(f"{path}: {name} ({token}) must be below the size of the vocabulary ({size:,})")
    repeated = [token for token, count in Counter(ids.values()).items() if count > 1]
    if repeated:
        both = " and ".join(name for name, token in ids.items() if token == repeated[0])
        raise UserError(f"{path}: {both} are the same id ({repeated[0]})")


def names_after_eos(side: Side, names: list[str]) -> list[str]:
    """Names of our tokens from EOS + 1 on, each of them once, as SentencePiece requires.

    A placeholder stands for a published id without a name, and for one that has the name of PAD, UNK, BOS or EOS.
    """
    taken = set(RESERVED.values())
    rows = published_rows(side.front, side.size)[EOS + 1 :]
    return [
        names[row] if names[row] and names[row] not in taken else f"{_PLACEHOLDER}{row}>" for row in rows
    ] + side.extra


def is_placeholder(name: str) -> bool:
    return name.startswith(_PLACEHOLDER)


def tokenizer_settings(directory: Path) -> dict[str, Any]:
    path = directory / TOKENIZER_SETTINGS
    return read_json(path) if path.is_file() else {}
