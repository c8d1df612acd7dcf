"""Texts that translations must and must not contain: settings, and the constraints of one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from translate.data.corpus import one_or_several
from translate.errors import UserError, errors_naming
from translate.files import require_regular
from translate.text import count_lines, normalise, read_lines

if TYPE_CHECKING:
    from translate.decoding.constraints.vocabulary import Patterns, Vocabulary


_MAX_BANNED = 100_000  # whose characters are a trie in memory


@dataclass(kw_only=True)
class ConstraintConfig:
    """Texts that translations must and must not contain; engine=native, unless another engine is named.

    terminology  file of two columns, terms and their translations, which must appear where the source has the term;
                 needs beam search. Several rows of one term are alternatives. A list: several files
    ignore_case  find terms in small letters though the file has them with capitals
    banned       texts that must not appear as whole words: a list (also with engine=ctranslate2)
    banned_file  file of such texts, one a line
    banned_case  ban the texts as they are written; otherwise in capital and small letters alike
    numbers      numbers of the source must appear, in digits; needs beam search
    prefixes     file with a line for each line of the input, whole words with which its translation begins; empty:
                 none (also with engine=ctranslate2, where the last word may continue)
    """

    terminology: Any = ""  # str, or list[str]
    ignore_case: bool = False
    banned: list[str] = field(default_factory=list)
    banned_file: str = ""
    banned_case: bool = False
    numbers: bool = False
    prefixes: str = ""

    @property
    def is_given(self) -> bool:
        return self != ConstraintConfig()

    def check(self) -> None:
        """Raise UserError for files that do not exist and options without an effect, before a model is loaded."""
        for option, given, needed in (
            ("ignore_case", self.terminology_files, "terminology=FILE"),
            ("banned_case", self.banned or self.banned_file, "banned=[TEXT] or constraints.banned_file=FILE"),
        ):
            if getattr(self, option) and not given:
                raise UserError(f"constraints.{option}=true has no effect without constraints.{needed}")
        if not all(map(_stripped, self.banned)):
            raise UserError(f"constraints.banned={self.banned}: one of the texts is blank; leave it out")
        for path in self.terminology_files:
            require_regular(path, option="constraints.terminology")
        for option in ("banned_file", "prefixes"):
            if path := getattr(self, option):
                require_regular(path, option=f"constraints.{option}")

    @property
    def terminology_files(self) -> list[str]:
        return [path for path in one_or_several(self.terminology, key="constraints.terminology") if path]

    @property
    def files(self) -> list[str]:
        """The files that decide translations."""
        return [*self.terminology_files, *filter(None, (self.banned_file, self.prefixes))]

    def require_lines(self, count: int, name: str) -> None:
        """Raise UserError unless there are as many prefixes, if any, as lines of the input of this name."""
        if not self.prefixes:
            return
        with errors_naming("constraints.prefixes"):
            if (found := count_lines(self.prefixes)) != count:
                raise UserError(
                    f"{self.prefixes} has {found:,} lines, and {name} has {count:,}; a line of it may be empty"
                )

    def banned_texts(self) -> list[str]:
        """The banned texts, each once. Raises UserError for a file that cannot be read or has too many."""
        texts = dict.fromkeys(map(_stripped, self.banned))
        if self.banned_file:
            with errors_naming("constraints.banned_file"):
                texts |= dict.fromkeys(filter(None, map(_stripped, read_lines(self.banned_file))))
                if not texts:
                    raise UserError(f"{self.banned_file}: no line has a text")
                if len(texts) > _MAX_BANNED:
                    raise UserError(f"{self.banned_file}: more than {_MAX_BANNED:,} texts")
        return list(texts)


def _stripped(text: str) -> str:
    return normalise(text).strip()


@dataclass(frozen=True)
class Term:
    """A text that a translation must contain, in any of its spellings, the first of which is preferred.

    least, most  number of times that it occurs, over all spellings
    """

    spellings: tuple[str, ...]
    least: int = 1
    most: int = 1


@dataclass(frozen=True, eq=False)
class Lexicon:
    """The part of the constraints that all sentences share.

    banned  texts that no translation may contain
    spaced  the target language separates words by spaces
    """

    vocabulary: Vocabulary
    banned: Patterns
    spaced: bool = True


@dataclass(frozen=True)
class Constraints:
    """Constraints of one sentence's translation; prefix: tokens that it begins with."""

    lexicon: Lexicon
    terms: tuple[Term, ...] = ()
    prefix: tuple[int, ...] = ()

    @property
    def without_least(self) -> Constraints:
        """The constraints without those that need more than forbidding tokens: terms may appear, but need not."""
        return replace(self, terms=tuple(replace(term, least=0) for term in self.terms))


class ConstrainedSentence(tuple[int, ...]):
    """Source tokens with the constraints of their translation; None: none.

    A tuple, so that engines treat it as any sentence. It is equal only to one with equal constraints: equal sentences
    are translated once.
    """

    constraints: Constraints | None

    def __new__(cls, tokens: tuple[int, ...], constraints: Constraints | None) -> Self:
        sentence = super().__new__(cls, tokens)
        sentence.constraints = constraints
        return sentence

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.constraints == getattr(other, "constraints", None)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.constraints))
