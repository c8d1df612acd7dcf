"""BLEU, chrF and TER as sacreBLEU defines them, and others, each with the signature that makes it comparable.

BLEU: Papineni et al. 2002; chrF: Popović 2015; TER: Snover et al. 2006; signatures: Post 2018. For lines read
from files by translate.text, the values are those that `sacrebleu REFERENCE … -i HYPOTHESES` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from shlex import quote
from typing import Any
from unicodedata import is_normalized, normalize

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU, CHRF, TER

from translate.errors import UserError
from translate.evaluation.task_metrics import LineScorer, exact_match, rouge, rouge_signature, squad_signature, token_f1
from translate.evaluation.tokenizers import DEFAULT_TOKENIZER, WITHOUT_SPACES, check_tokenizer

RESAMPLES = 1000  # by default
MIN_RESAMPLES = 100  # fewer say nothing about the tails: the least p of 99 is 0.01
SEED = 12345  # sacreBLEU's own, so that the intervals are those of `sacrebleu --confidence`
Statistics = NDArray[np.float32]
Compute = Callable[[Statistics], float]


def confidence_interval(statistics: Statistics, compute: Compute, *, resamples: int) -> float:
    """Half the width of a score's 95 % confidence interval."""
    assert resamples >= MIN_RESAMPLES
    scores = sorted(compute(statistics[chosen].sum(0)) for chosen in _resamples(len(statistics), resamples))
    tail = resamples // 40
    return (scores[-1 - tail] - scores[tail]) / 2


def paired_p_value(first: Statistics, second: Statistics, compute: Compute, *, resamples: int) -> float:
    """Two-sided p-value of the difference between two systems, by paired bootstrap.

    Both are resampled alike; the differences, less their mean, are the distribution of differences under the null
    hypothesis (Riezler and Maxwell 2005). Equal systems have p = 1.
    """
    assert resamples >= MIN_RESAMPLES
    observed = compute(first.sum(0)) - compute(second.sum(0))
    found = np.array(
        [compute(first[chosen].sum(0)) - compute(second[chosen].sum(0)) for chosen in _resamples(len(first), resamples)]
    )
    by_chance = np.abs(found - found.mean()) >= abs(observed)
    return float((by_chance.sum() + 1) / (resamples + 1))


