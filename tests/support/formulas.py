"""Parts of models written out in NumPy, one sentence at a time, for tests that compare whole models with formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from translate.batch import NO_TARGET, Batch, Tokens
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import BOS, EOS

Array = np.ndarray


class Weights(dict[str, Array]):
    """Weights of a model by their names in its state_dict."""

    def __init__(self, model: torch.nn.Module):
        super().__init__({name: weight.detach().numpy() for name, weight in model.state_dict().items()})

    def linear(self, name: str, x: Array) -> Array:
        """x W^T + b, for a map with or without a bias."""
        return x @ self[f"{name}.weight"].T + self.get(f"{name}.bias", 0.0)

    def layers(self, prefix: str) -> list[str]:
        """Names that begin with the prefix and a number: "decoder." gives "decoder.0", "decoder.1", …"""
        numbers = {int(name.removeprefix(prefix).split(".")[0]) for name in self if name.startswith(prefix)}
        return [f"{prefix}{number}" for number in sorted(numbers)]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(scores: Array) -> Array:
    """Over the last dimension."""
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(-1, keepdims=True)


@torch.no_grad()
def logits_by_steps(model: Seq2Seq, sources: Sequence[Sequence[int]], target: Sequence[int]) -> list[Array]:
    """Logits (T + 1, V) of each source sentence when the decoder reads BOS and the target tokens one by one."""
    state = model.start(model.encode(Tokens.pad([[*source, EOS] for source in sources])))
    rows = []
    for token in (BOS, *target):
        logits, state = model.step(torch.full((len(sources),), token), state)
        rows.append(logits.numpy())
    return [np.stack([row[index] for row in rows]) for index in range(len(sources))]


def batch_of(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> Batch:
    """A padded batch of pairs."""
    source = Tokens.pad([[*sentence, EOS] for sentence in sources])
    target = Tokens.pad([[BOS, *sentence] for sentence in targets])
    labels = Tokens.pad([[*sentence, EOS] for sentence in targets])
    assert source.mask is not None
    assert labels.mask is not None
    ids = labels.ids.masked_fill(~labels.mask, NO_TARGET)
    return Batch(source, target, ids, int(labels.mask.sum()), int(source.mask.sum()))


@torch.no_grad()
def teacher_forced(
    model: Seq2Seq, sources: Sequence[Sequence[int]], target: Sequence[int]
) -> list[tuple[Array, Array | None]]:
    """Logits (T + 1, V), and attention (H, T + 1, S + 1) if there is any, of each source sentence in one pass."""
    output = model(batch_of(sources, [target] * len(sources)), return_attention=True)
    attention = [None] * len(sources) if output.attention is None else output.attention.numpy()
    logits = output.logits().numpy()
    return [
        (logits[index], None if weights is None else weights[..., : len(source) + 1])
        for index, (source, weights) in enumerate(zip(sources, attention, strict=True))
    ]
