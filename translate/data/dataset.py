"""Training data on disk: rows of different lengths in memory-mapped files, the clean text and the token ids.

Everything lies in folders of data.cache, each named by a hash of all that it is made from.

Letters: N rows of clean text, K of them kept for training.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from translate.data.cleaning import NO_TOKENS, TOO_MANY_TOKENS, CleaningReport, Example, example
from translate.data.corpora import phase_starts
from translate.data.corpus import CorpusConfig
from translate.data.readers import CHUNK_PAIRS
from translate.files import read_json
from translate.folders import building
from translate.tokenizer import Tokenizer
from translate.unicode_form import TargetUnicode

ORIGINS, TARGET_UNICODE = "origins.json", "target_unicode.json"
_PAIRS_PER_MESSAGE = 1_000_000

Ids = NDArray[np.integer]

logger = logging.getLogger(__name__)


class RaggedWriter:
    """Appends rows to NAME.bin; close() adds NAME.offsets.npy, the start of each row (N + 1 numbers)."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._file = open(directory / f"{name}.bin", "wb")  # noqa: SIM115
        self._lengths: list[NDArray[np.int32]] = []

    def __len__(self) -> int:
        return sum(map(len, self._lengths))

    def append(self, values: bytes, lengths: NDArray[np.integer]) -> None:
        """Append several rows: the bytes of their values end to end, and the number of values of each."""
        self._file.write(values)
        self._lengths.append(lengths.astype(np.int32))  # 4 bytes a row in memory; the values are on disk

    def append_texts(self, texts: Sequence[str]) -> None:
        """Append rows of UTF-8."""
        encoded = [text.encode() for text in texts]
        self.append(b"".join(encoded), np.fromiter(map(len, encoded), np.int32, len(encoded)))

    def close(self) -> None:
        self._file.close()
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        # the empty array is for a file without rows: np.concatenate refuses an empty list
        np.cumsum(np.concatenate([*self._lengths, np.empty(0, np.int32)]), out=offsets[1:])
        np.save(self._directory / f"{self._name}.offsets.npy", offsets)


