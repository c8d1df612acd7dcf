"""Searches whose hypotheses fulfil the constraints of their sentences.

Banned texts, prefixes and terms that are there often enough forbid tokens: every search masks these. Terms that are
missing are for beam search alone: it also proposes their next tokens for each hypothesis, and divides its slots among
hypotheses by how much of the terms they have (dynamic beam allocation, Post and Vilar 2018; Hu et al. 2019), since one
with a term is less likely than one without until the others have to write theirs as well. No hypothesis ends while a
term is missing.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary, W best continuations of each
hypothesis.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Self

import torch
from torch import Tensor

from translate.decoding.config import SearchMethod, Sentence
from translate.decoding.constraints.automaton import Automaton
from translate.decoding.constraints.constraints import ConstrainedSentence
from translate.decoding.search.base import Search
from translate.decoding.search.beam import BeamSearch, Continuations
from translate.decoding.search.greedy import GreedySearch, SamplingSearch
from translate.errors import UserError
from translate.tokenizer import EOS, PAD


@dataclass(frozen=True)
class _Followed:
    """A sentence's automaton, None without constraints, and the state of each of its active hypotheses."""

    automaton: Automaton | None
    states: tuple[int, ...] = (0,)

    def step(self, parents: Sequence[int], tokens: Sequence[int]) -> _Followed:
        if self.automaton is None:
            return self
        steps = zip(parents, tokens, strict=True)
        return replace(self, states=tuple(self.automaton.step(self.states[parent], token) for parent, token in steps))


@dataclass(frozen=True, eq=False, kw_only=True)
class _ConstrainedSearch(Search):
    """Constraints of a search's sentences; followed: an entry for each of the B sentences."""

    followed: tuple[_Followed, ...] = ()

    def select(self, rows: Tensor) -> Self:
        return replace(super().select(rows), followed=tuple(self.followed[row] for row in rows.tolist()))

    def concat(self, other: Self) -> Self:
        return replace(super().concat(other), followed=self.followed + other.followed)

    def replace(self, rows: Tensor, other: Self) -> Self:
        followed = list(self.followed)
        for row, new in zip(rows.tolist(), other.followed, strict=True):
            followed[row] = new
        return replace(super().replace(rows, other), followed=tuple(followed))

    def restrict(self, log_probs: Tensor) -> None:
        forbidden: list[tuple[int, int]] = []
        only: list[tuple[int, int]] = []
        # N = B * K: the hypotheses of a sentence have rows side by side
        room, width = self._room(), len(log_probs) // len(self.followed)
        for row, followed in enumerate(self.followed):
            if followed.automaton is None:
                continue
            # before the first token the states of all hypotheses of a sentence are one
            states = followed.states if len(followed.states) == width else followed.states * width
            for number, state in enumerate(states, start=row * width):
                next_ones = followed.automaton.continuations(state)
                if next_ones.only is not None:
                    only.append((number, next_ones.only))
                # no token may be spent on anything but the rest of the terms; at room 0 only EOS can follow
                elif 0 < room[row] <= next_ones.reserved:
                    only += [(number, token) for token in next_ones.hurried]
                else:
                    forbidden += [(number, token) for token in next_ones.forbidden]
        # all rows in one operation each: one per hypothesis would cost more than the search
        if forbidden:
            log_probs[_columns(forbidden, log_probs.device)] = -torch.inf
        if only:
            rows, tokens = _columns(only, log_probs.device)
            kept = log_probs[rows, tokens]
            log_probs[rows] = -torch.inf
            log_probs[rows, tokens] = kept

    def _room(self) -> list[int]:
        """Number of tokens that the translation of each sentence may still have, EOS not counted."""
        room: list[int] = (self.limits - self.lengths - 1).tolist()
        return room


def _columns(pairs: Sequence[tuple[int, int]], device: torch.device) -> tuple[Tensor, Tensor]:
    rows, tokens = torch.tensor(pairs, device=device).T
    return rows, tokens


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstrainedGreedySearch(_ConstrainedSearch, GreedySearch):
    def advance(self, logits: Tensor) -> tuple[Self, Tensor | None]:
        search, parents = super().advance(logits)
        tokens = search.tokens[:, :, -1].tolist()
        # samples are draws of one hypothesis before the first token
        extended = [range(len(own)) for own in tokens] if parents is None else parents.tolist()
        followed = tuple(each.step(*own) for each, *own in zip(self.followed, extended, tokens, strict=True))
        return replace(search, followed=followed), parents


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstrainedSamplingSearch(ConstrainedGreedySearch, SamplingSearch):
    pass


