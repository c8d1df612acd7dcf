"""Token ids of training pairs, with text augmentation, sampled subwords and SwitchOut.

Text augmentation is in text.py, subword sampling in subword_sampling.py, SwitchOut here. All draws are a function of a
batch's seed, so that a resumed run repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.batch import Side
from translate.data.augmentation.subword_sampling import sample_source, sample_target
from translate.data.augmentation.text import NONE, TextAugmentation
from translate.data.batching import Indices
from translate.data.dataset import Ids, TokenizedCorpus
from translate.errors import require_at_least, require_share
from translate.tokenizer import EOS, Tokenizer

Sides = tuple[list[Ids], list[Ids]]  # source and target of some pairs
Texts = tuple[list[str], list[str]]


@dataclass(kw_only=True)
class SamplingConfig:
    """Subword sampling during training; 0 is off.

    source, target  unigram: exponent of the probabilities, usually 0.1 to 0.5; the smaller, the more diverse. BPE:
                    share of merges that are dropped, usually 0.1
    start           fraction of the run after which sampling begins
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
    """Random replacement of tokens during training; 0 is off, 1 is usual (Wang et al. 2018, "SwitchOut").

    source, target  temperature: n tokens of a sentence are replaced with probability proportional to
                    exp(-n / temperature)
    """

    source: float = 0.0
    target: float = 0.0

    def check(self) -> None:
        for key, value in vars(self).items():
            require_at_least(f"switch_out.{key}", value, 0)


class PairEncoder:
    """Token ids of training pairs: stored ids, or ids of augmented text and sampled subwords.

    max_length    tokens that the model can read; longer results of augmentation are replaced by the stored ids
    augmentation  text augmentation; None: off
    """

    def __init__(
        self,
        corpus: TokenizedCorpus,
        tokenizer: Tokenizer,
        *,
        sampling: SamplingConfig | None = None,
        switch_out: SwitchOutConfig | None = None,
        augmentation: TextAugmentation | None = None,
        max_length: int | None = None,
    ) -> None:
        self._corpus, self._tokenizer, self._max_length = corpus, tokenizer, max_length
        self._sampling = sampling or SamplingConfig()
        self._switch_out = switch_out or SwitchOutConfig()
        self._augmentation = augmentation

    @property
    def phases(self) -> dict[str, float]:
        """Fractions of the run after which pairs are encoded in another way, by the name of the change."""
        phases = {"sampled subwords": self._sampling.start} if self._sampling.is_on else {}
        return phases | ({"changed text": self._augmentation.start} if self._augmentation else {})

    def lengths_vary(self, fraction_done: float) -> bool:
        """True if text is changed or subwords are sampled, and with them lengths, after that fraction of the run."""
        return any(fraction_done >= start for start in self.phases.values())

    def augmentation(self, fraction_done: float) -> TextAugmentation | None:
        """Augmentation of the text after that fraction of the run."""
        is_on = self._augmentation is not None and fraction_done >= self._augmentation.start
        return self._augmentation if is_on else None

    def encode(self, pairs: Indices, seed: int, fraction_done: float) -> tuple[Side, Side]:
        """Source and target ids of the pairs, without BOS and EOS; a function of the arguments alone.

        pairs  their numbers (n,), or with text augmentation its rows (n, 3)
        """
        augmentation = self.augmentation(fraction_done)
        if augmentation is None:
            sides, texts = self._corpus.pairs(pairs), None
        else:
            sides, texts = self._stored(pairs), augmentation.texts(pairs, seed)
            self._change(sides, texts, np.flatnonzero(pairs[:, 2] != NONE).tolist())
        if self._sampling.is_on and fraction_done >= self._sampling.start:
            self._sample(sides, texts or self._corpus.texts(pairs), seed)
        if self._switch_out.source or self._switch_out.target:
            return self._replace_tokens(sides, seed)  # last: it changes no length, so that all still fit
        return sides

    def _stored(self, pairs: Indices) -> Sides:
        """Ids of the unchanged pairs in rows of the text augmentation; of two that are joined, end to end."""
        source, target = self._corpus.pairs(pairs[:, 0])
        joined = np.flatnonzero(pairs[:, 1] != NONE)
        for index, second_source, second_target in zip(joined, *self._corpus.pairs(pairs[joined, 1]), strict=True):
            # both pairs have the same tag, and it stands in front alone
            tag = int(self._tokenizer.source_processor.is_control(int(second_source[0])))
            source[index] = np.concatenate([source[index], second_source[tag:]])
            targets = [target[index], second_target]
            target[index] = np.concatenate(targets[::-1] if self._tokenizer.reverse_target else targets)
        return source, target

    def _change(self, sides: Sides, texts: Texts, changed: list[int]) -> None:
        """Replace the ids of pairs by those of their augmented text; if these are too long, clear that text instead."""
        source = self._tokenizer.encode_source([texts[0][index] for index in changed])
        target = self._tokenizer.encode_target([texts[1][index] for index in changed])
        for index, *ids in zip(changed, source, target, strict=True):
            fits = all(map(self._fits, ids))
            for side, side_texts, side_ids in zip(sides, texts, ids, strict=True):
                if fits:
                    side[index] = np.array(side_ids)
                else:
                    side_texts[index] = ""

    def _sample(self, sides: Sides, texts: Texts, seed: int) -> None:
        """Replace ids by those of sampled segmentations, unless these are empty or too long."""
        strengths = self._sampling.source, self._sampling.target
        for side, side_texts, sample, strength in zip(
            sides, texts, (sample_source, sample_target), strengths, strict=True
        ):
            if strength:
                sampled = sample(self._tokenizer, side_texts, strength=strength, seed=seed)
                side[:] = [np.array(ids) if self._fits(ids) else old for ids, old in zip(sampled, side, strict=True)]

    def _fits(self, ids: Sequence[int]) -> bool:
        return len(ids) > 0 and (self._max_length is None or len(ids) <= self._max_length)

    def _replace_tokens(self, sides: Sides, seed: int) -> Sides:
        random = np.random.default_rng(seed)
        temperatures = self._switch_out.source, self._switch_out.target
        sizes = self._tokenizer.source_vocab_size, self._tokenizer.target_vocab_size
        source, target = (
            [_switch_out(ids, temperature, size, random) for ids in side] if temperature else side
            for side, temperature, size in zip(sides, temperatures, sizes, strict=True)
        )
        return source, target


def _switch_out(
    ids: NDArray[np.integer], temperature: float, vocab_size: int, random: np.random.Generator
) -> NDArray[np.integer]:
    """Replace n tokens at random positions by random tokens, n drawn by its weight exp(-n / temperature)."""
    weights = np.exp(-np.arange(len(ids) + 1) / temperature)  # (n + 1,), for 0 to n replaced tokens
    count = int(random.choice(len(ids) + 1, p=weights / weights.sum()))
    if not count:
        return ids
    replaced = ids.astype(np.int64)  # a copy: stored ids are read-only
    positions = random.choice(len(ids), count, replace=False)
    replaced[positions] = random.integers(EOS + 1, vocab_size, count)  # special tokens are never drawn
    return replaced
