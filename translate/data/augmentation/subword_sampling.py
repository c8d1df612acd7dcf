"""Subword sampling: subword regularisation for unigram models (Kudo 2018), BPE-dropout (Provilkov et al. 2020).

SentencePiece's own sampling mixes the seed with values that differ between processes. Here all draws are a function of
a batch's seed, so that a resumed run repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby, pairwise
from random import Random
from typing import TypeVar

import numpy as np
from sentencepiece import SentencePieceProcessor

from translate.tokenizer import EOS, Tokenizer

_CANDIDATES = 32  # best segmentations of a sentence, one of which is sampled
_SPACE = "▁"  # SentencePiece's symbol for the space in front of a word
_CACHED_WORDS = 2**16  # partly merged words, most of them under a kilobyte
_LONGEST_CACHED = 24  # symbols: sentences without spaces are single words that hardly recur

_Symbols = tuple[int, ...]  # ids of the pieces that a word consists of
_Merge = tuple[int, int]  # index of the left one of two symbols, and the piece that they become
_Word = TypeVar("_Word", str, _Symbols)
_Result = TypeVar("_Result")


def sample_source(tokenizer: Tokenizer, lines: Sequence[str], *, strength: float, seed: int) -> list[list[int]]:
    """Ids of a random segmentation of each source line, after its tag; see sample_segmentations."""
    tags, texts = tokenizer.separate_tags(lines)
    sampled = sample_segmentations(tokenizer.source_processor, texts, strength=strength, seed=seed)
    return [[*tag, *ids] for tag, ids in zip(tags, sampled, strict=True)]


def sample_target(tokenizer: Tokenizer, lines: Sequence[str], *, strength: float, seed: int) -> list[list[int]]:
    """Ids of a random segmentation of each target line; see sample_segmentations."""
    texts = tokenizer.normalise(lines)
    return tokenizer.in_order(sample_segmentations(tokenizer.target_processor, texts, strength=strength, seed=seed))


def sample_segmentations(
    processor: SentencePieceProcessor, texts: Sequence[str], *, strength: float, seed: int
) -> list[list[int]]:
    """Ids of a random segmentation of each text; a function of the arguments alone.

    strength  unigram: one of the best segmentations is drawn with probability proportional to p ** strength;
              BPE: each possible merge is skipped with this probability, each time it could be made
    """
    if not texts:
        return []
    if _has_merges(processor):
        merges, random = _merges_of(processor), Random(seed)
        return [_with_dropout(ids, merges, strength, random) for ids in processor.encode(list(texts), out_type=int)]
    generator = np.random.default_rng(seed)
    log_probs = _log_probs(processor)
    found = processor.nbest_encode(list(texts), nbest_size=_CANDIDATES, out_type=int)
    return [_draw(candidates, log_probs, strength, generator) for candidates in found]


def _draw(
    candidates: Sequence[list[int]], log_probs: Sequence[float], strength: float, random: np.random.Generator
) -> list[int]:
    if not candidates:
        return []
    scores = np.array([strength * sum(log_probs[token] for token in ids) for ids in candidates])
    # softmax with the maximum subtracted, so that exp neither overflows nor is 0 for all
    cumulative = np.exp(scores - scores.max()).cumsum()
    index = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    return candidates[min(index, len(candidates) - 1)]  # the product may be rounded up to the total


@cache
def _has_merges(processor: SentencePieceProcessor) -> bool:
    try:
        processor.nbest_encode("a", nbest_size=1, out_type=int)
    except RuntimeError:  # only a unigram model has more than one segmentation
        return True
    return False


@cache
def _log_probs(processor: SentencePieceProcessor) -> list[float]:
    """Log probability of each piece."""
    return [processor.get_score(token) for token in range(processor.get_piece_size())]


def memoize_short_words(function: Callable[[_Word], list[_Result]]) -> Callable[[_Word], list[_Result]]:
    """Cache results for words of up to 24 symbols; longer ones rarely recur."""
    cached = lru_cache(_CACHED_WORDS)(function)
    return lambda word: cached(word) if len(word) <= _LONGEST_CACHED else function(word)


class _Merges:
    """Merges of a BPE model.

    pieces  text of each piece, by id
    whole   ids of pieces that are never split: bytes, special tokens and tags
    """

    def __init__(self, processor: SentencePieceProcessor) -> None:
        size = processor.get_piece_size()
        self.pieces = [processor.id_to_piece(token) for token in range(size)]
        self._ranks = [processor.get_score(token) for token in range(size)]  # the earlier learned, the higher
        special = {token for token in range(size) if token <= EOS or processor.is_byte(token)}
        # tags and the first merge have rank 0, and learned pieces come after the tags
        unranked = [token for token in range(size) if self._ranks[token] == 0 and token not in special]
        self.whole = frozenset(special.union(unranked[:-1]))
        self._ids = {piece: token for token, piece in enumerate(self.pieces) if token not in self.whole}
        # the loader thread competes with the training loop for Python: cache, since most words recur
        self.spelled = memoize_short_words(self._spelled)
        self.stages = memoize_short_words(self._stages)
        self.possible = memoize_short_words(self._possible)

    def _spelled(self, word: str) -> list[_Symbols]:
        """The stages of a word, beginning with its single characters."""
        return self.stages(tuple(self._ids[character] for character in word))

    def _stages(self, word: _Symbols) -> list[_Symbols]:
        """The word after 0, 1, 2, … merges of which none is skipped; of a long word, its beginning alone."""
        stages = [word]
        while len(word) <= _LONGEST_CACHED and (possible := self.possible(stages[-1])):
            stages.append(_merged(stages[-1], possible[0]))
        return stages

    def _possible(self, word: _Symbols) -> list[_Merge]:
        """The merges that could come next, in the order in which they were learned."""
        pairs = (self.pieces[left] + self.pieces[right] for left, right in pairwise(word))
        merges = [(index, self._ids[pair]) for index, pair in enumerate(pairs) if pair in self._ids]
        return sorted(merges, key=lambda merge: -self._ranks[merge[1]])


_merges_of = cache(_Merges)


def _with_dropout(ids: Sequence[int], merges: _Merges, rate: float, random: Random) -> list[int]:
    """The text of these ids encoded again with BPE-dropout."""
    result: list[int] = []
    for is_whole, run in groupby(ids, key=merges.whole.__contains__):
        if is_whole:  # these take part in no merge
            result += run
        else:
            for word in _words("".join(merges.pieces[token] for token in run)):
                result += _encode_word(merges.spelled(word), merges, rate, random)
    return result


def _words(text: str) -> Iterator[str]:
    """Parts that begin with a space, and the text before the first: merges do not cross spaces."""
    first, *others = text.split(_SPACE)
    if first:
        yield first
    yield from (_SPACE + word for word in others)


def _encode_word(stages: list[_Symbols], merges: _Merges, rate: float, random: Random) -> _Symbols:
    """Provilkov et al. 2020, algorithm 1: apply the earliest merge that is not dropped, until none is left.

    Each possible merge takes one random number. As long as the first one is kept, the result is in the cached `stages`.
    """
    while True:
        made, last = 0, len(stages) - 1
        while made < last and random.random() >= rate:  # the first possible merge is not skipped
            made += 1
        # unless the last stage was reached, the first possible merge has already been dropped
        possible, skipped = merges.possible(stages[made]), int(made < last)
        while skipped < len(possible) and random.random() < rate:
            skipped += 1
        if skipped == len(possible):  # all are skipped: no merge is left
            return stages[made]
        stages = merges.stages(_merged(stages[made], possible[skipped]))


def _merged(word: _Symbols, merge: _Merge) -> _Symbols:
    index, piece = merge
    return (*word[:index], piece, *word[index + 2 :])
