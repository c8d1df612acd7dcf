"""The results of translating and scoring lines: translations, their parts, scores of given translations, counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from translate.decoding.config import ForcedScore, Hypothesis, Pair, Sentence
from translate.decoding.segmentation import Segment, join_translations
from translate.decoding.translation_memory_config import Match


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A line's translation.

    score          the best hypothesis's log probability / length ** length_penalty; of a line translated in
                   several segments the mean, weighted by their target tokens
    n_best         (text, score) of as many hypotheses as search.returned says, best first; the first is (text, score).
                   Where the search has found fewer, the rest is ("", -inf); of a blank line all are ("", 0.0)
    source_tokens, target_tokens   EOS not counted
    segments       how many parts the line was translated in; 0: it was blank
    recased        it was translated in its usual case, which is not the line's
    match          similar pair of the translation memory; None: there is none
    parts          source tokens of each segment and those of its part of `text`
    """

    text: str
    score: float
    n_best: list[tuple[str, float]]
    source_tokens: int
    target_tokens: int
    segments: int
    recased: bool = False
    match: Match | None = None
    parts: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Splits:
    """Counts of all lines, of those translated in several parts (split), of these parts, and of recased lines."""

    lines: int = 0
    split: int = 0
    parts: int = 0
    recased: int = 0

    @classmethod
    def of(cls, translations: Sequence[Translation]) -> Splits:
        several = [translation.segments for translation in translations if translation.segments > 1]
        recased = sum(translation.recased for translation in translations)
        return cls(len(translations), len(several), sum(several), recased)

    def __add__(self, other: Splits) -> Splits:
        return Splits(
            self.lines + other.lines,
            self.split + other.split,
            self.parts + other.parts,
            self.recased + other.recased,
        )


NO_ALTERNATIVE = ("", -math.inf)
BLANK = Translation(text="", score=0.0, n_best=[("", 0.0)], source_tokens=0, target_tokens=0, segments=0)


def join_segments(
    segments: list[Segment],
    found: Mapping[Sentence, list[Hypothesis]],
    texts: Mapping[Sentence, list[str]],
    write: Callable[[str], str],
    *,
    n_best: int,
) -> Translation:
    """A line's translation; its k-th best joins the k-th best of each segment, or its last where it has fewer."""
    if not segments:
        return replace(BLANK, n_best=BLANK.n_best * n_best)
    sentences = [segment.sentence for segment in segments]
    alternatives = []
    for k in range(max(len(found[sentence]) for sentence in sentences)):
        ranks = [min(k, len(found[sentence]) - 1) for sentence in sentences]
        parts = [found[sentence][rank] for sentence, rank in zip(sentences, ranks, strict=True)]
        # scores are means over tokens: weight each by its tokens, EOS counted
        weights = [len(part.tokens) + 1 for part in parts]
        score = sum(part.score * weight for part, weight in zip(parts, weights, strict=True)) / sum(weights)
        joined = [texts[sentence][rank] for sentence, rank in zip(sentences, ranks, strict=True)]
        alternatives.append((write(join_translations(joined, segments)), score))
    # an n-best list has n lines for every sentence, also where the search found fewer
    alternatives += [NO_ALTERNATIVE] * (n_best - len(alternatives))
    return Translation(
        text=alternatives[0][0],
        score=alternatives[0][1],
        n_best=alternatives,
        parts=tuple((sentence, tuple(found[sentence][0].tokens)) for sentence in sentences),
        source_tokens=sum(map(len, sentences)),
        target_tokens=sum(len(found[sentence][0].tokens) for sentence in sentences),
        segments=len(segments),
    )


@dataclass(frozen=True, kw_only=True)
class ScoredPair:
    """A line and a given translation of it, scored as a whole.

    pair    source tokens, with those of a tag, and target tokens
    scores  None where the source is blank, or a side has more tokens than the model can read or write
    """

    pair: Pair
    scores: ForcedScore | None

    @property
    def is_too_long(self) -> bool:
        return self.scores is None and bool(self.pair[0])  # without scores it is too long, or blank


def perplexity(mean_log_prob: float) -> float:
    """exp of the negative mean log probability of a token; infinite where that is too large for a number."""
    try:
        return math.exp(-mean_log_prob)
    except OverflowError:
        return math.inf
