"""Two sentence pairs joined into a longer one, on both sides alike: side by side, or as clauses of one sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from translate.data.augmentation.noise import Pair
from translate.data.forms.language_names import language_of_name

# "and" and "but": between main clauses they change neither clause in these languages, apart from the first letter
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
_WIDE = re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]")  # of scripts without spaces
_STATEMENT = re.compile(r".*[^.!?…。！？।؟\s][.。।]", re.DOTALL)
_INNER_END = re.compile(r"[.!?…।؟][\"'”’»)\]]*\s|[。！？]")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_WORDS_INSIDE = re.compile(r"(?<=[^.!?…:\"“”„‚‘«»(\s]\s)[^\W\d_]+")


@dataclass
class Casing:
    """Counts of words inside of sentences, by which the first word of a sentence gets its usual letter there."""

    counts: Counter[str] = field(default_factory=Counter)

    def learn(self, lines: Iterable[str]) -> None:
        """Count the words of lines that do not begin a sentence."""
        for line in lines:
            self.counts.update(_WORDS_INSIDE.findall(line))

    def continued(self, text: str) -> str:
        """The text as it continues a sentence: with a small first letter where its first word usually has one."""
        found = _FIRST_WORD.match(text)
        if found is None or len(found[0][0].lower()) != 1:
            return text
        word, small = found[0], found[0][0].lower() + found[0][1:]
        return small + text[found.end() :] if self.counts[small] > self.counts[word] else text


def join_pairs(first: Pair, second: Pair) -> Pair:
    """Two pairs, one behind the other, each with its own marks."""
    return _side_by_side(first[0], second[0]), _side_by_side(first[1], second[1])


@dataclass(frozen=True)
class ClauseJoiner:
    """Makes one sentence of two statements: "A. B." becomes "A, and b."

    languages  of source and target, by code or name; unless both have a known conjunction, a semicolon joins
    casing     of the words of source and target
    """

    languages: tuple[str, str] = ("", "")
    casing: tuple[Casing, Casing] = field(default_factory=lambda: (Casing(), Casing()))

    def join(self, first: Pair, second: Pair, random: Random) -> Pair:
        """The joined pair; side by side where a text is anything but one statement with a full stop."""
        number = random.randrange(2)  # of the conjunction, the same on both sides
        clauses = [(_statement(text), _statement(following)) for text, following in zip(first, second, strict=True)]
        conjunctions = [_CONJUNCTIONS.get(language_of_name(language)) for language in self.languages]
        sides = []
        for (head, tail), casing, conjunction in zip(clauses, self.casing, conjunctions, strict=True):
            if head is None or tail is None:
                return join_pairs(first, second)
            semicolon = "；" if _WIDE.match(head[-2]) else "; "
            link = conjunction[number] if conjunction and all(conjunctions) else semicolon
            sides.append(head[:-1] + link + casing.continued(tail))
        return sides[0], sides[1]


def _statement(text: str) -> str | None:
    """A single sentence that ends in its full stop; None for questions, several sentences and text without one."""
    text = text.strip()
    return text if _STATEMENT.fullmatch(text) and not _INNER_END.search(text[:-1]) else None


def _side_by_side(first: str, second: str) -> str:
    first, second = first.rstrip(), second.lstrip()
    spaced = not (first and second and _WIDE.match(first[-1]) and _WIDE.match(second[0]))
    return first + " " * spaced + second
