"""Source lines as training usually has them: their numbers of sentences and tokens, and the case of their words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.data.context import SEPARATOR as CONTEXT_SEPARATOR
from translate.data.dataset import TokenizedCorpus, building_in_cache, digest
from translate.sentences import VERSION as SENTENCES_VERSION
from translate.sentences import split_sentences
from translate.tags import split_tag
from translate.truecasing import (
    MAX_WORD_LENGTH,
    MAX_WORDS,
    SEPARATOR,
    TRUECASE,
    WORDS,
    Truecaser,
    in_capitals,
    in_title_case,
    word_key,
)

_CASE_VERSION = 1  # raise it when the same lines give another table
# Limits of usual source lines: a model has hardly seen lengths that fewer lines reach.
_USUAL_SHARE = 0.02
_COUNTED_LINES, _CASED_LINES, _LINES_AT_ONCE = 100_000, 500_000, 10_000
_MIN_COUNT = 2  # of a word in the table
_MAX_FORMS = 500_000  # different ones in memory
# A word inside of a sentence: after a space with no mark before it behind which a sentence may begin.
_INSIDE = re.compile(rf"(?<=[^.!?…:;\"“”„‟‚‘’'`«»()\[\]{{}}<>•*–—\s-]\s){WORDS.pattern}")


@dataclass(frozen=True, kw_only=True)
class TrainingLines:
    """The source lines of training pairs; what is found out about them is cached.

    language  of the source, an ISO 639 code; "": unknown, chosen by the script of each line
    cache     folder of data.cache
    key       identifies the training pairs, for the cache
    tags      in front of lines, which are no words of theirs
    has_context  lines are behind their context, whose sentences are not theirs
    verified  see prepare
    """

    train: TokenizedCorpus
    language: str
    cache: Path
    key: str
    tags: tuple[str, ...] = ()
    has_context: bool = False
    verified: bool = False

    def usual_limits(self) -> tuple[int, int]:
        """Greatest numbers of sentences and of source tokens that 2 % of the training lines reach.

        Lines are weighted by their repeats in an epoch, on average over the run; of a large corpus, lines spread evenly
        are counted.
        """
        train, rows = self.train, self._sample(_COUNTED_LINES)
        sentences = self._sentence_counts(rows)
        # A pair's weight is the mean of its repeats in all phases, by their shares of the run.
        ends = [*train.phase_starts[1:], 1.0]
        phases = zip(train.phase_starts, ends, strict=True)
        repeats = [(end - start) * train.repeats(start).astype(np.float64) for start, end in phases]
        weights = np.sum(repeats, axis=0)[rows]
        lengths = train.source_lengths[rows]
        return reached_by(sentences, weights, _USUAL_SHARE), reached_by(lengths, weights, _USUAL_SHARE)

    def truecaser(self) -> Truecaser | None:
        """Usual case of the words, of a large corpus in lines spread evenly; None where most lines have no case."""
        directory = self._directory("case", _CASE_VERSION)
        with self._building(directory) as folder:
            if folder is not None:
                counter = CaseCounter(language=self.language)
                for line in self._texts(self._sample(_CASED_LINES)):
                    counter.add(split_tag(line, self.tags)[1])
                counter.truecaser().save(folder / TRUECASE)
        learned = Truecaser.load(directory / TRUECASE)
        return learned if learned.words else None

    def _sentence_counts(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Sentences of each of the rows' sources, counted once and kept in the cache."""
        # another version of either splitter may count otherwise
        directory = self._directory("sentences", SENTENCES_VERSION, version("sentencex"))
        with self._building(directory) as folder:
            if folder is not None:
                counts = [len(split_sentences(text, self.language)) for text in self._texts(rows)]
                np.save(folder / "counts.npy", np.array(counts, np.int32))
        counted: NDArray[np.int32] = np.load(directory / "counts.npy")
        return counted

    def _sample(self, most: int) -> NDArray[np.int64]:
        """Numbers of at most so many pairs, spread evenly; the same at each call."""
        count = len(self.train)
        return np.linspace(0, count, min(count, most), endpoint=False).astype(np.int64)

    def _texts(self, rows: NDArray[np.int64]) -> Iterator[str]:
        for start in range(0, len(rows), _LINES_AT_ONCE):
            texts = self.train.texts(rows[start : start + _LINES_AT_ONCE])[0]
            yield from (text.rpartition(CONTEXT_SEPARATOR)[2] for text in texts) if self.has_context else texts

    def _directory(self, kind: str, *versions: int | str) -> Path:
        return self.cache / f"{kind}-{digest([self.key, self.language, *versions])[:16]}"

    def _building(self, directory: Path) -> AbstractContextManager[Path | None]:
        return building_in_cache(directory, waiting_for="prepare the same data", contents=not self.verified)


