"""Divide a translation among the pieces of its segment.

The words of the translation are distributed, in order, over the pieces between inline tags. Every tag therefore occurs
once and nesting cannot change, whatever the model writes. The borders are estimates:

1. Words that are equal on both sides, such as names and numbers, or share their first letters, are fixed points.
2. Between these, a border is interpolated by characters and moved to a nearby word boundary, preferably one with
   punctuation on the same side as in the source.
3. Each piece with text gets at least one word if there are enough.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise

from translate.documents.inline import Kind, Part, Segment, without_extra_spaces
from translate.unspaced_scripts import HAN_AND_KANA, RARE_HAN

# a Chinese or Japanese character is a word
_CJK = HAN_AND_KANA + RARE_HAN
_MARKS = "!-/:-@\\[-`{-~¡-©«-±´-¸»¿،؛؟।॥‐-‧‰-⁞、-〃〈-〟！-／：-＠［-｀｛-･"
_LETTERS = rf"[^\s{_CJK}{_MARKS}]+"
_WORD = re.compile(rf"[{_CJK}][\u3099\u309a\ufe00-\ufe0f]*|{_LETTERS}(?:['’._@-]{_LETTERS})*|[{_MARKS}]")
_MARK = re.compile(f"[{_MARKS}]")
_NEAR = 3  # words around the interpolated position that are considered for a border
_WRONG_SIDE = 6.0  # cost, in characters, of punctuation on the other side of a border
_NEW_MARK = 8.0  # cost, in characters, of punctuation in a piece that has none in the source


@dataclass(frozen=True)
class _Token:
    """A word or punctuation mark; spaced: white space precedes it."""

    text: str
    spaced: bool


def divide(segment: Segment, translation: str) -> list[str]:
    """Divide a translation into as many pieces as the segment has; joined, they are the translation up to white space.

    Kept parts and tags stay in their pieces. White space on both ends is that of the segment.
    """
    parts = segment.parts
    if len(parts) == len(segment.pieces) == 1 and parts[0].has_words:
        return [_leading(parts[0].text) + without_extra_spaces(translation) + _trailing(parts[0].text)]
    words = _assign(parts, translation, segment.find_kept(translation))
    pieces = [""] * len(segment.pieces)
    for part, text in zip(parts, _spaced_texts(parts, words), strict=True):
        pieces[part.owner] += text
    return pieces


def _assign(parts: list[Part], translation: str, spans: list[tuple[int, int]] | None) -> list[list[_Token]]:
    """Words of each part; spans: positions of the kept parts in the translation, None if it does not contain them."""
    words: list[list[_Token]] = [[] for _ in parts]
    stretch: list[int] = []  # text parts since the last kept part
    found, start = iter(spans or []), 0
    for index, part in enumerate(parts):
        if part.has_words:
            stretch.append(index)
        elif part.kind is Kind.kept and spans is None:
            words[index] = [_Token(part.text.strip(), spaced=_is_spaced(parts, index))]
        elif part.kind is Kind.kept:
            begin, end = next(found)
            _fill(words, parts, stretch, _tokens(translation, start, begin))
            words[index] = [_Token(translation[begin:end], spaced=translation[begin - 1 : begin].isspace())]
            stretch, start = [], end
    _fill(words, parts, stretch, _tokens(translation, start, len(translation)))
    if spans is None:  # text after a kept part is also spaced as in the source
        for index in range(1, len(parts)):
            if parts[index - 1].kind is Kind.kept and words[index]:
                words[index][0] = _Token(words[index][0].text, spaced=_is_spaced(parts, index))
    return words


def _is_spaced(parts: list[Part], index: int) -> bool:
    """True if white space precedes a part's first word."""
    return parts[index].text[:1].isspace() or (index > 0 and parts[index - 1].text[-1:].isspace())


def _tokens(text: str, start: int, stop: int) -> list[_Token]:
    """The words of text[start:stop]."""
    return [
        _Token(found[0], spaced=text[max(found.start() - 1, 0)].isspace())
        for found in _WORD.finditer(text, start, stop)
    ]


def _fill(words: list[list[_Token]], parts: list[Part], stretch: list[int], tokens: list[_Token]) -> None:
    """Distribute words over the text parts of a stretch."""
    if stretch:
        cuts = _borders([parts[index].text for index in stretch], [token.text for token in tokens])
        for index, (start, end) in zip(stretch, pairwise([0, *cuts, len(tokens)]), strict=True):
            words[index] = tokens[start:end]


