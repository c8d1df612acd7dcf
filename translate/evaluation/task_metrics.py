"""Metrics of other tasks than translation, each the mean of its values for single lines.

ROUGE of summaries: Lin 2004, as the rouge-score package counts it. Exact match and F1 of answers: Rajpurkar et al.
2016, section 6.1; of several right answers, separated by TAB in the reference, the best counts. Of several references,
the best counts as well.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from translate.errors import import_extra

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
LineScorer = Callable[[str, str], float]  # of a hypothesis and a reference, 0 to 1


def exact_match(hypothesis: str, reference: str) -> float:
    """1 where they are the same words, but for case, punctuation and articles."""
    return max(float(_words(hypothesis) == _words(answer)) for answer in reference.split("\t"))


def token_f1(hypothesis: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the same words; of two empty answers 1."""
    return max(_f1(_words(hypothesis), _words(answer)) for answer in reference.split("\t"))


def rouge(kind: str) -> LineScorer:
    """F-measure of rouge1, rouge2 or rougeL, of words without their endings (Porter's stemmer).

    Raises UserError where the package is missing.
    """
    scorer = _rouge_scorer()
    return lambda hypothesis, reference: float(scorer.score(reference, hypothesis)[kind].fmeasure)


def squad_signature(num_references: int) -> str:
    return "squad:1.1" if num_references == 1 else f"nrefs:{num_references}|squad:1.1"


def rouge_signature(num_references: int) -> str:
    return f"nrefs:{num_references}|stemmer:porter|version:rouge-score {version('rouge-score')}"


@cache
def _rouge_scorer() -> Any:
    scoring = import_extra("rouge_score.rouge_scorer", extra="rouge", purpose="ROUGE")
    return scoring.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(hypothesis: Sequence[str], answer: Sequence[str]) -> float:
    if not hypothesis or not answer:
        return float(hypothesis == answer)
    same = (Counter(hypothesis) & Counter(answer)).total()
    return 2 * same / (len(hypothesis) + len(answer))
