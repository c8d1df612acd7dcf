"""The contract between a model and the rest of the application, and all that the author of an architecture needs.

Losses, training and search use models only through this interface, and never ask which architecture a model has.

Letters: B sentences, K hypotheses of each, N = B * K, L positions, S and T source and target tokens, D width, H heads,
V target vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Self

import torch.nn.functional as F
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.batched_state import BatchedState, Padding, gather_parents
from translate.errors import UserError, require_between
from translate.models.layers import Embedding, Positions

__all__ = [  # what an architecture is made of
    "AttentionMaps",
    "BatchedState",
    "EmbeddingNoise",
    "Memory",
    "ModelConfig",
    "Output",
    "Padding",
    "Positions",
    "Seq2Seq",
    "State",
    "Tying",
    "Vocabularies",
    "gather_parents",
]


# far above useful values; memory is checked elsewhere, except that of position tables, which are not stored as weights
MOST_OF_A_SIZE, MOST_LAYERS, MOST_DROPOUT, MAX_POSITIONS = 1_000_000, 1_000, 0.99, 1 << 17


@dataclass(frozen=True)
class Vocabularies:
    """Sizes of the two vocabularies; shared when both languages have one vocabulary."""

    source: int
    target: int
    shared: bool


class Tying(StrEnum):
    """Shared embedding matrices: none, the target's input and output, or these and the source's (all)."""

    none = "none"
    target = "target"
    all = "all"


@dataclass(kw_only=True)
class ModelConfig:
    """Settings of every architecture, which its own configuration extends.

    architecture   its name in ARCHITECTURES
    d_model        width of the embeddings, and of the input of the output layer
    dropout        of embeddings and between layers
    token_dropout  share of tokens whose whole embedding is zeroed
    max_length     tokens of a sentence, on either side, EOS not counted
    """

    RATES: ClassVar[tuple[str, ...]] = ("dropout", "token_dropout")  # from 0 to MOST_DROPOUT
    SIZES: ClassVar[tuple[str, ...]] = ("d_model", "max_length")  # from 1 to MOST_OF_A_SIZE
    COUNTS: ClassVar[tuple[str, ...]] = ()  # from 1 to MOST_LAYERS

    architecture: str = ""
    d_model: int = 512
    tying: Tying = Tying.all
    dropout: float = 0.1
    token_dropout: float = 0.0
    max_length: int = 256

    @property
    def reads_packed(self) -> bool:
        """True if the model can be trained on packed batches, of sentences end to end."""
        return False

    @property
    def head_width(self) -> int:
        """Width of a self-attention head; 0 without self-attention."""
        return 0

    @property
    def max_positions(self) -> int:
        """Positions of a sentence, with EOS on the source side and BOS on the target side."""
        return self.max_length + 1

    @property
    def has_attention(self) -> bool:
        """True if `forward` can return the attention weights of the decoder."""
        return False

    def check(self) -> None:
        """Raise UserError for values out of range and for sizes that do not fit together."""
        for name in self.RATES:
            require_between(f"model.{name}", getattr(self, name), 0.0, MOST_DROPOUT)
        for name in self.SIZES:
            require_between(f"model.{name}", getattr(self, name), 1, MOST_OF_A_SIZE)
        for name in self.COUNTS:
            require_between(f"model.{name}", getattr(self, name), 1, MOST_LAYERS)
        # position tables have this many rows, whatever the size of the stored weights
        require_between("model.max_length", self.max_length, 1, MAX_POSITIONS)

    @classmethod
    def tiny(cls, **changes: Any) -> Self:
        """A model of a few thousand weights, for tests; `changes` set further fields."""
        return cls(**{"d_model": 16, "max_length": 12} | changes)

    @classmethod
    def variants(cls) -> list[dict[str, Any]]:
        """Changes to `tiny()` that together use every option of the architecture, for tests."""
        return []


def check_tying(config: ModelConfig, *, shared: bool) -> None:
    """Raise UserError if one matrix would have to embed two vocabularies."""
    if config.tying is Tying.all and not shared:
        raise UserError(
            "model.tying=all needs one vocabulary for both languages: set tokenizer.joint=true, or model.tying=target"
        )


@dataclass(frozen=True, eq=False)
class Output:
    """Result of a teacher-forced pass. Logits are hidden @ weight.T, which losses compute in pieces.

    hidden     (B, T, D), or (T, D) when the batch is packed
    weight     (V, D)
    attention  cross-attention of the last decoder layer, (B, H, T, S); only when requested
    """

    hidden: Tensor
    weight: Tensor
    attention: Tensor | None = None

    def logits(self) -> Tensor:
        return F.linear(self.hidden, self.weight)

    def rows(self, chosen: Tensor | slice | int) -> Self:
        """The output at some positions, or of one sentence, (N, D), without attention."""
        return replace(self, hidden=self.hidden[chosen], attention=None)


@dataclass(frozen=True, eq=False)
class EmbeddingNoise:
    """Functions that change the embeddings before encoder and decoder, for losses that add noise to a batch.

    Each maps embeddings (B, L, D) and the index of their first position to embeddings of the same shape. The index is
    0 unless a decoder embeds its tokens one by one.
    """

    source: Callable[[Tensor, int], Tensor]
    target: Callable[[Tensor, int], Tensor]


# attention weights (B, H, T, S) of every layer, by kind: "encoder", "decoder" and "cross"
AttentionMaps = dict[str, list[Tensor]]


Memory = Any  # encoder output for B source sentences: only the model that made it looks inside


class State(BatchedState, ABC):
    """Decoder state of B sentences with K hypotheses each, those of one sentence next to each other.

    Every method leaves the old state unusable.
    """

    @abstractmethod
    def reorder(self, parents: Tensor) -> Self:
        """Let hypothesis k of sentence b continue its hypothesis parents[b, k]; (B, K'), perhaps another K."""


class Seq2Seq(nn.Module, ABC):
    """A model that turns source sentences into target sentences, one token at a time.

    It has token embeddings of both sides and a projection of hidden states to logits, all D wide, tied as configured.
    A subclass builds the layers between them, then calls `init_weights`.

    adapter_targets   names of the linear layers that end a sublayer: adapters are inserted behind them
    max_length        tokens of a sentence, on either side, without BOS and EOS
    cached_per_token  elements by which the state of a hypothesis grows with every token
    has_int8          True if a copy with int8 weights gives the same translations in every batch
    """

    adapter_targets: ClassVar[tuple[str, ...]]
    max_length: int
    cached_per_token: int = 0
    has_int8: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # refused where the class is defined, not in the first run with adapters
        if not isinstance(getattr(cls, "adapter_targets", None), tuple):
            raise TypeError(
                f"{cls.__name__}.adapter_targets is missing: a tuple with the names of the linear layers that end a "
                "sublayer, behind which adapt=adapter puts its bottlenecks; () if there are none"
            )

    def __init__(self, config: ModelConfig, vocabularies: Vocabularies, positions: Positions):
        super().__init__()
        self.max_length = config.max_length
        target = nn.Embedding(vocabularies.target, config.d_model)
        # one module on both sides, so that saving and training count its weight once
        source = target if config.tying is Tying.all else nn.Embedding(vocabularies.source, config.d_model)
        self.source_embedding, self.target_embedding = (
            Embedding(
                tokens,
                positions=positions,
                max_positions=config.max_positions,
                dropout=config.dropout,
                token_dropout=config.token_dropout,
            )
            for tokens in (source, target)
        )
        self.tied = config.tying is not Tying.none
        # init_weights replaces a tied weight: on the meta device none is allocated or initialised
        meta = "meta" if self.tied else None
        self.projection = nn.Linear(config.d_model, vocabularies.target, bias=False, device=meta)

    def init_weights(self, init: Callable[[nn.Module], None] = lambda module: None) -> None:
        """Initialise embeddings and, by `init`, every module; then tie shared weights."""

        def init_module(module: nn.Module) -> None:
            if isinstance(module, nn.Embedding):
                # variance 1 / D: embeddings have variance 1 after scaling by √D, and logits stay small
                nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            init(module)

        self.apply(init_module)
        # last: otherwise `init` would initialise the shared weight again, as that of the projection
        if self.tied:
            self.projection.weight = self.target_embedding.tokens.weight

    def embed_source(self, source: Tokens, noise: EmbeddingNoise | None = None) -> Tensor:
        """Embeddings (B, S, D), or (N, D) when packed."""
        x = self.source_embedding(source.ids, source.positions)
        return x if noise is None else noise.source(x, 0)

    def embed_target(
        self, ids: Tensor, positions: Tensor, noise: EmbeddingNoise | None = None, *, start: int = 0
    ) -> Tensor:
        """Embeddings (B, L, D) of target tokens, the first of which has index `start`; ids and positions (B, L)."""
        x = self.target_embedding(ids, positions)
        return x if noise is None else noise.target(x, start)

    @abstractmethod
    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        """Teacher-forced pass over a batch, padded or packed (attention and noise: padded only)."""

    @abstractmethod
    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> Memory:
        """Read B padded source sentences."""

    @abstractmethod
    def start(self, memory: Memory) -> State:
        """State of one empty hypothesis of each sentence, before BOS has been read."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one more token (N,) of each hypothesis; logits (N, V) of the next one, and the new state."""

    def forward_with_attention(self, batch: Batch) -> tuple[Output, AttentionMaps]:
        """Teacher-forced pass over a padded batch, with the attention weights of all layers that have any."""
        output = self(batch, return_attention=True)
        return output, {} if output.attention is None else {"cross": [output.attention]}

    def set_training_step(self, step: int) -> None:
        """Prepare for update number `step`, from 1: for models that change in the course of training."""


@contextmanager
def evaluation_mode(model: Seq2Seq) -> Iterator[bool]:
    """Switch to evaluation mode, and back on exit; yields whether the model was in training mode."""
    was_training = model.training
    if was_training:  # eval() on all modules takes as long as a decoding step
        model.eval()
    try:
        yield was_training
    finally:
        if was_training:
            model.train()
