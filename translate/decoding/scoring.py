"""Scores of given translations, by one teacher-forced pass instead of a search.

Letters: B pairs, S and T source and target tokens, EOS counted, D width, V target vocabulary, N tokens of all pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from translate.batch import NO_TARGET, pad_batch
from translate.decoding.config import DIVERGED, ForcedScore, Pair
from translate.errors import DivergedError
from translate.losses.cross_entropy import ROWS_AT_ONCE
from translate.models.seq2seq import Output, Seq2Seq


class PairScores:
    """Scores of pairs by a model, which are added batch by batch; see Engine.score.

    progress  called after each batch with the fraction of pairs that are done
    """

    def __init__(
        self,
        model: Seq2Seq,
        pairs: Sequence[Pair],
        device: torch.device,
        *,
        details: bool = False,
        progress: Callable[[float], None] | None = None,
    ):
        self.model, self.pairs, self.device = model, pairs, device
        self.details, self.progress = details, progress
        self._found: dict[int, ForcedScore] = {}

    @property
    def missing(self) -> list[int]:
        """Indices of pairs that have no score yet."""
        return [index for index in range(len(self.pairs)) if index not in self._found]

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence among pairs without a score."""
        return max((len(side) for index in self.missing for side in self.pairs[index]), default=0)

    def in_order(self) -> list[ForcedScore]:
        """All scores, once none is missing."""
        return [self._found[index] for index in range(len(self.pairs))]

    def add_missing(self, *, batch_tokens: int, batch_sentences: int = 0) -> None:
        """Score the missing pairs; after an error for lack of memory, those of finished batches stay."""
        for batch in self._batches(batch_tokens, batch_sentences):
            pairs = [self.pairs[index] for index in batch]
            scores = score_batch(self.model, pairs, device=self.device, details=self.details)
            self._found.update(zip(batch, scores, strict=True))
            if self.progress:
                self.progress(len(self._found) / len(self.pairs))

    def _batches(self, batch_tokens: int, batch_sentences: int) -> Iterator[list[int]]:
        """Batches of about equally long pairs, longest first; a pair of more tokens is a batch of its own."""
        missing = self.missing
        lengths = [max(map(len, self.pairs[index])) + 1 for index in missing]
        for batch in batches_by_length(lengths, batch_tokens=batch_tokens, batch_sentences=batch_sentences):
            yield [missing[number] for number in batch]


def batches_by_length(lengths: Sequence[int], *, batch_tokens: int, batch_sentences: int = 0) -> Iterator[list[int]]:
    """Indices of sentences in batches of about one length, longest first.

    lengths          tokens, EOS counted
    batch_tokens     of a batch, padding counted; a longer sentence is a batch of its own
    batch_sentences  most sentences of a batch; 0: as many as batch_tokens allows
    """
    # longest first: a batch that does not fit into memory fails at once, not after most of the work
    order = sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True)
    while order:
        room = max(1, batch_tokens // lengths[order[0]])
        room = min(room, batch_sentences or room)
        yield order[:room]
        order = order[room:]


@torch.inference_mode()
def score_batch(
    model: Seq2Seq, pairs: Sequence[Pair], *, device: torch.device, details: bool = False
) -> list[ForcedScore]:
    """Score pairs in one batch, by a model in evaluation mode. Raises DivergedError where a score is not finite."""
    sources, targets = ([np.array(ids, dtype=np.int64) for ids in side] for side in zip(*pairs, strict=True))
    batch = pad_batch(sources, targets).to(device)
    output = model(batch, return_attention=details)
    # logits of real tokens alone, not of padding
    real = batch.labels != NO_TARGET
    log_probs, entropies = label_scores(output.rows(real), batch.labels[real], with_entropies=details)
    if not log_probs.isfinite().all():
        raise DivergedError(DIVERGED)
    lengths = [len(target) + 1 for target in targets]
    rows = [row.tolist() for row in log_probs.cpu().split(lengths)]
    if not details:
        return [ForcedScore(log_probs=row) for row in rows]
    # the mean of the heads of the last layer, which the model returns
    maps = None if output.attention is None else output.attention.float().mean(1).cpu().numpy()  # (B, T, S)
    return [
        ForcedScore(
            log_probs=row,
            entropies=entropy.tolist(),
            attention=None if maps is None else maps[index, : len(row), : len(sources[index]) + 1],
        )
        for index, (row, entropy) in enumerate(zip(rows, entropies.cpu().split(lengths), strict=True))
    ]


def label_scores(output: Output, labels: Tensor, *, with_entropies: bool = True) -> tuple[Tensor, Tensor]:
    """Log probabilities (N,) of labels and entropies (N,) of their distributions, in nats, without keeping all logits.

    output of N tokens, labels (N,); the entropies are zeros unless they are wanted.
    """
    # a piece of the rows at a time: logits of all would take N * V values
    log_probs, entropies = [], []
    for start in range(0, len(labels), ROWS_AT_ONCE):
        piece = slice(start, start + ROWS_AT_ONCE)
        logits = output.rows(piece).logits()
        # half precision would round the sums over the vocabulary
        every = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        log_probs.append(every.gather(1, labels[piece, None])[:, 0])
        entropies.append(-(every.exp() * every).sum(-1) if with_entropies else torch.zeros_like(log_probs[-1]))
    return torch.cat(log_probs), torch.cat(entropies)
