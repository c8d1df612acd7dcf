"""What the model attends to in some sentences, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

from translate.explaining.explanation import Explanation, explain
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import Tokenizer

MAX_PIECES = 40  # a larger map cannot be read


def attention_maps(
    model: Seq2Seq, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], count: int
) -> list[Explanation]:
    """Of the first sources with their translations, but for pairs too long to be read as a picture."""
    sides = (
        tokenizer.encode_source([source for source, _ in pairs]),
        tokenizer.encode_target([target for _, target in pairs]),
    )
    readable = [pair for pair in zip(*sides, strict=True) if 0 < len(pair[0]) < MAX_PIECES > len(pair[1])]
    found = [explain(model, tokenizer, source, target) for source, target in readable[:count]]
    model.train()
    return [explanation for explanation in found if explanation is not None]