def reached_by(values: NDArray[np.integer], weights: NDArray[np.floating], share: float) -> int:
    """Greatest value that at least this share of the values, by weight, reaches or exceeds."""
    descending = np.argsort(-values.astype(np.int64), kind="stable")  # negated as int64: unsigned values would wrap
    reached = np.cumsum(weights[descending], dtype=np.float64)
    index = np.searchsorted(reached, share * reached[-1] * (1 - 1e-9))  # rounding must not miss an exact share
    return int(values[descending[index]])


@dataclass
class CaseCounter:
    """Counts of lines by their case, and of the forms of words inside of sentences.

    language  of the lines; "": unknown
    begun     lines in ordinary case whose first word begins with a capital; other_begun: with a small letter
    forms     inside of a sentence the position of a word says nothing about its case
    """

    language: str = ""
    lines: int = 0
    capitals: int = 0
    title_case: int = 0
    begun: int = 0
    other_begun: int = 0
    forms: Counter[str] = field(default_factory=Counter)

    def add(self, line: str) -> None:
        """Count a normalised line without its tag."""
        words = WORDS.findall(line)
        self.lines += 1
        if in_capitals(words):
            self.capitals += 1
        elif in_title_case(words):
            self.title_case += 1
        elif words:
            self.begun += words[0][0].isupper()
            self.other_begun += words[0][0].islower()
            self.forms.update(_INSIDE.findall(line))
            if len(self.forms) > _MAX_FORMS:  # bounds the memory, also of text without end of new words
                self.forms = Counter(dict(self.forms.most_common(_MAX_FORMS // 2)))

    def truecaser(self) -> Truecaser:
        """The table; without words where most lines have no case."""
        cased = self.begun + self.other_begun + self.capitals + self.title_case
        usual = _usual_forms(self.forms, self.language) if cased > self.lines / 2 else Counter[str]()
        known = Counter({form: count for form, count in usual.items() if len(form) <= MAX_WORD_LENGTH})
        frequent = [form for form, count in known.most_common(MAX_WORDS) if count >= _MIN_COUNT]
        # words that were seen once are like those that were never seen
        rare = [form for form, count in usual.items() if count == 1 and not form.isupper()]
        return Truecaser(
            words=frequent,
            capitals=self.capitals / max(1, self.lines),
            title_case=self.title_case / max(1, self.lines),
            begins_with_capital=self.begun >= self.other_begun,
            unknown_with_capital=sum(form[0].isupper() for form in rare) > len(rare) / 2,
            language=self.language,
        )


def _usual_forms(forms: Mapping[str, int], language: str) -> Counter[str]:
    """The most frequent form of each word, with the number of times that the word occurs."""
    # parts of compounds count as well: an unknown compound gets its case by them
    counts = Counter(forms)
    for compound, count in forms.items():
        if len(parts := SEPARATOR.split(compound)) > 1:
            counts.update(dict.fromkeys(parts[::2], count))
    by_word: dict[str, list[str]] = {}
    for form in sorted(counts):
        by_word.setdefault(word_key(form, language), []).append(form)
    usual = Counter[str]()
    for found in by_word.values():
        # in a tie small letters
        best = max(found, key=lambda form: (counts[form], form.islower()))
        usual[best] = sum(counts[form] for form in found)
    return usual
