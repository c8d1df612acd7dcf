"""Greedy search: the likeliest next token, until it is the end of the sentence."""

from __future__ import annotations

import torch

from translate.batch import BOS, EOS, Tokens
from translate.decoding.hypotheses import Hypothesis, SearchConfig, length_limits, next_log_probs
from translate.models.seq2seq import Seq2Seq


@torch.inference_mode()
def greedy_search(model: Seq2Seq, source: Tokens, config: SearchConfig) -> list[list[Hypothesis]]:
    """One hypothesis for each padded source sentence; equal likelihoods go to the lower token id."""
    limits = length_limits(source, config, model.max_length)
    active = list(range(source.num_sentences))
    found: list[list[Hypothesis]] = [[] for _ in active]
    if not active:
        return found
    device = source.ids.device
    tokens = torch.full((len(active), 1), BOS, device=device)
    log_probs = torch.zeros(len(active), device=device)
    state = model.start(model.encode(source))
    for length in range(1, max(limits) + 2):
        logits, state = model.step(tokens[:, -1], state)
        closing = [row for row, sentence in enumerate(active) if length > limits[sentence]]
        best, chosen = next_log_probs(logits, length=length, closing=closing, config=config).max(dim=1)
        log_probs = log_probs + best
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        living = (chosen != EOS).nonzero()[:, 0]  # the only wait for the device in a step
        if len(living) == len(active):
            continue
        scores = (log_probs / length**config.length_penalty).tolist()
        for row in (chosen == EOS).nonzero()[:, 0].tolist():
            found[active[row]] = [Hypothesis(tokens=tokens[row, 1:-1].tolist(), score=scores[row])]
        if not len(living):
            break
        active = [active[row] for row in living.tolist()]
        tokens, log_probs = tokens[living], log_probs[living]
        state = state.select(living, living)
    return found
