"""What disturbs the training text: how much, and that it can be repeated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from small_runs import syllables
from translate.data.encoders import SamplingConfig, SwitchOutConfig, make_encodings
from translate.tokenizer import Tokenizer, TokenizerConfig
from translate.tokenizer_training import train_tokenizer

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


def encodings(tokenizer: Tokenizer, *, longest: int = 100, sampling=None, switch_out=None):
    return make_encodings(
        Corpus(tokenizer),
        tokenizer,
        sampling=SamplingConfig(**sampling or {}),
        switch_out=SwitchOutConfig(**switch_out or {}),
        longest=longest,
    )


def encode(tokenizer: Tokenizer, seed: int, **options):
    *_, last = encodings(tokenizer, **options)
    return [[ids.tolist() for ids in side] for side in last.encode(PAIRS, seed)]


def test_nothing_is_disturbed_unless_asked_for(tokenizer: Tokenizer):
    assert encode(tokenizer, 1) == [tokenizer.encode_source(SOURCE), tokenizer.encode_target(TARGET)]


@pytest.mark.parametrize("options", [{"sampling": {"source": 0.1}}, {"switch_out": {"source": 2.0}}])
def test_a_seed_decides_and_only_the_side_asked_for_changes(tokenizer: Tokenizer, options):
    source, target = encode(tokenizer, 1, **options)
    assert encode(tokenizer, 1, **options) == [source, target]
    assert encode(tokenizer, 2, **options)[0] != source
    assert source != tokenizer.encode_source(SOURCE)
    assert target == tokenizer.encode_target(TARGET)


def test_sampling_begins_when_it_is_told_to(tokenizer: Tokenizer):
    plain, sampled = encodings(tokenizer, sampling={"source": 0.1, "start": 0.6})
    assert (plain.start, plain.lengths_vary) == (0.0, False)
    assert (sampled.start, sampled.lengths_vary) == (0.6, True)
    assert [list(ids) for ids in plain.encode(PAIRS, 1)[0]] == tokenizer.encode_source(SOURCE)
    assert [list(ids) for ids in sampled.encode(PAIRS, 1)[0]] != tokenizer.encode_source(SOURCE)


def test_a_segmentation_that_is_too_long_for_the_model_is_not_taken(tokenizer: Tokenizer):
    longest = max(map(len, tokenizer.encode_source(SOURCE)))
    wild, _ = encode(tokenizer, 1, sampling={"source": 0.01})
    fitting, _ = encode(tokenizer, 1, sampling={"source": 0.01}, longest=longest)
    assert max(map(len, wild)) > longest
    assert max(map(len, fitting)) <= longest


def test_switch_out_replaces_as_many_tokens_as_its_formula_says(tokenizer: Tokenizer):
    plain, counts = tokenizer.encode_target(TARGET), []
    for seed in range(300):
        _, target = encode(tokenizer, seed, switch_out={"target": 1.0})
        assert all(3 < token < tokenizer.target_vocab_size for ids in target for token in ids)
        counts += [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(target, plain, strict=True)]
    others = (tokenizer.target_vocab_size - 5) / (tokenizer.target_vocab_size - 4)  # a token may be replaced by itself
    weights = [math.exp(-n) for n in range(len(plain[0]) + 1)]
    expected = sum(n * weight for n, weight in enumerate(weights)) / sum(weights) * others
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / len(counts) ** 0.5)
