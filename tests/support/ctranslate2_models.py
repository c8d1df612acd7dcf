"""Random Transformers in model directories, their engines, and the probabilities that CTranslate2 must repeat."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from translate.batch import NO_TARGET, Batch, Tokens
from translate.checkpoint import save_model, vocabularies_of, weights_of
from translate.decoding.config import NEVER_GENERATED, Hypothesis, Sentence
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.exporting.ctranslate2_engine import CTranslate2Engine
from translate.exporting.ctranslate2_model import converted_model
from translate.models import build_model
from translate.models.transformer import Transformer, TransformerConfig
from translate.tokenizer import BOS, EOS, Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

CPU = torch.device("cpu")


SIZES = {"d_model": 16, "ffn_dim": 24, "num_heads": 2, "encoder_layers": 2, "decoder_layers": 1, "max_length": 30}


def small_tokenizer(*, joint: bool) -> Tokenizer:
    source, target = ["the cat sat on the mat, a dog ran"] * 20, ["zwei Hunde laufen um ein Haus"] * 20
    sizes = {} if joint else {"source_vocab_size": 20, "target_vocab_size": 18}
    return train_tokenizer(TokenizerConfig(vocab_size=28, joint=joint, byte_fallback=False, **sizes), source, target)


def save(model: Transformer, config: TransformerConfig, tokenizer: Tokenizer, directory: Path) -> Path:
    save_model(directory, weights=weights_of(model), config=config, tokenizer=tokenizer, manifest={})
    return directory


def random_model(tokenizer: Tokenizer, *, seed: int = 0, **choices) -> tuple[Transformer, TransformerConfig]:
    """Every weight is random, norms and biases too, so that none of them can be mistaken for another."""
    torch.manual_seed(seed)
    config = TransformerConfig(**SIZES | choices)
    model = build_model(config, vocabularies_of(tokenizer))
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval(), config


def favour(model: Transformer, logits: dict[int, float]) -> None:
    """Add so much to these tokens' logits, at every step."""
    last = model.decoder.norm if isinstance(model.decoder.norm, nn.LayerNorm) else model.decoder.layers[-1].ffn_norm
    last.weight.data[0] = 0.0
    last.bias.data[0] = 10.0
    model.projection.weight.data[:, 0] = 0.0
    for token, logit in logits.items():
        model.projection.weight.data[token, 0] = logit / 10


def searchable_model(
    tokenizer: Tokenizer, *, seed: int = 0, end: float = 0.0, **choices
) -> tuple[Transformer, TransformerConfig]:
    """A model that, as trained ones, hardly ever wants to say PAD, UNK or BOS."""
    model, config = random_model(tokenizer, seed=seed, **choices)
    favour(model, dict.fromkeys(NEVER_GENERATED, -40.0) | {EOS: end})
    return model, config


def some_sentences(tokenizer: Tokenizer, *, count: int = 12, seed: int = 0) -> list[Sentence]:
    chosen = random.Random(seed)
    words = range(4, tokenizer.source_vocab_size)
    return [tuple(chosen.choices(words, k=1 + position % 7)) for position in range(count)]


def engine_of(directory: Path, **options) -> CTranslate2Engine:
    return CTranslate2Engine(converted_model(directory), **{"threads": 1, "precision": Precision.fp32, **options})


def native_of(model: Transformer) -> NativeEngine:
    return NativeEngine(model=model, device=CPU, batch_tokens=1000, precision=Precision.fp32, workers=1)


@torch.inference_mode()
def log_probs(model: Transformer, source: Sentence, targets: list[tuple[int, ...]]) -> torch.Tensor:
    """Of every next token after BOS and each of the targets' tokens, which are equally long: (N, T + 1, V)."""
    labels = torch.full((len(targets), len(targets[0]) + 1), NO_TARGET)
    read = Tokens.pad([[*source, EOS]] * len(targets)), Tokens.pad([[BOS, *target] for target in targets])
    return torch.log_softmax(model(Batch(*read, labels, 0, 0)).logits(), dim=-1)


def score(model: Transformer, source: Sentence, tokens: list[int], alpha: float) -> float:
    """The model's log probability of a translation and its end / length ** alpha."""
    chosen = log_probs(model, source, [tuple(tokens)])[0].gather(1, torch.tensor([*tokens, EOS])[:, None])
    return float(chosen.sum()) / (len(tokens) + 1) ** alpha


def assert_equal(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in hypotheses] for hypotheses in found] == [[h.tokens for h in some] for some in expected]
    scores = [h.score for hypotheses in found for h in hypotheses]
    assert scores == pytest.approx([h.score for hypotheses in expected for h in hypotheses], abs=2e-5)
