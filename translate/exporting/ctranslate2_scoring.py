"""Scores of given translations by CTranslate2: probabilities of their tokens, and attention.

Sentences and translations are lists of pieces without EOS. Letters: S source and T target tokens, EOS counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.decoding.config import ForcedScore

Pieces = Sequence[list[str]]


def score_pieces(
    runtime: Any, sources: Pieces, targets: Pieces, *, batch_sentences: int, details: bool
) -> list[ForcedScore]:
    """Score translations of sentences; details: with attention. The runtime gives no entropies."""
    log_probs = log_probabilities(runtime, sources, targets, batch_sentences=batch_sentences)
    if not details:
        return [ForcedScore(log_probs=row) for row in log_probs]
    maps = attention_maps(runtime, sources, targets, batch_sentences=batch_sentences)
    return [ForcedScore(log_probs=row, attention=each) for row, each in zip(log_probs, maps, strict=True)]


def log_probabilities(runtime: Any, sources: Pieces, targets: Pieces, *, batch_sentences: int) -> list[list[float]]:
    """Log probabilities of the target pieces, EOS last."""
    # max_input_length: the runtime would cut off longer sentences without a word
    results = runtime.score_batch(sources, targets, max_batch_size=batch_sentences, max_input_length=0)
    return [result.log_probs for result in results]


def attention_maps(
    runtime: Any, sources: Pieces, targets: Pieces, *, batch_sentences: int
) -> list[NDArray[np.float32]]:
    """Cross-attention (T, S) of the last layer, mean of its heads.

    The runtime returns attention from a search alone: each translation is the prefix that a search is forced to take.
    """
    maps: dict[int, NDArray[np.float32]] = {}
    # neighbours are about equally long: shorter translations are continued to the length of the longest of a batch
    order = sorted(range(len(targets)), key=lambda index: len(targets[index]))
    for start in range(0, len(order), batch_sentences):
        batch = order[start : start + batch_sentences]
        results = runtime.translate_batch(
            [sources[index] for index in batch],
            target_prefix=[targets[index] for index in batch],
            # one step beyond the prefix: that in which EOS is predicted
            max_decoding_length=len(targets[batch[-1]]) + 1,
            return_end_token=True,
            beam_size=1,
            max_input_length=0,
            return_attention=True,
        )
        for index, result in zip(batch, results, strict=True):
            rows = np.array(result.attention[0][: len(targets[index]) + 1], np.float32)
            # the runtime leaves out the column of EOS, and weights sum to 1
            maps[index] = np.hstack([rows, (1 - rows.sum(1, keepdims=True)).clip(min=0)])
    return [maps[index] for index in range(len(targets))]
