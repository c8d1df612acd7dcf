"""Active filters of a corpus, and their application to its pairs.

RULES has the filters that judge each pair by itself, or against a sample of its corpus. The other two need more than a
chunk of pairs: an external program may answer later (command.py), and a near-duplicate may be similar to any earlier
pair (near_duplicates.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import compress, islice
from typing import Any

import numpy as np

from translate.data.cleaning import CleaningConfig, reason_to_drop
from translate.data.corpus import CorpusConfig
from translate.data.filters.command import PairCommand
from translate.data.filters.config import FILTER_REASONS, FilterConfig
from translate.data.filters.language import LanguageRule
from translate.data.filters.pair_rules import (
    LengthRule,
    Mask,
    Pairs,
    RepetitionRule,
    Rule,
    ScoreRule,
    ScriptRule,
    addresses_differ,
    ends_differ,
    numbers_differ,
)
from translate.data.readers import read_rows, read_scores
from translate.errors import UserError, import_extra
from translate.files import sha256

_VERSION = 1  # increment it when a filter drops other pairs with the same settings
_MAX_SAMPLE = 20_000  # pairs; a larger corpus has at least half as many
_SAMPLING_RULES = {"length_factor", "script", "language"}
_PACKAGES = {"language": "py3langid", "near_duplicates": "rensa"}

# option -> function of its value, a sample of the corpus, and the corpus's key that makes the rule
RULES: dict[str, Callable[[Any, Pairs, str], Rule]] = {
    "min_score": lambda least, sample, key: ScoreRule(least),
    "length_factor": lambda factor, sample, key: LengthRule.of_sample(sample, factor),
    "numbers": lambda value, sample, key: numbers_differ,
    "addresses": lambda value, sample, key: addresses_differ,
    "punctuation": lambda value, sample, key: ends_differ,
    "script": lambda value, sample, key: ScriptRule(sample),
    "repetition": lambda times, sample, key: RepetitionRule(times),
    "language": lambda value, sample, key: LanguageRule(sample, key=key),
}


class CorpusFilters:
    """The active filters of one corpus; an external program runs until close().

    sample           normalised pairs that pass the cleaning rules
    scores           scores of all pairs in order, for min_score
    near_duplicates  minimal similarity of near-duplicates; 0: the filter is off
    """

    def __init__(self, config: FilterConfig, sample: Pairs, scores: Iterator[float | None], *, key: str) -> None:
        active = config.active
        self._rules = [
            (FILTER_REASONS[name], make(active[name], sample, key)) for name, make in RULES.items() if name in active
        ]
        self._scores = scores if "min_score" in active else None
        self._key = key
        self.near_duplicates: float = active.get("near_duplicates", 0.0)
        self._command: PairCommand | None = None
        if config.command:
            self._command = PairCommand(config.command, lowest=config.lowest_answer, key=f"{key}: filters.command")

    def judge(self, sources: Sequence[str], targets: Sequence[str], reasons: list[str | None]) -> None:
        """Set the reason of each of the next N normalised pairs that a rule drops and that has no reason yet."""
        pairs = Pairs(sources, targets, self._next_scores(len(sources)))
        for reason, rule in self._rules:
            # skip pairs that are already dropped
            remaining = [found is None for found in reasons]
            for index in compress(np.flatnonzero(remaining).tolist(), rule(pairs.select(remaining))):
                reasons[index] = reason

    def _next_scores(self, count: int) -> Sequence[float | None]:
        if self._scores is None:
            return [None] * count
        scores = list(islice(self._scores, count))
        if len(scores) < count:
            raise self._wrong_number_of_scores()
        return scores

    def _wrong_number_of_scores(self) -> UserError:
        return UserError(f"{self._key}.score: the number of scores differs from the number of pairs in the corpus")

    def ask_command(self, sources: Sequence[str], targets: Sequence[str]) -> None:
        """Pass pairs to the external program, if there is one."""
        if self._command is not None:
            self._command.send(sources, targets)

    def finish(self, num_pairs: int) -> Mask:
        """(N,) True for the pairs rejected by the program, of all N that ask_command() has passed to it."""
        if self._scores is not None and list(islice(self._scores, 1)):
            raise self._wrong_number_of_scores()
        return np.zeros(num_pairs, bool) if self._command is None else self._command.finish()

    def close(self) -> None:
        if self._command is not None:
            self._command.close()


def filter_config(corpus: CorpusConfig, cleaning: CleaningConfig) -> FilterConfig:
    """The filters of a corpus: its own settings over the shared ones."""
    config = corpus.filters.with_defaults(cleaning.filters)
    # a shared threshold applies only to corpora with scores
    return config if corpus.score else replace(config, min_score=None)


def open_filters(
    corpus: CorpusConfig, cleaning: CleaningConfig, *, key: str, normalise: Callable[[str], str]
) -> CorpusFilters:
    """Make the filters of a corpus, some from a sample that takes an extra pass over its text. The caller closes them.

    key        name of the corpus's configuration in errors
    normalise  normalisation of each side before the rules
    """
    config = filter_config(corpus, cleaning)
    pairs: Iterable[tuple[str, str]] = ()
    if not _SAMPLING_RULES.isdisjoint(config.active):
        rows = (row for row in read_rows(corpus, key=key) if not row.problem)
        normalised = ((normalise(row.source), normalise(row.target)) for row in rows)
        pairs = (pair for pair in normalised if reason_to_drop(*pair, cleaning) is None)
    return CorpusFilters(config, sample_pairs(pairs), read_scores(corpus, key=key), key=key)


def sample_pairs(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """At most 20,000 pairs, spread evenly over all of them."""
    kept: list[tuple[str, str]] = []
    stride = 1
    for index, pair in enumerate(pairs):
        if index % stride == 0:
            kept.append(pair)
        if len(kept) > _MAX_SAMPLE:
            # keep every second pair: those at multiples of the doubled stride
            kept, stride = kept[::2], 2 * stride
    return Pairs([source for source, _ in kept], [target for _, target in kept], [None] * len(kept))


def filters_content(corpora: Sequence[CorpusConfig], cleaning: CleaningConfig) -> list[Any]:
    """Settings, programs and package versions that the filters depend on, for fingerprints; [] without filters.

    Raises UserError for a filter that needs an extra package.
    """
    configs = [filter_config(corpus, cleaning) for corpus in corpora]
    active = [config.active for config in configs]
    if not any(active):
        return []  # keeps the fingerprints of text without filters from older versions
    packages = sorted({package for each in active for name, package in _PACKAGES.items() if name in each})
    for name, package in _PACKAGES.items():
        if package in packages:
            import_extra(package, extra="cleaning", purpose=f"data.cleaning.filters.{name}")
    scores = [corpus.score if "min_score" in each else "" for corpus, each in zip(corpora, active, strict=True)]
    answers = [[config.lowest_answer, _files_of(config.command)] if config.command else [] for config in configs]
    return ["filters", _VERSION, active, scores, answers, [[package, version(package)] for package in packages]]


def _files_of(command: Sequence[str]) -> list[str]:
    """SHA-256 of the files that words of a command name, such as a script, whose changes may change its answers."""
    return [sha256(word) if os.path.isfile(word) else "" for word in command]
