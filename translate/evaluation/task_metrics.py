"""Metrics of other tasks than translation, which score each line and take the mean.

ROUGE of summaries: Lin 2004, as the rouge-score package counts it. Exact match and F1 of answers: Rajpurkar et al.
2016, section 6.1, where the best of several right answers, separated by TAB, counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from translate.errors import import_extra
from translate.evaluation.scores import Lines, Metric, Score, Statistics, confidence_interval

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
LineScorer = Callable[[str, str], float]  # (hypothesis, reference) -> 0 to 1


class LineMetric(Metric):
    """The mean over lines of a function of hypothesis and reference, in percent; the best reference counts."""

    def __init__(
        self, name: str, of_line: LineScorer, signature: Callable[[int], str], *, has_alternatives: bool = False
    ) -> None:
        self.name = name
        self.of_line = of_line
        self.signature = signature  # of the number of references
        self.has_alternatives = has_alternatives

    def score(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str, resamples: int) -> Score:
        statistics = self.statistics(hypotheses, references, tokenize=tokenize)
        return Score(
            name=self.name,
            # fp64: an fp32 sum of many lines would round
            value=100 * float(statistics.counts[:, 0].mean(dtype=np.float64)),
            interval=confidence_interval(statistics, resamples=resamples) if resamples else None,
            signature=self.signature(len(references)),
        )

    def statistics(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str) -> Statistics:
        # value of the line and 1: the quotient of their sums is the mean
        values = [
            [max(self.of_line(hypothesis, line) for line in lines), 1.0]
            for hypothesis, *lines in zip(hypotheses, *references, strict=True)
        ]
        return Statistics(
            np.array(values, dtype=np.float32),
            lambda total: 100 * float(total[0] / total[1]),
            name=self.name,
            signature=self.signature(len(references)),
        )


def exact_match(hypothesis: str, reference: str) -> float:
    """1 if both have the same words, regardless of case, punctuation and articles; 0 otherwise."""
    return max(float(_words(hypothesis) == _words(answer)) for answer in reference.split("\t"))


def token_f1(hypothesis: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the words in common; 1 for two empty answers."""
    return max(_f1(_words(hypothesis), _words(answer)) for answer in reference.split("\t"))


def rouge(kind: str) -> LineScorer:
    """F-measure of rouge1, rouge2 or rougeL, of words without their endings (Porter's stemmer).

    The function that is returned raises UserError where the package is missing.
    """
    return lambda hypothesis, reference: float(_rouge_scorer().score(reference, hypothesis)[kind].fmeasure)


def squad_signature(num_references: int) -> str:
    """Signature of exact match and F1, in sacreBLEU's form."""
    return "squad:1.1" if num_references == 1 else f"nrefs:{num_references}|squad:1.1"


def rouge_signature(num_references: int) -> str:
    """Signature of ROUGE, in sacreBLEU's form."""
    return f"nrefs:{num_references}|stemmer:porter|version:rouge-score {version('rouge-score')}"


@cache
def _rouge_scorer() -> Any:
    scoring = import_extra("rouge_score.rouge_scorer", extra="rouge", purpose="ROUGE")
    return scoring.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


def _words(text: str) -> list[str]:
    # in the order of SQuAD's script: case, punctuation, articles, white space
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(hypothesis: Sequence[str], answer: Sequence[str]) -> float:
    # without words precision or recall would be 0 / 0
    if not hypothesis or not answer:
        return float(hypothesis == answer)
    in_common = (Counter(hypothesis) & Counter(answer)).total()
    return 2 * in_common / (len(hypothesis) + len(answer))
