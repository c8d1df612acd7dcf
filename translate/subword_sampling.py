"""Segmentations drawn at random, so that a model in training meets a word in many spellings.

Of unigram models: subword regularisation (Kudo 2018). Of BPE models: BPE-dropout (Provilkov et al. 2020). Drawn here,
because SentencePiece's own generator mixes the seed with values that differ from process to process, and a continued
run has to draw what the uninterrupted one drew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from sentencepiece import SentencePieceProcessor

from translate.special_tokens import EOS

_CANDIDATES = 32  # segmentations of a sentence that are chosen from
_SPACE = "▁"


def sample_segmentations(
    processor: SentencePieceProcessor, texts: Sequence[str], *, strength: float, seed: int
) -> list[list[int]]:
    """Ids of each text; what strength means depends on the model's type.

    unigram  one of the best segmentations, with probabilities proportional to p ** strength
    BPE      what is left when every possible merge is passed over with that probability, each time it could be made
    """
    random = np.random.default_rng(seed)
    if _has_merges(processor):
        merges = _merges(processor)
        return [_with_dropout(ids, merges, strength, random) for ids in processor.encode(list(texts), out_type=int)]
    log_probs = _log_probs(processor)
    found = processor.nbest_encode(list(texts), nbest_size=_CANDIDATES, out_type=int)
    return [_draw(candidates, log_probs, strength, random) for candidates in found]


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


@dataclass(frozen=True)
class _Merges:
    """What BPE has learned: the pieces by id, their ids, and how early each was merged (more is earlier).

    whole  ids of pieces that are never split: bytes, the unknown token, and tags
    """

    pieces: list[str]
    ids: dict[str, int]
    ranks: list[float]
    whole: frozenset[int]


@cache
def _merges(processor: SentencePieceProcessor) -> _Merges:
    size = processor.get_piece_size()
    pieces = [processor.id_to_piece(token) for token in range(size)]
    ranks = [processor.get_score(token) for token in range(size)]
    special = {token for token in range(size) if token <= EOS or processor.is_byte(token)}
    # tags and the first merge have rank 0, and what was learned stands behind the tags
    unranked = [token for token in range(size) if ranks[token] == 0 and token not in special]
    whole = special.union(unranked[:-1])
    ids = {piece: token for token, piece in enumerate(pieces) if token not in whole}
    return _Merges(pieces, ids, ranks, frozenset(whole))


def _with_dropout(ids: Sequence[int], merges: _Merges, rate: float, random: np.random.Generator) -> list[int]:
    result: list[int] = []
    for whole, run in groupby(ids, key=merges.whole.__contains__):
        if whole:
            result += run
        else:
            for word in _words("".join(merges.pieces[token] for token in run)):
                result += _merged([merges.ids[character] for character in word], merges, rate, random)
    return result


def _words(text: str) -> Iterator[str]:
    """Parts that begin with a space, and what stands before them: merges do not cross."""
    first, *others = text.split(_SPACE)
    if first:
        yield first
    yield from (_SPACE + word for word in others)


def _merged(word: list[int], merges: _Merges, rate: float, random: np.random.Generator) -> list[int]:
    """Provilkov et al. 2020, algorithm 1: the earliest of the merges that are not passed over, until none is left."""
    pieces, ids, ranks = merges.pieces, merges.ids, merges.ranks
    while len(word) > 1:
        kept = random.random(len(word) - 1) >= rate
        best, where = None, 0
        for place, keep in enumerate(kept):
            merged = ids.get(pieces[word[place]] + pieces[word[place + 1]]) if keep else None
            if merged is not None and (best is None or ranks[merged] > ranks[best]):
                best, where = merged, place
        if best is None:
            break
        word[where : where + 2] = [best]
    return word
