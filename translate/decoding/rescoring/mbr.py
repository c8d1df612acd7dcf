"""Minimum Bayes risk decoding: of several candidates, the one that is most like all of them on average.

The candidates stand for the model's distribution over translations: a translation y has the expected utility
E[u(y, Y)], estimated by the mean of u(y, y') over all candidates y' (Kumar and Byrne 2004; Eikema and Aziz 2020;
Freitag et al. 2022).

Letters: C different candidates of a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from translate.decoding.config import (
    Hypothesis,
    RescoringEngine,
    SearchConfig,
    SearchMethod,
    Sentence,
)
from translate.decoding.search.config import Candidates, Utility
from translate.errors import import_extra

Matrix = NDArray[np.floating]
Progress = Callable[[float], None]


class Decoder(Protocol):
    """The part of a tokenizer that turns hypotheses to text."""

    def decode_target(self, ids: Sequence[Sequence[int]]) -> list[str]: ...


@dataclass(frozen=True)
class MinimumBayesRisk(RescoringEngine):
    """An engine that orders the candidates of another one by their expected utility, which becomes their score."""

    tokenizer: Decoder

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Progress | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best candidates of each sentence, fewer where the search has found fewer, best first."""
        if config.method is not SearchMethod.mbr:
            return self.engine.search(sentences, config, progress=progress)
        candidates = self._candidates(sentences, config, progress)
        texts = iter(self.tokenizer.decode_target([each.tokens for own in candidates for each in own]))
        utility = UTILITIES[config.utility]()
        by_probability = config.candidates is Candidates.beam
        return [
            _ranked(own, list(islice(texts, len(own))), utility, config, by_probability=by_probability)[: config.n_best]
            for own in candidates
        ]

    def _candidates(
        self, sentences: Sequence[Sentence], config: SearchConfig, progress: Progress | None
    ) -> list[list[Hypothesis]]:
        """Candidates of each sentence; a sample that was drawn twice is there twice."""
        if config.candidates is Candidates.beam:
            inner = replace(config, method=SearchMethod.beam, n_best=config.beam_size)
        else:
            # n_best is of the result, and a coverage penalty is for a beam
            inner = replace(config, method=SearchMethod.sampling, n_best=1, coverage_penalty=0.0)
        return self.engine.search(sentences, inner, progress=progress)


def _ranked(
    candidates: Sequence[Hypothesis],
    texts: Sequence[str],
    utility: PairwiseUtility,
    config: SearchConfig,
    *,
    by_probability: bool,
) -> list[Hypothesis]:
    """Different candidates of one sentence with their expected utilities, best first.

    Candidates of one text, perhaps by other tokens, are one, whose weight is the sum of theirs.
    """
    weights, likeliest = dict[str, float](), dict[str, Hypothesis]()
    for candidate, text, weight in zip(candidates, texts, _weights(candidates, config, by_probability), strict=True):
        weights[text] = weights.get(text, 0.0) + weight
        if text not in likeliest or candidate.score > likeliest[text].score:
            likeliest[text] = candidate
    different = list(weights)
    shares = np.array([weights[text] for text in different])
    expected = utility(different) @ (shares / shares.sum())  # (C,)
    scored = [replace(likeliest[text], score=float(value)) for text, value in zip(different, expected, strict=True)]
    # stable, after the model's own order: equal utilities are decided by probability
    order = sorted(range(len(different)), key=lambda i: (-scored[i].score, -likeliest[different[i]].score))
    return [scored[index] for index in order]


def _weights(candidates: Sequence[Hypothesis], config: SearchConfig, by_probability: bool) -> list[float]:
    """Weights of candidates: samples count alike, hypotheses of a beam by their probability, with a common factor."""
    if not by_probability:
        return [1.0] * len(candidates)
    # undo the length penalty; EOS is counted
    log_probs = [each.score * (len(each.tokens) + 1) ** config.length_penalty for each in candidates]
    # relative to the likeliest: probabilities of long sentences are 0 in floating point
    return [math.exp(log_prob - max(log_probs)) for log_prob in log_probs]


PairwiseUtility = Callable[[list[str]], Matrix]  # C texts -> (C, C): u(candidate, candidate as the reference), 0 to 100


def chrf_utility() -> PairwiseUtility:
    """chrF2 of sentences (Popović 2015) as sacreBLEU defines it, in compiled code."""
    fastchrf: Any = import_extra("fastchrf", extra="mbr", purpose="search.mbr.utility=chrf")

    def compare(texts: list[str]) -> Matrix:
        return np.array(fastchrf.pairwise_chrf([texts], [texts])[0])

    return compare


def bleu_utility() -> PairwiseUtility:
    """Sentence BLEU by sacreBLEU, with the effective order, so that short sentences can reach 100."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)

    def compare(texts: list[str]) -> Matrix:
        scores = [[metric.sentence_score(text, [reference]).score for reference in texts] for text in texts]
        return np.array(scores)

    return compare


UTILITIES: dict[Utility, Callable[[], PairwiseUtility]] = {Utility.chrf: chrf_utility, Utility.bleu: bleu_utility}
