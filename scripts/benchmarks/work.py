"""The work that every system is given, in a form that any environment can read: standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PAD, UNK, BOS, EOS = range(4)


@dataclass(kw_only=True)
class TrainingWork:
    """A Transformer and the updates of its weights.

    layers   of the encoder, and as many of the decoder
    dropout  of residuals and inside the feed-forward layers; torch.nn.Transformer knows no other for attention
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


@dataclass(frozen=True)
class PairLengths:
    """Sums over sentence pairs, EOS counted: S source and T target tokens, and the products that attention costs."""

    source: int
    target: int
    source_squared: int
    target_squared: int
    source_times_target: int

    @classmethod
    def of(cls, lengths: Iterable[tuple[int, int]]) -> PairLengths:
        pairs = list(lengths)
        return cls(
            sum(s for s, _ in pairs),
            sum(t for _, t in pairs),
            sum(s * s for s, _ in pairs),
            sum(t * t for _, t in pairs),
            sum(s * t for s, t in pairs),
        )


FLOP_FORMULA = (
    "3 passes (forward, and twice that backward) x 2 FLOPs x multiplications, with L layers on either side, width D, "
    "feed-forward F, vocabulary V, S source and T target tokens with EOS: "
    "encoder L (S (4 D^2 + 2 D F) + 2 S^2 D); decoder L (T (6 D^2 + 2 D F) + 2 S D^2 + 2 T^2 D + 2 S T D); "
    "output T D V. Padding, embeddings, norms and softmaxes are not counted; causal attention is counted in full."
)


def training_flops(work: TrainingWork, lengths: PairLengths) -> int:
    """Floating-point operations of the matrix products that these pairs need in one update: FLOP_FORMULA."""
    d, f = work.d_model, work.ffn_dim
    encoder = lengths.source * (4 * d * d + 2 * d * f) + 2 * lengths.source_squared * d
    decoder = (
        lengths.target * (6 * d * d + 2 * d * f)
        + lengths.source * 2 * d * d
        + 2 * lengths.target_squared * d
        + 2 * lengths.source_times_target * d
    )
    output = lengths.target * d * work.vocab_size
    return 3 * 2 * (work.layers * (encoder + decoder) + output)
