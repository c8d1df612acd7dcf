"""Segmentations drawn at random, so that a model in training meets a word in many spellings.

Of unigram models: subword regularisation (Kudo 2018). Of BPE models: BPE-dropout (Provilkov et al. 2020). Drawn here,
because SentencePiece's own generator mixes the seed with values that differ from process to process, and a continued
run has to draw what the uninterrupted one drew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby, pairwise
from random import Random
from typing import TypeVar

import numpy as np
from sentencepiece import SentencePieceProcessor

from translate.special_tokens import EOS

_CANDIDATES = 32  # segmentations of a sentence that are chosen from
_SPACE = "▁"
_REMEMBERED = 2**16  # words in part merged, most of them under a kilobyte
_LONGEST = 24  # segments of such a word: a sentence without spaces is one word, which never comes again

_Segments = tuple[int, ...]
_Merge = tuple[int, int]  # the place of the two segments, and what they become
_Word = TypeVar("_Word", str, _Segments)
_Of = TypeVar("_Of")


def sample_segmentations(
    processor: SentencePieceProcessor, texts: Sequence[str], *, strength: float, seed: int
) -> list[list[int]]:
    """Ids of each text; what strength means depends on the model's type.

    unigram  one of the best segmentations, with probabilities proportional to p ** strength
    BPE      what is left when every possible merge is passed over with that probability, each time it could be made
    """
    if _has_merges(processor):
        merges, random = _merges(processor), Random(seed)
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
    cumulative = np.exp(scores - scores.max()).cumsum()
    place = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    return candidates[min(place, len(candidates) - 1)]


@cache
def _has_merges(processor: SentencePieceProcessor) -> bool:
    try:
        processor.nbest_encode("a", nbest_size=1, out_type=int)
    except RuntimeError:  # only a unigram model knows more than one segmentation
        return True
    return False


@cache
def _log_probs(processor: SentencePieceProcessor) -> list[float]:
    """Of each piece: asked for once, and not for every batch."""
    return [processor.get_score(token) for token in range(processor.get_piece_size())]


class _Merges:
    """What BPE has learned.

    pieces  by id
    whole   ids of pieces that are never split: bytes, the unknown token, and tags
    """

    def __init__(self, processor: SentencePieceProcessor) -> None:
        size = processor.get_piece_size()
        self.pieces = [processor.id_to_piece(token) for token in range(size)]
        self._ranks = [processor.get_score(token) for token in range(size)]  # the earlier merged, the higher
        special = {token for token in range(size) if token <= EOS or processor.is_byte(token)}
        # tags and the first merge have rank 0, and what was learned stands behind the tags
        unranked = [token for token in range(size) if self._ranks[token] == 0 and token not in special]
        self.whole = frozenset(special.union(unranked[:-1]))
        self._ids = {piece: token for token, piece in enumerate(self.pieces) if token not in self.whole}
        self.spelled = _remembering(self._spelled)
        self.stages = _remembering(self._stages)
        self.possible = _remembering(self._possible)

    def _spelled(self, word: str) -> list[_Segments]:
        """The stages of a word whose characters are all apart."""
        return self.stages(tuple(self._ids[character] for character in word))

    def _stages(self, word: _Segments) -> list[_Segments]:
        """The word, and what it becomes merge by merge when none is passed over; of a long one, itself alone."""
        stages = [word]
        while len(word) <= _LONGEST and (possible := self.possible(stages[-1])):
            stages.append(_after(stages[-1], possible[0]))
        return stages

    def _possible(self, word: _Segments) -> list[_Merge]:
        """The merges that could come next, that which was learned first before others."""
        pairs = (self.pieces[left] + self.pieces[right] for left, right in pairwise(word))
        merges = [(place, self._ids[pair]) for place, pair in enumerate(pairs) if pair in self._ids]
        return sorted(merges, key=lambda merge: -self._ranks[merge[1]])


def _remembering(function: Callable[[_Word], list[_Of]]) -> Callable[[_Word], list[_Of]]:
    """The same, but what a short word gave is not worked out again: the training loop waits for the loader's Python."""
    known = lru_cache(_REMEMBERED)(function)
    return lambda word: known(word) if len(word) <= _LONGEST else function(word)


_merges = cache(_Merges)


def _with_dropout(ids: Sequence[int], merges: _Merges, rate: float, random: Random) -> list[int]:
    result: list[int] = []
    for whole, run in groupby(ids, key=merges.whole.__contains__):
        if whole:
            result += run
        else:
            for word in _words("".join(merges.pieces[token] for token in run)):
                result += _merged(merges.spelled(word), merges, rate, random)
    return result


def _words(text: str) -> Iterator[str]:
    """Parts that begin with a space, and what stands before them: merges do not cross."""
    first, *others = text.split(_SPACE)
    if first:
        yield first
    yield from (_SPACE + word for word in others)


def _merged(stages: list[_Segments], merges: _Merges, rate: float, random: Random) -> _Segments:
    """Provilkov et al. 2020, algorithm 1: the earliest of the merges that are not passed over, until none is left."""
    while True:
        made, last = 0, len(stages) - 1
        while made < last and random.random() >= rate:
            made += 1
        possible, passed_over = merges.possible(stages[made]), int(made < last)
        while passed_over < len(possible) and random.random() < rate:
            passed_over += 1
        if passed_over == len(possible):
            return stages[made]
        stages = merges.stages(_after(stages[made], possible[passed_over]))


def _after(word: _Segments, merge: _Merge) -> _Segments:
    place, merged = merge
    return (*word[:place], merged, *word[place + 2 :])
