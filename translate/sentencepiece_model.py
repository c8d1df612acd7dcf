"""The pieces in a serialised SentencePiece model and their types: a small parser of sentencepiece.proto.

SentencePiece matches user-defined symbols anywhere in a text. A control symbol has an id as well, but no text ever
becomes one, which is what tags need. In training, tags are user-defined symbols nevertheless, so that the trainer
learns no piece with the same characters; with_controls changes their type afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from translate.special_tokens import EOS

CONTROL, USER_DEFINED = 3, 4  # SentencePiece.Type
_NORMAL = 1
_PIECES = 0x0A  # ModelProto, field 1: SentencePiece, each with its length
_TEXT, _SCORE, _TYPE = 0x0A, 0x15, 0x18  # SentencePiece, fields 1 to 3: string, float, enum


@dataclass(frozen=True)
class Piece:
    """A piece; place: offset of the byte with its kind in the model, None for normal pieces, which have none."""

    text: str
    kind: int
    place: int | None


def pieces(model: bytes) -> Iterator[Piece]:
    """The pieces of a model, in the order of their ids."""
    place = 0
    while place < len(model) and model[place] == _PIECES:  # they stand before everything else
        length, start = _varint(model, place + 1)
        place = start + length
        yield _piece(model, start, place)


def symbols(model: bytes, kind: int) -> dict[str, int]:
    """The symbols of a kind with their ids, without PAD, UNK, BOS and EOS."""
    found = {}
    for token, piece in islice(enumerate(pieces(model)), EOS + 1, None):
        if piece.kind not in (CONTROL, USER_DEFINED):
            break  # all symbols stand before what was learned
        if piece.kind == kind:
            found[piece.text] = token
    return found


def with_controls(model: bytes, symbols: Collection[str]) -> bytes:
    """The model with these user-defined symbols turned into control symbols."""
    changed = bytearray(model)
    for piece in pieces(model):
        if piece.text in symbols and piece.kind == USER_DEFINED:
            assert piece.place is not None
            changed[piece.place] = CONTROL
    return bytes(changed)


def _piece(model: bytes, start: int, end: int) -> Piece:
    text, kind, kind_place = "", _NORMAL, None
    while start < end:
        field, start = model[start], start + 1
        if field == _TEXT:
            length, start = _varint(model, start)
            text, start = model[start : start + length].decode("utf-8"), start + length
        elif field == _SCORE:
            start += 4
        else:
            assert field == _TYPE, "a piece has text, score and type"
            kind_place = start
            kind, start = _varint(model, start)
    return Piece(text, kind, kind_place)


def _varint(model: bytes, place: int) -> tuple[int, int]:
    """The variable-length number at an offset, seven bits a byte, and the offset after it."""
    value, shift = 0, 0
    while True:
        byte = model[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
