"""The constraints that a line's text gives to its translation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from translate.decoding.config import Engine, Hypothesis, SearchConfig, Sentence
from translate.decoding.constraints.automaton import Automaton
from translate.decoding.constraints.constraints import ConstrainedSentence, ConstraintConfig, Constraints, Lexicon, Term
from translate.decoding.constraints.terminology import Terminology, find_numbers, merge_terms, term_corpus
from translate.decoding.constraints.vocabulary import Patterns, Vocabulary
from translate.decoding.segmentation import Segment
from translate.errors import UserError, excerpt
from translate.text import normalise, read_lines
from translate.tokenizer import Tokenizer

_LISTED = 5
_NO_SPACES = {"zh", "ja", "th", "lo", "km", "my", "bo", "yue"}


class LineConstraints:
    """Constraints on the translations of lines.

    unwritable  spellings of terms that the vocabulary cannot write, with the number of times they were left out
    """

    def __init__(self, config: ConstraintConfig, tokenizer: Tokenizer, manifest: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._numbers = config.numbers
        languages = {f"{side}_language": manifest.get(f"{side}_language", "") for side in ("source", "target")}
        self._terminologies = [
            Terminology.read(
                term_corpus(path, **languages), key="constraints.terminology", ignore_case=config.ignore_case
            )
            for path in config.terminology_files
        ]
        self._banned, self._banned_case = config.banned_texts(), config.banned_case
        self._spaced = languages["target_language"].partition("-")[0] not in _NO_SPACES
        self._prefix_file = config.prefixes
        self._prefixes = read_lines(config.prefixes) if config.prefixes else None
        self.unwritable: Counter[str] = Counter()

    @cached_property
    def lexicon(self) -> Lexicon:
        vocabulary = Vocabulary(self._tokenizer)
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
            return ""
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
        tokens = tuple(self._tokenizer.encode_target([prefix])[0]) if prefix else ()
        is_constrained = bool(terms or tokens or self._banned)
        constraints = Constraints(self.lexicon, terms, tokens) if is_constrained else None
        return replace(segment, constrained=ConstrainedSentence(tuple(segment.tokens), constraints))

    def _terms(self, text: str) -> list[Term]:
        terms = [term for terminology in self._terminologies for term in terminology.find(text)]
        return terms + (find_numbers(text) if self._numbers else [])

    def _writable(self, terms: Sequence[Term]) -> list[Term]:
        """The terms in the spellings that the model's vocabulary can write."""
        found = []
        for term in terms:
            spellings = tuple(dict.fromkeys(filter(None, map(self.lexicon.vocabulary.written, term.spellings))))
            if spellings:
                found.append(Term(spellings, term.least, term.most))
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
        return found

    @property
    def has_prefixes(self) -> bool:
        return self._prefixes is not None

    def describe(self) -> str:
        """A line about terms that could not be written; "" if there are none."""
        if not self.unwritable:
            return ""
        listed = ", ".join(excerpt(text) for text, _ in self.unwritable.most_common(_LISTED))
        return f"left out {self.unwritable.total():,} terms that the model's vocabulary cannot write: {listed}"


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
