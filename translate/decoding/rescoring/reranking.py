"""Reranking: the hypotheses of a beam search, ordered by the weighted sum of the scores of several models.

A model from the target to the source language finds hypotheses that leave out parts of the source (Li et al. 2016), one
that writes from right to left scores their ends without the errors before them (Liu et al. 2016; Sennrich et al.
2016), and a language model scores fluency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from translate.data.context import SEPARATOR
from translate.decoding.config import Engine, Hypothesis, Pair, RescoringEngine, SearchConfig, Sentence
from translate.decoding.rescoring.rerank_config import RerankConfig
from translate.tags import Tagging, split_tag
from translate.tokenizer import Tokenizer


@dataclass(frozen=True)
class Scorer:
    """A model that scores hypotheses in its own tokens.

    role         as in RerankConfig.models
    tagging      tags of the lines that it reads
    has_context  it reads lines with those before them, or with a mark that there are none
    """

    role: str
    engine: Engine
    tokenizer: Tokenizer
    tagging: Tagging = field(default_factory=Tagging)
    has_context: bool = False

    def score(self, sources: Sequence[Source], hypotheses: Sequence[str], config: RerankConfig) -> list[float]:
        """Mean log probability per token, EOS counted, that the model gives to each source and its hypothesis."""
        written = list(hypotheses)
        if self.role == "reverse":
            read, written = [self._read("", text) for text in written], [source.alone for source in sources]
        elif self.role == "language_model":
            read = [self._read("", config.language_model_source)] * len(written)
        else:
            # without context a scorer would read the symbol and the sentence before it as text
            read = [self._read(source.tag, source.text if self.has_context else source.alone) for source in sources]
        sides = self.tokenizer.encode_source(read), self.tokenizer.encode_target(written)
        # the scorer may read less than the translating model: a score of the beginning is better than none
        longest = self.engine.max_length
        pairs: list[Pair] = [
            (tuple(source[:longest]), tuple(target[:longest])) for source, target in zip(*sides, strict=True)
        ]
        # per token: sums would prefer hypotheses that are short in the scorer's vocabulary
        return [found.score() for found in self.engine.score(pairs)]

    def _read(self, tag: str, text: str) -> str:
        """A line as this model was trained to read it: with the tag if it knows that, else with its own."""
        if self.has_context and SEPARATOR not in text:
            text = f"{SEPARATOR} {text}"
        return f"{tag} {text}" if tag in self.tagging.known else self.tagging.tagged(text)


@dataclass(frozen=True)
class Source:
    """A source sentence as the translating model reads it: its tag, and its text with its context and alone."""

    tag: str
    text: str
    alone: str

    @classmethod
    def of(cls, line: str, tags: Sequence[str]) -> Source:
        tag, text = split_tag(line, tags)
        return cls(tag, text, text.rpartition(SEPARATOR)[2].strip())


@dataclass(frozen=True)
class Reranker(RescoringEngine):
    """An engine that orders the beam_size best hypotheses of another one by the weighted sum of all scores.

    tokenizer  of the model that translates
    """

    tokenizer: Tokenizer
    scorers: Sequence[Scorer]
    config: RerankConfig

    def search(
        self,
        sentences: Sequence[Sentence],
        config: SearchConfig,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence by the weighted sum, which becomes their score."""
        found = self.engine.search(sentences, replace(config, n_best=config.beam_size), progress=progress)
        totals = iter(self.totals(sentences, found))
        return [self._ordered(own, list(islice(totals, len(own))))[: config.n_best] for own in found]

    def totals(self, sentences: Sequence[Sentence], found: Sequence[Sequence[Hypothesis]]) -> list[float]:
        """Weighted sum of the scores of each hypothesis of all sentences, one after the other."""
        weights = vars(self.config.weights)
        scores = self.scores(sentences, found)
        return [sum(weights[role] * score for role, score in row.items()) for row in scores]

    def scores(
        self, sentences: Sequence[Sentence], found: Sequence[Sequence[Hypothesis]]
    ) -> Iterator[dict[str, float]]:
        """Scores of each hypothesis by role: forward, the search's own, and those of the scorers."""
        hypotheses = [hypothesis for own in found for hypothesis in own]
        texts = self.tokenizer.decode_target([hypothesis.tokens for hypothesis in hypotheses])
        # as text: the scorers have vocabularies of their own
        read = self.tokenizer.decode_source(sentences)
        lines = [Source.of(text, self.tokenizer.tags) for text in read]
        sources = [line for line, own in zip(lines, found, strict=True) for _ in own]
        columns = {"forward": [hypothesis.score for hypothesis in hypotheses]}
        columns |= {scorer.role: scorer.score(sources, texts, self.config) for scorer in self.scorers}
        return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))

    @staticmethod
    def _ordered(hypotheses: Sequence[Hypothesis], totals: Sequence[float]) -> list[Hypothesis]:
        scored = [replace(hypothesis, score=total) for hypothesis, total in zip(hypotheses, totals, strict=True)]
        # stable: equal sums stay in the order of the search
        return sorted(scored, key=lambda hypothesis: -hypothesis.score)
