"""Join two sentence pairs into a longer one: concatenated, or as clauses of one sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from translate.data.augmentation.noise import Pair
from translate.data.formats.language_names import language_of_name
from translate.unspaced_scripts import EAST_ASIAN_MARKS, FULL_WIDTH, HAN_AND_KANA

# "and" and "but": between main clauses of these languages they change no word but the case of the first letter
_CONJUNCTIONS = {
    "cs": (" a ", ", ale "),
    "da": (", og ", ", men "),
    "de": (", und ", ", aber "),
    "en": (", and ", ", but "),
    "es": (" y ", ", pero "),
    "fr": (" et ", ", mais "),
    "it": (" e ", ", ma "),
    "nl": (", en ", ", maar "),
    "pl": (" i ", ", ale "),
    "pt": (" e ", ", mas "),
    "ru": (", и ", ", но "),
    "sv": (", och ", ", men "),
    "uk": (", і ", ", але "),
    "zh": ("，", "，但"),
}
_UNSPACED = re.compile(f"[{EAST_ASIAN_MARKS}{HAN_AND_KANA}{FULL_WIDTH}]")
_STATEMENT = re.compile(r".*[^.!?…。！？।؟\s][.。।]", re.DOTALL)
_INNER_END = re.compile(r"[.!?…।؟][\"'”’»)\]]*\s|[。！？]")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_WORDS_INSIDE = re.compile(r"(?<=[^.!?…:\"“”„‚‘«»(\s]\s)[^\W\d_]+")


@dataclass
class Casing:
    """Counts of words inside sentences, which decide if the first word of a sentence is lower-cased in a clause."""

    counts: Counter[str] = field(default_factory=Counter)

    def learn(self, lines: Iterable[str]) -> None:
        """Count the words that do not begin a sentence."""
        for line in lines:
            self.counts.update(_WORDS_INSIDE.findall(line))

    def continued(self, text: str) -> str:
        """The text as continuation of a sentence: its first word is lower-cased if it usually is inside sentences."""
        found = _FIRST_WORD.match(text)
        if found is None or len(found[0][0].lower()) != 1:
            return text
        word, lower_cased = found[0], found[0][0].lower() + found[0][1:]
        return lower_cased + text[found.end() :] if self.counts[lower_cased] > self.counts[word] else text


def join_pairs(first: Pair, second: Pair) -> Pair:
    """Concatenate two pairs; each keeps its punctuation."""
    return _concatenate(first[0], second[0]), _concatenate(first[1], second[1])


@dataclass(frozen=True)
class ClauseJoiner:
    """Joins two statements into one sentence: "A. B." becomes "A, and b."

    languages  of source and target, by code or name; unless both have a known conjunction, a semicolon joins
    casing     of the words of source and target
    """

    languages: tuple[str, str] = ("", "")
    casing: tuple[Casing, Casing] = field(default_factory=lambda: (Casing(), Casing()))

    def join(self, first: Pair, second: Pair, random: Random) -> Pair:
        """The joined pair; concatenated if any text is not a single statement with a full stop."""
        number = random.randrange(2)  # the same conjunction on both sides
        clauses = [(_statement(text), _statement(following)) for text, following in zip(first, second, strict=True)]
        conjunctions = [_CONJUNCTIONS.get(language_of_name(language)) for language in self.languages]
        sides = []
        for (head, tail), casing, conjunction in zip(clauses, self.casing, conjunctions, strict=True):
            if head is None or tail is None:
                return join_pairs(first, second)
            semicolon = "；" if _UNSPACED.match(head[-2]) else "; "
            link = conjunction[number] if conjunction and all(conjunctions) else semicolon
            sides.append(head[:-1] + link + casing.continued(tail))
        return sides[0], sides[1]


def _statement(text: str) -> str | None:
    """The text, if it is a single sentence with a full stop; None for questions, several sentences and other text."""
    text = text.strip()
    return text if _STATEMENT.fullmatch(text) and not _INNER_END.search(text[:-1]) else None


def _concatenate(first: str, second: str) -> str:
    first, second = first.rstrip(), second.lstrip()
    spaced = not (first and second and _UNSPACED.match(first[-1]) and _UNSPACED.match(second[0]))
    return first + " " * spaced + second
