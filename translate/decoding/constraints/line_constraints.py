"""The constraints that a line's text gives to its translation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from translate import unspaced_scripts
from translate.decoding.config import Engine, Hypothesis, SearchConfig, Sentence
from translate.decoding.constraints.automaton import Automaton
from translate.decoding.constraints.constraints import ConstrainedSentence, ConstraintConfig, Constraints, Lexicon, Term
from translate.decoding.constraints.terminology import Terminology, find_numbers, merge_terms, term_corpus
from translate.decoding.constraints.vocabulary import Patterns, vocabulary_of
from translate.decoding.segmentation import Segment
from translate.errors import UserError, errors_naming, excerpt
from translate.text import normalise, read_lines
from translate.tokenizer import Tokenizer

_LISTED = 5
_MOST_BYTES = 4  # of a character


class LineConstraints:
    """Constraints on the translations of lines.

    terms       pairs of source and target text, besides those of the configuration's files
    prefix      of the translation of every line, where the configuration names no file of prefixes
    unwritable  spellings of terms that the vocabulary cannot write, with the number of times they were left out
    overruled   prefixes and terms with a banned text, with the number of times they were required nevertheless
    """

    def __init__(
        self,
        config: ConstraintConfig,
        tokenizer: Tokenizer,
        manifest: Mapping[str, Any],
        *,
        max_length: int,
        terms: Sequence[tuple[str, str]] = (),
        prefix: str = "",
    ) -> None:
        """Read the files; max_length: most tokens that the model writes. Raises UserError for what it cannot use."""
        self._tokenizer = tokenizer
        self._numbers = config.numbers
        languages = {f"{side}_language": manifest.get(f"{side}_language", "") for side in ("source", "target")}
        key = "constraints.terminology"
        with errors_naming(key):
            corpora = [term_corpus(path, **languages) for path in config.terminology_files]
        self._terminologies = [Terminology.read(corpus, key=key, ignore_case=config.ignore_case) for corpus in corpora]
        if terms:
            self._terminologies.append(Terminology.of_pairs(terms, ignore_case=config.ignore_case))
        self._banned, self._banned_case = config.banned_texts(), config.banned_case
        self._spaced = languages["target_language"].partition("-")[0] not in unspaced_scripts.LANGUAGES
        self._prefix_file = config.prefixes
        self._prefix = prefix
        self._prefixes: Iterator[str] | None = None
        if config.prefixes:
            require_prefixes(config.prefixes, tokenizer, max_length)
            self._prefixes = read_lines(config.prefixes)
        self.unwritable: Counter[str] = Counter()
        self.overruled: Counter[str] = Counter()
        self._num_lacking = self._num_long = 0

    @cached_property
    def lexicon(self) -> Lexicon:
        vocabulary = vocabulary_of(self._tokenizer)
        banned = [text for text in map(vocabulary.written, self._banned) if text]
        return Lexicon(vocabulary, Patterns(banned, vocabulary, fold=not self._banned_case), self._spaced)

    def constrain(self, lines: Sequence[Sequence[Segment]]) -> list[list[Segment]]:
        """The segments of each line with their constraints; prefixes are those of the lines after the former ones.

        Raises UserError for a file of prefixes with fewer lines.
        """
        constrained = []
        for segments in lines:
            prefix = self._next_prefix()
            constrained.append([self._constrain(segment, "" if n else prefix) for n, segment in enumerate(segments)])
        return constrained

    def _next_prefix(self) -> str:
        if self._prefixes is None:
            return self._prefix
        try:
            prefix = next(self._prefixes)
        except StopIteration:
            raise UserError(
                f"constraints.prefixes={self._prefix_file}: the input has more lines; give each a line, which may be "
                "empty"
            ) from None
        return normalise(prefix).strip()

    def _constrain(self, segment: Segment, prefix: str) -> Segment:
        terms = merge_terms(self._writable(self._terms(segment.text)))
        if prefix and self.lexicon.banned.found_in(prefix):
            self.overruled[prefix] += 1
        tokens = tuple(self._tokenizer.encode_target([prefix])[0]) if prefix else ()
        is_constrained = bool(terms or tokens or self._banned)
        constraints = Constraints(self.lexicon, terms, tokens) if is_constrained else None
        return replace(segment, constrained=ConstrainedSentence(tuple(segment.tokens), constraints))

    def _terms(self, text: str) -> list[Term]:
        terms = [term for terminology in self._terminologies for term in terminology.find(text)]
        return terms + (find_numbers(text) if self._numbers else [])

    def _writable(self, terms: Sequence[Term]) -> list[Term]:
        """The terms in the spellings that the model's vocabulary can write, without banned ones if others are left."""
        found = []
        for term in terms:
            spellings = tuple(dict.fromkeys(filter(None, map(self.lexicon.vocabulary.written, term.spellings))))
            allowed = tuple(text for text in spellings if not self.lexicon.banned.found_in(text))
            if spellings:
                self.overruled[spellings[0]] += not allowed
                found.append(Term(allowed or spellings, term.least, term.most))
            else:
                self.unwritable[term.spellings[0]] += 1
        return found

    def search(
        self,
        engine: Engine,
        sentences: Sequence[Sentence],
        config: SearchConfig,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> list[list[Hypothesis]]:
        """Engine.search; terms are required only where the model does not write them by itself.

        A search that requires terms divides its beam, and would find less likely translations where that is not needed.
        """
        found = engine.search(list(map(_without_least, sentences)), config, progress=progress)
        again = [index for index, sentence in enumerate(sentences) if not _has_terms(sentence, found[index])]
        required = engine.search([sentences[index] for index in again], config) if again else []
        for index, hypotheses in zip(again, required, strict=True):
            found[index] = hypotheses
            self._num_lacking += not _has_terms(sentences[index], hypotheses)
        if config.max_length:
            self._num_long += sum(len(hypotheses[0].tokens) > config.max_length for hypotheses in found)
        return found

    @property
    def has_prefixes(self) -> bool:
        return self._prefixes is not None

    def describe(self) -> str:
        """A line about constraints that were not fulfilled; "" if there are none."""
        notes = []
        if self.unwritable:
            notes.append(_listed("terms that the model's vocabulary cannot write are left out", self.unwritable))
        if +self.overruled:
            notes.append(_listed("prefixes and terms have a banned text, and count more", +self.overruled))
        if self._num_lacking:
            notes.append(f"{self._num_lacking:,} translations lack a term, for want of room")
        if self._num_long:
            notes.append(f"{self._num_long:,} translations exceed search.max_length by their prefix and terms")
        if self._prefixes is not None and next(self._prefixes, None) is not None:
            notes.append(f"constraints.prefixes={self._prefix_file} has more lines than the input")
        return "; ".join(notes)


def require_prefixes(path: str, tokenizer: Tokenizer, max_length: int) -> None:
    """Raise UserError, before the first line is translated, for a file of prefixes that are no text, or too long."""
    with errors_naming("constraints.prefixes"):
        for number, line in enumerate(read_lines(path), start=1):
            # tokens have at least a byte each, except the one for a space in front
            if len(line) * _MOST_BYTES < max_length:
                continue
            if (count := len(tokenizer.encode_target([normalise(line).strip()])[0])) >= max_length:
                raise UserError(
                    f"{path}, line {number:,}: a prefix of {count:,} tokens leaves no room for a translation: the "
                    f"model writes at most {max_length:,}"
                )


def _listed(what: str, texts: Counter[str]) -> str:
    return f"{texts.total():,} {what}: {', '.join(excerpt(text) for text, _ in texts.most_common(_LISTED))}"


def _without_least(sentence: Sentence) -> Sentence:
    if not isinstance(sentence, ConstrainedSentence) or sentence.constraints is None:
        return sentence
    return ConstrainedSentence(tuple(sentence), sentence.constraints.without_least)


def _has_terms(sentence: Sentence, hypotheses: Sequence[Hypothesis]) -> bool:
    """True if every hypothesis has the terms of its sentence."""
    constraints = sentence.constraints if isinstance(sentence, ConstrainedSentence) else None
    if constraints is None or not constraints.terms:
        return True
    automaton = Automaton(constraints)
    return all(automaton.may_end(hypothesis.tokens) for hypothesis in hypotheses)
