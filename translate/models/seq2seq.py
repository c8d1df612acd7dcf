"""What a model is to the rest of the application: five methods and the values they exchange.

Letters: B sentences, K hypotheses of each, N = B * K, S and T source and target tokens, D width, V target
vocabulary. Losses, training and search rest on this file alone and never ask
which architecture they hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

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


Maps = dict[str, list[Tensor]]


class Memory(Protocol):
    """What the encoder says of B source sentences; only the model that made it looks inside."""


class State(Protocol):
    """What the decoder remembers of B sentences with K hypotheses each, those of one sentence next to each other.

    Every method leaves the old state unusable.
    """

    def reorder(self, parents: Tensor) -> Self:
        """Hypothesis k of sentence b goes on from what was its hypothesis parents[b, k]; (B, K'), perhaps another K."""
        ...

    def keep(self, sentences: Tensor) -> Self:
        """Only these sentences, (B',): the others have left."""
        ...

    def join(self, other: Self) -> Self:
        """These sentences, then the other state's, which may have read more or fewer tokens."""
        ...

    def replace(self, sentences: Tensor, other: Self) -> Self:
        """The other state's sentences in the places of these ones, (B',), which have left."""
        ...


class Seq2Seq(nn.Module, ABC):
    """A model that turns source sentences into target sentences, one token at a time."""

    max_length: int  # tokens of a sentence that it can read or write, BOS and EOS not counted
    source_embedding: nn.Module  # what losses disturb that read a batch again
    target_embedding: nn.Module
    projection: nn.Linear  # hidden states to logits
    sublayer_ends: ClassVar[tuple[str, ...]]  # names of the linear maps that end a sublayer: adapters stand behind them

    def at_update(self, step: int) -> None:
        """Called before each update of the weights with its number, from 1: for what changes while a model learns."""

    @abstractmethod
    def forward(self, batch: Batch, *, return_attention: bool = False) -> Output:
        """Teacher-forced pass over a batch, padded or packed (attention maps: padded only)."""

    def look(self, batch: Batch) -> tuple[Output, Maps]:
        """Such a pass over a padded batch, and all attention there is: of each kind the layers, (B, H, T, S) each.

        Kinds are "encoder", "decoder" and "cross"; a model has those that it has.
        """
        output = self(batch, return_attention=True)
        return output, {} if output.attention is None else {"cross": [output.attention]}

    @abstractmethod
    def encode(self, source: Tokens) -> Memory:
        """Read B padded source sentences."""

    @abstractmethod
    def start(self, memory: Memory) -> State:
        """State of one empty hypothesis of each sentence, before BOS has been read."""

    @abstractmethod
    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one more token (N,) of each hypothesis; logits (N, V) of the next one, and the new state."""
