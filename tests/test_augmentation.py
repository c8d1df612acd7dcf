"""Augmentation of token ids: its amount, and that it is a function of the seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from small_runs import syllables
from translate.data.augmentation.pair_encoder import PairEncoder, SamplingConfig, SwitchOutConfig
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

SOURCE = syllables()
TARGET = [line[::-1] for line in SOURCE]
PAIRS = np.arange(len(SOURCE))


class Corpus:
    def __init__(self, tokenizer: Tokenizer):
        self.encoded = [
            [np.array(ids, np.uint16) for ids in side]
            for side in (tokenizer.encode_source(SOURCE), tokenizer.encode_target(TARGET))
        ]

    def pairs(self, indices):
        return tuple([side[index] for index in indices] for side in self.encoded)

    def texts(self, indices):
        return [SOURCE[index] for index in indices], [TARGET[index] for index in indices]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TokenizerConfig(vocab_size=50, byte_fallback=False), SOURCE, TARGET)


def encoder(tokenizer: Tokenizer, *, max_length: int = 100, sampling=None, switch_out=None) -> PairEncoder:
    return PairEncoder(
        Corpus(tokenizer),
        tokenizer,
        sampling=SamplingConfig(**sampling or {}),
        switch_out=SwitchOutConfig(**switch_out or {}),
        max_length=max_length,
    )


def encode(tokenizer: Tokenizer, seed: int, *, fraction_done: float = 0.0, **options):
    sides = encoder(tokenizer, **options).encode(PAIRS, seed, fraction_done)
    return [[ids.tolist() for ids in side] for side in sides]


def test_defaults_change_no_token(tokenizer: Tokenizer):
    assert encode(tokenizer, 1) == [tokenizer.encode_source(SOURCE), tokenizer.encode_target(TARGET)]


@pytest.mark.parametrize("options", [{"sampling": {"source": 0.1}}, {"switch_out": {"source": 2.0}}])
def test_augmentation_is_seeded_and_limited_to_the_configured_side(tokenizer: Tokenizer, options):
    source, target = encode(tokenizer, 1, **options)
    assert encode(tokenizer, 1, **options) == [source, target]
    assert encode(tokenizer, 2, **options)[0] != source
    assert source != tokenizer.encode_source(SOURCE)
    assert target == tokenizer.encode_target(TARGET)


def test_sampling_starts_at_the_configured_share_of_the_run(tokenizer: Tokenizer):
    sampled = encoder(tokenizer, sampling={"source": 0.1, "start": 0.6})
    assert sampled.phases == {"sampled subwords": 0.6}
    assert [sampled.lengths_vary(fraction) for fraction in (0.0, 0.59, 0.6, 1.0)] == [False, False, True, True]
    assert [list(ids) for ids in sampled.encode(PAIRS, 1, 0.59)[0]] == tokenizer.encode_source(SOURCE)
    assert [list(ids) for ids in sampled.encode(PAIRS, 1, 0.6)[0]] != tokenizer.encode_source(SOURCE)


def test_sampled_segmentation_beyond_the_maximum_length_is_rejected(tokenizer: Tokenizer):
    longest = max(map(len, tokenizer.encode_source(SOURCE)))
    wild, _ = encode(tokenizer, 1, sampling={"source": 0.01})
    fitting, _ = encode(tokenizer, 1, sampling={"source": 0.01}, max_length=longest)
    assert max(map(len, wild)) > longest
    assert max(map(len, fitting)) <= longest


def test_switch_out_replaces_the_expected_number_of_tokens(tokenizer: Tokenizer):
    plain, counts = tokenizer.encode_target(TARGET), []
    for seed in range(300):
        _, target = encode(tokenizer, seed, switch_out={"target": 1.0})
        assert all(3 < token < tokenizer.target_vocab_size for ids in target for token in ids)
        counts += [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(target, plain, strict=True)]
    others = (tokenizer.target_vocab_size - 5) / (tokenizer.target_vocab_size - 4)  # a token may be replaced by itself
    weights = [math.exp(-n) for n in range(len(plain[0]) + 1)]
    expected = sum(n * weight for n, weight in enumerate(weights)) / sum(weights) * others
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / len(counts) ** 0.5)
