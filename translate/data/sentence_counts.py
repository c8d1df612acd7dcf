"""Limits of usual source lines in the training text: their sentences and their tokens."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.data.dataset import TokenizedCorpus, building_in_cache, digest
from translate.sentences import split_sentences

_SAMPLE = 100_000
_CHUNK = 10_000
# A model has hardly seen lengths that fewer lines reach.
_USUAL_SHARE = 0.02
_VERSION = 2  # of translate.sentences: raise it when the same line gives another number of sentences


def usual_limits(train: TokenizedCorpus, *, language: str, cache: Path, key: str) -> tuple[int, int]:
    """The greatest numbers of sentences and of source tokens that 2 % of the training lines reach.

    Lines are weighted by how often an epoch sees them, on average over the run.

    language  of the source, an ISO 639 code; "": chosen by the script of each line
    cache     folder of data.cache
    key       identifies the training pairs, for the cache
    """
    rows = _sample(len(train))
    counts = _sentence_counts(train, rows, language=language, cache=cache, key=key)
    weights = _weights(train)[rows]
    return reached_by(counts, weights, _USUAL_SHARE), reached_by(train.source_lengths[rows], weights, _USUAL_SHARE)


def reached_by(values: NDArray[np.integer], weights: NDArray[np.floating], share: float) -> int:
    """The greatest value that at least this share of the values, by weight, reaches or exceeds."""
    descending = np.argsort(-values.astype(np.int64), kind="stable")
    reached = np.cumsum(weights[descending], dtype=np.float64)
    index = np.searchsorted(reached, share * reached[-1] * (1 - 1e-9))  # rounding must not miss an exact share
    return int(values[descending[index]])


def _sample(count: int) -> NDArray[np.int64]:
    """Row numbers in order, spread evenly over all; the same at each call."""
    return np.linspace(0, count, min(count, _SAMPLE), endpoint=False).astype(np.int64)


def _weights(train: TokenizedCorpus) -> NDArray[np.float64]:
    """(N,): how often an epoch sees each pair, on average over the run."""
    ends = [*train.phase_starts[1:], 1.0]
    phases = zip(train.phase_starts, ends, strict=True)
    return np.sum([(end - start) * train.repeats(start).astype(np.float64) for start, end in phases], axis=0)


def _sentence_counts(
    train: TokenizedCorpus, rows: NDArray[np.int64], *, language: str, cache: Path, key: str
) -> NDArray[np.int32]:
    """Sentences of each of the rows' sources, counted once and kept in the cache."""
    name = digest([key, language, _VERSION, version("sentencex")])[:16]
    directory = cache / f"sentences-{name}"
    with building_in_cache(directory, waiting_for="prepare the same data") as folder:
        if folder is not None:
            counts = [
                len(split_sentences(text, language))
                for start in range(0, len(rows), _CHUNK)
                for text in train.texts(rows[start : start + _CHUNK])[0]
            ]
            np.save(folder / "counts.npy", np.array(counts, np.int32))
    counted: NDArray[np.int32] = np.load(directory / "counts.npy")
    return counted