class Ragged:
    """Reads the files of RaggedWriter: row i is values[offsets[i]:offsets[i + 1]], read from disk when touched."""

    def __init__(self, directory: Path, name: str, dtype: DTypeLike) -> None:
        self.offsets: NDArray[np.int64] = np.load(directory / f"{name}.offsets.npy", mmap_mode="r")
        self._map: mmap.mmap | None = None  # an empty file cannot be mapped
        self.values: NDArray[Any] = np.empty(0, dtype)
        if self.offsets[-1]:
            # not np.memmap: release() needs the map itself
            with open(directory / f"{name}.bin", "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.values = np.frombuffer(self._map, dtype)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int32]:
        return np.diff(self.offsets).astype(np.int32)

    def rows(self, indices: NDArray[np.integer]) -> list[NDArray[Any]]:
        """A view of each row."""
        return [self.values[start:end] for start, end in self._bounds(indices)]

    def texts(self, indices: NDArray[np.integer]) -> list[str]:
        """Each row, bytes of UTF-8, as text."""
        view = memoryview(self._map or b"")
        return [str(view[start:end], "utf-8") for start, end in self._bounds(indices)]

    def release(self) -> None:
        """Free the memory of what was read, so that one pass over everything does not hold it all."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _bounds(self, indices: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
        indices = np.asarray(indices)
        return zip(self.offsets[indices].tolist(), self.offsets[indices + 1].tolist(), strict=True)


@dataclass(frozen=True)
class RowTexts:
    """The texts of some rows, which can be iterated several times."""

    text: Ragged
    rows: NDArray[np.int64]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.rows), CHUNK_PAIRS):
            yield from self.text.texts(self.rows[start : start + CHUNK_PAIRS])
            self.text.release()


@dataclass
class CleanText:
    """Normalised source and target text with its origin; only the rows `kept` are for training.

    corpus, line    (N,): origin of a row: index of its corpus in the list, line in its file from 1
    origins         first row of each file, and the file's name in reports
    kept            (K,): the rows for training, in order
    target_unicode  Unicode form of the raw target side
    """

    source: Ragged
    target: Ragged
    corpus: NDArray[np.uint16]
    line: NDArray[np.uint32]
    origins: list[tuple[int, str]]
    kept: NDArray[np.int64]
    report: CleaningReport
    target_unicode: TargetUnicode

    @classmethod
    def load(cls, directory: Path) -> CleanText:
        """Open the files of write_clean_text."""
        return cls(
            source=Ragged(directory, "source", np.uint8),
            target=Ragged(directory, "target", np.uint8),
            corpus=np.load(directory / "corpus.npy", mmap_mode="r"),
            line=np.load(directory / "line.npy", mmap_mode="r"),
            origins=[tuple(origin) for origin in read_json(directory / ORIGINS)["origins"]],
            kept=np.load(directory / "kept.npy", mmap_mode="r"),
            report=CleaningReport.load(directory),
            target_unicode=TargetUnicode.of_manifest(read_json(directory / TARGET_UNICODE)),
        )

    def texts(self, rows: NDArray[np.integer]) -> tuple[list[str], list[str]]:
        """Source and target text of some rows."""
        return self.source.texts(rows), self.target.texts(rows)

    def examples(self, rows: NDArray[np.integer]) -> Iterator[Example]:
        """The text of each row, shortened, with its corpus and line."""
        for row in rows.tolist():
            source, target = self.texts(np.array([row]))
            # the last file whose first row is not behind this one
            file = bisect_right(self.origins, row, key=itemgetter(0)) - 1
            yield example(self.origins[file][1], int(self.line[row]), source[0], target[0])

    def release(self) -> None:
        self.source.release()
        self.target.release()


class TokenizedCorpus:
    """All training pairs as token ids, memory-mapped: the pairs that batches are drawn from.

    source_lengths, target_lengths  (K,) int32: tokens of each pair, without BOS and EOS
    phase_starts                    fractions of a run at which another mix of corpora begins, 0 the first
    """

    def __init__(
        self, directory: Path, text: CleanText, *, tokenizer: Tokenizer, corpora: Sequence[CorpusConfig]
    ) -> None:
        self._source = Ragged(directory, "source", _id_type(tokenizer.source_vocab_size))
        self._target = Ragged(directory, "target", _id_type(tokenizer.target_vocab_size))
        self._rows: NDArray[np.int64] = np.load(directory / "rows.npy", mmap_mode="r")
        self._text = text
        self.report = CleaningReport.load(directory)
        # in memory, as the plan of every epoch sorts all of them
        self.source_lengths = self._source.lengths()
        self.target_lengths = self._target.lengths()
        self.phase_starts = phase_starts(corpora)
        self._corpora = corpora
        self._corpus = text.corpus[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def repeats(self, fraction_done: float) -> NDArray[np.float32]:
        """(K,): number of times that an epoch sees each pair, when that fraction of the run is done."""
        weights = [corpus.weight if corpus.takes_part(fraction_done) else 0.0 for corpus in self._corpora]
        return np.array(weights, np.float32)[self._corpus]  # (K,)

    def pairs(self, indices: Ids) -> tuple[list[Ids], list[Ids]]:
        """Source and target ids of the pairs, as views of the files; without BOS and EOS."""
        return self._source.rows(indices), self._target.rows(indices)

    def corpora(self, indices: Ids) -> NDArray[np.uint16]:
        """Number of the corpus that each of the pairs is from."""
        return self._corpus[indices]

    def texts(self, indices: Ids) -> tuple[list[str], list[str]]:
        """Cleaned source and target text of the pairs: encoding it gives their ids."""
        return self._text.texts(self._rows[indices])


def write_tokenized(directory: Path, text: CleanText, *, tokenizer: Tokenizer, max_tokens: int) -> None:
    """Encode the rows kept so far into a folder that TokenizedCorpus opens; drop pairs over max_tokens."""
    source, target = RaggedWriter(directory, "source"), RaggedWriter(directory, "target")
    report, all_rows = text.report, [np.empty(0, np.int64)]
    for start in range(0, len(text.kept), CHUNK_PAIRS):
        rows = np.asarray(text.kept[start : start + CHUNK_PAIRS])
        source_texts, target_texts = text.texts(rows)
        source_ids, target_ids = tokenizer.encode_source(source_texts), tokenizer.encode_target(target_texts)
        lengths = _lengths(source_ids), _lengths(target_ids)
        # the last rules of cleaning, which only token ids can answer
        empty = np.minimum(*lengths) == 0
        too_long = (np.maximum(*lengths) > max_tokens) & ~empty if max_tokens else np.zeros_like(empty)
        for reason, dropped in ((NO_TOKENS, empty), (TOO_MANY_TOKENS, too_long)):
            report.drop(reason, text.examples(rows[dropped]), count=int(dropped.sum()))
        kept = ~(empty | too_long)
        _append_ids(source, source_ids, lengths[0], kept, _id_type(tokenizer.source_vocab_size))
        _append_ids(target, target_ids, lengths[1], kept, _id_type(tokenizer.target_vocab_size))
        # rows of the clean text: sampling subwords needs the text of a pair
        all_rows.append(rows[kept])
        text.release()
        log_progress("encoded", start + len(rows))
    source.close()
    target.close()
    np.save(directory / "rows.npy", np.concatenate(all_rows))
    report.save(directory)


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
    # a mask over all ids, end to end, instead of an array for each sentence
    flat = np.fromiter(chain.from_iterable(sentences), dtype, int(lengths.sum()))
    writer.append(flat[np.repeat(kept, lengths)].tobytes(), lengths[kept])


def log_progress(done: str, pairs: int) -> None:
    """A line in the log at every million pairs."""
    if pairs % _PAIRS_PER_MESSAGE == 0:  # a multiple of CHUNK_PAIRS, so that none is missed
        logger.info("%s %s pairs so far", done, f"{pairs:,}")


def building_in_cache(
    directory: Path, *, waiting_for: str, contents: bool = True
) -> AbstractContextManager[Path | None]:
    """A folder of the cache to fill; None if it is there undamaged. See folders.building."""
    return building(directory, option="data.cache", waiting_for=waiting_for, contents=contents)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()  # the order of keys is no content
