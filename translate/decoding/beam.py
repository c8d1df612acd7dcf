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

from translate.batch import BOS, EOS, PAD
from translate.decoding.hypotheses import DIVERGED, Hypothesis, SearchConfig, best_continuations, highest
from translate.decoding.search import Search
from translate.errors import UserError


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
    ended        (B, K, T): the best finished hypotheses, best first, PAD after their end
    ended_scores (B, K): theirs, length-normalised; minus infinity in a place that is not taken
    ended_count  (B,): how many have finished so far
    """

    HISTORIES = ("tokens", "ended")

    tokens: Tensor
    log_probs: Tensor
    ended: Tensor
    ended_scores: Tensor
    ended_count: Tensor

    @classmethod
    def start(cls, limits: Tensor, config: SearchConfig) -> BeamSearch:
        device, places = limits.device, (len(limits), config.beam_size)
        zero = torch.zeros_like(limits)
        return cls(
            config=config,
            lengths=zero,
            limits=limits,
            done=zero.bool(),
            tokens=torch.full((len(limits), 1, 1), BOS, device=device),
            log_probs=torch.zeros(len(limits), 1, device=device),
            ended=torch.full((*places, 1), PAD, device=device),
            ended_scores=torch.full(places, -torch.inf, device=device),
            ended_count=zero,
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, :, -1].flatten()

    def extend(self, logits: Tensor) -> tuple[BeamSearch, Tensor]:
        beam_size, lengths = self.config.beam_size, self.lengths + 1
        sentences, hypotheses = self.log_probs.shape
        # of the 2K best continuations of a sentence, at most K end
        log_probs, tokens = best_continuations(
            logits,
            2 * beam_size,
            lengths=lengths.repeat_interleave(hypotheses),
            limits=self.limits.repeat_interleave(hypotheses),
            config=self.config,
        )
        choices = log_probs.shape[1]
        scores = (self.log_probs.flatten()[:, None] + log_probs).view(sentences, -1)
        missing = max(0, 2 * beam_size - scores.shape[1])  # of a vocabulary smaller than the beam
        scores, chosen = highest(F.pad(scores, (0, missing), value=-torch.inf), 2 * beam_size)
        parents = (chosen // choices).clamp(max=hypotheses - 1)
        tokens = F.pad(tokens.view(sentences, -1), (0, missing), value=PAD).gather(1, chosen)
        ends = tokens == EOS
        longer = torch.cat([_take(self.tokens, parents), tokens[:, :, None]], dim=2)
        living = ends.long().argsort(dim=1, stable=True)[:, :beam_size]
        extended = replace(
            self._with_ended(torch.where(ends, scores, -torch.inf)[:, :beam_size], longer[:, :beam_size], lengths),
            tokens=_take(longer, living),
            log_probs=torch.where(ends, -torch.inf, scores).gather(1, living),
            lengths=lengths,
        )
        return extended._settled(), parents.gather(1, living)

    def _with_ended(self, log_probs: Tensor, tokens: Tensor, lengths: Tensor) -> BeamSearch:
        """With finished hypotheses (B, K) among those kept, where they are good enough."""
        scores = log_probs / lengths[:, None] ** self.config.length_penalty
        pool = torch.cat([self.ended_scores, scores], dim=1)
        pool_tokens = torch.cat([F.pad(self.ended, (0, 1), value=PAD), tokens], dim=1)
        ended_scores, best = pool.sort(dim=1, descending=True, stable=True)
        kept = self.config.beam_size
        return replace(
            self,
            ended=_take(pool_tokens, best[:, :kept]),
            ended_scores=ended_scores[:, :kept],
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
        scores = self.ended_scores[rows, :n_best].tolist()
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
        raise UserError(DIVERGED)
    return found
