"""Terms from two-column files: found in source lines, with the texts that their translations must contain."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.language_names import same_language
from translate.data.formats.recognition import recognise
from translate.data.formats.tables import table_columns
from translate.data.formats.workbooks import workbook_columns
from translate.data.readers import read_rows
from translate.decoding.constraints.constraints import Term
from translate.decoding.constraints.vocabulary import find_words, split_words
from translate.errors import UserError, excerpt
from translate.text import normalise, read_lines

logger = logging.getLogger(__name__)

MAX_TERMS = 1_000_000  # that are kept in memory
_MAX_CHARACTERS = 200  # of a term: more is a sentence, in a file of another kind
_MANY = 1000  # a number may be written more often than the source has it: 3 is also a part of 3.5
_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w)")
Words = tuple[str, ...]
_TABLES = {CorpusFormat.csv: table_columns, CorpusFormat.xlsx: workbook_columns}


@dataclass(frozen=True)
class Terminology:
    """Target texts of source terms.

    targets      by the words of the source term
    longest      number of words of the longest term that begins with a word
    ignore_case  find terms with capitals in small letters as well
    """

    targets: dict[Words, tuple[str, ...]]
    longest: dict[str, int]
    ignore_case: bool = False

    @classmethod
    def of_pairs(cls, pairs: Sequence[tuple[str, str]], *, ignore_case: bool = False) -> Terminology:
        """Terms of pairs of a source and a target text; targets of one source text are alternatives, best first."""
        targets: dict[Words, dict[str, None]] = defaultdict(dict)
        longest: dict[str, int] = {}
        for source, target in pairs:
            words = tuple(split_words(source.lower() if ignore_case else source))
            if words and target:
                targets[words][target] = None
                longest[words[0]] = max(longest.get(words[0], 0), len(words))
        return cls({words: tuple(found) for words, found in targets.items()}, longest, ignore_case)

    @classmethod
    def read(cls, config: CorpusConfig, *, key: str, ignore_case: bool = False) -> Terminology:
        """The terms of a file in any format of corpora; key: the option that names it, for errors.

        Rows without a term on both sides are left out, with a warning. Raises UserError for a file that cannot be
        read, and one with too many or too long terms.
        """
        pairs: list[tuple[str, str]] = []
        incomplete: list[int] = []
        for row in read_rows(config, key=key):
            source, target = normalise(row.source).strip(), normalise(row.target).strip()
            if (length := max(len(source), len(target))) > _MAX_CHARACTERS:
                raise UserError(
                    f"{row.path}, line {row.line}: a term of {length:,} characters, at most {_MAX_CHARACTERS} are "
                    f"allowed: {excerpt(source)}; {key} is a file of terms, not of sentences"
                )
            if len(pairs) == MAX_TERMS:
                raise UserError(f"{row.path}: more than {MAX_TERMS:,} terms; divide the file by subject")
            if bool(source) != bool(target):
                incomplete.append(row.line)
            pairs.append((source, target))
        terminology = cls.of_pairs(pairs, ignore_case=ignore_case)
        if not terminology.targets:
            raise UserError(f"{key}={config.title}: no row has a term on both sides")
        if incomplete:
            logger.warning(
                f"{key}={config.title}: rows with a term on one side alone are left out: {len(incomplete):,}, the "
                f"first on line {incomplete[0]:,}"
            )
        return terminology

    def find(self, line: str) -> list[Term]:
        """The terms in a source line, from left to right, the longest one where several begin.

        A term without capitals is found in any case, since sentences and titles have some; another one as it is.
        """
        words = list(split_words(line))
        found: Counter[tuple[str, ...]] = Counter()
        index = 0
        while index < len(words):
            length = self._length_at(words, index)
            if length:
                found[self._targets(words[index : index + length])] += 1
            index += max(length, 1)
        return [Term(_with_capitals(targets), most=count) for targets, count in found.items()]

    def _length_at(self, words: list[str], index: int) -> int:
        """Number of words of the longest term that begins at a word; 0 if none does."""
        forms = {words[index], words[index].lower()}
        longest = max(self.longest.get(form, 0) for form in forms)
        lengths = range(min(longest, len(words) - index), 0, -1)
        return next((length for length in lengths if self._targets(words[index : index + length])), 0)

    def _targets(self, words: Sequence[str]) -> tuple[str, ...]:
        exact = () if self.ignore_case else self.targets.get(tuple(words), ())
        return exact or self.targets.get(tuple(word.lower() for word in words), ())


def term_corpus(path: str, *, source_language: str, target_language: str) -> CorpusConfig:
    """A file of terms as a corpus: of a table, the columns that name the languages, or else the first two.

    Columns are not chosen by their text as in files of sentences: a term may be a number, and a file have one row.
    """
    config = CorpusConfig(path=path, source_language=source_language, target_language=target_language)
    file_format = recognise(path)
    if file_format not in _TABLES:
        return config
    names = _TABLES[file_format](path)
    wanted = [language for language in (source_language, target_language) if language]
    has_languages = len(wanted) == 2 and all(any(same_language(name, each) for name in names) for each in wanted)
    if has_languages or {"source", "target"} <= {name.lower() for name in names}:
        return config
    # without quotation, and with its first row
    is_plain = file_format is CorpusFormat.csv and "\t" in next(iter(read_lines(path)), "")
    return replace(config, source="1", target="2", format=CorpusFormat.tsv if is_plain else config.format)


def find_numbers(line: str) -> list[Term]:
    """The numbers in a line, in digits; separators of thousands and decimals may change as languages have it."""
    found = Counter(_NUMBER.findall(line))
    swapped = str.maketrans(".,", ",.")
    return [
        Term(tuple(dict.fromkeys([number, number.translate(swapped), re.sub("[.,]", "", number)])), count, _MANY)
        if "." in number or "," in number
        else Term((number,), count, _MANY)
        for number, count in found.items()
    ]


def merge_terms(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Terms with different preferred spellings; one that is a part of others may occur in each of them as well."""
    merged: dict[str, Term] = {}
    for term in terms:
        first = term.spellings[0]
        known = merged.get(first)
        if known is None:
            merged[first] = term
        else:
            spellings = tuple(dict.fromkeys(known.spellings + term.spellings))
            merged[first] = Term(spellings, max(known.least, term.least), known.most + term.most)
    # "pump" is found in "fuel pump" as well: each required fuel pump allows and requires one more pump
    result = []
    for first, term in merged.items():
        inside = sum(other.least * len(find_words(first, text)) for text, other in merged.items() if text != first)
        result.append(replace(term, least=term.least + inside, most=term.most + inside))
    return tuple(result)


def _with_capitals(spellings: tuple[str, ...]) -> tuple[str, ...]:
    """The spellings, then each with a capital, as at the beginning of a sentence."""
    capitalised = (text[:1].upper() + text[1:] for text in spellings)
    return tuple(dict.fromkeys([*spellings, *capitalised]))
