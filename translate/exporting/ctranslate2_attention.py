"""Attention of CTranslate2's decoder over given translations, which the runtime returns as prefixes of a search.

Letters: S source and T target tokens, EOS counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def attention_maps(
    runtime: Any, sources: Sequence[list[str]], targets: Sequence[list[str]], *, batch_sentences: int
) -> list[NDArray[np.float32]]:
    """Cross-attention (T, S) of the last layer, mean of its heads, for source and target pieces without EOS."""
    maps: dict[int, NDArray[np.float32]] = {}
    # neighbours are about equally long: shorter translations are continued to the length of the longest of a batch
    order = sorted(range(len(targets)), key=lambda index: len(targets[index]))
    for start in range(0, len(order), batch_sentences):
        batch = order[start : start + batch_sentences]
        results = runtime.translate_batch(
            [sources[index] for index in batch],
            target_prefix=[targets[index] for index in batch],
            # one step beyond the prefix: that in which EOS is predicted
            max_decoding_length=len(targets[batch[-1]]) + 1,
            return_end_token=True,
            beam_size=1,
            max_input_length=0,
            return_attention=True,
        )
        for index, result in zip(batch, results, strict=True):
            rows = np.array(result.attention[0][: len(targets[index]) + 1], np.float32)
            # the runtime leaves out the column of EOS, and weights sum to 1
            maps[index] = np.hstack([rows, (1 - rows.sum(1, keepdims=True)).clip(min=0)])
    return [maps[index] for index in range(len(targets))]
