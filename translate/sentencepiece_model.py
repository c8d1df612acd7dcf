"""The pieces in a serialised SentencePiece model, and what kind each is: sentencepiece.proto, read by hand.

SentencePiece matches user-defined symbols anywhere in a text. A control symbol has an id, too, but no text ever
becomes one: that is what a tag has to be, which SentencePiece's trainer must see as a user-defined symbol nevertheless,
lest it learns a piece with the same characters.
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
    """A piece; place is where the byte of its kind stands in the model, None for that of normal pieces."""

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
    """The symbols of a kind with their ids, PAD, UNK, BOS and EOS not among them."""
    found = {}
    for token, piece in islice(enumerate(pieces(model)), EOS + 1, None):
        if piece.kind not in (CONTROL, USER_DEFINED):
            break  # all symbols stand before what was learned
        if piece.kind == kind:
            found[piece.text] = token
    return found


def with_controls(model: bytes, symbols: Collection[str]) -> bytes:
    """The model with these user-defined symbols as control symbols."""
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
    """A number of seven bits a byte, and the place after it."""
    value, shift = 0, 0
    while True:
        byte = model[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
