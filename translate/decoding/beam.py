"""Beam search over any model, as a few tensor operations per token.

Letters: B sentences still being translated, K hypotheses of one sentence, N = B * K, V target vocabulary,
T tokens so far. Sentences leave the batch as soon as they are done; all else keeps its shape, and nothing
of one sentence depends on the others, so that the batch it is in never changes a translation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from translate.batch import BOS, EOS, PAD, Tokens
from translate.decoding.hypotheses import Hypothesis, SearchConfig, length_limits, next_log_probs
from translate.errors import UserError
from translate.models.seq2seq import Seq2Seq


@dataclass
class _Beams:
    """The hypotheses of B sentences.

    tokens       (B, K, T), BOS first: the living hypotheses
    log_probs    (B, K), fp32: theirs; minus infinity in a place that is not taken
    ended        (B, K, T): the best finished hypotheses, best first, PAD after their end
    ended_scores (B, K): theirs, length-normalised; minus infinity in a place that is not taken
    ended_count  (B,): how many have finished so far
    longest      (B,): most tokens a hypothesis may have, EOS included
    """

    tokens: Tensor
    log_probs: Tensor
    ended: Tensor
    ended_scores: Tensor
    ended_count: Tensor
    longest: Tensor

    @classmethod
    def start(cls, longest: Tensor, beam_size: int) -> _Beams:
        """One empty hypothesis per sentence; the other places are filled by its first continuations."""
        num_sentences, device = len(longest), longest.device
        tokens = torch.full((num_sentences, beam_size, 1), BOS, device=device)
        nothing = torch.full((num_sentences, beam_size), -torch.inf, device=device)
        log_probs = nothing.clone()
        log_probs[:, 0] = 0.0
        count = torch.zeros(num_sentences, dtype=torch.long, device=device)
        return cls(tokens, log_probs, tokens.clone(), nothing, count, longest)

    def keep(self, sentences: Tensor) -> _Beams:
        return _Beams(
            self.tokens[sentences],
            self.log_probs[sentences],
            self.ended[sentences],
            self.ended_scores[sentences],
            self.ended_count[sentences],
            self.longest[sentences],
        )


@torch.inference_mode()
def beam_search(model: Seq2Seq, source: Tokens, config: SearchConfig) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each padded source sentence, best first.

    A hypothesis has finished when its EOS is among the beam_size best continuations of its sentence; its
    place goes to the next best living one. A sentence is done when beam_size hypotheses have finished and the
    living ones, as they stand, score no higher than the n_best of them; or earlier, when no living one could
    ever come among the n_best; or at its maximum length, where every hypothesis has to end. With a beam of
    one this is greedy search.
    """
    limits = length_limits(source, config, model.max_length)
    active = list(range(source.num_sentences))
    found: list[list[Hypothesis]] = [[] for _ in active]
    if not active:
        return found
    device = source.ids.device
    beams = _Beams.start(torch.tensor(limits, device=device) + 1, config.beam_size)
    state = model.start(model.encode(source))
    state = state.select(torch.arange(len(active), device=device).repeat_interleave(config.beam_size))
    for length in range(1, max(limits) + 2):
        logits, state = model.step(beams.tokens[:, :, -1].flatten(), state)
        closing = [row for row, sentence in enumerate(active) if length > limits[sentence]]
        closing_rows = [row * config.beam_size + place for row in closing for place in range(config.beam_size)]
        log_probs = next_log_probs(logits, length=length, closing=closing_rows, config=config)
        beams, parents = _extend(beams, log_probs.unflatten(0, beams.log_probs.shape), length, config)
        living = (~_done(beams, length, config)).nonzero()[:, 0]  # the only wait for the device in a step
        rows = parents + torch.arange(len(active), device=device)[:, None] * config.beam_size
        if len(living) == len(active):
            state = state.select(rows.flatten())
            continue
        staying = living.tolist()
        _collect(found, beams, active, sorted(set(range(len(active))) - set(staying)), config)
        if not staying:
            break
        active = [active[row] for row in staying]
        beams, state = beams.keep(living), state.select(rows[living].flatten(), living)
    return found


def _extend(beams: _Beams, log_probs: Tensor, length: int, config: SearchConfig) -> tuple[_Beams, Tensor]:
    """Continue every hypothesis by one token, log_probs (B, K, V); also which one each continues, (B, K)."""
    size, vocabulary = log_probs.shape[1:]
    scores, indices = _best((beams.log_probs[:, :, None] + log_probs).flatten(1), 2 * size)
    parents, tokens = indices // vocabulary, indices % vocabulary  # (B, 2K): at most K of them end
    ends = tokens == EOS
    longer = torch.cat([_take(beams.tokens, parents), tokens[:, :, None]], dim=2)

    final = torch.where(ends, scores, -torch.inf)[:, :size] / length**config.length_penalty
    pool = torch.cat([beams.ended_scores, final], dim=1)
    pool_tokens = torch.cat([torch.nn.functional.pad(beams.ended, (0, 1), value=PAD), longer[:, :size]], dim=1)
    ended_scores, best = pool.sort(dim=1, descending=True, stable=True)

    living = ends.long().argsort(dim=1, stable=True)[:, :size]
    extended = _Beams(
        tokens=_take(longer, living),
        log_probs=torch.where(ends, -torch.inf, scores).gather(1, living),
        ended=_take(pool_tokens, best[:, :size]),
        ended_scores=ended_scores[:, :size],
        ended_count=beams.ended_count + final.isfinite().sum(dim=1),
        longest=beams.longest,
    )
    return extended, parents.gather(1, living)


def _best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row, best first, and where they are; equal ones in that order."""
    _, indices = scores.topk(min(count, scores.shape[1]), dim=1, sorted=False)
    indices = indices.sort(dim=1).values
    values, order = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)


def _take(hypotheses: Tensor, places: Tensor) -> Tensor:
    """Rows (B, K', T) of hypotheses (B, K, T) by their places (B, K')."""
    return hypotheses.gather(1, places[:, :, None].expand(-1, -1, hypotheses.shape[2]))


def _done(beams: _Beams, length: int, config: SearchConfig) -> Tensor:
    """Which sentences need no further step, (B,).

    Every further token adds log p <= 0, and a negative sum is higher the greater the length that divides it:
    a hypothesis can never score more than its log probability so far over the greatest length.
    """
    worst = beams.ended_scores[:, config.n_best - 1]
    likeliest = beams.log_probs.amax(dim=1)
    hopeless = worst >= likeliest / beams.longest**config.length_penalty
    settled = (beams.ended_count >= config.beam_size) & (worst >= likeliest / length**config.length_penalty)
    return settled | hopeless | (beams.longest <= length)


def _collect(
    found: list[list[Hypothesis]], beams: _Beams, active: list[int], leaving: list[int], config: SearchConfig
) -> None:
    """Read the finished hypotheses of the sentences that leave the batch."""
    rows = torch.tensor(leaving, device=beams.tokens.device)
    scores = beams.ended_scores[rows, : config.n_best].tolist()
    tokens = beams.ended[rows, : config.n_best, 1:].tolist()
    for row, sentence_scores, sentence_tokens in zip(leaving, scores, tokens, strict=True):
        found[active[row]] = [
            Hypothesis(tokens=ids[: ids.index(EOS)], score=score)
            for ids, score in zip(sentence_tokens, sentence_scores, strict=True)
            if score > -torch.inf
        ]
        if not found[active[row]]:
            raise UserError("the model's scores are not finite: its training has diverged, it cannot translate")
