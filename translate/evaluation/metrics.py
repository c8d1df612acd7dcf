"""Metrics of a corpus, each with the signature that makes its scores comparable.

BLEU: Papineni et al. 2002; chrF: Popović 2015; TER: Snover et al. 2006; signatures: Post 2018. For lines read
from files by translate.text, the values are those that `sacrebleu REFERENCE … -i HYPOTHESES` prints. chrF++ also counts
words and pairs of words (Popović 2017). Metrics of other tasks are in task_metrics.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any
from unicodedata import is_normalized, normalize

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from translate.errors import UserError, require_between
from translate.evaluation.scores import (
    MIN_RESAMPLES,
    RESAMPLES,
    Lines,
    Metric,
    MetricName,
    Score,
    Scores,
    Statistics,
    confidence_interval,
)
from translate.evaluation.significance import paired_p_value
from translate.evaluation.task_metrics import LineMetric, exact_match, rouge, rouge_signature, squad_signature, token_f1
from translate.evaluation.tokenizers import DEFAULT_TOKENIZER, WITHOUT_SPACES, check_tokenizer

_MOST_RESAMPLES = 1_000_000
SACREBLEU = (MetricName.bleu, MetricName.chrf, MetricName.ter)


class SacreBleuMetric(Metric):
    """A metric of sacreBLEU's, which make_scorer makes for a tokenizer of BLEU."""

    def __init__(self, make_scorer: Callable[[str], Any], *, higher_is_better: bool = True) -> None:
        self.make_scorer = make_scorer
        self.higher_is_better = higher_is_better

    def score(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str, resamples: int) -> Score:
        scorer = self.make_scorer(tokenize)
        result = scorer.corpus_score(hypotheses, references)
        interval = None
        if resamples:
            statistics = self.statistics(hypotheses, references, tokenize=tokenize)
            interval = confidence_interval(statistics, resamples=resamples)
        is_bleu = isinstance(scorer, BLEU)
        return Score(
            name=result.name,
            value=result.score,
            interval=interval,
            signature=str(scorer.get_signature()),
            details={"brevity_penalty": result.bp, "length_ratio": result.ratio} if is_bleu else {},
        )

    def statistics(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str) -> Statistics:
        # no public method returns counts by sentence; these two are what sacreBLEU's own significance tests call, and
        # what each of its metrics implements
        scorer = self.make_scorer(tokenize)
        counts = np.array(scorer._extract_corpus_statistics(hypotheses, references), dtype=np.float32)
        return Statistics(
            counts,
            lambda total: float(scorer._compute_score_from_stats(total).score),
            name=scorer._compute_score_from_stats(counts[0]).name,
            signature=str(scorer.get_signature()),
        )


def _ter(tokenize: str) -> TER:
    # TER counts edits of words: a line without spaces would be a single one
    without_spaces = tokenize in WITHOUT_SPACES
    return TER(normalized=without_spaces, asian_support=without_spaces)


METRICS: dict[MetricName, Metric] = {
    # force: no warning about tokenized text, which is nothing a user of this application can change
    MetricName.bleu: SacreBleuMetric(lambda tokenize: BLEU(tokenize=tokenize, force=True)),
    MetricName.chrf: SacreBleuMetric(lambda tokenize: CHRF()),
    MetricName.chrfpp: SacreBleuMetric(lambda tokenize: CHRF(word_order=2)),
    MetricName.ter: SacreBleuMetric(_ter, higher_is_better=False),
    MetricName.rouge1: LineMetric("ROUGE-1", rouge("rouge1"), rouge_signature),
    MetricName.rouge2: LineMetric("ROUGE-2", rouge("rouge2"), rouge_signature),
    MetricName.rougeL: LineMetric("ROUGE-L", rouge("rougeL"), rouge_signature),
    MetricName.exact_match: LineMetric("EM", exact_match, squad_signature, has_alternatives=True),
    MetricName.f1: LineMetric("F1", token_f1, squad_signature, has_alternatives=True),
}


def score(
    hypotheses: Lines,
    references: Sequence[Lines],
    *,
    metrics: Sequence[MetricName] = SACREBLEU,
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
) -> Scores:
    """Scores of N translations against one or several references of N lines each, in the order of metrics.

    tokenize    BLEU's tokenizer, sacreBLEU's -tok; the signature names it
    bootstrap   resamples for the confidence interval (Koehn 2004, sacreBLEU's own seed); below 100 there is none

    Raises UserError when there is nothing to score, the numbers of lines differ, tokenize cannot be used or bootstrap
    is negative.
    """
    check_bootstrap(bootstrap)
    hypotheses, references = _checked(hypotheses, references, tokenize)
    # fewer say nothing about the tails: scoring_notes() tells the user
    resamples = bootstrap if bootstrap >= MIN_RESAMPLES else 0
    return {
        metric: METRICS[metric].score(hypotheses, references, tokenize=tokenize, resamples=resamples)
        for metric in metrics
    }


