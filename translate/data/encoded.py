"""The training pairs as token ids, memory-mapped: what batches are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from translate.data.clean_text import CHUNK_PAIRS, CleanText, add_examples, load_report, log_progress, save_report
from translate.data.cleaning import NO_TOKENS, TOO_MANY_TOKENS, CleaningReport, add_counts
from translate.data.corpora import CorpusConfig, phase_starts
from translate.data.storage import Ragged, RaggedWriter
from translate.tokenizer import Tokenizer

Ids = NDArray[np.integer]


class EncodedCorpus:
    """All training pairs.

    source_lengths, target_lengths  (N,) int32: tokens of each pair, without BOS and EOS
    phase_starts                    the shares of a run at which another mix of corpora begins, 0 the first
    """

    def __init__(
        self, directory: Path, text: CleanText, *, tokenizer: Tokenizer, corpora: Sequence[CorpusConfig]
    ) -> None:
        self._source = Ragged(directory, "source", _id_type(tokenizer.source_vocab_size))
        self._target = Ragged(directory, "target", _id_type(tokenizer.target_vocab_size))
        self._rows: NDArray[np.int64] = np.load(directory / "rows.npy", mmap_mode="r")
        self._text = text
        self.report = load_report(directory)
        self.source_lengths = self._source.lengths()
        self.target_lengths = self._target.lengths()
        self.phase_starts = phase_starts(corpora)
        self._corpora = corpora
        self._corpus = text.corpus[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def repeats(self, share: float) -> NDArray[np.float32]:
        """(N,): how often an epoch sees each pair when that share of the run is over."""
        weights = [corpus.weight if corpus.takes_part(share) else 0.0 for corpus in self._corpora]
        return np.array(weights, np.float32)[self._corpus]

    def pairs(self, indices: Ids) -> tuple[list[Ids], list[Ids]]:
        """Source and target ids of the pairs, as views of the files; without BOS and EOS."""
        return self._source.rows(indices), self._target.rows(indices)

    def texts(self, indices: Ids) -> tuple[list[str], list[str]]:
        """Cleaned source and target text of the pairs: encoding it gives their ids."""
        return self._text.texts(self._rows[indices])


def write_encoded(directory: Path, text: CleanText, *, tokenizer: Tokenizer, max_tokens: int) -> CleaningReport:
    """Encode the rows kept so far into a folder that EncodedCorpus reads; drop pairs over max_tokens."""
    source = RaggedWriter(directory, "source")
    target = RaggedWriter(directory, "target")
    report = text.report
    all_rows = []
    for start in range(0, len(text.kept), CHUNK_PAIRS):
        rows = np.asarray(text.kept[start : start + CHUNK_PAIRS])
        source_texts, target_texts = text.texts(rows)
        source_ids = tokenizer.encode_source(source_texts)
        target_ids = tokenizer.encode_target(target_texts)
        lengths = _lengths(source_ids), _lengths(target_ids)
        empty = np.minimum(*lengths) == 0
        too_long = (np.maximum(*lengths) > max_tokens) & ~empty if max_tokens else np.zeros_like(empty)
        for reason, dropped in ((NO_TOKENS, empty), (TOO_MANY_TOKENS, too_long)):
            add_counts(report, reason, int(dropped.sum()))
            add_examples(report, reason, text, rows[dropped])
        kept = ~(empty | too_long)
        _append_ids(source, source_ids, lengths[0], kept, _id_type(tokenizer.source_vocab_size))
        _append_ids(target, target_ids, lengths[1], kept, _id_type(tokenizer.target_vocab_size))
        all_rows.append(rows[kept])
        text.release()
        log_progress("encoded", start + len(rows))
    source.close()
    target.close()
    np.save(directory / "rows.npy", np.concatenate(all_rows) if all_rows else np.empty(0, np.int64))
    save_report(directory, report)
    return report


def _id_type(vocab_size: int) -> DTypeLike:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def _lengths(sentences: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    return np.fromiter(map(len, sentences), np.int32, len(sentences))


def _append_ids(
    writer: RaggedWriter,
    sentences: Sequence[Sequence[int]],
    lengths: NDArray[np.int32],
    kept: NDArray[np.bool_],
    dtype: DTypeLike,
) -> None:
    flat = np.fromiter(chain.from_iterable(sentences), dtype, int(lengths.sum()))
    writer.append(flat[np.repeat(kept, lengths)].tobytes(), lengths[kept])
