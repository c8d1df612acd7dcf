"""Rules that need no further package: scores, lengths, numbers, addresses, punctuation, scripts, repetition.

A rule maps N pairs to a mask (N,) that is True for pairs to drop. Some rules are made from a sample of the corpus.
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

from translate.data.text_profile import Profiler, script_of

Mask = NDArray[np.bool_]

_MIN_LENGTH = 20  # characters of the longer side: ratios of shorter pairs vary too much
_NUMBER = re.compile(r"\d+(?:[.,:'’]\d+)*")
_URL = re.compile(r"(?:https?://|www\.)([A-Za-z0-9.-]+)")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]+")
# final marks of questions, sentences and clauses -> one mark for each kind; full stops and exclamation marks are one
# kind, as languages differ in their use
_ENDS = {mark: marks[0] for marks in ("?？؟", ".。．!！…।։။።", ":：,，；،、", ";") for mark in marks}
_CLOSING = " \"'”“’‘»«›‹)]}）】」』"
MARKS = _CLOSING + "".join(_ENDS)  # that may end a sentence
_PHRASE_LENGTHS = range(2, 41)  # characters
_MAX_LETTER_RUN = 3  # equal letters that do not count as a repeated phrase
_MIN_SCRIPT_SHARE = 0.1  # of a line's letters in the usual script
_LINES_AT_ONCE = 10_000  # a profile takes some hundred bytes of memory per character


class Pairs(NamedTuple):
    """N normalised pairs with their scores, if the corpus has them."""

    sources: Sequence[str]
    targets: Sequence[str]
    scores: Sequence[float | None]

    def select(self, mask: Sequence[bool]) -> Pairs:
        """Pairs where the mask is True."""
        sources, targets = list(compress(self.sources, mask)), list(compress(self.targets, mask))
        return Pairs(sources, targets, list(compress(self.scores, mask)))


Rule = Callable[[Pairs], Mask]


@dataclass(frozen=True)
class ScoreRule:
    """Drops pairs with a score below `least` or without a score."""

    least: float

    def __call__(self, pairs: Pairs) -> Mask:
        return np.array([score is None or not score >= self.least for score in pairs.scores], bool)


@dataclass(frozen=True)
class LengthRule:
    """Drops pairs whose ratio of lengths is more than `factor` times the median, or less than 1 / factor of it.

    median  of log(target characters / source characters)
    """

    median: float
    factor: float

    @classmethod
    def of_sample(cls, sample: Pairs, factor: float) -> LengthRule:
        source, target = _lengths(sample.sources), _lengths(sample.targets)
        judged = np.minimum(source, target) > 0
        # in logarithms, twice and half the median are equally far from it
        ratios = np.log(target[judged] / source[judged])
        return cls(float(np.median(ratios)) if len(ratios) else 0.0, factor)

    def __call__(self, pairs: Pairs) -> Mask:
        source, target = _lengths(pairs.sources), _lengths(pairs.targets)
        # length of the target, scaled to the length of a source
        expected = target / np.exp(self.median)
        longer, shorter = np.maximum(source, expected), np.minimum(source, expected)
        return (longer >= _MIN_LENGTH) & (longer > self.factor * shorter)


def _lengths(lines: Sequence[str]) -> NDArray[np.float64]:
    return np.fromiter(map(len, lines), np.float64, len(lines))


def numbers_differ(pairs: Pairs) -> Mask:
    """Drop pairs that have numbers of two or more digits, but none on both sides.

    Only digits are compared: "1,000.5" equals "1.000,5". Single digits are often written as words.
    """
    return _none_shared(pairs, _numbers)


def addresses_differ(pairs: Pairs) -> Mask:
    """Drop pairs that have URLs or e-mail addresses, but none on both sides.

    URLs are compared by the last two labels of the host: en.example.org and de.example.org are versions of one site.
    """
    return _none_shared(pairs, _addresses)


def _none_shared(pairs: Pairs, items: Callable[[str], set[str]]) -> Mask:
    found = ((items(source), items(target)) for source, target in zip(pairs.sources, pairs.targets, strict=True))
    return np.fromiter((bool(a | b) and not a & b for a, b in found), bool, len(pairs.sources))


def _numbers(line: str) -> set[str]:
    numbers = (_digits(found) for found in _NUMBER.findall(line))
    return {number for number in numbers if len(number) > 1}


def _digits(number: str) -> str:
    # decimal() converts digits of all scripts
    return "".join(str(unicodedata.decimal(character)) for character in number if character.isdecimal())


def _addresses(line: str) -> set[str]:
    sites = {".".join(host.lower().strip(".").split(".")[-2:]) for host in _URL.findall(line)}
    # searching for addresses takes ten times as long as searching for "@"
    return sites | {email.lower().strip(".") for email in (_EMAIL.findall(line) if "@" in line else ())}


def ends_differ(pairs: Pairs) -> Mask:
    """Drop pairs that end with marks of different kinds, or with a question mark on one side only.

    A full stop on one side only is accepted, since it is common in headings and captions. A semicolon matches every
    mark, since it is the Greek question mark.
    """
    ends = ((_end(source), _end(target)) for source, target in zip(pairs.sources, pairs.targets, strict=True))
    return np.fromiter((_are_unlike(*marks) for marks in ends), bool, len(pairs.sources))


def _end(line: str) -> str:
    """Kind of the final mark of a line, as a value of _ENDS; "" if there is none."""
    return _ENDS.get(line.rstrip(_CLOSING)[-1:], "")


def _are_unlike(first: str, second: str) -> bool:
    marks = {first, second}
    return first != second and ";" not in marks and ("" not in marks or "?" in marks)


class ScriptRule:
    """Drops pairs with a side in another script than most lines of that side in the sample.

    Lines with a tenth of their letters, in UTF-8 bytes, in the usual script are kept, such as Chinese sentences about
    program code.
    """

    def __init__(self, sample: Pairs) -> None:
        self._sides = [_SideScript(lines) for lines in (sample.sources, sample.targets)]

    def __call__(self, pairs: Pairs) -> Mask:
        source, target = self._sides
        return source.differs(pairs.sources) | target.differs(pairs.targets)


class _SideScript:
    """The usual script of one side of a corpus."""

    def __init__(self, sample: Sequence[str]) -> None:
        self._profiler = Profiler()
        counts = np.bincount(self._main(sample), minlength=2)
        counts[0] = 0  # lines with too few letters, or in several scripts
        self._usual = int(counts.argmax()) if counts.any() else 0
        self._names = set(self._profiler.script_names()[self._usual].split("/"))

    def differs(self, lines: Sequence[str]) -> Mask:
        main = self._main(lines)
        other = (main != 0) & (main != self._usual) & (self._usual != 0)
        for index in np.flatnonzero(other).tolist():
            other[index] = self._usual_share(lines[index]) < _MIN_SCRIPT_SHARE
        return other

    def _main(self, lines: Sequence[str]) -> NDArray[np.uint8]:
        """(N,) main script of each line, by its number in Profile."""
        return np.concatenate([np.empty(0, np.uint8), *(self._profiler(part).script for part in _parts(lines))])

    def _usual_share(self, line: str) -> float:
        letters = [(script_of(c), len(c.encode())) for c in line if c.isalpha()]
        return sum(size for script, size in letters if script in self._names) / sum(size for _, size in letters)


@dataclass(frozen=True)
class RepetitionRule:
    """Drops pairs with a side in which a word or phrase occurs at least `times` times in a row."""

    times: int

    def __call__(self, pairs: Pairs) -> Mask:
        sides = [[self._repeats(part) for part in _parts(lines)] for lines in (pairs.sources, pairs.targets)]
        return np.any([np.concatenate([np.empty(0, bool), *side]) for side in sides], axis=0)

    def _repeats(self, lines: Sequence[str]) -> Mask:
        """(N,) True for lines with a repeated phrase."""
        # code points of all lines in one array; a space ends the last word, as all others, and a newline each line
        text = "".join([f"{line.rstrip(MARKS)} \n" for line in lines])
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
        ends = np.flatnonzero(codes == ord("\n"))
        found = np.zeros(len(lines), bool)
        for period in _PHRASE_LENGTHS:
            # n repetitions of a phrase: (n - 1) * period characters equal those one period before
            equal = codes[period:] == codes[:-period]
            equal &= codes[period:] != ord("\n")
            bounds = np.concatenate([[-1], np.flatnonzero(~equal), [len(equal)]])
            runs = np.flatnonzero(np.diff(bounds) > period * (self.times - 1))
            for start in (bounds[runs] + 1).tolist():
                if _is_phrase(codes[start : start + period].tolist()):
                    found[np.searchsorted(ends, start)] = True
        return found


def _is_phrase(codes: Sequence[int]) -> bool:
    """True for code points that contain letters, but not only a few equal ones, as in "Hmmmm"."""
    return any(chr(code).isalpha() for code in codes) and (len(set(codes)) > 1 or len(codes) > _MAX_LETTER_RUN)


def _parts(lines: Sequence[str]) -> Iterable[Sequence[str]]:
    return (lines[start : start + _LINES_AT_ONCE] for start in range(0, len(lines), _LINES_AT_ONCE))
