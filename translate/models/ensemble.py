"""Several models of one vocabulary as one: the probability of a token is the mean of those that the members give it.

Letters: B sentences, K hypotheses of each, N = B * K, S and T source and target tokens, V target vocabulary, M members.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from translate.batch import Batch, Tokens
from translate.models.seq2seq import EmbeddingNoise, Memory, Output, Seq2Seq, State


@dataclass(frozen=True, eq=False)
class MeanOutput(Output):
    """An output whose hidden states (B, T, V) are log probabilities already; weight is empty."""

    def logits(self) -> Tensor:
        return self.hidden


@dataclass(frozen=True, eq=False)
class EnsembleState(State):
    """The state of each member, which sentences join and leave together."""

    members: tuple[State, ...]

    def select(self, rows: Tensor) -> Self:
        return self._of(member.select(rows) for member in self.members)

    def concat(self, other: Self) -> Self:
        return self._of(mine.concat(new) for mine, new in zip(self.members, other.members, strict=True))

    def replace(self, rows: Tensor, other: Self) -> Self:
        return self._of(mine.replace(rows, new) for mine, new in zip(self.members, other.members, strict=True))

    def trimmed(self) -> Self:
        return self._of(member.trimmed() for member in self.members)

    def reorder(self, parents: Tensor) -> Self:
        return self._of(member.reorder(parents) for member in self.members)

    def _of(self, members: Iterable[State]) -> Self:
        return type(self)(tuple(members))


class Ensemble(Seq2Seq):
    """Models, perhaps of different architectures, that decode together (Sutskever et al. 2014, section 3.6).

    log p(y) = log (1/M Σ_m p_m(y)): the arithmetic mean of probabilities, of which one sure member can keep a token
    that the others have missed. The geometric mean, of log probabilities, would let each member veto a token, and is
    no distribution without a further sum over the vocabulary.

    It is for decoding and scoring: training has no use of it, and adapters belong to one model.
    """

    adapter_targets: ClassVar[tuple[str, ...]] = ()

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        # not Seq2Seq's own: an ensemble has no embeddings
        nn.Module.__init__(self)
        sizes = {member.projection.out_features for member in members}
        assert len(sizes) == 1, "members share one vocabulary"
        self.members = nn.ModuleList(members)
        self.max_length = min(member.max_length for member in members)
        self.has_int8 = all(member.has_int8 for member in members)
        self.cached_per_token = sum(member.cached_per_token for member in members)

    @property
    def projection(self) -> nn.Linear:  # type: ignore[override]
        """Output layer of the first member, which tells the size of the vocabulary."""
        return self._members[0].projection

    @property
    def _members(self) -> Sequence[Seq2Seq]:
        return self.members  # type: ignore[return-value]

    def forward(
        self, batch: Batch, *, return_attention: bool = False, embedding_noise: EmbeddingNoise | None = None
    ) -> Output:
        """Teacher-forced pass; attention (B, 1, T, S) is the mean of heads and members, None if a member has none."""
        assert embedding_noise is None, "noise is for losses, and an ensemble is not trained"
        outputs = [member(batch, return_attention=return_attention) for member in self._members]
        log_probs = mean_log_probs(output.logits() for output in outputs)
        maps = [output.attention.mean(1, keepdim=True) for output in outputs if output.attention is not None]
        attention = torch.stack(maps).mean(0) if len(maps) == len(outputs) else None
        return MeanOutput(log_probs, log_probs.new_empty(0), attention)

    def encode(self, source: Tokens, embedding_noise: EmbeddingNoise | None = None) -> Memory:
        return tuple(member.encode(source, embedding_noise) for member in self._members)

    def start(self, memory: Memory) -> EnsembleState:
        return EnsembleState(tuple(member.start(own) for member, own in zip(self._members, memory, strict=True)))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, EnsembleState]:
        assert isinstance(state, EnsembleState), "the state comes from start"
        states: list[State] = []

        def logits() -> Iterable[Tensor]:
            for member, own in zip(self._members, state.members, strict=True):
                found, new = member.step(tokens, own)
                states.append(new)
                yield found

        log_probs = mean_log_probs(logits())
        return log_probs, EnsembleState(tuple(states))


def mean_log_probs(logits: Iterable[Tensor]) -> Tensor:
    """Logarithm of the mean of the members' probabilities; logits (…, V) of each member, the result in fp32 or above.

    Members are added one by one, so that memory holds the logits of one at a time.
    """
    total, count = torch.empty(0), 0
    for each in logits:
        log_probs = each.log_softmax(-1, dtype=torch.promote_types(each.dtype, torch.float32))
        total = torch.logaddexp(total, log_probs) if count else log_probs
        count += 1
    return total - math.log(count)
