"""Warnings about translations that may be wrong, from their lengths, words and attention, without a reference.

length_ratio      one side is much longer than the other
repetition        a word or phrase occurs three times in a row, but not in the source
copied_source     the translation consists of words of the source
little_attention  a large part of the source receives hardly any attention

The limits are those of docs/decoding.md: they mark lines for users to inspect, and were not tuned on errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from translate.data.filters.pair_rules import Pairs, RepetitionRule
from translate.decoding.alignment import AttendedPart, words_of
from translate.decoding.config import Pair
from translate.decoding.rescoring.coverage import UNCOVERED, attention_received

LENGTH_RATIO, REPETITION, COPIED_SOURCE, LITTLE_ATTENTION = FLAGS = (
    "length_ratio",
    "repetition",
    "copied_source",
    "little_attention",
)
# the longer side has more tokens than ratio * the shorter side's + free ones: short lines differ by a few
_MAX_RATIO, _FREE_TOKENS = 2.0, 5
_REPETITIONS = RepetitionRule(times=3)  # also a filter of training pairs
# Words of a translation, and the share of its pairs of neighbouring words that the source has as well. Pairs: names and
# numbers, which are copied rightly, seldom stand beside each other.
_MIN_COPIED, _COPIED_SHARE = 4, 0.8
_IGNORED_SHARE = 0.3  # of the source tokens


def flags(
    source: str,
    target: str,
    pairs: Sequence[Pair],
    attended: Sequence[AttendedPart] | None,
    *,
    repetitive: bool,
) -> list[str]:
    """Names of the warnings about a translation in parts, which are pairs of tokens; none of a blank line.

    attended  None: attention is not known, and gives no warning
    """
    if not pairs:
        return []
    sides = [sum(len(pair[side]) for pair in pairs) for side in (0, 1)]
    if attended is not None:  # its pieces are those of the line alone, without the context before it
        sides[0] = sum(len(part.source) for part in attended)
    found = {
        LENGTH_RATIO: max(sides) > _MAX_RATIO * min(sides) + _FREE_TOKENS,
        REPETITION: repetitive,
        COPIED_SOURCE: is_copy(source, target),
        LITTLE_ATTENTION: ignored_share(attended or ()) > _IGNORED_SHARE,
    }
    return [name for name, is_set in found.items() if is_set]


def repeats(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """True for pairs in whose translation a word or phrase occurs three times in a row, but not in the source."""

    def repetitive(lines: list[str]) -> list[bool]:
        return [bool(x) for x in _REPETITIONS(Pairs(lines, [""] * len(lines), [None] * len(lines)))]

    sides = [repetitive([pair[side] for pair in pairs]) for side in (0, 1)]
    return [in_target and not in_source for in_source, in_target in zip(*sides, strict=True)]


def is_copy(source: str, target: str) -> bool:
    """True if nearly all pairs of neighbouring words of a translation stand in the source as well."""
    words = words_of(target.casefold())
    if sum(any(map(str.isalpha, word)) for word in words) < _MIN_COPIED:
        return False
    of_source = set(pairwise(words_of(source.casefold())))
    copied = [pair in of_source for pair in pairwise(words)]
    return sum(copied) >= _COPIED_SHARE * len(copied)


def ignored_share(attended: Sequence[AttendedPart]) -> float:
    """Share of the source tokens that hardly receive attention from the translation; 0 where there are none."""
    received = [attention_received(part.attention)[:-1] for part in attended]
    count = sum(map(len, received))
    return sum(int((attention < UNCOVERED).sum()) for attention in received) / count if count else 0.0