def _borders(texts: list[str], target: list[str]) -> list[int]:
    """Number of target words before each border between the texts, in ascending order."""
    if len(texts) == 1:
        return []
    sources = [_WORD.findall(text) for text in texts]
    source = [word for words in sources for word in words]
    ends = [0, *accumulate(map(len, target))]  # in characters
    num_words = list(accumulate(map(len, sources)))[:-1]  # of the source, before each border
    positions = _project(source, target, num_words)
    enough = len(target) >= len(texts)
    marks = [0, *accumulate(map(_is_mark, target))]
    cuts = [0]
    for number, (before, position) in enumerate(zip(num_words, positions, strict=True), start=1):
        # as many words are left over as there are texts to come
        most = len(target) - enough * (len(texts) - number)
        least = min(cuts[-1] + enough, most)
        near = min(max(bisect_left(ends, position), least), most)
        is_mark = before < len(source) and _is_mark(source[before])
        has_marks = any(map(_is_mark, sources[number - 1]))
        costs = {
            cut: abs(ends[cut] - position)
            + _WRONG_SIDE * (cut < len(target) and _is_mark(target[cut]) != is_mark)
            + _NEW_MARK * (marks[cut] > marks[cuts[-1]] and not has_marks)
            for cut in range(max(near - _NEAR, least), min(near + _NEAR, most) + 1)
        }
        cuts.append(min(costs, key=costs.__getitem__))
    return cuts[1:]


def _is_mark(word: str) -> bool:
    return _MARK.match(word) is not None


def _project(source: list[str], target: list[str], borders: list[int]) -> list[float]:
    """Position in the target, in characters, of borders in front of source words: linear between the fixed points."""
    source_ends, target_ends = ([0, *accumulate(map(len, words))] for words in (source, target))
    points = [(0, 0)]
    for i, j in _fixed_points(source, target):
        points += zip(source_ends[i : i + 2], target_ends[j : j + 2], strict=True)
    points.append((source_ends[-1], target_ends[-1]))
    positions = []
    for border in borders:
        x = source_ends[border]
        index = bisect_left(points, x, lo=1, hi=len(points) - 1, key=lambda point: point[0])
        (x_0, y_0), (x_1, y_1) = points[index - 1 : index + 1]
        positions.append(y_0 + (y_1 - y_0) * (x - x_0) / max(x_1 - x_0, 1))
    return positions


def _fixed_points(source: list[str], target: list[str]) -> list[tuple[int, int]]:
    """Pairs of indices of equal or related words, as the longest sequence that is in order on both sides.

    Related words share their first four letters, as "information" and "Informationen". Only words that occur once on
    each side are used.
    """
    found: dict[int, int] = {}
    for key in (str, _stem):
        sides = [Counter(map(key, words)) for words in (source, target)]
        target_index = {key(word): index for index, word in enumerate(target)}
        for index, word in enumerate(source):
            if sides[0][key(word)] == sides[1][key(word)] == 1 and not _is_mark(word):
                found.setdefault(index, target_index[key(word)])
    common = sorted(found.items())
    # Longest increasing subsequence: the last target index of the best sequence of each length, the pair that it ends
    # with, and the pair before each.
    lasts: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, index) in enumerate(common):
        length = bisect_left(lasts, index)
        lasts[length : length + 1], ends[length : length + 1] = [index], [number]
        before.append(ends[length - 1] if length else -1)
    chosen, number = [], ends[-1] if ends else -1
    while number >= 0:
        chosen.append(common[number])
        number = before[number]
    return chosen[::-1]


def _stem(word: str) -> str:
    return word[:4].casefold()


def _spaced_texts(parts: list[Part], words: list[list[_Token]]) -> list[str]:
    """Text of each part; white space at a border is that of the source."""
    filled = [index for index, own in enumerate(words) if own]
    texts = [
        part.text if part.kind is Kind.code else "".join(" " * (n > 0 and w.spaced) + w.text for n, w in enumerate(own))
        for part, own in zip(parts, words, strict=True)
    ]
    for left, right in pairwise(filled):
        if words[right][0].spaced:
            _copy_spaces(texts, parts, left, right)
    # white space on both ends is the source's
    first, last = (filled[0], filled[-1]) if filled else (0, -1)
    for index in [*range(first), *range(last + 1, len(parts))]:
        if not parts[index].has_words:
            texts[index] = parts[index].text
    if texts and parts[0].has_words:
        texts[0] = _leading(parts[0].text) + texts[0]
    if texts and parts[-1].has_words:
        texts[-1] += _trailing(parts[-1].text)
    return texts


def _copy_spaces(texts: list[str], parts: list[Part], left: int, right: int) -> None:
    """Separate two texts by the white space between them in the source, or by one space if there is none."""
    before = sum(map(len, texts[left : right + 1]))
    texts[left] += _trailing(parts[left].text)
    texts[right] = _leading(parts[right].text) + texts[right]
    for index in range(left + 1, right):
        if parts[index].text.isspace():
            texts[index] = parts[index].text
    if sum(map(len, texts[left : right + 1])) == before:
        texts[left] += " "


def _leading(text: str) -> str:
    """Leading white space of a text; the whole text if it is blank."""
    return text[: len(text) - len(text.lstrip())]


def _trailing(text: str) -> str:
    return text[len(text.rstrip()) :]
