"""Translation memories: pairs whose source is equal or similar to a line (fuzzy matches).

A match is shown to the user; an exact one is the translation. A model that was trained with matches behind its source
lines (Bulté and Tezcan 2019, neural fuzzy repair) reads them as well.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from translate.data.corpus import CorpusConfig
from translate.data.readers import read_rows
from translate.decoding.constraints.vocabulary import split_words
from translate.decoding.segmentation import Segment
from translate.decoding.translation_memory_config import Match, MemoryConfig
from translate.errors import UserError, import_extra
from translate.text import normalise, write_lines
from translate.tokenizer import Tokenizer

if TYPE_CHECKING:
    from translate.decoding.translation import Translation

logger = logging.getLogger(__name__)
MAX_PAIRS, MAX_CHARACTERS = 1_000_000, 1 << 28  # that are kept in memory
_MAX_CANDIDATES = 2000  # whose similarity to a line is computed: a line of frequent words shares some with most pairs


class TranslationMemory:
    """Pairs in memory, and an index of the words of their sources.

    Every match at or above a similarity is found: with an edit distance of at most d words, one of the d + 1 rarest
    words of a line is among those of the match. Of more than 2,000 candidates, those that share the most words count.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._levenshtein = import_extra("rapidfuzz.distance.Levenshtein", extra="memory", purpose="memory.path")
        self._pairs: list[tuple[str, str]] = []
        self._exact: dict[str, int] = {}
        self._words: list[tuple[str, ...]] = []
        self._postings: dict[str, array[int]] = {}
        characters = 0
        for source, target in pairs:
            characters += len(source) + len(target)
            if len(self._pairs) == MAX_PAIRS or characters > MAX_CHARACTERS:
                logger.warning(
                    f"memory.path: only the first {len(self._pairs):,} pairs are used: more would take too much"
                )
                break
            self._add(source, target)
        self._lengths = np.array([len(words) for words in self._words], np.int64)

    @classmethod
    def read(cls, config: MemoryConfig, manifest: Mapping[str, Any]) -> TranslationMemory:
        """Read the pairs of the files, in the direction of a model. Raises UserError for files that cannot be read."""
        languages = {f"{side}_language": manifest.get(f"{side}_language", "") for side in ("source", "target")}
        rows = (
            row for path in config.paths for row in read_rows(CorpusConfig(path=path, **languages), key="memory.path")
        )
        sides = ((normalise(row.source).strip(), normalise(row.target).strip()) for row in rows if not row.problem)
        memory = cls((source, target) for source, target in sides if source and target)
        logger.info(f"memory.path: {len(memory._pairs):,} pairs")
        return memory

    def _add(self, source: str, target: str) -> None:
        number = len(self._pairs)
        # of equal sources the last one, which is the newest in most memories
        self._exact[source] = number
        self._pairs.append((source, target))
        self._words.append(tuple(split_words(source)))
        for word in dict.fromkeys(self._words[-1]):
            self._postings.setdefault(word, array("I")).append(number)

    def find(self, line: str, min_similarity: float, *, leave_out: str | None = None) -> Match | None:
        """The pair that is most similar to a normalised line, of equally similar ones the last; None if none is enough.

        leave_out  a source that does not count, such as the line itself in training text
        """
        if line in self._exact and line != leave_out:
            return Match(*self._pairs[self._exact[line]], 1.0)
        words = tuple(split_words(line))
        best: tuple[float, int] | None = None
        for number in self._candidates(words, min_similarity):
            if self._pairs[number][0] != leave_out:
                least = min_similarity if best is None else best[0]
                similarity = self._levenshtein.normalized_similarity(words, self._words[number], score_cutoff=least)
                best = max(best or (similarity, number), (similarity, number)) if similarity >= least else best
        return None if best is None else Match(*self._pairs[best[1]], best[0])

    def _candidates(self, words: tuple[str, ...], min_similarity: float) -> list[int]:
        """Numbers of the pairs that may be similar enough."""
        # rarest first: rare words have few pairs to look at
        rarest = sorted(Counter(words), key=lambda word: len(self._postings.get(word, ())))
        # as many words as may differ from a match that is no longer than the line, and one more; 1e-9: products such as
        # 0.7 * 10 are not exact
        count = len(words) - math.ceil(min_similarity * len(words) - 1e-9) + 1
        found = [np.frombuffer(self._postings[word], np.uint32) for word in rarest[:count] if word in self._postings]
        if not found:
            return []
        numbers, shared = np.unique(np.concatenate(found), return_counts=True)
        # texts of n and m words differ in |n - m| words at least
        ratio = np.minimum(self._lengths[numbers], len(words)) / np.maximum(self._lengths[numbers], len(words))
        is_near = ratio >= min_similarity - 1e-9
        numbers, shared = numbers[is_near], shared[is_near]
        best = np.argsort(-shared, kind="stable")[:_MAX_CANDIDATES]
        return sorted(numbers[best].tolist())


