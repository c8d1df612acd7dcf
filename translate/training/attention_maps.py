"""Attention maps of some sentences, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from translate.explanation import Explanation, explain_pair
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import Tokenizer

MAX_PIECES = 40  # a larger map cannot be read


def attention_maps(
    model: Seq2Seq, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], count: int
) -> list[Explanation]:
    """Explain the first `count` pairs that are short enough for a picture and for the model."""
    sides = (
        tokenizer.encode_source([source for source, _ in pairs]),
        tokenizer.encode_target([target for _, target in pairs]),
    )
    longest = min(MAX_PIECES - 1, model.max_length)
    readable = [pair for pair in zip(*sides, strict=True) if pair[0] and max(map(len, pair)) <= longest]
    found = [explain_pair(model, tokenizer, source, target) for source, target in readable[:count]]
    model.train()
    return [explanation for explanation in found if explanation is not None]
