"""Truecasing: a table of the usual upper and lower case of the words of a training text (Lita et al. 2003).

A model hardly knows the tokens of lines in capitals or Title Case. By this table decoding/case_restoring.py gives it
such lines in the usual case of their words. data/usual_lines.py learns the table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.files import read_json, write_json
from translate.parsing import from_plain

TRUECASE = "truecase.json"  # in a model directory and in a run's folder
_VERSION = 1  # of the file
MAX_WORDS, MAX_WORD_LENGTH = 50_000, 100
MANY_LINES = 0.02  # of the training lines: a model that has seen as many reads such lines as they are
# of a line in capitals: its capitals, the letters of its only word, and of the longest of several words
MIN_LETTERS, MIN_ONLY_WORD, _MIN_LONGEST_WORD = 4, 6, 3
_MOST_SMALL = 0.1  # small letters for each capital in such a line: "DVDs", "mm"
_MIN_TITLE_WORDS = 4
SEPARATOR = re.compile("(['’‑-])")
WORDS = re.compile(r"[^\W_]+(?:['’‑-][^\W_]+)*")


class Case(StrEnum):
    """Case in which a model gets lines in capitals and in Title Case.

    auto     the manifest's; if that is auto too, restore, unless the training text has many such lines
    restore  the usual case of their words
    keep     as they are
    """

    auto = "auto"
    restore = "restore"
    keep = "keep"


def case_of(manifest: Mapping[str, Any]) -> Case:
    """The case that a model's manifest records. Raises UserError for a damaged manifest."""
    recorded = manifest.get("case", Case.auto)
    if recorded not in list(Case):
        raise UserError(f"the model's manifest.json: case is {excerpt(repr(recorded))}, none of {', '.join(Case)}")
    return Case(recorded)


def upper(text: str, language: str = "") -> str:
    """Text in capitals; language, an ISO 639 code: İ in Turkish and Azeri, no accents in Greek. ß becomes SS."""
    rules = _case_rules(language)
    if rules == "tr":
        text = text.replace("i", "İ")
    elif rules == "el":
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).replace("\u0301", ""))
    return text.upper()


def lower(text: str, language: str = "") -> str:
    """Text in small letters; language: see upper."""
    if _case_rules(language) == "tr":
        text = text.replace("I", "ı")
    # in other languages a foreign letter, which Python makes an i with a second dot
    return text.replace("İ", "i").lower()


@lru_cache
def _case_rules(language: str) -> str:
    """The language whose rules of case apply, tr or el; "" for those of Unicode."""
    primary = re.split("[-_]", language.strip().lower())[0]
    return {"tr": "tr", "tur": "tr", "az": "tr", "aze": "tr", "el": "el", "ell": "el", "gre": "el"}.get(primary, "")


def word_key(word: str, language: str) -> str:
    """The word in capitals, which all of its forms share."""
    return upper(word, language).replace("ẞ", "SS")


def in_capitals(words: Sequence[str], *, least: int = MIN_ONLY_WORD) -> bool:
    """True for words that are nearly all in capitals, and too long for acronyms; least: letters of a single word."""
    words = [word for word in words if word.upper() != word.lower()]
    letters = "".join(words).replace("ß", "")  # small in many texts in capitals
    capitals = sum(map(str.isupper, letters))
    if sum(map(str.islower, letters)) > _MOST_SMALL * capitals:
        return False
    if len(words) < 2:
        return capitals >= least
    return capitals >= MIN_LETTERS and max(map(len, words)) >= _MIN_LONGEST_WORD


def in_title_case(words: Sequence[str]) -> bool:
    """True for at least four words that all begin with a capital letter, most of which have small letters as well."""
    # no figures, nor words of a script without case
    cased = [word for word in words if word[0].upper() != word[0].lower()]
    if len(cased) < _MIN_TITLE_WORDS or not all(word[0].isupper() for word in cased):
        return False
    return sum(any(map(str.islower, word)) for word in cased) > len(cased) / 2


@dataclass(frozen=True, kw_only=True)
class Truecaser:
    """Usual case of the words of a training text.

    language              of the words, an ISO 639 code; "": unknown
    capitals, title_case  shares of the training lines in capitals and in Title Case
    begins_with_capital   sentences usually do
    unknown_with_capital  words that are not in the table usually begin with a capital, as in German
    words                 the most frequent words, each in its most frequent form inside of sentences
    """

    language: str = ""
    capitals: float = 0.0
    title_case: float = 0.0
    begins_with_capital: bool = True
    unknown_with_capital: bool = False
    words: list[str] = field(default_factory=list)

    @property
    def shares(self) -> dict[str, float]:
        """Shares of the training lines, by the name of their case."""
        return {"capitals": self.capitals, "Title Case": self.title_case}

    def save(self, path: Path) -> None:
        write_json(path, {"version": _VERSION, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> Truecaser:
        """Read what save wrote. Raises UserError for a damaged file."""
        content = read_json(path)
        if (version := content.pop("version", None)) != _VERSION:
            raise UserError(
                f"{path}: version {excerpt(version)}, expected {_VERSION}: written by another program version"
            )
        loaded = from_plain(cls, content, path)
        for name, share in loaded.shares.items():
            if not 0 <= share <= 1:  # nor NaN
                raise UserError(f"{path}: share {share} of lines in {name}, expected 0 to 1; copy the file again")
        if len(loaded.words) > MAX_WORDS:
            raise UserError(f"{path}: {len(loaded.words):,} words, expected at most {MAX_WORDS:,}")
        for word in loaded.words:
            if not (isinstance(word, str) and len(word) <= MAX_WORD_LENGTH and WORDS.fullmatch(word)):
                raise UserError(f"{path}: {excerpt(repr(word))} is no word; the file is damaged, copy it again")
        return loaded

    def key(self, word: str) -> str:
        return word_key(word, self.language)

    @cached_property
    def forms(self) -> dict[str, str]:
        """Word in capitals -> its usual form."""
        return {self.key(word): word for word in self.words}

    def usual_form(self, word: str, unknown: Callable[[str], str]) -> str:
        """Usual form of a word, or of each part of an unknown compound; unknown: form of words outside of the table."""
        parts = [word] if self.key(word) in self.forms else SEPARATOR.split(word)
        return "".join(self.forms.get(self.key(part)) or unknown(part) for part in parts)

    def form_of_unknown(self, word: str) -> str:
        """Form of a word in capitals outside of the table; one with digits, such as a product name, stays."""
        if any(map(str.isdigit, word)):
            return word
        small = lower(word, self.language)
        return self.capitalised(small) if self.unknown_with_capital and len(small) > 1 else small

    def capitalised(self, word: str) -> str:
        """The word with a capital first letter; ß stays, whose capital is two letters, and so does eBay."""
        if any(map(str.isupper, SEPARATOR.split(word)[0])):
            return word
        first = upper(word[0], self.language)
        return first + word[1:] if len(first) == 1 else word
