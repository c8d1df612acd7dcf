"""What a model is to the rest of the application: five methods and the values they exchange.

Letters: B sentences, N hypotheses (N = B times the hypotheses of one sentence), S and T source and target
tokens, D width, V target vocabulary. Losses, training and search rest on this file alone and never ask
which architecture they hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor, nn

from translate.batch import Batch, Tokens


@dataclass(frozen=True, eq=False)
class Output:
    """A teacher-forced pass: logits are hidden @ weight.T, left for the loss to form piecewise.

    hidden     (B, T, D), or (T, D) when the batch is packed
    weight     (V, D)
    attention  cross-attention of the last decoder layer, (B, H, T, S); only when it was asked for
    """

    hidden: Tensor
    weight: Tensor
    attention: Tensor | None = None

    def logits(self) -> Tensor:
        return nn.functional.linear(self.hidden, self.weight)


class Memory(Protocol):
    """What the encoder says of B source sentences; only the model that made it looks inside."""


class State(Protocol):
    """What the decoder remembers of N hypotheses: those of one sentence stand together, equally many of each."""

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> Self:
        """Keep, repeat or reorder hypotheses: row i of the result continues row rows[i].

        sentences (B',) names the sentences that stay, when some leave the batch; what the model keeps once
        per sentence is touched only then. The old state must not be used any more.
        """
        ...


class Seq2Seq(nn.Module, ABC):
    """A model that turns source sentences into target sentences, one token at a time."""

    max_length: int  # tokens of a sentence that it can read or write, BOS and EOS not counted

    @abstractmethod
    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        """Teacher-forced pass over a batch, padded or packed (attention maps: padded only)."""

    @abstractmethod
    def encode(self, source: Tokens) -> Memory:
        """Read B padded source sentences."""

    @abstractmethod
    def start(self, memory: Memory) -> State:
        """State of one empty hypothesis per sentence, before BOS has been read."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one more token (N,) of each hypothesis; logits (N, V) of the next one, and the new state."""
