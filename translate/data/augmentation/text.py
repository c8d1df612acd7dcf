"""Augmentation of the text of training pairs: noise, and pairs joined into longer ones.

The plan of an epoch decides which pairs are changed and how, so that batches can be formed by expected lengths. Its
rows are (pair, partner, kind): partner is the second of two joined pairs or -1, kind an index into KINDS or -1. The
text is changed when a batch is made, with a random generator seeded for that batch.

Letters: M pairs of an epoch, R rows of its plan, K kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from translate.data.augmentation.joining import Casing, ClauseJoiner, join_pairs
from translate.data.augmentation.noise import NOISES, TYPO_RATE, Noise, Pair, synonyms, typos
from translate.data.augmentation.synonyms import read_synonyms
from translate.errors import UserError, require_between, require_share
from translate.tags import split_tag
from translate.tokenizer import Tokenizer

JOINED, CLAUSES, SYNONYMS = "joined", "clauses", "synonyms"
JOINS = (JOINED, CLAUSES)
KINDS = (*NOISES, SYNONYMS, *JOINS)
NONE = -1

_SAMPLED_PAIRS = 20_000  # that determine the usual case of words
_MEASURED_PAIRS = 500  # that determine the growth in tokens by each kind of noise

Rows = NDArray[np.int64]
Lengths = NDArray[np.int32]


@dataclass(kw_only=True)
class AugmentationConfig:
    """Shares of the training pairs whose text is changed, anew in each epoch; 0 is off, and their sum is at most 1.

    capitals       both sides in capital letters
    title_case     capitals for all source words, as in headlines
    punctuation    missing or repeated punctuation
    typos          typing errors in the source; typo_rate: probability at each letter
    emoji          emoji on both sides
    synonyms       source words replaced; synonyms_file: lines of word<TAB>synonym…, or a folder of WordNet
    joined         concatenated with another pair of the corpus
    clauses        joined with another pair of the corpus, as clauses of one sentence
    start          fraction of the run after which pairs are changed
    """

    capitals: float = 0.0
    title_case: float = 0.0
    punctuation: float = 0.0
    typos: float = 0.0
    emoji: float = 0.0
    synonyms: float = 0.0
    joined: float = 0.0
    clauses: float = 0.0
    typo_rate: float = TYPO_RATE
    synonyms_file: str = ""
    start: float = 0.0

    @property
    def shares(self) -> list[float]:
        """Share of each of KINDS."""
        return [getattr(self, kind) for kind in KINDS]

    @property
    def is_on(self) -> bool:
        return any(self.shares)

    def check(self) -> None:
        """Raise UserError for values out of range, or synonyms that cannot be read."""
        for kind, share in zip(KINDS, self.shares, strict=True):
            require_between(f"augmentation.{kind}", share, 0, 1)
        if sum(self.shares) > 1 + 1e-9:
            raise UserError(f"the shares of augmentation.* must add up to at most 1; found {sum(self.shares):g}")
        require_between("augmentation.typo_rate", self.typo_rate, 0, 1)
        require_share("augmentation.start", self.start)
        if self.synonyms:
            if not self.synonyms_file:
                raise UserError("augmentation.synonyms needs augmentation.synonyms_file=FILE: word, TAB, synonyms")
            read_synonyms(self.synonyms_file)


class Corpus(Protocol):
    """Interface of the corpus to augment; see TokenizedCorpus."""

    source_lengths: Lengths
    target_lengths: Lengths

    def __len__(self) -> int: ...
    def texts(self, indices: Rows) -> tuple[list[str], list[str]]: ...
    def corpora(self, indices: Rows) -> NDArray[np.integer]: ...


class TextAugmentation:
    """Draws which pairs of an epoch are changed, and changes their text.

    start       fraction of the run after which pairs are changed
    max_tokens  limit for either side of two joined pairs
    languages   ISO 639 codes of source and target, for the conjunctions of clauses
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        config: AugmentationConfig,
        *,
        max_tokens: int,
        languages: tuple[str, str] = ("", ""),
    ) -> None:
        self.start = config.start
        self._corpus, self._tokenizer, self._max_tokens = corpus, tokenizer, max_tokens
        self._bounds = np.cumsum(config.shares)
        self._noises: dict[str, Noise] = {**NOISES, "typos": partial(typos, rate=config.typo_rate)}
        if config.synonyms:
            self._noises[SYNONYMS] = partial(synonyms, known=read_synonyms(config.synonyms_file))
        casing = (Casing(), Casing())
        if config.clauses:
            for side, lines in zip(casing, corpus.texts(_spread(corpus, _SAMPLED_PAIRS)), strict=True):
                side.learn(lines)
        self._clauses = ClauseJoiner(languages, casing)
        self._growth = self._measure_growth(config)

    def draw(
        self, pairs: Rows, lengths: tuple[Lengths, Lengths], random: np.random.Generator
    ) -> tuple[Rows, tuple[Lengths, Lengths]]:
        """Plan an epoch: rows (R, 3) for its pairs (M,), and the expected tokens of source and target, (R,) each.

        lengths  (M,) each, of source and target
        """
        kinds = np.searchsorted(self._bounds, random.random(len(pairs)), side="right")
        kinds = np.where(kinds < len(KINDS), kinds, NONE)
        rows = np.stack([pairs, np.full_like(pairs, NONE), kinds], axis=1)
        sizes = np.stack(lengths, axis=1)  # (M, 2)
        for kind in JOINS:
            rows, sizes = self._joined(rows, sizes, KINDS.index(kind))
        # kind -1 indexes the last row of the growth, which is 1
        sizes = np.rint(sizes * self._growth[rows[:, 2]]).astype(np.int32)
        return rows, (sizes[:, 0], sizes[:, 1])

    def texts(self, rows: Rows, seed: int) -> tuple[list[str], list[str]]:
        """Augmented source and target text of rows (R, 3); a function of the arguments alone."""
        random = Random(f"augmentation {seed}")  # independent of subword sampling with the same seed
        first_source, first_target = self._corpus.texts(rows[:, 0])
        second_source, second_target = self._corpus.texts(np.maximum(rows[:, 1], 0))
        firsts, seconds = zip(first_source, first_target, strict=True), zip(second_source, second_target, strict=True)
        kinds = rows[:, 2].tolist()
        changed = [self._change(*row, random) for row in zip(firsts, seconds, kinds, strict=True)]
        return [source for source, _ in changed], [target for _, target in changed]

    def _joined(self, rows: Rows, sizes: Lengths, kind: int) -> tuple[Rows, Lengths]:
        """Join the rows of one kind in pairs, if both are short enough; returns the rows left, and their sizes."""
        chosen = np.flatnonzero(rows[:, 2] == kind)
        rows[chosen, 2] = NONE
        # only pairs of one corpus have equal tags; a stable sort keeps the random order of the epoch
        chosen = chosen[np.argsort(self._corpus.corpora(rows[chosen, 0]), kind="stable")]
        first, second = chosen[: len(chosen) // 2 * 2].reshape(-1, 2).T
        pairs = rows[first, 0], rows[second, 0]
        fits = np.all(sizes[first] + sizes[second] <= self._max_tokens, axis=1) & (pairs[0] != pairs[1])
        fits &= self._corpus.corpora(pairs[0]) == self._corpus.corpora(pairs[1])
        first, second = first[fits], second[fits]
        rows[first, 1], rows[first, 2] = rows[second, 0], kind
        sizes[first] += sizes[second]
        return np.delete(rows, second, axis=0), np.delete(sizes, second, axis=0)

    def _change(self, first: Pair, second: Pair, kind: int, random: Random) -> Pair:
        if kind == NONE:
            return first
        # the tag is not text
        tag, source = split_tag(first[0], self._tokenizer.tags)
        first, second = (source, first[1]), (split_tag(second[0], self._tokenizer.tags)[1], second[1])
        if KINDS[kind] == JOINED:
            changed = join_pairs(first, second)
        elif KINDS[kind] == CLAUSES:
            changed = self._clauses.join(first, second, random)
        else:
            changed = self._noises[KINDS[kind]](*first, random)
        source, target = changed if all(text.strip() for text in changed) else first
        return f"{tag} {source}" if tag else source, target

    def _measure_growth(self, config: AugmentationConfig) -> NDArray[np.float64]:
        """Ratios (K + 1, 2) of tokens with and without each kind of noise, for source and target; the last row is 1."""
        growth = np.ones((len(KINDS) + 1, 2))
        pairs = _spread(self._corpus, _MEASURED_PAIRS)
        before = [side[pairs].sum() for side in (self._corpus.source_lengths, self._corpus.target_lengths)]
        for kind, name in enumerate(KINDS):
            if getattr(config, name):
                # with the previous pair as partner, each pair occurs twice
                partners = np.roll(pairs, 1) if name in JOINS else np.full_like(pairs, NONE)
                source, target = self.texts(np.stack([pairs, partners, np.full_like(pairs, kind)], axis=1), seed=0)
                after = self._tokenizer.encode_source(source), self._tokenizer.encode_target(target)
                growth[kind] = [sum(map(len, side)) / total for side, total in zip(after, before, strict=True)]
                growth[kind] /= 2 if name in JOINS else 1
        return growth


def make_text_augmentation(
    config: AugmentationConfig, corpus: Corpus, tokenizer: Tokenizer, *, max_tokens: int, languages: tuple[str, str]
) -> TextAugmentation | None:
    """Text augmentation of a run; None if it is off."""
    if not config.is_on:
        return None
    return TextAugmentation(corpus, tokenizer, config, max_tokens=max_tokens, languages=languages)


def _spread(corpus: Corpus, count: int) -> Rows:
    """Indices of pairs spread evenly over the corpus; deterministic."""
    return np.linspace(0, len(corpus), min(count, len(corpus)), endpoint=False).astype(np.int64)
