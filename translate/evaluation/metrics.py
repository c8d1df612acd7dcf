"""BLEU, chrF and TER as sacreBLEU defines them, and others, each with the signature that makes it comparable.

BLEU: Papineni et al. 2002; chrF: Popović 2015; TER: Snover et al. 2006; signatures: Post 2018. For lines read
from files by translate.text, the values are those that `sacrebleu REFERENCE -i HYPOTHESES` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from shlex import quote
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF, TER

from translate.errors import UserError
from translate.evaluation.line_metrics import LineScorer, exact_match, rouge, rouge_signature, token_f1
from translate.evaluation.significance import Statistics, confidence_interval, paired_p_value


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

DEFAULT_TOKENIZER = "13a"
# How BLEU finds words; those after "char" need extra packages or a download.
TOKENIZERS = (
    DEFAULT_TOKENIZER,
    "none",
    "intl",
    "zh",
    "char",
    "ja-mecab",
    "ko-mecab",
    "spm",
    "flores101",
    "flores200",
)
_BY_LANGUAGE = {"zh": "zh", "cmn": "zh", "zho": "zh", "yue": "zh"} | dict.fromkeys(
    ["ja", "jpn", "ko", "kor", "th", "tha", "lo", "lao", "km", "khm", "my", "mya"], "char"
)
_WITHOUT_SPACES = ("zh", "char", "ja-mecab")


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
    references: Sequence[str],
    *,
    metrics: Sequence[Metric] = (Metric.bleu, Metric.chrf, Metric.ter),
    tokenize: str = DEFAULT_TOKENIZER,
    bootstrap: int = 0,
) -> Scores:
    """Scores of translations against one reference each, in the order of metrics.

    tokenize    what BLEU counts as words; its signature names it
    bootstrap   resamples for the confidence interval (Koehn 2004, sacreBLEU's own seed); 0: none

    Raises UserError when there is nothing to score, the numbers of lines differ or tokenize is unknown.
    """
    if tokenize not in TOKENIZERS:
        raise UserError(f"tokenize={tokenize}: BLEU has no such tokenizer; choose one of {', '.join(TOKENIZERS)}")
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses):,} hypotheses cannot be scored against {len(references):,} references")
    if not hypotheses:
        raise UserError("there is nothing to score: no hypotheses and no references")
    # What the sacrebleu command does with every line it has read.
    hypotheses, references = ([line.rstrip() for line in side] for side in (hypotheses, references))
    return {metric: _score(metric, hypotheses, references, tokenize, bootstrap) for metric in metrics}


def bleu_tokenizer(language: str) -> str:
    """The tokenizer for a target language by its code ("zh", "pt-BR", "zh_Hans"), nothing extra installed.

    Chinese has its own, Japanese, Korean and languages written without spaces count characters, the rest is
    13a. For Japanese and Korean, sacreBLEU's ja-mecab and ko-mecab are better where they are installed.
    """
    code = language.lower().replace("_", "-").split("-")[0]
    return _BY_LANGUAGE.get(code, DEFAULT_TOKENIZER)


def command(metrics: Sequence[Metric], tokenize: str, *, reference: str, hypotheses: str) -> str:
    """The sacrebleu command that prints the same numbers, those of its metrics; "" if there are none."""
    metrics = [metric for metric in metrics if metric in SACREBLEU]
    if not metrics:
        return ""
    options = "" if tokenize == DEFAULT_TOKENIZER else f" -tok {tokenize}"
    if Metric.ter in metrics and tokenize in _WITHOUT_SPACES:
        options += " --ter-normalized --ter-asian-support"
    return f"sacrebleu {quote(reference)} -i {quote(hypotheses)} -m {' '.join(metrics)}{options}"


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF of each line, 0 to 100."""
    metric = CHRF()
    return [
        metric.sentence_score(hypothesis.rstrip(), [reference.rstrip()]).score
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]


def p_value(
    metric: Metric,
    hypotheses: Sequence[str],
    baseline: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = DEFAULT_TOKENIZER,
    resamples: int = 1000,
) -> float:
    """That of the difference between two systems' scores, by paired bootstrap."""
    sides = [[line.rstrip() for line in side] for side in (hypotheses, baseline)]
    ours, theirs = (_statistics(metric, side, [line.rstrip() for line in references], tokenize) for side in sides)
    return paired_p_value(ours[0], theirs[0], ours[1], resamples=resamples)


def _score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[str], tokenize: str, bootstrap: int
) -> Score:
    interval = None
    if bootstrap > 1 or metric not in SACREBLEU:
        statistics, compute = _statistics(metric, hypotheses, references, tokenize)
        interval = confidence_interval(statistics, compute, resamples=bootstrap) if bootstrap > 1 else None
    if metric not in SACREBLEU:
        name, _, signature = _line_metric(metric)
        value = 100 * float(statistics[:, 0].mean(dtype=np.float64))
        return Score(name=name, value=value, interval=interval, signature=signature)
    scorer = _scorer(metric, tokenize)
    result = scorer.corpus_score(hypotheses, [references])
    details = {"brevity_penalty": result.bp, "length_ratio": result.ratio} if metric == Metric.bleu else {}
    return Score(
        name=result.name,
        value=result.score,
        interval=interval,
        signature=str(scorer.get_signature()),
        details=details,
    )


def _statistics(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[str], tokenize: str
) -> tuple[Statistics, Callable[[Statistics], float]]:
    """Counts (sentences, n) that add up over a corpus, and what makes a score of their sum."""
    if metric in SACREBLEU:
        scorer = _scorer(metric, tokenize)
        statistics = np.array(scorer._extract_corpus_statistics(hypotheses, [references]), dtype=np.float32)
        return statistics, lambda total: float(scorer._compute_score_from_stats(total).score)
    _, of_line, _ = _line_metric(metric)
    values = [[of_line(*pair), 1.0] for pair in zip(hypotheses, references, strict=True)]
    return np.array(values, dtype=np.float32), lambda total: 100 * float(total[0] / total[1])


def _line_metric(metric: Metric) -> tuple[str, LineScorer, str]:
    """What it is called, how it is computed, and its signature."""
    if metric is Metric.exact_match:
        return "EM", exact_match, "squad:1.1"
    if metric is Metric.f1:
        return "F1", token_f1, "squad:1.1"
    return f"ROUGE-{metric.value[-1]}", rouge(metric.value), rouge_signature()


def _scorer(metric: Metric, tokenize: str) -> Any:
    if metric == Metric.chrf:
        return CHRF()
    if metric == Metric.ter:
        without_spaces = tokenize in _WITHOUT_SPACES
        return TER(normalized=without_spaces, asian_support=without_spaces)
    try:
        # force: no warning about tokenized text, which is nothing a user of this application can change
        return BLEU(tokenize=tokenize, force=True)
    except (ImportError, RuntimeError) as error:
        raise UserError(f"tokenize={tokenize} needs an extra package: {error}") from None
