"""Scores after Unicode normalisation: letters can be composed (NFC) or decomposed (NFD), which metrics tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import is_normalized, normalize

from translate.evaluation.metrics import Metric, Scores, score


@dataclass(frozen=True, kw_only=True)
class NormalisedScores:
    """Scores with hypotheses and references in NFC, and the shares of lines, 0 to 1, that are not NFC by themselves."""

    hypotheses: float
    references: float
    scores: Scores

    def __str__(self) -> str:
        scores = ", ".join(f"{found.name} {found.value:.1f}" for found in self.scores.values())
        return (
            f"{self.references:.1%} of reference lines and {self.hypotheses:.1%} of translations are not Unicode NFC; "
            f"with both sides in NFC: {scores}"
        )


def normalised_scores(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, metrics: Sequence[Metric], tokenize: str
) -> NormalisedScores | None:
    """Scores with all N lines of each side in NFC; None where they are NFC already, so that nothing would change."""
    shares = _share(hypotheses), _share([line for reference in references for line in reference])
    if not any(shares):
        return None
    composed = [[normalize("NFC", line) for line in side] for side in (hypotheses, *references)]
    scores = score(composed[0], composed[1:], metrics=metrics, tokenize=tokenize)
    return NormalisedScores(hypotheses=shares[0], references=shares[1], scores=scores)


def _share(lines: Sequence[str]) -> float:
    return sum(not is_normalized("NFC", line) for line in lines) / len(lines)
