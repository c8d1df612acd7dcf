"""Limits of usual source lines: the numbers of sentences and tokens beyond which a model has hardly seen any."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.data.dataset import TokenizedCorpus, building_in_cache, digest
from translate.sentences import VERSION as SENTENCES_VERSION
from translate.sentences import split_sentences

_USUAL_SHARE = 0.02
_SAMPLED_LINES, _LINES_AT_ONCE = 100_000, 10_000


def usual_limits(
    train: TokenizedCorpus, *, language: str, cache: Path, key: str, verified: bool = False
) -> tuple[int, int]:
    """Greatest numbers of sentences and of source tokens that 2 % of the training lines reach.

    Lines are weighted by their repeats in an epoch, on average over the run; of a large corpus, lines spread evenly
    are counted.

    language  of the source, an ISO 639 code; "": chosen by the script of each line
    cache     folder of data.cache
    key       identifies the training pairs, for the cache
    verified  see prepare
    """
    # Sampled lines; the same at each call.
    count = len(train)
    rows = np.linspace(0, count, min(count, _SAMPLED_LINES), endpoint=False).astype(np.int64)
    sentences = _sentence_counts(train, rows, language=language, cache=cache, key=key, verified=verified)
    # A pair's weight is the mean of its repeats in all phases, by their shares of the run.
    ends = [*train.phase_starts[1:], 1.0]
    phases = zip(train.phase_starts, ends, strict=True)
    weights = np.sum([(end - start) * train.repeats(start).astype(np.float64) for start, end in phases], axis=0)[rows]
    return reached_by(sentences, weights, _USUAL_SHARE), reached_by(train.source_lengths[rows], weights, _USUAL_SHARE)


def reached_by(values: NDArray[np.integer], weights: NDArray[np.floating], share: float) -> int:
    """Greatest value that at least this share of the values, by weight, reaches or exceeds."""
    descending = np.argsort(-values.astype(np.int64), kind="stable")  # negated as int64: unsigned values would wrap
    reached = np.cumsum(weights[descending], dtype=np.float64)
    index = np.searchsorted(reached, share * reached[-1] * (1 - 1e-9))  # rounding must not miss an exact share
    return int(values[descending[index]])


def _sentence_counts(
    train: TokenizedCorpus, rows: NDArray[np.int64], *, language: str, cache: Path, key: str, verified: bool
) -> NDArray[np.int32]:
    """Sentences of each of the rows' sources, counted once and kept in the cache."""
    # another version of either splitter may count otherwise
    name = digest([key, language, SENTENCES_VERSION, version("sentencex")])[:16]
    directory = cache / f"sentences-{name}"
    with building_in_cache(directory, waiting_for="prepare the same data", contents=not verified) as folder:
        if folder is not None:
            counts = [
                len(split_sentences(text, language))
                for start in range(0, len(rows), _LINES_AT_ONCE)
                for text in train.texts(rows[start : start + _LINES_AT_ONCE])[0]
            ]
            np.save(folder / "counts.npy", np.array(counts, np.int32))
    counted: NDArray[np.int32] = np.load(directory / "counts.npy")
    return counted
