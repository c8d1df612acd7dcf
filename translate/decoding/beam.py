"""Beam search over any model, as a few tensor operations per token.

Letters: B sentences being translated, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since
the earliest of the sentences began. Nothing of one sentence depends on the others: the batch it is in never changes
a translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.decoding.config import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search import Search, best_continuations, highest, without_repetition
from translate.errors import DivergedError
from translate.tokenizer import BOS, EOS, PAD


@dataclass(frozen=True, eq=False)
class _Continuations:
    """The 2K best continuations of each sentence, best first.

    log_probs  (B, 2K): log probabilities of the hypotheses, after the limits on repetition, which they are ranked by
    own        (B, 2K): the model's own log probabilities
    parents    (B, 2K): index of the hypothesis that each continues
    tokens     (B, 2K): last token
    """

    log_probs: Tensor
    own: Tensor
    parents: Tensor
    tokens: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class BeamSearch(Search):
    """The K likeliest hypotheses of each sentence.

    A hypothesis has finished when its EOS is among the beam_size best continuations of its sentence; its place goes
    to the next best living one. A sentence is done when beam_size hypotheses have finished (without a length penalty,
    which favours short ones, only once no living one scores higher than the n_best); or earlier, when no living one
    could ever come among the n_best; or at its maximum length, where every hypothesis has to end. Other toolkits
    count in the same way, so that a model translates alike wherever it runs.

    tokens       (B, K, T): the living hypotheses, BOS first, whatever before it; before the first token K is 1
    log_probs    (B, K), fp32: theirs; minus infinity in a place that is not taken
    own          (B, K), fp32: log probabilities of the model; others than log_probs where repetition is limited
    ended        (B, K, T): the best finished hypotheses, best first, PAD after their end
    ended_scores (B, K): theirs, length-normalised; minus infinity in a place that is not taken
    ended_own    (B, K): the model's own, likewise
    ended_count  (B,): how many have finished so far
    """

    HISTORIES = ("tokens", "ended")

    tokens: Tensor
    log_probs: Tensor
    own: Tensor
    ended: Tensor
    ended_scores: Tensor
    ended_own: Tensor
    ended_count: Tensor

    @classmethod
    def start(cls, sentences: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> BeamSearch:
        device, places = limits.device, (len(limits), config.beam_size)
        return cls(
            **cls.beginning(limits, config),
            tokens=torch.full((len(limits), 1, 1), BOS, device=device),
            log_probs=torch.zeros(len(limits), 1, device=device),
            own=torch.zeros(len(limits), 1, device=device),
            ended=torch.full((*places, 1), PAD, device=device),
            ended_scores=torch.full(places, -torch.inf, device=device),
            ended_own=torch.full(places, -torch.inf, device=device),
            ended_count=torch.zeros_like(limits),
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, :, -1].flatten()

    def extend(self, logits: Tensor) -> tuple[BeamSearch, Tensor]:
        lengths = self.lengths + 1
        best = self._best(logits, lengths)
        ends = best.tokens == EOS
        living = ends.byte().argsort(dim=1, stable=True)[:, : self.config.beam_size]
        tokens, parents = best.tokens.gather(1, living), best.parents.gather(1, living)
        extended = replace(
            self._with_ended(best, ends, lengths),
            tokens=torch.cat([_take(self.tokens, parents), tokens[:, :, None]], dim=2),
            log_probs=best.log_probs.masked_fill(ends, -torch.inf).gather(1, living),
            own=best.own.gather(1, living),
            lengths=lengths,
        )
        return extended._settled(), parents

    def _best(self, logits: Tensor, lengths: Tensor) -> _Continuations:
        """The 2K best continuations of each sentence, of which at most K end."""
        count = 2 * self.config.beam_size
        limited = self._without_repetition(logits) if self.config.limits_repetition else logits
        log_probs, tokens = best_continuations(limited, count, lengths=lengths, limits=self.limits, config=self.config)
        width = log_probs.shape[2]
        if self.config.limits_repetition:
            own = logits.log_softmax(-1, dtype=torch.float32).view(*self.own.shape, -1).gather(2, tokens)
            # a hypothesis at its limit is ended by the model's own probability
            must_end = (lengths >= self.limits)[:, None]
            log_probs[:, :, 0] = torch.where(must_end, own[:, :, 0], log_probs[:, :, 0])
        scores, tokens = (self.log_probs[:, :, None] + log_probs).flatten(1), tokens.flatten(1)
        if missing := max(0, count - scores.shape[1]):  # of a vocabulary smaller than the beam
            scores, tokens = F.pad(scores, (0, missing), value=-torch.inf), F.pad(tokens, (0, missing), value=PAD)
        scores, chosen = highest(scores, count)
        parents, tokens = (chosen // width).clamp_(max=log_probs.shape[1] - 1), tokens.gather(1, chosen)
        if not self.config.limits_repetition:
            return _Continuations(scores, scores, parents, tokens)
        own = self.own.gather(1, parents) + own.flatten(1).gather(1, chosen.clamp(max=own[0].numel() - 1))
        return _Continuations(scores, own, parents, tokens)

    def _without_repetition(self, logits: Tensor) -> Tensor:
        lengths = self.lengths.repeat_interleave(self.tokens.shape[1])
        return without_repetition(logits, self.tokens.flatten(0, 1), lengths, self.config)

    def _with_ended(self, best: _Continuations, ends: Tensor, lengths: Tensor) -> BeamSearch:
        """Merge newly finished hypotheses into the finished pool and keep the best K."""
        kept = self.config.beam_size
        ended = F.pad(self.ended, (0, 1), value=PAD)
        if not ends.is_cuda and not ends.any():  # as at most tokens; a GPU must not wait for the answer
            return replace(self, ended=ended)
        norm = lengths[:, None] ** self.config.length_penalty
        scores = best.log_probs[:, :kept].masked_fill(~ends[:, :kept], -torch.inf) / norm
        tokens = F.pad(_take(self.tokens, best.parents[:, :kept]), (0, 1), value=EOS)
        pool = torch.cat([self.ended_scores, scores], dim=1)
        own = torch.cat([self.ended_own, best.own[:, :kept] / norm], dim=1)
        ended_scores, places = (x[:, :kept] for x in pool.sort(dim=1, descending=True, stable=True))
        return replace(
            self,
            ended=_take(torch.cat([ended, tokens], dim=1), places),
            ended_scores=ended_scores,
            ended_own=own.gather(1, places),
            ended_count=self.ended_count + scores.isfinite().sum(dim=1),
        )

    def _settled(self) -> BeamSearch:
        """Mark the sentences that need no further step; nothing living is left of them.

        Every further token adds log p <= 0, and a negative sum is higher the greater the length that divides it:
        a hypothesis can never score more than its log probability so far over the greatest length.
        """
        alpha = self.config.length_penalty
        worst = self.ended_scores[:, self.config.n_best - 1]
        likeliest = self.log_probs.amax(dim=1)
        hopeless = worst >= likeliest / self.limits**alpha
        settled = self.ended_count >= self.config.beam_size
        if alpha == 0.0:
            settled &= worst >= likeliest
        done = self.done | settled | hopeless | (self.limits <= self.lengths)
        return replace(self, done=done, log_probs=self.log_probs.masked_fill(done[:, None], -torch.inf))

    def collect(self, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        rows = torch.tensor(sentences, device=self.tokens.device)
        n_best, columns = self.config.n_best, self.tokens.shape[2]
        taken = self.ended_scores[rows, :n_best] > -torch.inf
        scores = self.ended_own[rows, :n_best].masked_fill(~taken, -torch.inf).tolist()
        tokens = self.ended[rows, :n_best].tolist()
        first = (columns - self.lengths[rows]).tolist()
        return [
            _readable(sentence_scores, [ids[start:] for ids in sentence_tokens])
            for sentence_scores, sentence_tokens, start in zip(scores, tokens, first, strict=True)
        ]


def _take(hypotheses: Tensor, places: Tensor) -> Tensor:
    """Rows (B, K', T) of hypotheses (B, K, T) by their places (B, K')."""
    return hypotheses.gather(1, places[:, :, None].expand(-1, -1, hypotheses.shape[2]))


def _readable(scores: list[float], tokens: list[list[int]]) -> list[Hypothesis]:
    found = [
        Hypothesis(tokens=ids[: ids.index(EOS)], score=score)
        for ids, score in zip(tokens, scores, strict=True)
        if score > -torch.inf
    ]
    if not found:
        raise DivergedError(DIVERGED)
    # the search ranks by penalised probabilities; results are in order of the model's own
    return sorted(found, key=lambda hypothesis: hypothesis.score, reverse=True)
