"""Truecasing: the usual upper and lower case of lines in capitals or Title Case (Lita et al. 2003).

A model hardly knows the tokens of text in capitals. It gets such a line in the usual case of its words, by a table of
the training text, and its translation is written in capitals again. A line in Title Case gets its usual case as well;
its translation stays as the model writes it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from translate.errors import UserError, excerpt
from translate.files import read_json, write_json
from translate.parsing import from_plain
from translate.sentences import split_sentences

TRUECASE = "truecase.json"  # in a model directory and in a run's folder
MAX_WORDS, MAX_WORD_LENGTH = 50_000, 100
_VERSION = 1  # of the file
MANY_LINES = 0.02  # of the training lines: a model that has seen as many reads such lines as they are
_MOST_SMALL = 0.1  # small letters for each capital: "DVDs", "mm"
_MIN_LETTERS, _MIN_WORD, _MIN_ONLY_WORD = 4, 3, 6
_MIN_TITLE_WORDS, _MIN_SMALL_WORDS = 4, 2
_WORD = r"[^\W_]+(?:['’‑-][^\W_]+)*"
# markup, code, variables and addresses stay, and say nothing about the case of a line; bounded, to take linear time
_FIXED = "|".join(
    (
        r"<[^<>]{1,200}>",
        r"`{1,2}[^`]{1,200}`{1,2}",
        r"\{[^{}]{1,100}\}",
        r"&#?\w{1,30};",
        r"%(?:\(\w{1,50}\))?\w\b",
        r"(?i:https?)://\S+",
        r"[\w.+-]{1,64}@[\w.-]+",
        r"[^\W_]*+_\w*",
    )
)
SEPARATOR = re.compile("(['’‑-])")
WORDS = re.compile(_WORD)


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


@lru_cache
def _rules(language: str) -> str:
    primary = re.split("[-_]", language.strip().lower())[0]
    return {"tr": "tr", "tur": "tr", "az": "tr", "aze": "tr", "el": "el", "ell": "el", "gre": "el"}.get(primary, "")


def upper(text: str, language: str = "") -> str:
    """Text in capitals; language, an ISO 639 code: İ in Turkish and Azeri, no accents in Greek. ß becomes SS."""
    rules = _rules(language)
    if rules == "tr":
        text = text.replace("i", "İ")
    elif rules == "el":
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).replace("\u0301", ""))
    return text.upper()


def lower(text: str, language: str = "") -> str:
    """Text in small letters; language: see upper."""
    if _rules(language) == "tr":
        text = text.replace("I", "ı")
    # in other languages a foreign letter, which Python makes an i with a second dot
    return text.replace("İ", "i").lower()


def word_key(word: str, language: str) -> str:
    """The word in capitals, which all of its forms share."""
    return upper(word, language).replace("ẞ", "SS")


def in_capitals(words: Sequence[str], *, least: int = _MIN_ONLY_WORD) -> bool:
    """True for words that are nearly all in capitals, and too long for acronyms; least: letters of a single word."""
    words = [word for word in words if word.upper() != word.lower()]
    letters = "".join(words).replace("ß", "")  # small in many texts in capitals
    capitals = sum(map(str.isupper, letters))
    if sum(map(str.islower, letters)) > _MOST_SMALL * capitals:
        return False
    if len(words) < 2:
        return capitals >= least
    return capitals >= _MIN_LETTERS and max(map(len, words)) >= _MIN_WORD


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
            raise UserError(f"{path}: version {excerpt(version)}, expected {_VERSION}: written by another program")
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

    def usual(self, word: str, unknown: Callable[[str], str]) -> str:
        """Usual form of a word, of an unknown compound that of its parts; unknown: form of what is not in the table."""
        parts = [word] if self.key(word) in self.forms else SEPARATOR.split(word)
        return "".join(self.forms.get(self.key(part)) or unknown(part) for part in parts)

    def of_unknown(self, word: str) -> str:
        """Form of a word in capitals that is not in the table; words with digits are names of things, and stay."""
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


@dataclass(frozen=True)
class Recased:
    """A source line as the model gets it.

    changed      its case is not that of the line
    in_capitals  the translation is to be written in capitals
    kept         words that stay as they are in the translation
    fixed        text that does, such as variables and symbols
    """

    text: str
    changed: bool = False
    in_capitals: bool = False
    kept: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()

    def write(self, translation: str, language: str = "") -> str:
        """The translation in the case of the line; language: of the translation, an ISO 639 code."""
        if not self.in_capitals:
            return translation
        # the words of a variable are words elsewhere, so that it is kept as a whole
        fixed = map(re.escape, sorted(self.fixed, key=len, reverse=True))
        words, stays = re.compile("|".join([*fixed, _WORD])), self.kept | self.fixed
        return words.sub(lambda found: found[0] if found[0] in stays else upper(found[0], language), translation)


@dataclass(frozen=True, kw_only=True)
class CaseRestorer:
    """Gives lines in capitals or Title Case their usual case, and leaves all others.

    capitals, title_case  lines that get it
    symbols               of the tokenizer: in other letters they would be text
    """

    truecaser: Truecaser
    capitals: bool = True
    title_case: bool = True
    symbols: tuple[str, ...] = ()

    @classmethod
    def of_model(
        cls, truecaser: Truecaser | None, manifest: Mapping[str, Any], case: Case, *, symbols: Sequence[str] = ()
    ) -> CaseRestorer | None:
        """The restorer for a model; None where all lines stay as they are.

        case, unless auto, replaces the manifest's. Raises UserError for restore and a model without a table.
        """
        case = case_of(manifest) if case is Case.auto else case
        if case is Case.restore and truecaser is None:
            raise UserError(f"case=restore: the model has no {TRUECASE}, the usual case of words: leave it out")
        if case is Case.keep or truecaser is None:
            return None
        shares = truecaser.shares.values()
        capitals, title_case = (case is Case.restore or share < MANY_LINES for share in shares)
        if not (capitals or title_case):
            return None
        return cls(truecaser=truecaser, capitals=capitals, title_case=title_case, symbols=tuple(symbols))

    def restore(self, line: str) -> Recased:
        """A normalised line without its tag, in its usual case if it is in capitals or in Title Case."""
        found = [(match["word"], match[0]) for match in self._pattern.finditer(line)]
        words = [word for word, _ in found if word]
        if self.capitals and in_capitals(words, least=_MIN_LETTERS) and self._has_words(words):
            restored = self._restored(line, self._of_capitals)
            kept = frozenset(word for word in words if not word.isupper())
            fixed = frozenset([*(text for word, text in found if not word), *self.symbols])
            return Recased(restored, restored != line, in_capitals=restored != line, kept=kept, fixed=fixed)
        if self.title_case and in_title_case(words) and self._has_small_words(words[1:]):
            restored = self._restored(line, self._of_title)
            return Recased(restored, changed=restored != line)
        return Recased(line)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Words, and everything that stays, whose letters are no words."""
        symbols = map(re.escape, sorted(self.symbols, key=len, reverse=True))
        return re.compile("|".join([*symbols, _FIXED, f"(?P<word>{_WORD})"]))

    def _has_words(self, words: Sequence[str]) -> bool:
        """True if some word in capitals is no acronym: it is long, or the table has it in other letters."""
        forms, key = self.truecaser.forms, self.truecaser.key
        return any(len(word) >= _MIN_ONLY_WORD or forms.get(key(word), word) != word for word in words)

    def _has_small_words(self, words: Sequence[str]) -> bool:
        """True if some of these words usually have no capital: others are a list of names."""
        usual = (self.truecaser.forms.get(self.truecaser.key(word), "") for word in words)
        return sum(form[:1].islower() for form in usual) >= _MIN_SMALL_WORDS

    def _of_capitals(self, word: str) -> str:
        has_small = any(map(str.islower, word.replace("ß", "")))
        return word if has_small else self.truecaser.usual(word, self.truecaser.of_unknown)

    def _of_title(self, word: str) -> str:
        # an unknown word with a capital may be a name
        return self.truecaser.usual(word, lambda part: part)

    def _restored(self, line: str, usual: Callable[[str], str]) -> str:
        """The line with the usual form of each word, and a capital at the beginning of each sentence."""
        ends = accumulate(map(len, split_sentences(line, self.truecaser.language)))
        pieces, done, sentence_end, is_first = [], 0, 0, False
        for match in self._pattern.finditer(line):
            while match.start() >= sentence_end:
                sentence_end, is_first = next(ends), self.truecaser.begins_with_capital
            form = usual(match[0]) if match["word"] else match[0]
            form = self.truecaser.capitalised(form) if is_first and match["word"] else form
            pieces += [line[done : match.start()], form]
            # a variable in front stands for a word, markup does not
            done, is_first = match.end(), is_first and match[0].startswith("<")
        return "".join(pieces) + line[done:]
