"""The training work that every system is given, and batches of it for systems that bring none of their own.

Adapters in the environments of peers read this module, which therefore imports nothing of the package `translate`.

Letters: N sentence pairs, B pairs of a batch, S source and T target tokens.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

Ids = NDArray[Any]
PlainBatch = tuple[Tensor, Tensor, Tensor]

PAD, UNK, BOS, EOS = range(4)
NO_TARGET = -100  # ignored by PyTorch's cross entropy


@dataclass(kw_only=True)
class TrainingWork:
    """A Transformer and the updates of its weights.

    corpus   a file that Corpus.save has written
    layers   of the encoder, and as many of the decoder
    dropout  of residuals and inside the feed-forward layers; torch.nn.Transformer has no other for attention
    tokens   of an update, on either side, padding included
    """

    corpus: str = ""
    vocab_size: int = 8000
    d_model: int = 256
    ffn_dim: int = 1024
    num_heads: int = 4
    layers: int = 3
    dropout: float = 0.1
    attention_dropout: float = 0.1
    label_smoothing: float = 0.1
    tokens: int = 4096
    learning_rate: float = 3e-4
    clip_norm: float = 1.0
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 2
    seed: int = 1


def filled_in(adapter: str, work: TrainingWork, **values: Any) -> str:
    """The YAML beside an adapter's module, with the fields of the work and other values for its dollar signs."""
    fields = vars(work) | {"learning_rate": f"{work.learning_rate:.12f}"}  # YAML 1.1 reads 1e-05 as text
    return Template(Path(adapter).with_suffix(".yaml").read_text()).substitute(fields | values)


FLOP_FORMULA = (
    "3 passes (forward, and twice that backward) x 2 FLOPs x multiplications, with L layers on either side, width D, "
    "feed-forward F, vocabulary V, S source and T target tokens with EOS: "
    "encoder L (S (4 D^2 + 2 D F) + 2 S^2 D); decoder L (T (6 D^2 + 2 D F) + 2 S D^2 + 2 T^2 D + 2 S T D); "
    "output T D V. Padding, embeddings, norms and softmaxes are not counted; causal attention is counted in full."
)


def training_flops(work: TrainingWork, lengths: Ids) -> int:
    """Floating-point operations of the matrix products of one update, of pairs of these lengths (N, 2)."""
    d, f = work.d_model, work.ffn_dim
    s, t = lengths.T
    encoder = s * (4 * d * d + 2 * d * f) + 2 * s * s * d
    decoder = t * (6 * d * d + 2 * d * f) + 2 * s * d * d + 2 * t * t * d + 2 * s * t * d
    return 3 * 2 * int((work.layers * (encoder + decoder) + t * d * work.vocab_size).sum())


@dataclass(eq=False)
class Corpus:
    """Sentence pairs as token ids, without BOS and EOS."""

    source: list[Ids]
    target: list[Ids]

    @property
    def lengths(self) -> Ids:
        """(N, 2): source and target tokens, EOS counted."""
        return np.array([(len(s) + 1, len(t) + 1) for s, t in zip(self.source, self.target, strict=True)])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps([[ids.tolist() for ids in side] for side in (self.source, self.target)]))

    @classmethod
    def load(cls, path: str) -> Self:
        return cls(*([np.array(ids, np.int64) for ids in side] for side in json.loads(Path(path).read_text())))


def plain_batch(corpus: Corpus, pairs: Ids) -> PlainBatch:
    """source (B, S) ended by EOS, target (B, T) begun by BOS, labels (B, T) ended by EOS, NO_TARGET for padding."""
    source = [np.append(corpus.source[pair], EOS) for pair in pairs]
    target = [np.insert(corpus.target[pair], 0, BOS) for pair in pairs]
    labels = [np.append(corpus.target[pair], EOS) for pair in pairs]
    return _padded(source, PAD), _padded(target, PAD), _padded(labels, NO_TARGET)


def _padded(rows: list[Ids], filling: int) -> Tensor:
    return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=filling)


def num_tokens(labels: Tensor) -> int:
    """Target tokens without padding, EOS counted."""
    return int((labels != NO_TARGET).sum())


def endless_batches(
    corpus: Corpus, *, tokens: int, by_length: bool, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Epoch after epoch of random batches within the budget, padding counted; by_length: of similar lengths."""
    random = np.random.default_rng(seed)
    lengths = corpus.lengths
    while True:
        order = random.permutation(len(lengths))
        if by_length:  # pairs of the same lengths stay in random order
            order = order[np.lexsort(lengths[order].T)]
        batches = list(cut(order, lengths.max(axis=1), tokens))
        for number in random.permutation(len(batches)):
            yield plain_batch(corpus, batches[number])


def cut(order: Ids, lengths: Ids, tokens: int) -> Iterator[Ids]:
    """Pieces of the order whose pairs times their longest length fit into the budget; one pair at least."""
    start, longest = 0, 0
    for index, pair in enumerate(order):
        longest = max(longest, int(lengths[pair]))
        if index > start and longest * (index + 1 - start) > tokens:
            yield order[start:index]
            start, longest = index, int(lengths[pair])
    if start < len(order):
        yield order[start:]