def sentence_statistics(
    metric: MetricName, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str = DEFAULT_TOKENIZER
) -> Statistics:
    """Counts of each of N sentences, from which scores, groups of lines and tests of significance follow.

    Raises UserError as score does.
    """
    hypotheses, references = _checked(hypotheses, references, tokenize)
    return METRICS[metric].statistics(hypotheses, references, tokenize=tokenize)


def _checked(hypotheses: Lines, references: Sequence[Lines], tokenize: str) -> tuple[list[str], list[list[str]]]:
    """Hypotheses and references as the sacrebleu command reads them. Raises UserError where they cannot be scored."""
    check_tokenizer(tokenize, key="tokenize")
    if not hypotheses or not references:
        raise UserError("there is nothing to score: no hypotheses or no references")
    for reference in references:
        if len(hypotheses) != len(reference):
            raise UserError(f"{len(hypotheses):,} hypotheses cannot be scored against {len(reference):,} references")
    return _stripped(hypotheses), [_stripped(reference) for reference in references]


def check_bootstrap(resamples: int) -> None:
    """Raise UserError for a number of resamples that is negative, or would never end."""
    require_between("bootstrap", resamples, 0, _MOST_RESAMPLES)


def p_value(
    metric: MetricName,
    hypotheses: Lines,
    baseline: Lines,
    references: Sequence[Lines],
    *,
    tokenize: str = DEFAULT_TOKENIZER,
    resamples: int = RESAMPLES,
) -> float:
    """p-value of the difference between two systems' scores, by paired bootstrap of at least MIN_RESAMPLES."""
    references = [_stripped(reference) for reference in references]
    systems = [
        METRICS[metric].statistics(_stripped(side), references, tokenize=tokenize) for side in (hypotheses, baseline)
    ]
    return paired_p_value(*systems, resamples=resamples)


def command(metrics: Sequence[MetricName], tokenize: str, *, references: Sequence[str], hypotheses: str) -> str:
    """The sacrebleu command that prints the same numbers, those of its metrics; "" if there are none.

    It has one word order for chrF: chrF++ is a second command, after "&&".
    """
    files = f"{' '.join(map(quote, references))} -i {quote(hypotheses)}"
    options = "" if tokenize == DEFAULT_TOKENIZER else f" -tok {tokenize}"
    if MetricName.ter in metrics and tokenize in WITHOUT_SPACES:
        # the options of _ter()
        options += " --ter-normalized --ter-asian-support"
    commands = []
    if plain := [metric for metric in metrics if metric in SACREBLEU]:
        commands.append(f"sacrebleu {files} -m {' '.join(plain)}{options}")
    if MetricName.chrfpp in metrics:
        commands.append(f"sacrebleu {files} -m chrf --chrf-word-order 2")
    return " && ".join(commands)


def sentence_chrf(hypotheses: Lines, references: Sequence[Lines]) -> list[float]:
    """chrF of each line, 0 to 100; of several references the best counts."""
    metric = CHRF()
    return [
        metric.sentence_score(hypothesis, lines).score
        for hypothesis, *lines in zip(_stripped(hypotheses), *map(_stripped, references), strict=True)
    ]


def _stripped(lines: Lines) -> list[str]:
    """Lines without trailing white space, as the sacrebleu command reads them."""
    return [line.rstrip() for line in lines]


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
    hypotheses: Lines, references: Sequence[Lines], *, metrics: Sequence[MetricName], tokenize: str
) -> NormalisedScores | None:
    """Scores with all N lines of each side in NFC; None where they are NFC already, so that nothing would change."""
    shares = _not_nfc(hypotheses), _not_nfc([line for reference in references for line in reference])
    if not any(shares):
        return None
    composed = [[normalize("NFC", line) for line in side] for side in (hypotheses, *references)]
    # the hypotheses are first
    scores = score(composed[0], composed[1:], metrics=metrics, tokenize=tokenize)
    return NormalisedScores(hypotheses=shares[0], references=shares[1], scores=scores)


def _not_nfc(lines: Lines) -> float:
    """Share of lines that are not NFC, 0 to 1."""
    return sum(not is_normalized("NFC", line) for line in lines) / len(lines)
