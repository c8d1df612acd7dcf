"""Restore the usual case of source lines in capitals or Title Case, by the table of truecasing.Truecaser.

The translation of a line in capitals is written in capitals again; that of a line in Title Case stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from translate.errors import UserError
from translate.sentences import split_sentences
from translate.truecasing import (
    MANY_LINES,
    MIN_LETTERS,
    MIN_ONLY_WORD,
    TRUECASE,
    WORDS,
    Case,
    Truecaser,
    case_of,
    in_capitals,
    in_title_case,
    upper,
)

_MIN_SMALL_WORDS = 2  # of a line in Title Case that usually begin with a small letter: others are a list of names
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


@dataclass(frozen=True)
class Recased:
    """A source line as the model gets it.

    changed      its case is not that of the line
    in_capitals  the translation is to be written in capitals
    kept         words that stay as they are in the translation
    fixed        other text that stays, such as variables and symbols
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
        words, stays = re.compile("|".join([*fixed, WORDS.pattern])), self.kept | self.fixed
        return words.sub(lambda found: found[0] if found[0] in stays else upper(found[0], language), translation)


@dataclass(frozen=True, kw_only=True)
class CaseRestorer:
    """Restore the usual case of the words of lines in capitals or Title Case; all other lines stay.

    capitals, title_case  restore such lines
    symbols               of the tokenizer, which stay: in another case they would be text
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
        """Restore a normalised line without its tag, if it is in capitals or in Title Case."""
        found = [(match["word"], match[0]) for match in self._pattern.finditer(line)]
        words = [word for word, _ in found if word]
        if self.capitals and in_capitals(words, least=MIN_LETTERS) and self._has_words(words):
            restored = self._restored(line, self._form_of_capitals)
            kept = frozenset(word for word in words if not word.isupper())
            fixed = frozenset([*(text for word, text in found if not word), *self.symbols])
            return Recased(restored, restored != line, in_capitals=restored != line, kept=kept, fixed=fixed)
        if self.title_case and in_title_case(words) and self._has_small_words(words[1:]):
            restored = self._restored(line, self._form_of_title)
            return Recased(restored, changed=restored != line)
        return Recased(line)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Words, as the group of that name, and text that stays: symbols, markup, code, variables and addresses."""
        symbols = map(re.escape, sorted(self.symbols, key=len, reverse=True))
        return re.compile("|".join([*symbols, _FIXED, f"(?P<word>{WORDS.pattern})"]))

    def _has_words(self, words: Sequence[str]) -> bool:
        """True if some word in capitals is no acronym: it is long, or the table has it in other letters."""
        forms, key = self.truecaser.forms, self.truecaser.key
        return any(len(word) >= MIN_ONLY_WORD or forms.get(key(word), word) != word for word in words)

    def _has_small_words(self, words: Sequence[str]) -> bool:
        """True if some of these words usually have no capital: others are a list of names."""
        usual = (self.truecaser.forms.get(self.truecaser.key(word), "") for word in words)
        return sum(form[:1].islower() for form in usual) >= _MIN_SMALL_WORDS

    def _form_of_capitals(self, word: str) -> str:
        has_small = any(map(str.islower, word.replace("ß", "")))
        return word if has_small else self.truecaser.usual_form(word, self.truecaser.form_of_unknown)

    def _form_of_title(self, word: str) -> str:
        # an unknown word with a capital may be a name
        return self.truecaser.usual_form(word, lambda part: part)

    def _restored(self, line: str, form_of: Callable[[str], str]) -> str:
        """The line with the usual form of each word, and a capital at the beginning of each sentence."""
        ends = accumulate(map(len, split_sentences(line, self.truecaser.language)))
        pieces, done, sentence_end, is_first = [], 0, 0, False
        for match in self._pattern.finditer(line):
            while match.start() >= sentence_end:
                sentence_end, is_first = next(ends), self.truecaser.begins_with_capital
            form = form_of(match[0]) if match["word"] else match[0]
            form = self.truecaser.capitalised(form) if is_first and match["word"] else form
            pieces += [line[done : match.start()], form]
            # a variable in front stands for a word, markup does not
            done, is_first = match.end(), is_first and match[0].startswith("<")
        return "".join(pieces) + line[done:]
