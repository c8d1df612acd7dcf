"""How batches get their token ids: as they were prepared, or disturbed anew each time, against overfitting.

What is drawn is a function of the batch's seed alone, so that a continued run draws what the uninterrupted one drew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from translate.data.batching import Indices
from translate.data.collate import Side
from translate.data.encoded import EncodedCorpus, Ids
from translate.data.loader import Encoder, Encoding
from translate.errors import require_at_least, require_share
from translate.special_tokens import EOS
from translate.tokenizer import Tokenizer


@dataclass(kw_only=True)
class SamplingConfig:
    """Subword sampling while training; 0 is off.

    source, target  unigram tokenizers: small is wild, 0.1 to 0.5 usual; BPE: the share of merges that are dropped, 0.1
                    usual
    start           the share of the run that goes by before
    """

    source: float = 0.0
    target: float = 0.0
    start: float = 0.0

    @property
    def is_on(self) -> bool:
        """True if the run samples at all."""
        return bool(self.source or self.target)

    def check(self) -> None:
        for key, value in vars(self).items():
            require_share(f"sampling.{key}", value)


@dataclass(kw_only=True)
class SwitchOutConfig:
    """Tokens replaced by any others while training: n of a sentence with probability proportional to exp(-n / source)
    or exp(-n / target); 0 is off, 1 usual (Wang et al. 2018, "SwitchOut")."""

    source: float = 0.0
    target: float = 0.0

    def check(self) -> None:
        for key, value in vars(self).items():
            require_at_least(f"switch_out.{key}", value, 0)


def make_encodings(
    corpus: EncodedCorpus, tokenizer: Tokenizer, *, sampling: SamplingConfig, switch_out: SwitchOutConfig, longest: int
) -> list[Encoding]:
    """The ids of pairs of a corpus from the run's beginning to its end; longest is what a model can read."""
    encoder = partial(_make_encoder, corpus, tokenizer, switch_out=switch_out, longest=longest)
    plain = Encoding(encoder(SamplingConfig()))
    sampled = Encoding(encoder(sampling), lengths_vary=True, start=sampling.start)
    return [plain, sampled] if sampling.is_on else [plain]


def _make_encoder(
    corpus: EncodedCorpus, tokenizer: Tokenizer, sampling: SamplingConfig, *, switch_out: SwitchOutConfig, longest: int
) -> Encoder:
    switches = switch_out.source or switch_out.target
    sizes = tokenizer.source_vocab_size, tokenizer.target_vocab_size

    def encode(pairs: Indices, seed: int) -> tuple[Side, Side]:
        sides = _sample(corpus, tokenizer, pairs, sampling, longest, seed) if sampling.is_on else corpus.pairs(pairs)
        if not switches:
            return sides
        random, temperatures = np.random.default_rng(seed), (switch_out.source, switch_out.target)
        source, target = (
            [_switch(ids, temperature, size, random) for ids in side] if temperature else side
            for side, temperature, size in zip(sides, temperatures, sizes, strict=True)
        )
        return source, target

    return encode


def _sample(
    corpus: EncodedCorpus, tokenizer: Tokenizer, pairs: Indices, sampling: SamplingConfig, longest: int, seed: int
) -> tuple[Side, Side]:
    source_texts, target_texts = corpus.texts(pairs)
    source, target = corpus.pairs(pairs)
    if sampling.source:
        source = _fitting(tokenizer.encode_source(source_texts, sampling=sampling.source, seed=seed), source, longest)
    if sampling.target:
        target = _fitting(tokenizer.encode_target(target_texts, sampling=sampling.target, seed=seed), target, longest)
    return source, target


def _fitting(sampled: Sequence[Sequence[int]], plain: list[Ids], longest: int) -> list[Ids]:
    """A wild segmentation may be too long for the model; the plain one is not."""
    return [np.array(ids) if len(ids) <= longest else known for ids, known in zip(sampled, plain, strict=True)]


def _switch(
    ids: NDArray[np.integer], temperature: float, vocabulary_size: int, random: np.random.Generator
) -> NDArray[np.integer]:
    count = int(random.choice(len(ids) + 1, p=_shares(len(ids), temperature)))
    if not count:
        return ids
    switched = ids.astype(np.int64)  # not in place: what was prepared is read-only
    places = random.choice(len(ids), count, replace=False)
    switched[places] = random.integers(EOS + 1, vocabulary_size, count)
    return switched


def _shares(length: int, temperature: float) -> NDArray[np.float64]:
    """How likely 0, 1, ..., length switched tokens are."""
    weights = np.exp(-np.arange(length + 1) / temperature)
    return weights / weights.sum()
