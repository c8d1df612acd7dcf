"""What there is to say of one translation: attention of every head, alignment, probabilities, what was ignored.

Letters: S source and T target tokens, EOS counted; H heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.data.collate import pad_batch
from translate.losses.attention import UNCOVERED
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import BOS, EOS, Tokenizer

ALTERNATIVES = 5
MAX_PIECES = 40  # a picture of more cannot be read

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heads:
    """The attention of one kind, such as "cross": layers from the first to the last, (H, queries, keys) each."""

    kind: str
    layers: list[Map]
    queries: list[str]
    keys: list[str]


@dataclass(frozen=True)
class Word:
    """A target token: its probability given those before it, and the entropy, in nats, of what could have stood there.

    alternatives  the likeliest tokens with their probabilities, best first
    aligned       the source token that it attends to most
    """

    piece: str
    probability: float
    entropy: float
    alternatives: list[tuple[str, float]]
    aligned: int


@dataclass(frozen=True, eq=False)
class Explanation:
    """A source sentence and a translation of it, seen from inside the model.

    source     its pieces, EOS last
    alignment  (T, S): cross-attention of the last decoder layer, mean of its heads
    coverage   (S,): the attention that each source token receives from the whole translation
    """

    source_text: str
    target_text: str
    source: list[str]
    words: list[Word]
    alignment: Map
    heads: list[Heads]

    @property
    def coverage(self) -> Map:
        received: Map = self.alignment.sum(0)
        return received

    @property
    def ignored(self) -> list[int]:
        """The source tokens, EOS apart, that the whole translation hardly attends to."""
        return [place for place, received in enumerate(self.coverage[:-1]) if received < UNCOVERED]

    @property
    def score(self) -> float:
        """Mean log probability of the target tokens, EOS counted."""
        return float(np.mean([np.log(max(word.probability, 1e-30)) for word in self.words]))


@torch.no_grad()
def explain_pair(
    model: Seq2Seq, tokenizer: Tokenizer, source: Sequence[int], target: Sequence[int]
) -> Explanation | None:
    """Of token ids without BOS and EOS; None for a model without attention."""
    device = next(model.parameters()).device
    batch = pad_batch([np.array(source)], [np.array(target, dtype=np.int64)]).to(device)
    output, maps = model.eval().look(batch)
    if output.attention is None:
        return None
    alignment = output.attention[0].mean(0).float().cpu().numpy()
    sides = tokenizer.source_pieces([*source, EOS]), tokenizer.target_pieces([*target, EOS])
    read = tokenizer.target_pieces([BOS, *target])
    axes = {"encoder": (sides[0], sides[0]), "decoder": (sides[1], read), "cross": (sides[1], sides[0])}
    return Explanation(
        source_text=tokenizer.decode_source([source])[0],
        target_text=tokenizer.decode_target([target])[0],
        source=sides[0],
        words=_words(output.logits()[0], batch.labels[0], alignment, tokenizer),
        alignment=alignment,
        heads=[Heads(kind, [_on_cpu(layer) for layer in layers], *axes[kind]) for kind, layers in maps.items()],
    )


def explain_pairs(
    model: Seq2Seq, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], count: int
) -> list[Explanation]:
    """Explain the first `count` pairs of texts that are short enough for a picture and for the model.

    The model is in training mode afterwards.
    """
    sides = (
        tokenizer.encode_source([source for source, _ in pairs]),
        tokenizer.encode_target([target for _, target in pairs]),
    )
    longest = min(MAX_PIECES - 1, model.max_length)
    readable = [pair for pair in zip(*sides, strict=True) if pair[0] and max(map(len, pair)) <= longest]
    found = [explain_pair(model, tokenizer, source, target) for source, target in readable[:count]]
    model.train()
    return [explanation for explanation in found if explanation is not None]


def _words(logits: Tensor, labels: Tensor, alignment: Map, tokenizer: Tokenizer) -> list[Word]:
    log_probs = logits.float().log_softmax(-1)
    entropies = -(log_probs.exp() * log_probs).sum(-1)
    best, tokens = log_probs.topk(min(ALTERNATIVES, log_probs.shape[1]))
    return [
        Word(
            piece=tokenizer.target_pieces([int(label)])[0],
            probability=float(log_probs[place, label].exp()),
            entropy=float(entropies[place]),
            alternatives=list(
                zip(tokenizer.target_pieces(tokens[place].tolist()), best[place].exp().tolist(), strict=True)
            ),
            aligned=int(alignment[place].argmax()),
        )
        for place, label in enumerate(labels)
    ]


def _on_cpu(layer: Tensor) -> Map:
    """(1, H, T, S) as (H, T, S)."""
    weights: Map = layer[0].float().cpu().numpy()
    return weights
