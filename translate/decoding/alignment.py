r"""Alignment of words by attention, in Pharaoh form: "0-0 1-2" aligns source word 0 to target word 0, and 1 to 2.

A word is what stands between white space; in Chinese and Japanese text, which has none, it is a character.

Letters: S source and T target tokens, EOS counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.decoding.segmentation import UNSPACED

_CHARACTER = rf"(?!\s){UNSPACED.pattern}"
_WORD = re.compile(rf"{_CHARACTER}|(?:(?!{_CHARACTER})\S)+")
_SPACE = "▁"  # SentencePiece's
_BYTE = re.compile("<0x([0-9A-F]{2})>")
Link = tuple[int, int]  # indices of a source and a target word


@dataclass(frozen=True, eq=False)
class AttendedPart:
    """A segment of a line, its translation, and the attention between them.

    source, target  their pieces, without EOS and tag
    attention       (T, S), a row and a column for each piece and, last, for EOS
    """

    source: Sequence[str]
    target: Sequence[str]
    attention: NDArray[np.float32]


def words_of(text: str) -> list[str]:
    """The words of a text, whose indices alignments hold."""
    return _WORD.findall(text)


def align(parts: Sequence[AttendedPart], source: str, target: str) -> list[Link]:
    """Align each target word to the source word that its pieces attend to most, EOS left out.

    source, target  the texts that the pieces of all parts together spell
    """
    source_words = iter(words_of_pieces([piece for part in parts for piece in part.source], source))
    target_words = iter(words_of_pieces([piece for part in parts for piece in part.target], target))
    best: dict[int, tuple[float, int]] = {}  # target word -> attention and source word
    for part in parts:
        columns, from_source = _shares([next(source_words) for _ in part.source])
        rows, from_target = _shares([next(target_words) for _ in part.target])
        if not columns or not rows:
            continue
        # attention of a word: mean over its pieces; to a word: sum over them
        from_target /= from_target.sum(axis=0)
        weights = from_target.T @ part.attention[: len(part.target), : len(part.source)] @ from_source
        for row, column in enumerate(weights.argmax(axis=1)):
            # a word that two segments share keeps the stronger link
            link = float(weights[row, column]), columns[column]
            best[rows[row]] = max(best.get(rows[row], link), link)
    return sorted((column, row) for row, (_, column) in best.items())


def pharaoh(links: Sequence[Link]) -> str:
    return " ".join(f"{source}-{target}" for source, target in links)


def words_of_pieces(pieces: Sequence[str], text: str) -> list[list[int]]:
    """Indices of the words of a text that each of its pieces has characters of.

    Where the pieces begin as many words as the text has, those correspond, whatever has been done to their letters.
    Otherwise characters are counted; their positions are scaled where the text has more or fewer than the pieces.
    """
    words = words_of(text)
    by_spaces = list(_words_by_spaces(pieces))
    if max((index for indices in by_spaces for index in indices), default=-1) + 1 == len(words):
        return by_spaces
    word_of_character = [index for index, word in enumerate(words) for _ in word]
    if not word_of_character:
        return [[] for _ in pieces]
    lengths = [_num_characters(piece) for piece in pieces]
    # texts in another form, such as with capitals restored, have about the characters of the pieces in the same order
    scale = len(word_of_character) / max(1, sum(lengths))
    found, end = [], 0
    for length in lengths:
        start, end = end, end + length
        bounds = (min(round(x * scale), len(word_of_character)) for x in (start, end))
        found.append(sorted(set(word_of_character[slice(*bounds)])))
    return found


def _words_by_spaces(pieces: Sequence[str]) -> Iterator[list[int]]:
    """Indices of the words that each piece has characters of, if "▁" alone begins a word."""
    index, begins = -1, True
    for piece in pieces:
        indices = set()
        for character in piece:
            if character != _SPACE:
                index += begins
                indices.add(index)
            begins = character == _SPACE
        yield sorted(indices)


def _num_characters(piece: str) -> int:
    """Characters that a piece stands for, spaces not counted; one for the unknown token."""
    if byte := _BYTE.fullmatch(piece):
        return int(byte[1], 16) & 0xC0 != 0x80  # the first byte of a character counts for all
    return 1 if piece == "<unk>" else len(piece.replace(_SPACE, ""))


def _shares(words: Sequence[Sequence[int]]) -> tuple[list[int], NDArray[np.float32]]:
    """The words that some pieces spell, and how much of each piece each of them has, (pieces, words)."""
    present = sorted({index for indices in words for index in indices})
    columns = {index: column for column, index in enumerate(present)}
    shares = np.zeros((len(words), len(present)), np.float32)
    for row, indices in enumerate(words):
        for index in indices:
            shares[row, columns[index]] = 1 / len(indices)
    return present, shares
