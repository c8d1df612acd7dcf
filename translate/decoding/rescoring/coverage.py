"""Coverage of the source by attention: the coverage penalty of Wu et al. 2016.

Letters: S source and T target tokens, EOS counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from translate.decoding.config import Engine, Hypothesis, SearchConfig, Sentence
from translate.errors import UserError

UNCOVERED = 0.2  # a source token that receives less attention in total is not covered, by the flag little_attention
_LEAST = 1e-6  # attention received; the logarithm of 0 would be minus infinity


def attention_received(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Attention (S,) that each source token receives from a whole translation; attention (T, S)."""
    received: NDArray[np.float32] = attention.sum(0)
    return received


def coverage(attention: NDArray[np.float32]) -> float:
    """Sum over source tokens, without EOS, of log min(1, attention received): 0 where all is covered, else negative.

    Wu et al. 2016, equation 14, without its factor beta; attention (T, S).
    """
    received = attention_received(attention)[:-1]
    return float(np.log(received.clip(_LEAST, 1.0)).sum())


def search_with_coverage(
    engine: Engine,
    sentences: Sequence[Sentence],
    config: SearchConfig,
    *,
    progress: Callable[[float], None] | None = None,
) -> list[list[Hypothesis]]:
    """Rank the finished hypotheses of a beam by score + config.coverage_penalty * coverage, and keep the n_best.

    The attention is that of a forced pass over the finished hypotheses, so that the beam itself is pruned without the
    penalty. Scores stay the model's own. Raises UserError for an engine or model without attention.
    """
    # the whole beam: a hypothesis of a lower rank may cover more
    every = replace(config, coverage_penalty=0.0, n_best=config.beam_size)
    found = engine.search(sentences, every, progress=progress)
    pairs = [
        (sentence, tuple(hypothesis.tokens))
        for sentence, hypotheses in zip(sentences, found, strict=True)
        for hypothesis in hypotheses
    ]
    scored = iter(engine.score(pairs, details=True))
    ranked = []
    for hypotheses in found:
        ranks = []
        for hypothesis in hypotheses:
            attention = next(scored).attention
            if attention is None:
                raise UserError(
                    f"search.coverage_penalty ({config.coverage_penalty}): the model or its engine gives no attention; "
                    "set search.coverage_penalty=0"
                )
            ranks.append(hypothesis.score + config.coverage_penalty * coverage(attention))
        best_first = sorted(range(len(hypotheses)), key=lambda index: ranks[index], reverse=True)
        ranked.append([hypotheses[index] for index in best_first[: config.n_best]])
    return ranked
