"""Profile of text: lengths, words, control characters and scripts of many lines at once, and of one side of a split.

Letters: N lines, C code points of all of them, S scripts.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from fontTools import unicodedata as unicode_data
from numpy.typing import NDArray

from translate.data.cleaning import hash_lines
from translate.data.readers import without_carriage_return
from translate.text import find_control, normalise

_UNSEEN, _OTHER, _SPACE, _CONTROL = range(4)
_NEWLINE = ord("\n")
_NUM_CODE_POINTS = 0x110000
_MIN_LETTER_BYTES = 4
_LAST_OF_BYTES = (0x7F, 0x7FF, 0xFFFF)  # the last code points that UTF-8 writes with 1, 2 and 3 bytes
_SHARED = ("Zyyy", "Zinh")  # ISO 15924 codes of characters that several scripts share
_JAPANESE = ("Han", "Hiragana", "Katakana")
_KANA_SHARE = 0.1  # of the letters of Japanese, at least; Chinese has hardly any
_FAR_LENGTH = 5.0  # times the length that 95 % of lines stay below
_FAR_MEDIAN, _FAR_P95 = 1.5, 2.0  # times that of the training text
_ENOUGH_FOR_P95 = 100  # lines, of which five are above it
_MANY_UNSEEN = 0.01  # of the characters


@dataclass
class Profile:
    """Numbers of characters, of words between spaces and of control characters, and the script, of N lines: (N,) each.

    script  index into Profiler.script_names() of the script of more than half of a line's letters, 0 where there is
            none or too few letters to tell; letters count by their bytes of UTF-8, so that a few English names do not
            outweigh a Chinese sentence
    """

    characters: NDArray[np.int32]
    words: NDArray[np.int32]
    controls: NDArray[np.int32]
    script: NDArray[np.uint8]

    @classmethod
    def concatenate(cls, parts: Sequence[Profile]) -> Profile:
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Profiler:
    """Keeps the class of each character it has met, so that a line costs array operations only.

    counts (0x110000,): occurrences of each character so far.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(_NUM_CODE_POINTS, np.int64)
        self._class_of = np.zeros(_NUM_CODE_POINTS, np.uint8)
        self._scripts = [""]

    def script_names(self) -> list[str]:
        """Names of scripts by index; index 0 stands for none."""
        return self._scripts

    def __call__(self, lines: Sequence[str]) -> Profile:
        """Profile of N lines, none of which holds "\\n"."""
        # one array of the code points of all lines, each ended by a newline
        codes = np.frombuffer("".join([f"{line}\n" for line in lines]).encode("utf-32-le"), "<u4")
        ends = np.flatnonzero(codes == _NEWLINE)
        self.counts += np.bincount(codes, minlength=_NUM_CODE_POINTS)
        # the line ends were added above
        self.counts[_NEWLINE] = 0
        classes = self._classify(codes)
        classes[ends] = _SPACE
        starts = np.concatenate([[0], ends[:-1] + 1]) if len(lines) else ends
        line_of = np.repeat(np.arange(len(lines)), ends + 1 - starts)
        # a word starts where a character follows a blank
        blank = (classes == _SPACE) | (classes == _CONTROL)
        word_starts = ~blank
        word_starts[1:] &= blank[:-1]
        return Profile(
            characters=(ends - starts).astype(np.int32),
            words=_count(line_of[word_starts], len(lines)),
            controls=_count(line_of[classes == _CONTROL], len(lines)),
            script=self._main_script(line_of, codes, classes),
        )

    def _classify(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """(C,) class of each character; scripts begin after _CONTROL."""
        classes = self._class_of[codes]
        # a character is classified once in Python; from then on its class is an array element
        unseen = np.unique(codes[classes == _UNSEEN])
        if len(unseen):
            self._class_of[unseen] = [self._class(chr(code)) for code in unseen.tolist()]
            classes = self._class_of[codes]
        return classes

    def _class(self, character: str) -> int:
        # controls first: Python counts some of them as spaces, such as "\x1c"
        if find_control(character) == 0:
            return _CONTROL
        if character.isspace():
            return _SPACE
        if not character.isalpha():
            return _OTHER
        script = script_of(character)
        if not script:
            return _OTHER
        script = "Han/Kana" if script in _JAPANESE else script  # Japanese mixes three
        if script not in self._scripts:
            self._scripts.append(script)
        return _CONTROL + self._scripts.index(script)

    def _main_script(
        self, line_of: NDArray[np.int64], codes: NDArray[np.uint32], classes: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """(N,) index of each line's script, as in Profile."""
        num_lines, num_scripts = int(line_of.max(initial=-1)) + 1, len(self._scripts)
        letters = classes > _CONTROL
        # one number for each (line, script), so that a single bincount fills the table
        cells = line_of[letters] * num_scripts + (classes[letters] - _CONTROL)
        weights = np.searchsorted(_LAST_OF_BYTES, codes[letters]) + 1
        counts = np.bincount(cells, weights, num_lines * num_scripts).reshape(num_lines, num_scripts)  # (N, S)
        total = counts.sum(1)
        clear = (counts.max(1, initial=0) * 2 > total) & (total >= _MIN_LETTER_BYTES)
        return np.where(clear, counts.argmax(1), 0).astype(np.uint8)


def _count(line_of: NDArray[np.int64], num_lines: int) -> NDArray[np.int32]:
    return np.bincount(line_of, minlength=num_lines).astype(np.int32)


def main_script(lines: Iterable[str]) -> str:
    """Script of most letters in a text, such as "Latin", "Han", "Kana" or "Thai"; "" if it has no letters.

    Letters count as in Profile. Text in Han and Kana is "Kana", that is Japanese, if a tenth of it is Kana.
    """
    characters: Counter[str] = Counter()
    for line in lines:
        characters.update(line)
    weights: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha() and (script := script_of(character)):
            weights[script] += count * len(character.encode("utf-8", "surrogatepass"))
    # Han is common to Chinese and Japanese; only the share of Kana separates them
    kana = weights.pop("Hiragana", 0) + weights.pop("Katakana", 0)
    han = weights.pop("Han", 0)
    weights["Kana" if kana > _KANA_SHARE * (kana + han) else "Han"] = kana + han
    script, weight = weights.most_common(1)[0]
    return script if weight else ""


@cache
def script_of(letter: str) -> str:
    """Unicode script of a letter, such as "Latin" or "Han"; "" for one of no script, such as the micro sign."""
    code = unicode_data.script(letter)
    if code in _SHARED:
        code = min(unicode_data.script_extension(letter))  # the long vowel sign "ー" is both Hiragana and Katakana
    return "" if code in _SHARED else unicode_data.script_name(code)


@dataclass
class Side:
    """One side of a split: profile, 64-bit hashes (N,) of the normalised lines, and the usual script.

    not_nfc (N,)        True for lines that are not Unicode NFC
    counts (0x110000,)  occurrences of each character
    carriage_returns    lines of each corpus that end with one, as in CRLF files; these do not count as characters
    """

    profile: Profile
    hashes: NDArray[np.uint64]
    not_nfc: NDArray[np.bool_]
    script: str
    wrong_script: NDArray[np.bool_]
    counts: NDArray[np.int64]
    carriage_returns: list[int]


class SideReader:
    """Collects the statistics of one side, chunk by chunk."""

    def __init__(self, num_corpora: int) -> None:
        self._profiler = Profiler()
        self._profiles: list[Profile] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._not_nfc: list[NDArray[np.bool_]] = []
        self._carriage_returns = [0] * num_corpora

    def add(self, raw: Sequence[str], corpora: Sequence[int]) -> None:
        """Take raw lines, each with the index of its corpus."""
        for index, line in zip(corpora, raw, strict=True):
            self._carriage_returns[index] += line != without_carriage_return(line)
        lines = [without_carriage_return(line) for line in raw]
        self._profiles.append(self._profiler(lines))
        # normalised: the same sentence in another Unicode form is a repeat
        self._hashes.append(hash_lines([normalise(line) for line in lines]))
        self._not_nfc.append(np.array([not unicodedata.is_normalized("NFC", line) for line in lines]))

    def side(self) -> Side:
        profile = Profile.concatenate(self._profiles)
        counts = np.bincount(profile.script, minlength=2)
        # lines without a clear script do not count
        counts[0] = 0
        usual = int(counts.argmax()) if counts.any() else 0
        return Side(
            profile=profile,
            hashes=np.concatenate(self._hashes),
            not_nfc=np.concatenate(self._not_nfc),
            script=self._profiler.script_names()[usual],
            wrong_script=(profile.script != 0) & (profile.script != usual),
            counts=self._profiler.counts,
            carriage_returns=self._carriage_returns,
        )


def far_lengths(profile: Profile) -> NDArray[np.int64]:
    """Lines several times longer than nearly all others, the longest first."""
    characters = profile.characters
    rows = np.flatnonzero(characters > _FAR_LENGTH * np.percentile(characters, 95))
    return rows[np.argsort(-characters[rows], kind="stable")]


def likeness(side: Side, train: Side) -> dict[str, Any]:
    """Lengths in characters and scripts of both, and the share of the side's characters that training lacks."""
    lengths, usual = _line_lengths(side), _line_lengths(train)
    return {
        "median": _percentile(lengths, 50),
        "train_median": _percentile(usual, 50),
        "p95": _percentile(lengths, 95),
        "train_p95": _percentile(usual, 95),
        "script": side.script,
        "train_script": train.script,
        "unseen_characters": float(side.counts[train.counts == 0].sum() / max(1, side.counts.sum())),
    }


def differences(name: str, side: Side, train: Side) -> Iterator[str]:
    """Differences from the training text that make scores mislead, in words; name: source or target."""
    found = likeness(side, train)
    lengths, usual = _line_lengths(side), _line_lengths(train)
    if _has_far_median(lengths, usual):
        yield f"{name} has a median of {found['median']} characters, training {found['train_median']}"
    elif _has_far_p95(lengths, usual):
        yield f"95 % of {name} lines have up to {found['p95']} characters, of training lines up to {found['train_p95']}"
    if side.script and train.script and side.script != train.script:
        yield f"{name} is in {side.script} script, training in {train.script}"
    if found["unseen_characters"] > _MANY_UNSEEN:
        yield f"{found['unseen_characters']:.1%} of the characters of {name} never occur in training"


def _line_lengths(side: Side) -> NDArray[np.int32]:
    """Characters of each line that is not blank; [0] where all are blank."""
    lengths = side.profile.characters[side.profile.words > 0]
    return lengths if len(lengths) else np.zeros(1, np.int32)


def _has_far_median(lengths: NDArray[np.int32], usual: NDArray[np.int32]) -> bool:
    """True if medians differ by much, and by more than the chance of a small set (three standard deviations)."""
    median = _percentile(usual, 50)
    # sign test: with equal medians the share is 0.5 ± 0.5 / √N; lengths are whole numbers, so ties count half
    longer = float(np.mean(lengths > median) + np.mean(lengths == median) / 2)
    is_certain = abs(longer - 0.5) > 3 * 0.5 / np.sqrt(len(lengths))
    return is_certain and _factor(_percentile(lengths, 50), median) > _FAR_MEDIAN


def _has_far_p95(lengths: NDArray[np.int32], usual: NDArray[np.int32]) -> bool:
    return len(lengths) >= _ENOUGH_FOR_P95 and _factor(_percentile(lengths, 95), _percentile(usual, 95)) > _FAR_P95


def _factor(first: int, second: int) -> float:
    low, high = sorted((max(first, 1), max(second, 1)))
    return high / low


def _percentile(numbers: NDArray[np.int32], percent: int) -> int:
    return int(np.percentile(numbers, percent, method="lower"))
