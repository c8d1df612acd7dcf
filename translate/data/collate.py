"""Sentence pairs to a batch: as rows, padded, or packed end to end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.batch import NO_TARGET, Batch, Tokens
from translate.data.batching import round_up
from translate.tokenizer import BOS, EOS

# the token ids of sentences, without BOS and EOS
Side = Sequence[NDArray[np.integer]]


def pad_batch(source: Side, target: Side, multiple: int = 1) -> Batch:
    """Pairs as rows: EOS ends the source and the labels, BOS starts what the decoder reads.

    multiple  what lengths are rounded up to
    """
    sources, targets = _framed(source, target)
    source_tokens, target_tokens = (
        Tokens.pad(side, length=round_up(max(map(len, side)), multiple)) for side in (sources, targets)
    )
    rows, length = target_tokens.ids.shape
    ends = np.arange(rows) * length + np.array([len(ids) - 1 for ids in targets])
    assert target_tokens.mask is not None
    return _labelled(source_tokens, target_tokens, ends, target_tokens.mask, sources)


def pack_batch(source: Side, target: Side, tokens: int) -> Batch:
    """Pairs end to end, `tokens` places on either side (more only when the pairs need them): shapes never change."""
    sources, targets = _framed(source, target)
    used = [sum(map(len, side)) for side in (sources, targets)]
    # one free place at least, so that the padding at the end always has a key to attend to
    total = max(tokens, *(count + 1 for count in used))
    source_tokens, target_tokens = (Tokens.pack(side, total=total, room=total // 2 + 2) for side in (sources, targets))
    ends = np.cumsum([len(ids) for ids in targets]) - 1
    return _labelled(source_tokens, target_tokens, ends, torch.arange(total) < used[1], sources)


def _framed(source: Side, target: Side) -> tuple[Side, Side]:
    return [np.append(ids, EOS) for ids in source], [np.insert(ids, 0, BOS) for ids in target]


def _labelled(source: Tokens, target: Tokens, ends: NDArray[np.int64], real: Tensor, sources: Side) -> Batch:
    """The label of each place is the next place's token; of a sentence's last place (among ends), EOS."""
    labels = target.ids.flatten().roll(-1)
    labels[torch.from_numpy(ends)] = EOS
    labels = labels.view(target.ids.shape).masked_fill(~real, NO_TARGET)
    return Batch(source, target, labels, int(real.sum()), sum(map(len, sources)))
