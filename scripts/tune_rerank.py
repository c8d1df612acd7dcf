"""Weights of reranking, by a grid on a validation set: every hypothesis is scored once, then all weights are tried.

    python scripts/tune_rerank.py model=runs/mine rerank.reverse=runs/reverse source=valid.en reference=valid.de

prints the best weights as options of decode and evaluate. Only lines that are translated whole are used.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from translate.config import run_command
from translate.console import text_table
from translate.decoding.config import DecodingConfig
from translate.decoding.rescoring.reranking import Reranker
from translate.engines import load_translator
from translate.errors import UserError
from translate.text import read_lines

METRICS = {"chrf": CHRF, "bleu": BLEU}
Candidates = list[tuple[str, dict[str, float]]]  # texts and scores by role of the hypotheses of a line


@dataclass(kw_only=True)
class TuneConfig(DecodingConfig):
    """Options of decode, and source, reference, metric (chrf or bleu), grid: values of each weight but forward's."""

    model: Any = "???"
    source: str = "???"
    reference: str = "???"
    metric: str = "chrf"
    grid: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.25, 0.5, 1.0, 2.0])


def tune(config: TuneConfig) -> None:
    """Print the scores of all weights, best first, and the options of the best ones."""
    config.check()
    if not config.rerank.models or config.metric not in METRICS:
        raise UserError("set rerank.reverse, rerank.right_to_left or rerank.language_model, and metric=chrf or bleu")
    candidates, references = zip(*candidates_of(config), strict=True)
    roles, metric = list(config.rerank.models), METRICS[config.metric]()
    rows = []
    for values in itertools.product(config.grid, repeat=len(roles)):
        weights = {"forward": 1.0, **dict(zip(roles, values, strict=True))}
        hypotheses = [best_text(own, weights) for own in candidates]
        rows.append((metric.corpus_score(hypotheses, [list(references)]).score, values))
    rows.sort(key=lambda row: -row[0])
    print(text_table([[config.metric, *roles], *([f"{score:.2f}", *map(str, values)] for score, values in rows[:10])]))
    print(" ".join(f"rerank.weights.{role}={value}" for role, value in zip(roles, rows[0][1], strict=True)))


def candidates_of(config: TuneConfig) -> Iterator[tuple[Candidates, str]]:
    """Scored hypotheses of each line that is one segment, and its reference."""
    translator = load_translator(config.model, config)
    reranker = translator.engine
    assert isinstance(reranker, Reranker)
    lines, references = list(read_lines(config.source)), list(read_lines(config.reference))
    if len(lines) != len(references):
        raise UserError(f"{config.source} has {len(lines):,} lines, but {config.reference} has {len(references):,}")
    whole = [
        (tuple(segments[0].tokens), reference)
        for segments, reference in zip(translator.split(lines), references, strict=True)
        if len(segments) == 1
    ]
    sentences = [sentence for sentence, _ in whole]
    found = reranker.engine.search(sentences, replace(config.search, n_best=config.search.beam_size))
    scores = reranker.scores(sentences, found)
    for hypotheses, (_, reference) in zip(found, whole, strict=True):
        texts = translator.tokenizer.decode_target([hypothesis.tokens for hypothesis in hypotheses])
        yield [(text, next(scores)) for text in texts], reference


def best_text(candidates: Sequence[tuple[str, dict[str, float]]], weights: dict[str, float]) -> str:
    """The text of the highest weighted sum, the first of equal ones."""
    return max(candidates, key=lambda each: sum(weights[role] * score for role, score in each[1].items()))[0]


if __name__ == "__main__":
    if "--help" in sys.argv:
        print(__doc__)
        sys.exit(0)
    run_command("decode", TuneConfig, tune)