class MemoryMatcher:
    """The matches of lines in a translation memory, as inputs of the model and as translations.

    Call extend() before lines are translated, and finish() with their translations.
    """

    def __init__(self, memory: TranslationMemory, config: MemoryConfig) -> None:
        self._memory, self._config = memory, config
        self._matches: list[Match | None] = []

    @classmethod
    def of_model(cls, config: MemoryConfig, manifest: Mapping[str, Any], symbols: Sequence[str]) -> MemoryMatcher:
        """Read the memory. Raises UserError for a symbol that the model lacks, and for one beside context."""
        if config.symbol and config.symbol not in symbols:
            raise UserError(
                f"memory.symbol={config.symbol}: the model has no such symbol (it has {', '.join(symbols) or 'none'}); "
                "a model reads matches only if it was trained with them"
            )
        if config.symbol and manifest.get("context"):
            raise UserError(
                f"memory.symbol={config.symbol}: the model reads lines before a line (data.context), to which no match "
                "is added; leave it out"
            )
        return cls(TranslationMemory.read(config, manifest), config)

    def extend(
        self, lines: Sequence[tuple[str, str]], segments: list[list[Segment]], tokenizer: Tokenizer, max_tokens: int
    ) -> list[list[Segment]]:
        """The segments of the next lines, as the model gets them: with matches, or none where it has nothing to do.

        lines  tag and normalised text of each
        """
        found = [self._find(text.strip()) for _, text in lines]
        self._matches += found
        return [
            self._with_match(*line, own, match, tokenizer, max_tokens)
            for line, own, match in zip(lines, segments, found, strict=True)
        ]

    def _find(self, text: str) -> Match | None:
        match = self._memory.find(text, self._config.min_similarity)
        is_used = self._config.exact and match is not None and match.source == text
        return replace(match, is_used=True) if match is not None and is_used else match

    def _with_match(
        self,
        tag: str,
        text: str,
        segments: list[Segment],
        match: Match | None,
        tokenizer: Tokenizer,
        max_tokens: int,
    ) -> list[Segment]:
        if match is not None and match.is_used:
            return []  # nothing to translate
        # a line in parts has a match as a whole only
        if match is None or not self._config.symbol or len(segments) != 1:
            return segments
        [tokens] = tokenizer.encode_source([f"{text.strip()} {self._config.symbol} {match.target}"], tag=tag)
        return segments if len(tokens) > max_tokens else [replace(segments[0], tokens=tokens)]

    def finish(self, translations: Sequence[Translation]) -> list[Translation]:
        """The translations of the lines of the last call of extend(), with their matches."""
        # the lines of earlier calls stay for the report
        matches = self._matches[len(self._matches) - len(translations) :]
        return [_with_target(*each) for each in zip(translations, matches, strict=True)]

    def describe(self) -> str:
        """A line for the log; "" before the first match."""
        similar = [match for match in self._matches if match is not None]
        exact = sum(match.is_used for match in similar)
        if not similar:
            return ""
        used = f"{exact:,} of {len(self._matches):,} lines are translated by the memory"
        return f"{used}, {len(similar) - exact:,} are similar to its pairs"

    @property
    def has_report(self) -> bool:
        return bool(self._config.report)

    def write_report(self) -> None:
        """Write the matches as lines of TAB-separated columns, if the user wants them."""
        if self._config.report:
            numbered = enumerate(self._matches, start=1)
            rows = ((number, f"{m.similarity:.2f}", m.source, m.target) for number, m in numbered if m is not None)
            write_lines(self._config.report, ("\t".join(map(str, row)).replace("\n", " ") for row in rows))


def _with_target(translation: Translation, match: Match | None) -> Translation:
    """A translation with its match, whose target it is if the sources are equal."""
    if match is None or not match.is_used:
        return replace(translation, match=match)
    # no model has scored it
    alternatives = [(match.target, 0.0), *translation.n_best[1:]]
    return replace(translation, text=match.target, n_best=alternatives, match=match)