def _resamples(sentences: int, count: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(SEED)
    return (random.choice(sentences, size=sentences, replace=True) for _ in range(count))


class Metric(StrEnum):
    bleu = "bleu"
    chrf = "chrf"
    ter = "ter"
    rouge1 = "rouge1"
    rouge2 = "rouge2"
    rougeL = "rougeL"  # noqa: N815 - what everybody calls it
    exact_match = "exact_match"
    f1 = "f1"


SACREBLEU = (Metric.bleu, Metric.chrf, Metric.ter)
ERRORS = (Metric.ter,)  # of which less is better
ANSWERS = (Metric.exact_match, Metric.f1)  # of which a reference may have several, separated by TAB


@dataclass(frozen=True, kw_only=True)
class Score:
    """A corpus's score.

    name       as it is printed: BLEU, chrF2, TER, ROUGE-1, …
    value      0 to 100; more is better, except for TER, an error rate in percent
    interval   half the width of its 95 % confidence interval; None if there was no bootstrap
    signature  how it was computed
    details    of BLEU: brevity_penalty, and length_ratio (tokens of hypotheses / of references)
    """

    name: str
    value: float
    signature: str
    interval: float | None = None
    details: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        spread = "" if self.interval is None else f" ± {self.interval:.1f}"
        return f"{self.name} = {self.value:.1f}{spread}  {self.signature}"


Scores = dict[Metric, Score]


def score(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[Metric] = (Metric.bleu, Metric.chrf, Metric.ter),
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
) -> Scores:
    """Scores of N translations against one or several references of N lines each, in the order of metrics.

    tokenize    BLEU's tokenizer, sacreBLEU's -tok; the signature names it
    bootstrap   resamples for the confidence interval (Koehn 2004, sacreBLEU's own seed); below 100 there is none

    Raises UserError when there is nothing to score, the numbers of lines differ, tokenize cannot be used or bootstrap
    is negative.
    """
    check_tokenizer(tokenize, key="tokenize")
    check_bootstrap(bootstrap)
    if not hypotheses or not references:
        raise UserError("there is nothing to score: no hypotheses or no references")
    for reference in references:
        if len(hypotheses) != len(reference):
            raise UserError(f"{len(hypotheses):,} hypotheses cannot be scored against {len(reference):,} references")
    hypotheses, references = _stripped(hypotheses), [_stripped(reference) for reference in references]
    return {metric: _score(metric, hypotheses, references, tokenize, bootstrap) for metric in metrics}


def check_bootstrap(resamples: int) -> None:
    """Raise UserError for a negative number of resamples."""
    if resamples < 0:
        raise UserError(f"bootstrap ({resamples}) must not be negative; 0: no confidence intervals")


def command(metrics: Sequence[Metric], tokenize: str, *, references: Sequence[str], hypotheses: str) -> str:
    """The sacrebleu command that prints the same numbers, those of its metrics; "" if there are none."""
    metrics = [metric for metric in metrics if metric in SACREBLEU]
    if not metrics:
        return ""
    options = "" if tokenize == DEFAULT_TOKENIZER else f" -tok {tokenize}"
    if Metric.ter in metrics and tokenize in WITHOUT_SPACES:
        options += " --ter-normalized --ter-asian-support"
    names = " ".join(map(quote, references))
    return f"sacrebleu {names} -i {quote(hypotheses)} -m {' '.join(metrics)}{options}"


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """chrF of each line, 0 to 100; of several references the best counts."""
    metric = CHRF()
    return [
        metric.sentence_score(hypothesis, lines).score
        for hypothesis, *lines in zip(_stripped(hypotheses), *map(_stripped, references), strict=True)
    ]


def p_value(
    metric: Metric,
    hypotheses: Sequence[str],
    baseline: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    tokenize: str = DEFAULT_TOKENIZER,
    resamples: int = RESAMPLES,
) -> float:
    """p-value of the difference between two systems' scores, by paired bootstrap of at least MIN_RESAMPLES."""
    references = [_stripped(reference) for reference in references]
    ours, theirs = (_statistics(metric, _stripped(side), references, tokenize) for side in (hypotheses, baseline))
    return paired_p_value(ours[0], theirs[0], ours[1], resamples=resamples)


def _stripped(lines: Sequence[str]) -> list[str]:
    """Lines without trailing white space, as the sacrebleu command reads them."""
    return [line.rstrip() for line in lines]


def _score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenize: str, bootstrap: int
) -> Score:
    interval = None
    has_interval = bootstrap >= MIN_RESAMPLES
    if has_interval or metric not in SACREBLEU:
        statistics, compute = _statistics(metric, hypotheses, references, tokenize)
        interval = confidence_interval(statistics, compute, resamples=bootstrap) if has_interval else None
    if metric not in SACREBLEU:
        name, _, signature = _line_metric(metric, len(references))
        value = 100 * float(statistics[:, 0].mean(dtype=np.float64))
        return Score(name=name, value=value, interval=interval, signature=signature)
    scorer = _scorer(metric, tokenize)
    result = scorer.corpus_score(hypotheses, references)
    details = {"brevity_penalty": result.bp, "length_ratio": result.ratio} if metric == Metric.bleu else {}
    return Score(
        name=result.name,
        value=result.score,
        interval=interval,
        signature=str(scorer.get_signature()),
        details=details,
    )


def _statistics(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenize: str
) -> tuple[Statistics, Callable[[Statistics], float]]:
    """Counts (sentences, n) that add up over a corpus, and what makes a score of their sum."""
    if metric in SACREBLEU:
        scorer = _scorer(metric, tokenize)
        statistics = np.array(scorer._extract_corpus_statistics(hypotheses, references), dtype=np.float32)
        return statistics, lambda total: float(scorer._compute_score_from_stats(total).score)
    _, of_line, _ = _line_metric(metric, len(references))
    values = [
        [max(of_line(hypothesis, line) for line in lines), 1.0]
        for hypothesis, *lines in zip(hypotheses, *references, strict=True)
    ]
    return np.array(values, dtype=np.float32), lambda total: 100 * float(total[0] / total[1])


def _line_metric(metric: Metric, num_references: int) -> tuple[str, LineScorer, str]:
    """Name, function of a line, and signature."""
    if metric is Metric.exact_match:
        return "EM", exact_match, squad_signature(num_references)
    if metric is Metric.f1:
        return "F1", token_f1, squad_signature(num_references)
    return f"ROUGE-{metric.value[-1]}", rouge(metric.value), rouge_signature(num_references)


def _scorer(metric: Metric, tokenize: str) -> Any:
    if metric == Metric.chrf:
        return CHRF()
    if metric == Metric.ter:
        without_spaces = tokenize in WITHOUT_SPACES
        return TER(normalized=without_spaces, asian_support=without_spaces)
    # force: no warning about tokenized text, which is nothing a user of this application can change
    return BLEU(tokenize=tokenize, force=True)


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