@dataclass(frozen=True, eq=False, kw_only=True)
class ConstrainedBeamSearch(_ConstrainedSearch, BeamSearch):
    def advance(self, logits: Tensor, penalties: Tensor | None = None) -> tuple[Self, Tensor]:
        search, parents = super().advance(logits, penalties)
        tokens = search.active_tokens[:, :, -1].tolist()
        steps = zip(self.followed, parents.tolist(), tokens, strict=True)
        # an empty slot holds any token, and its state is never read
        followed = tuple(each.step(own_parents, own_tokens) for each, own_parents, own_tokens in steps)
        return replace(search, followed=followed), parents

    def _top_continuations(self, logits: Tensor, lengths: Tensor, penalties: Tensor | None) -> Continuations:
        # both stages have more candidates
        return self._best_in_two_stages(logits, lengths, penalties)

    def _best_of_each(
        self, logits: Tensor, lengths: Tensor, penalties: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The best continuations of each hypothesis, and the next tokens of terms that its sentence misses."""
        log_probs, model_log_probs, tokens = super()._best_of_each(logits, lengths, penalties)
        wanted = self._wanted(tokens.shape[1], tokens.device)
        if wanted is None:
            return log_probs, model_log_probs, tokens
        # a wanted token is proposed whatever its rank: in the first steps a term is far from the likeliest tokens
        scores = logits.float().view(*tokens.shape[:2], -1)
        added = scores.gather(2, wanted) - scores.logsumexp(2, keepdim=True)
        # those that are among the best already count once, and a hypothesis at its limit only ends
        is_known = ((tokens[:, :, None] == wanted[:, :, :, None]) & log_probs.isfinite()[:, :, None]).any(dim=3)
        at_limit = (lengths >= self.limits)[:, None, None]
        added = added.masked_fill(is_known | at_limit | (wanted == PAD), -torch.inf)
        if model_log_probs is not None:
            model_log_probs = torch.cat([model_log_probs, added], dim=2)
        return torch.cat([log_probs, added], dim=2), model_log_probs, torch.cat([tokens, wanted], dim=2)

    def _wanted(self, num_hypotheses: int, device: torch.device) -> Tensor | None:
        """Next tokens of missing terms, (B, K, W'), PAD where there are fewer; None if there are none."""
        wanted: list[tuple[int, ...]] = []
        for row, room in zip(self.followed, self._room(), strict=True):
            states = row.states if row.automaton is not None else ()
            next_ones = [row.automaton.continuations(state) for state in states] if row.automaton else []
            # where only one continuation is allowed it is among the best
            wanted += [() if each.only is not None or room <= each.reserved else each.wanted for each in next_ones]
            wanted += [()] * (num_hypotheses - len(next_ones))
        width = max(map(len, wanted))
        if not width:
            return None
        padded = [[*tokens, *[PAD] * (width - len(tokens))] for tokens in wanted]
        return torch.tensor(padded, device=device).view(len(self.followed), num_hypotheses, width)

    def _best_of_sentence(self, log_probs: Tensor, model_log_probs: Tensor | None, tokens: Tensor) -> Continuations:
        """The best continuations of each sentence; of one with terms, those that have got slots."""
        best = super()._best_of_sentence(log_probs, model_log_probs, tokens)
        rows = [
            row for row, each in enumerate(self.followed) if each.automaton is not None and each.automaton.has_terms
        ]
        if not rows:
            return best
        count, width = best.tokens.shape[1], tokens.shape[2]
        index = torch.tensor(rows, device=tokens.device)
        scores = (self.active_log_probs[index][:, :, None] + log_probs[index]).flatten(1)
        tokens = tokens[index].flatten(1)
        tables = zip(rows, scores.tolist(), tokens.tolist(), strict=True)
        slots = [self._allocate(self.followed[row], *table, width=width) for row, *table in tables]
        # rows with fewer candidates than slots have empty ones at the end
        chosen = torch.tensor([[*own, *[-1] * (count - len(own))] for own in slots], device=tokens.device)
        is_empty, chosen = chosen < 0, chosen.clamp(min=0)
        new = {
            "log_probs": scores.gather(1, chosen).masked_fill(is_empty, -torch.inf),
            "parents": chosen // width,
            "tokens": tokens.gather(1, chosen).masked_fill(is_empty, PAD),
        }
        new["model_log_probs"] = new["log_probs"]
        if model_log_probs is not None:
            model_scores = (self.active_model_log_probs[index][:, :, None] + model_log_probs[index]).flatten(1)
            new["model_log_probs"] = model_scores.gather(1, chosen)
        return Continuations(**{name: getattr(best, name).index_copy(0, index, value) for name, value in new.items()})

    def _allocate(self, followed: _Followed, scores: list[float], tokens: list[int], *, width: int) -> list[int]:
        """Candidates that get a slot: those that end first, then beam_size that stay active.

        The slots go round the numbers of term tokens that candidates have: the best one of each, from the most to the
        fewest, then the second best of each, and so on.
        """
        assert followed.automaton is not None
        beam_size, automaton = self.config.beam_size, followed.automaton
        candidates = [number for number, score in enumerate(scores) if score > -torch.inf]
        candidates.sort(key=lambda number: -scores[number])
        ranked: dict[int, list[int]] = defaultdict(list)
        for number in candidates:
            state = automaton.step(followed.states[number // width], tokens[number])
            ranked[automaton.continuations(state).progress].append(number)
        # as in the unconstrained beam: one that ends counts only if it is ahead of the beam_size best
        ended: list[int] = []
        active: list[int] = []
        for number in _in_turns(ranked, scores):
            if len(active) < beam_size and tokens[number] != EOS:
                active.append(number)
            elif len(ended) + len(active) < beam_size:
                ended.append(number)
        return ended + active


def _in_turns(ranked: dict[int, list[int]], scores: list[float]) -> Iterator[int]:
    """Candidates in the order in which they get slots; ranked: best first, by their number of term tokens.

    A candidate with fewer term tokens than a likelier one comes last: the other is ahead of it in both.
    """
    turns: list[list[int]] = []
    behind: list[int] = []
    highest = -math.inf
    for progress in sorted(ranked, reverse=True):
        ahead = [number for number in ranked[progress] if scores[number] > highest]
        behind += ranked[progress][len(ahead) :]
        turns.append(ahead)
        highest = max([highest, *(scores[number] for number in ahead)])
    for each in zip_longest(*turns):
        yield from (number for number in each if number is not None)
    yield from sorted(behind, key=lambda number: -scores[number])


_CONSTRAINED: dict[SearchMethod, type[_ConstrainedSearch]] = {
    SearchMethod.beam: ConstrainedBeamSearch,
    SearchMethod.greedy: ConstrainedGreedySearch,
    SearchMethod.sampling: ConstrainedSamplingSearch,
}


def constrained(search: Search, sentences: Sequence[Sentence], *, max_length: int) -> Search:
    """A search that has just started, with the constraints of its sentences, all of them ConstrainedSentences.

    max_length  of all translations, EOS not counted

    Raises UserError for terms and another search than beam search, and for searches without constraints.
    """
    if search.config.method not in _CONSTRAINED:
        raise UserError(f"search.method={search.config.method} knows no constraints: use {', '.join(_CONSTRAINED)}")
    followed, limits = [], search.limits.tolist()
    for row, sentence in enumerate(sentences):
        assert isinstance(sentence, ConstrainedSentence), "all sentences of a search are of one kind"
        automaton = None if sentence.constraints is None else Automaton(sentence.constraints)
        if automaton is not None:
            if automaton.has_terms and not isinstance(search, BeamSearch):
                raise UserError(f"search.method={search.config.method}: terms need beam search: search=beam")
            # prefix and terms take no room from the rest, unless search.max_length bounds them all
            most = max(search.config.max_length or max_length, automaton.size)
            limits[row] = min(limits[row] + automaton.size, most + 1, max_length + 1)
        followed.append(_Followed(automaton))
    kind = _CONSTRAINED[search.config.method]
    lengthened = torch.tensor(limits, device=search.limits.device)
    return kind(**{**vars(search), "limits": lengthened, "followed": tuple(followed)})
