"""Diverse beam search (Vijayakumar et al. 2016): groups of a beam that avoid each other's tokens.

Letters: B sentences, K hypotheses of one sentence, G groups, N = B * K, V target vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from translate.decoding.config import Hypothesis, SearchConfig
from translate.decoding.search.base import Search
from translate.decoding.search.beam import BeamSearch


@dataclass(frozen=True, eq=False, kw_only=True)
class DiverseBeamSearch(Search):
    """G beam searches of K / G hypotheses each, which take turns in every step.

    A token costs diversity_penalty for each hypothesis of an earlier group that has taken it in this step (the Hamming
    diversity of the paper). The first group is an ordinary beam search. Scores of results are the model's own.

    groups  a beam search for each group
    """

    groups: list[BeamSearch]

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> DiverseBeamSearch:
        count = config.groups or config.beam_size
        size = config.beam_size // count
        # each group keeps all it has: which n_best are returned is decided among the groups
        own = replace(config, beam_size=size, n_best=size)
        groups = [BeamSearch.start(sources, limits, own) for _ in range(count)]
        return cls(config=config, lengths=groups[0].lengths, limits=limits, done=groups[0].done, groups=groups)

    @property
    def last_tokens(self) -> Tensor:
        groups = self.groups[:1] if self._is_new else self.groups
        return torch.cat([_last_tokens(group) for group in groups], dim=1).flatten()

    @property
    def _is_new(self) -> bool:
        """True before the first token: a sentence has one hypothesis there, which all groups continue."""
        return self.groups[0].active_tokens.shape[2] == 1

    def advance(self, logits: Tensor) -> tuple[DiverseBeamSearch, Tensor]:
        """Extend the hypotheses of one group after the other; logits (N, V). Returns the search and parents (B, K)."""
        by_sentence = logits.view(len(self.done), -1, logits.shape[1])  # (B, K, V)
        size = self.groups[0].config.beam_size
        penalties = torch.zeros_like(by_sentence[:, 0], dtype=torch.float32)  # (B, V)
        groups, parents = [], []
        for index, group in enumerate(self.groups):
            start = 0 if self._is_new else index * size
            own = by_sentence[:, start : start + group.active_tokens.shape[1]]
            repeated = penalties[:, None].expand(own.shape).flatten(0, 1) if index else None
            advanced, extended = group.advance(own.flatten(0, 1), repeated)
            # parents count the hypotheses of all groups
            groups.append(advanced)
            parents.append(extended + start)
            # empty slots of the beam have taken no token
            is_active = advanced.active_log_probs.isfinite().float()
            penalties.scatter_add_(1, _last_tokens(advanced), is_active * self.config.diversity_penalty)
        done = torch.stack([group.done for group in groups]).all(dim=0)
        return replace(self, groups=groups, lengths=groups[0].lengths, done=done), torch.cat(parents, dim=1)

    def hypotheses(self) -> list[list[Hypothesis]]:
        """The n_best of all groups; a translation that several of them have found counts once."""
        by_group = [group.hypotheses() for group in self.groups]
        found = []
        for of_sentence in zip(*by_group, strict=True):
            distinct = {tuple(each.tokens): each for hypotheses in of_sentence for each in hypotheses}
            ranked = sorted(distinct.values(), key=lambda hypothesis: hypothesis.score, reverse=True)
            found.append(ranked[: self.config.n_best])
        return found


def _last_tokens(group: BeamSearch) -> Tensor:
    """(B, K / G)."""
    return group.active_tokens[:, :, -1]
