"""Split lines that are longer than those the model was trained on, where a reader would pause; join translations.

A line is split at the ends of sentences; a sentence that is still too long is split at the marks between clauses, then
at spaces, and in the last resort between characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from translate.decoding.config import Sentence, Split, split_of
from translate.decoding.constraints.constraints import ConstrainedSentence
from translate.sentences import split_sentences
from translate.unspaced_scripts import EAST_ASIAN_MARKS, FULL_WIDTH, HAN_AND_KANA, RARE_HAN

Encode = Callable[[Sequence[str]], list[list[int]]]
_CLOSING = "\"'’”»›)\\]」』）】》"
_CLAUSE = re.compile(rf"(?<![,;:–—])[,;:–—]++[{_CLOSING}]*+\s++|[，；：、､،؛]++[{_CLOSING}]*+\s*+")
_SPACE = re.compile(r"\s+")
UNSPACED = re.compile(f"[{EAST_ASIAN_MARKS}{HAN_AND_KANA}{RARE_HAN}{FULL_WIDTH}]")


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """Rules for splitting lines into segments, beyond those that are too long for the model.

    sentences  most sentences of a segment; 0: unknown, no line is split for its number of sentences
    tokens     most source tokens of a segment of several sentences; 0: as many as the model can read
    only_long  split only lines that are too long for the model
    language   of the source, an ISO 639 code; "": chosen by the script of each line
    """

    sentences: int = 0
    tokens: int = 0
    only_long: bool = False
    language: str = ""

    @classmethod
    def of_model(cls, manifest: Mapping[str, Any], split: Split = Split.auto) -> Splitting:
        """Splitting into segments like the lines that a model was trained on, which its manifest describes.

        split, unless auto, replaces the manifest's.
        """
        if split is Split.auto:
            split = split_of(manifest)
        return cls(
            sentences=1 if split is Split.sentences else manifest.get("sentences_per_line", 0),
            tokens=manifest.get("trained_tokens", 0),
            only_long=split is Split.never,
            language=manifest.get("source_language", ""),
        )

    @property
    def by_sentences(self) -> bool:
        """True if lines that the model can read are split as well."""
        return bool(self.sentences) and not self.only_long


@dataclass(frozen=True)
class Segment:
    """Part of a line: its source tokens, without EOS; not whole where a word may continue in the next one.

    text         what the tokens were made of; "" for a part of a single character
    constrained  the tokens with the constraints of their translation; None: there are none in this search
    """

    tokens: list[int]
    whole: bool = True
    text: str = field(default="", compare=False)
    constrained: ConstrainedSentence | None = field(default=None, compare=False)

    @property
    def sentence(self) -> Sentence:
        """The tokens as an engine takes them."""
        return tuple(self.tokens) if self.constrained is None else self.constrained


def split_line(
    line: str, tokens: list[int], *, encode: Encode, max_tokens: int, splitting: Splitting | None = None
) -> list[Segment]:
    """Split a line that has these tokens into segments of at most max_tokens tokens each.

    encode  tokens of parts; where the line has a tag, which is not in its text, each part gets it too

    Sentences are joined again as far as splitting allows, clauses and words as far as there is room.
    """
    splitting = splitting or Splitting()
    too_long = len(tokens) > max_tokens
    if not too_long and not splitting.by_sentences:
        return [Segment(tokens, text=line)]
    sentences = split_sentences(line, splitting.language)
    if not too_long and len(sentences) <= splitting.sentences:
        return [Segment(tokens, text=line)]
    # Sentences, joined to as few and even segments as allowed; those still too long are split again.
    runs = _join_sentences(
        sentences,
        [len(ids) for ids in encode(sentences)],
        max_sentences=splitting.sentences or 1,
        max_tokens=min(splitting.tokens or max_tokens, max_tokens),
    )
    segments = [
        segment
        # encoded again: the tokens of a joined text are not those of its parts
        for run, ids in zip(runs, encode(runs), strict=True)
        for segment in _split(run, ids, [_CLAUSE, _SPACE], encode=encode, max_tokens=max_tokens)
    ]
    # white space alone has no tokens
    return [segment for segment in segments if segment.tokens]


def _join_sentences(sentences: list[str], lengths: list[int], *, max_sentences: int, max_tokens: int) -> list[str]:
    """Join neighbouring sentences to runs: as few as possible, and of these the most even ones in tokens.

    A sentence that is longer than max_tokens is a run of its own.
    """
    # Dynamic programming: the cost (number of runs, sum of squared lengths) of the best runs for the first n sentences,
    # and the sentence where the last of these runs starts. The sum of squares is lowest for even lengths.
    costs: list[tuple[int, int]] = [(0, 0)]
    starts = [0]
    for end in range(1, len(sentences) + 1):
        length, best = 0, None
        for start in range(end - 1, max(end - max_sentences, 0) - 1, -1):
            length += lengths[start]
            if length > max_tokens and start < end - 1:  # earlier starts only make it longer
                break
            runs, squares = costs[start]
            cost = (runs + 1, squares + length * length), start
            best = cost if best is None else min(best, cost)
        assert best is not None, "a run of one sentence is always possible"
        costs.append(best[0])
        starts.append(best[1])
    # follow the starts back from the end
    bounds = [len(sentences)]
    while bounds[-1]:
        bounds.append(starts[bounds[-1]])
    return ["".join(sentences[start:end]) for start, end in pairwise(reversed(bounds))]


def _split(
    text: str, tokens: list[int], marks: list[re.Pattern[str]], *, encode: Encode, max_tokens: int
) -> Iterator[Segment]:
    """Split a text at the first kind of marks, its parts at the next kind, and so on until they are short enough."""
    if len(tokens) <= max_tokens:
        yield Segment(tokens, text=text)
        return
    if not marks:
        yield from _cut(text, tokens, encode=encode, max_tokens=max_tokens)
        return
    pieces = _pieces(text, marks[0])
    if len(pieces) > 1:
        pieces = _packed(pieces, [len(ids) for ids in encode(pieces)], max_tokens)
    for piece, ids in zip(pieces, encode(pieces), strict=True):
        yield from _split(piece, ids, marks[1:], encode=encode, max_tokens=max_tokens)


def _pieces(text: str, mark: re.Pattern[str]) -> list[str]:
    """Parts of the text, each with the mark at its end; together they are the text."""
    cuts = [0, *(match.end() for match in mark.finditer(text)), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if start < end]


def _packed(pieces: list[str], lengths: list[int], max_tokens: int) -> list[str]:
    """Join neighbours to texts of nearly equal length, none over max_tokens unless a piece alone is."""
    # filling each text to the limit would leave a short rest: aim at the mean length
    share = sum(lengths) / -(-sum(lengths) // max_tokens)
    packed: list[str] = []
    room = 0
    for piece, length in zip(pieces, lengths, strict=True):
        used = max_tokens - room
        # a piece joins where more than half of it is within the mean
        if packed and length <= room and used + length / 2 <= share:
            packed[-1] += piece
            room -= length
        else:
            packed.append(piece)
            room = max_tokens - length
    return packed


def _cut(text: str, tokens: list[int], *, encode: Encode, max_tokens: int, whole: bool = True) -> Iterator[Segment]:
    """Cut a text into runs of nearly equally many characters, never inside a character; whole is the last run's.

    Only a single character that is longer than max_tokens, in byte tokens, is cut inside.
    """
    if len(tokens) <= max_tokens:
        yield Segment(tokens, whole, text)
        return
    if len(text) == 1 or max_tokens == 1:
        starts = range(0, len(tokens), max_tokens)
        yield from (Segment(tokens[i : i + max_tokens], whole and i == starts[-1]) for i in starts)
        return
    # the part after a cut is a word of its own, which SentencePiece begins with one more token
    # at least two parts, each of a character or more, so that the recursion ends
    count = min(max(-(-len(tokens) // (max_tokens - 1)), 2), len(text))
    bounds = [len(text) * i // count for i in range(count + 1)]
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    for number, (piece, ids) in enumerate(zip(pieces, encode(pieces), strict=True), start=1):
        yield from _cut(piece, ids, encode=encode, max_tokens=max_tokens, whole=whole and number == count)


def join_translations(texts: Sequence[str], segments: Sequence[Segment]) -> str:
    """Join the translations of a line's segments with spaces, but not next to Chinese or Japanese, or inside a word."""
    line, whole = "", True
    for text, segment in zip(texts, segments, strict=True):
        glued = not line or not text or not whole or UNSPACED.match(line[-1]) or UNSPACED.match(text[0])
        line += text if glued else f" {text}"
        whole = segment.whole
    return line
