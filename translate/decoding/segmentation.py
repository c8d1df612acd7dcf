"""Lines that are too long for the model, cut where a reader would pause, and their translations rejoined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Encode = Callable[[Sequence[str]], list[list[int]]]

_CLOSING = "\"'’”»›)\\]」』）】》"
# A lower-case letter after the mark means that the sentence goes on: "approx. ten". Looking behind keeps the
# time linear in a line that is nothing but full stops.
_SENTENCE = re.compile(
    rf"(?<![.?!…])[.?!…]++[{_CLOSING}]*+\s++(?![a-zà-öø-ÿа-я])|[。！？｡]++[{_CLOSING}]*+\s*+|[।؟۔]++\s*+"
)
_CLAUSE = re.compile(rf"(?<![,;:–—])[,;:–—]++[{_CLOSING}]*+\s++|[，；：、､،؛]++[{_CLOSING}]*+\s*+")
_SPACE = re.compile(r"\s+")
_NO_SPACES = re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Segment:
    """Part of a line: its source tokens, without EOS; not whole where a word may go on in the next one."""

    tokens: list[int]
    whole: bool = True


def split_line(line: str, tokens: list[int], *, encode: Encode, max_tokens: int) -> list[Segment]:
    """The segments, of at most max_tokens tokens each, of a line that has the given tokens.

    It is cut at the ends of sentences; what is still too long at the marks between clauses, then at spaces,
    and in the last resort anywhere. Clauses and words are put together again as far as there is room.
    """
    segments = _split(line, tokens, [_SENTENCE, _CLAUSE, _SPACE], encode=encode, max_tokens=max_tokens)
    return [segment for segment in segments if segment.tokens]


def _split(
    text: str, tokens: list[int], marks: list[re.Pattern[str]], *, encode: Encode, max_tokens: int
) -> Iterator[Segment]:
    if len(tokens) <= max_tokens:
        yield Segment(tokens)
        return
    if not marks:
        yield from _cut(text, tokens, encode=encode, max_tokens=max_tokens)
        return
    pieces = _pieces(text, marks[0])
    if len(pieces) > 1 and marks[0] is not _SENTENCE:
        pieces = _packed(pieces, [len(ids) for ids in encode(pieces)], max_tokens)
    for piece, ids in zip(pieces, encode(pieces), strict=True):
        yield from _split(piece, ids, marks[1:], encode=encode, max_tokens=max_tokens)


def _pieces(text: str, mark: re.Pattern[str]) -> list[str]:
    """The text, nothing lost, cut after each mark."""
    cuts = [0, *(match.end() for match in mark.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if start < end]


def _packed(pieces: list[str], lengths: list[int], max_tokens: int) -> list[str]:
    """Neighbours joined into texts of nearly equal length, none over max_tokens unless a piece alone is."""
    share = sum(lengths) / -(-sum(lengths) // max_tokens)
    packed: list[str] = []
    room = 0
    for piece, length in zip(pieces, lengths, strict=True):
        used = max_tokens - room
        if packed and length <= room and used + length / 2 <= share:
            packed[-1] += piece
            room -= length
        else:
            packed.append(piece)
            room = max_tokens - length
    return packed


def _cut(text: str, tokens: list[int], *, encode: Encode, max_tokens: int, whole: bool = True) -> Iterator[Segment]:
    """Runs of nearly equally many characters, so that none is cut into its bytes; whole is the last one's."""
    if len(tokens) <= max_tokens:
        yield Segment(tokens, whole)
        return
    if len(text) == 1 or max_tokens == 1:
        starts = range(0, len(tokens), max_tokens)
        yield from (Segment(tokens[i : i + max_tokens], whole and i == starts[-1]) for i in starts)
        return
    # a cut makes a word of its own, which SentencePiece begins with one more token
    count = min(max(-(-len(tokens) // (max_tokens - 1)), 2), len(text))
    bounds = [len(text) * i // count for i in range(count + 1)]
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    for place, (piece, ids) in enumerate(zip(pieces, encode(pieces), strict=True), start=1):
        yield from _cut(piece, ids, encode=encode, max_tokens=max_tokens, whole=whole and place == count)


def join_translations(texts: Sequence[str], segments: Sequence[Segment]) -> str:
    """The line's translation from its segments', with a space between two of them.

    There is none next to Chinese or Japanese, and none where a word was cut.
    """
    line, whole = "", True
    for text, segment in zip(texts, segments, strict=True):
        glued = not line or not text or not whole or _NO_SPACES.match(line[-1]) or _NO_SPACES.match(text[0])
        line += text if glued else f" {text}"
        whole = segment.whole
    return line
