"""Beam search over any model, as a few tensor operations per token.

Letters: B sentences being translated, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since
the earliest of the sentences started. No operation mixes sentences: the batch that a sentence is in never changes its
translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.decoding.config import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search.base import (
    HISTORY,
    Search,
    limit_repetition,
    mask_forbidden,
    stable_topk,
    top_continuations,
)
from translate.errors import DivergedError
from translate.tokenizer import BOS, EOS, PAD


@dataclass(frozen=True, eq=False)
class Continuations:
    """The 2K best continuations of each sentence, best first; all (B, 2K).

    log_probs        of the hypotheses after limits on repetition and penalties, by which they are ranked
    model_log_probs  the model's own
    parents          index of the hypothesis that each extends
    tokens           its new token
    """

    log_probs: Tensor
    model_log_probs: Tensor
    parents: Tensor
    tokens: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class BeamSearch(Search):
    """The beam_size most likely hypotheses of each sentence (Graves 2012; Sutskever et al. 2014).

    A hypothesis has finished when its EOS is among the beam_size best continuations of its sentence; the next best
    active one takes its slot. A sentence is done when beam_size hypotheses have finished (without a length penalty,
    which favours short ones, only once no active one scores higher than the n_best); or earlier, when no active one
    can still reach the n_best; or at its maximum length, where every hypothesis has to end. Other toolkits count in the
    same way, so that a model translates alike wherever it runs.

    active_tokens     (B, K, T) int64   hypotheses that may still grow, BOS first, right-aligned: what is left of BOS
                                        is undefined. K = 1 before the first token
    active_log_probs  (B, K)   float32  sums of log probabilities; -inf where a slot is empty
    finished_tokens   (B, K, T) int64   the best finished hypotheses, best first, PAD after EOS
    finished_scores   (B, K)   float32  log probability / length ** length_penalty; -inf where a slot is empty
    num_finished      (B,)     int64    how many have finished, those that fell out of the pool included
    active_model_log_probs, finished_model_scores   like active_log_probs and finished_scores by the model's own
                                        probabilities; they differ only where repetition is limited, or with penalties
    """

    PADDED: ClassVar = {"active_tokens": HISTORY, "finished_tokens": HISTORY}

    active_tokens: Tensor
    active_log_probs: Tensor
    active_model_log_probs: Tensor
    finished_tokens: Tensor
    finished_scores: Tensor
    finished_model_scores: Tensor
    num_finished: Tensor

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> BeamSearch:
        # All hypotheses of a sentence would be equal before the first token: K is 1 there.
        active, finished = (len(limits), 1), (len(limits), config.beam_size)
        zero, device = torch.zeros_like(limits), limits.device
        certain, empty = torch.zeros(active, device=device), torch.full(finished, -torch.inf, device=device)
        return cls(
            config=config,
            lengths=zero,
            limits=limits,
            done=zero.bool(),
            active_tokens=torch.full((*active, 1), BOS, device=device),
            active_log_probs=certain,
            active_model_log_probs=certain,
            finished_tokens=torch.full((*finished, 1), PAD, device=device),
            finished_scores=empty,
            finished_model_scores=empty,
            num_finished=zero,
        )

    def with_all_slots(self) -> Self:
        """Return this search, before its first token, with K slots, of which all but the first are empty."""
        empty = self.config.beam_size - 1
        return replace(
            self,
            active_tokens=self.active_tokens.expand(-1, 1 + empty, -1),
            active_log_probs=F.pad(self.active_log_probs, (0, empty), value=-torch.inf),
            active_model_log_probs=self.active_model_log_probs.expand(-1, 1 + empty),
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.active_tokens[:, :, -1].flatten()

    def advance(self, logits: Tensor, penalties: Tensor | None = None) -> tuple[Self, Tensor]:
        """Extend all active hypotheses by one token; logits (N, V). Returns the search and the parents (B, K).

        penalties  (N, V): subtracted from log probabilities for ranking; None: none
        """
        lengths = self.lengths + 1
        # 1. Take the 2K best continuations. At most K of them end, one of each hypothesis, so that K remain active.
        best = self._top_continuations(logits, lengths, penalties)
        is_eos = best.tokens == EOS
        # 2. Those that end join the finished pool.
        search = self._merge_finished(best, is_eos, lengths)
        # 3. The best K that do not end stay active; the stable sort keeps them in order.
        kept = is_eos.byte().argsort(dim=1, stable=True)[:, : self.config.beam_size]
        tokens, parents = best.tokens.gather(1, kept), best.parents.gather(1, kept)
        search = replace(
            search,
            active_tokens=torch.cat([_histories(self.active_tokens, parents), tokens[:, :, None]], dim=2),
            # at a length limit fewer than K continue: an EOS among the kept ones must not
            active_log_probs=best.log_probs.masked_fill(is_eos, -torch.inf).gather(1, kept),
            active_model_log_probs=best.model_log_probs.gather(1, kept),
            lengths=lengths,
        )
        # 4. Stop sentences that have K finished hypotheses, no hope of better ones, or reached their limit.
        return search._mark_done(), parents

    def _top_continuations(self, logits: Tensor, lengths: Tensor, penalties: Tensor | None) -> Continuations:
        """The 2K best continuations of each sentence; lengths (B,) count the new token."""
        is_plain = penalties is None and not self.config.limits_repetition
        if logits.is_cuda and is_plain and logits.shape[1] >= 2 * self.config.beam_size:
            return self._best_at_once(logits, lengths)
        return self._best_in_two_stages(logits, lengths, penalties)

    def _best_at_once(self, logits: Tensor, lengths: Tensor) -> Continuations:
        """The best of all K * V continuations of each sentence: on a GPU fewer kernels than two stages."""
        log_probs, eos_log_probs = mask_forbidden(logits, lengths=lengths, search=self)
        scores = log_probs.view(*self.active_log_probs.shape, -1)
        # a hypothesis at its limit can only end, as in top_continuations
        at_limit = (lengths >= self.limits)[:, None]
        scores += torch.where(at_limit, -torch.inf, self.active_log_probs)[:, :, None]
        ending = self.active_log_probs + eos_log_probs
        scores[:, :, EOS] = torch.where(at_limit, ending, scores[:, :, EOS])
        best, chosen = stable_topk(scores.flatten(1), 2 * self.config.beam_size)
        return Continuations(best, best, chosen // scores.shape[2], chosen % scores.shape[2])

    def _best_in_two_stages(self, logits: Tensor, lengths: Tensor, penalties: Tensor | None) -> Continuations:
        # 1. The 2K best tokens after each hypothesis, (B, K, W): no more than that can be among the sentence's best.
        log_probs, model_log_probs, tokens = self._best_of_each(logits, lengths, penalties)
        # 2. All K * W continuations of a sentence compete.
        return self._best_of_sentence(log_probs, model_log_probs, tokens)

    def _best_of_each(
        self, logits: Tensor, lengths: Tensor, penalties: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Log probabilities and tokens of the best continuations of each hypothesis, (B, K, W) each.

        Between them the model's own log probabilities; None where they are the same.
        """
        ranked, model_log_probs = logits, None
        if self.config.limits_repetition:
            hypothesis_lengths = self.lengths.repeat_interleave(self.active_tokens.shape[1])
            ranked = limit_repetition(logits, self.active_tokens.flatten(0, 1), hypothesis_lengths, self.config)
        count = 2 * self.config.beam_size
        log_probs, tokens = top_continuations(ranked, count, lengths=lengths, search=self, penalties=penalties)
        if self.config.limits_repetition or penalties is not None:
            model_log_probs = logits.log_softmax(-1, dtype=torch.float32)
            model_log_probs = model_log_probs.view(*self.active_log_probs.shape, -1).gather(2, tokens)
            # a hypothesis at its limit ends with the model's own probability
            at_limit = (lengths >= self.limits)[:, None]
            log_probs[:, :, 0] = torch.where(at_limit, model_log_probs[:, :, 0], log_probs[:, :, 0])
        return log_probs, model_log_probs, tokens

    def _best_of_sentence(self, log_probs: Tensor, model_log_probs: Tensor | None, tokens: Tensor) -> Continuations:
        """The 2K best continuations of each sentence among those of its hypotheses, as _best_of_each returns them."""
        count, width = 2 * self.config.beam_size, log_probs.shape[2]
        scores, tokens = (self.active_log_probs[:, :, None] + log_probs).flatten(1), tokens.flatten(1)
        if missing := max(0, count - scores.shape[1]):  # of a vocabulary smaller than the beam
            scores, tokens = F.pad(scores, (0, missing), value=-torch.inf), F.pad(tokens, (0, missing), value=PAD)
        scores, chosen = stable_topk(scores, count)
        # continuation i extends hypothesis i // W
        parents = (chosen // width).clamp_(max=log_probs.shape[1] - 1)
        tokens = tokens.gather(1, chosen)
        if model_log_probs is None:
            return Continuations(scores, scores, parents, tokens)
        model_log_probs = model_log_probs.flatten(1)
        model_scores = model_log_probs.gather(1, chosen.clamp(max=model_log_probs.shape[1] - 1))
        return Continuations(scores, self.active_model_log_probs.gather(1, parents) + model_scores, parents, tokens)

    def _merge_finished(self, best: Continuations, is_eos: Tensor, lengths: Tensor) -> Self:
        """Merge newly finished hypotheses into the finished pool and keep the best K."""
        beam_size = self.config.beam_size
        finished_tokens = F.pad(self.finished_tokens, (0, 1), value=PAD)  # as long as the new ones
        if not is_eos.is_cuda and not is_eos.any():  # as at most tokens; a GPU must not wait for the answer
            return replace(self, finished_tokens=finished_tokens)
        # A continuation that ends counts only among the K best of the 2K, as in other toolkits.
        norm = lengths[:, None] ** self.config.length_penalty
        scores = torch.where(is_eos[:, :beam_size], best.log_probs[:, :beam_size], -torch.inf) / norm
        tokens = F.pad(_histories(self.active_tokens, best.parents[:, :beam_size]), (0, 1), value=EOS)
        # The pool stands first: where scores are equal, the stable sort prefers what has finished earlier.
        pool = torch.cat([self.finished_scores, scores], dim=1)
        model_pool = torch.cat([self.finished_model_scores, best.model_log_probs[:, :beam_size] / norm], dim=1)
        finished_scores, kept = (x[:, :beam_size] for x in pool.sort(dim=1, descending=True, stable=True))
        return replace(
            self,
            finished_tokens=_histories(torch.cat([finished_tokens, tokens], dim=1), kept),
            finished_scores=finished_scores,
            finished_model_scores=model_pool.gather(1, kept),
            num_finished=self.num_finished + (scores > -torch.inf).sum(dim=1),
        )

    def _mark_done(self) -> Self:
        """Mark sentences whose result can no longer change, and empty their active slots.

        Every further token adds log p <= 0, and a negative sum is higher the greater the length that divides it: the
        score of a hypothesis can never exceed its log probability so far over the maximum length.
        """
        alpha = self.config.length_penalty
        worst_kept = self.finished_scores[:, self.config.n_best - 1]
        best_active = self.active_log_probs.amax(dim=1)
        cannot_improve = worst_kept >= best_active / self.limits**alpha
        is_full = self.num_finished >= self.config.beam_size
        if alpha == 0.0:  # short hypotheses finish first and score high: wait for better ones
            is_full &= worst_kept >= best_active
        done = self.done | is_full | cannot_improve | (self.limits <= self.lengths)
        return replace(self, done=done, active_log_probs=self.active_log_probs.masked_fill(done[:, None], -torch.inf))

    def hypotheses(self) -> list[list[Hypothesis]]:
        n_best = self.config.n_best
        is_taken = self.finished_scores[:, :n_best] > -torch.inf
        scores = self.finished_model_scores[:, :n_best].masked_fill(~is_taken, -torch.inf).tolist()
        tokens = self.finished_tokens[:, :n_best].tolist()
        # histories are as long as the longest: a shorter one has columns from before its start
        first = (self.finished_tokens.shape[2] - self.lengths).tolist()  # column of each sentence's first token
        return [
            _readable(sentence_scores, [ids[start:] for ids in sentence_tokens])
            for sentence_scores, sentence_tokens, start in zip(scores, tokens, first, strict=True)
        ]


def _readable(scores: list[float], tokens: list[list[int]]) -> list[Hypothesis]:
    """Hypotheses of one sentence from its finished pool; empty slots have a score of -inf."""
    found = [
        Hypothesis(tokens=ids[: ids.index(EOS)], score=score)
        for ids, score in zip(tokens, scores, strict=True)
        if score > -torch.inf
    ]
    if not found:
        raise DivergedError(DIVERGED)
    # the search ranks by penalised probabilities; results are in the order of the model's own
    return sorted(found, key=lambda hypothesis: hypothesis.score, reverse=True)


def _histories(tokens: Tensor, hypotheses: Tensor) -> Tensor:
    """Histories (B, K', T) of tokens (B, K, T) by the indices of hypotheses (B, K')."""
    return tokens.gather(1, hypotheses[:, :, None].expand(-1, -1, tokens.shape[2]))
