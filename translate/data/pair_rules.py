"""Rules on sentence pairs that need no other package: lengths, numbers, addresses, punctuation, scripts, repetition.

A rule judges N pairs at once: (N,) booleans, True for those to drop. Some are made from a sample of the corpus.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from translate.data.text_profile import Profiler

Mask = NDArray[np.bool_]

_MIN_LENGTH = 20  # characters of the longer side: ratios of shorter pairs say little
_NUMBER = re.compile(r"\d+(?:[.,:'’]\d+)*")
_URL = re.compile(r"(?:https?://|www\.)([A-Za-z0-9.-]+)")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]+")
_QUESTION_MARKS = "?？؟;"
_SENTENCE_ENDS = ".。．!！…।։።။។"
_CLOSING = " \"'”“’‘»«›‹)]}）】」』"
_PHRASE = range(2, 41)  # characters of what is repeated; a single letter may be: "Hmmmm"
_LINES_AT_ONCE = 10_000  # a profile takes some hundred bytes of memory a character


class Pairs(NamedTuple):
    """N normalised pairs, with their scores if the corpus has them."""

    sources: Sequence[str]
    targets: Sequence[str]
    scores: Sequence[float | None]

    def select(self, mask: Sequence[bool]) -> Pairs:
        """Pairs where the mask is True."""
        return Pairs(*(list(compress(column, mask)) for column in self))


Rule = Callable[[Pairs], Mask]


@dataclass(frozen=True)
class ScoreRule:
    """Drops pairs with a score below the least, or without one."""

    least: float

    def __call__(self, pairs: Pairs) -> Mask:
        return np.array([score is None or not score >= self.least for score in pairs.scores], bool)


@dataclass(frozen=True)
class LengthRule:
    """Drops pairs whose ratio of characters is more than `factor` times the median, or less than 1 / factor of it.

    median  of log(target characters / source characters)
    """

    median: float
    factor: float

    @classmethod
    def of_sample(cls, sample: Pairs, factor: float) -> LengthRule:
        source, target = _lengths(sample.sources), _lengths(sample.targets)
        judged = np.minimum(source, target) > 0
        # logarithms, so that twice and half the median are equally far
        ratios = np.log(target[judged] / source[judged])
        return cls(float(np.median(ratios)) if len(ratios) else 0.0, factor)

    def __call__(self, pairs: Pairs) -> Mask:
        source, target = _lengths(pairs.sources), _lengths(pairs.targets)
        # the target in characters of the source
        expected = target / np.exp(self.median)
        longer, shorter = np.maximum(source, expected), np.minimum(source, expected)
        return (longer >= _MIN_LENGTH) & (longer > self.factor * shorter)


def _lengths(lines: Sequence[str]) -> NDArray[np.float64]:
    return np.fromiter(map(len, lines), np.float64, len(lines))


def numbers_differ(pairs: Pairs) -> Mask:
    """Drops pairs with numbers of several digits, none of which both sides have.

    Digits alone are compared: "1,000.5" is "1.000,5". Numbers of one digit are often written as words.
    """
    return _none_shared(pairs, _numbers)


def addresses_differ(pairs: Pairs) -> Mask:
    """Drops pairs with URLs or e-mail addresses, none of which both sides have.

    Of a URL, the last two labels of the host count: en.example.org and de.example.org are versions of one site.
    """
    return _none_shared(pairs, _addresses)


def _none_shared(pairs: Pairs, items: Callable[[str], set[str]]) -> Mask:
    found = ((items(source), items(target)) for source, target in zip(pairs.sources, pairs.targets, strict=True))
    return np.fromiter((bool(a | b) and not a & b for a, b in found), bool, len(pairs.sources))


def _numbers(line: str) -> set[str]:
    numbers = (_digits(found) for found in _NUMBER.findall(line))
    return {number for number in numbers if len(number) > 1}


def _digits(number: str) -> str:
    # decimal() knows the digits of all scripts
    return "".join(str(unicodedata.decimal(character)) for character in number if character.isdecimal())


def _addresses(line: str) -> set[str]:
    sites = {".".join(host.lower().strip(".").split(".")[-2:]) for host in _URL.findall(line)}
    # scanning for addresses costs ten times as much as finding no "@"
    return sites | {email.lower().strip(".") for email in (_EMAIL.findall(line) if "@" in line else ())}


def ends_differ(pairs: Pairs) -> Mask:
    """Drops pairs of which one side alone ends with a question mark, or with a mark that ends a sentence."""
    ends = ((_end(source), _end(target)) for source, target in zip(pairs.sources, pairs.targets, strict=True))
    return np.fromiter((source != target for source, target in ends), bool, len(pairs.sources))


def _end(line: str) -> str:
    last = line.rstrip(_CLOSING)[-1:]
    # full stop and exclamation mark are one kind: languages differ in their use
    return "" if not last else "?" if last in _QUESTION_MARKS else "." if last in _SENTENCE_ENDS else ""


class ScriptRule:
    """Drops pairs with a side in another script than most lines of that side in the sample."""

    def __init__(self, sample: Pairs) -> None:
        self._profilers = Profiler(), Profiler()
        self._usual = [
            self._most_frequent(self._scripts(profiler, lines))
            for profiler, lines in zip(self._profilers, (sample.sources, sample.targets), strict=True)
        ]

    def __call__(self, pairs: Pairs) -> Mask:
        dropped = np.zeros(len(pairs.sources), bool)
        sides = zip(self._profilers, self._usual, (pairs.sources, pairs.targets), strict=True)
        for profiler, usual, lines in sides:
            scripts = self._scripts(profiler, lines)
            # 0: too few letters to tell, or no script with most of them
            dropped |= (scripts != 0) & (scripts != usual)
        return dropped

    def _scripts(self, profiler: Profiler, lines: Sequence[str]) -> NDArray[np.uint8]:
        """(N,) the script of each line, as in Profile."""
        return np.concatenate([np.empty(0, np.uint8), *(profiler(part).script for part in _parts(lines))])

    def _most_frequent(self, scripts: NDArray[np.uint8]) -> int:
        counts = np.bincount(scripts, minlength=2)
        counts[0] = 0
        return int(counts.argmax())


@dataclass(frozen=True)
class RepetitionRule:
    """Drops pairs with a side in which a word or phrase occurs at least `times` times in a row."""

    times: int

    def __call__(self, pairs: Pairs) -> Mask:
        sides = [[self._repeats(part) for part in _parts(lines)] for lines in (pairs.sources, pairs.targets)]
        return np.any([np.concatenate([np.empty(0, bool), *side]) for side in sides], axis=0)

    def _repeats(self, lines: Sequence[str]) -> Mask:
        """(N,) True for lines with a repeated phrase."""
        # one array of the code points of all lines, each ended by a newline
        codes = np.frombuffer("".join([f"{line}\n" for line in lines]).encode("utf-32-le"), "<u4")
        ends = np.flatnonzero(codes == ord("\n"))
        found = np.zeros(len(lines), bool)
        for period in _PHRASE:
            # a phrase of this length occurs n times in a row where (n - 1) * period characters equal those before
            equal = codes[period:] == codes[:-period]
            equal &= codes[period:] != ord("\n")
            bounds = np.concatenate([[-1], np.flatnonzero(~equal), [len(equal)]])
            runs = np.flatnonzero(np.diff(bounds) > period * (self.times - 1))
            for start in (bounds[runs] + 1).tolist():
                # rows of dots or dashes are no words
                if any(chr(code).isalpha() for code in codes[start : start + period].tolist()):
                    found[np.searchsorted(ends, start)] = True
        return found


def _parts(lines: Sequence[str]) -> Iterable[Sequence[str]]:
    return (lines[start : start + _LINES_AT_ONCE] for start in range(0, len(lines), _LINES_AT_ONCE))
