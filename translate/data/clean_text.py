"""The cleaned training text of all corpora, one row per pair, on disk."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import (
    DUPLICATE,
    HELD_OUT,
    CleaningConfig,
    CleaningReport,
    Example,
    add_counts,
    example,
    first_occurrences,
    hash_pairs,
    reason_to_drop,
)
from translate.data.corpora import CorpusConfig, Row, name_in_reports, read_pairs, read_rows
from translate.data.held_out import PairKeys, write_held_out
from translate.data.storage import Ragged, RaggedWriter
from translate.files import read_json, write_json
from translate.text import normalise
from translate.unicode_form import LineForms, TargetUnicode, choose_form

Item = TypeVar("Item")

CHUNK_PAIRS = 50_000
_PAIRS_PER_MESSAGE = 1_000_000
_ORIGINS_FILE = "origins.json"

logger = logging.getLogger(__name__)


@dataclass
class CleanText:
    """Normalised source and target text with its origin; only the rows `kept` are for training.

    corpus, line    (N,): where a row came from: index of its corpus in the list, line in its file from 1
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
        return cls(
            source=Ragged(directory, "source", np.uint8),
            target=Ragged(directory, "target", np.uint8),
            corpus=np.load(directory / "corpus.npy", mmap_mode="r"),
            line=np.load(directory / "line.npy", mmap_mode="r"),
            origins=[tuple(origin) for origin in read_json(directory / _ORIGINS_FILE)["origins"]],
            kept=np.load(directory / "kept.npy", mmap_mode="r"),
            report=load_report(directory),
            target_unicode=_load_target_unicode(directory),
        )

    def texts(self, rows: NDArray[np.integer]) -> tuple[list[str], list[str]]:
        return self.source.texts(rows), self.target.texts(rows)

    def example(self, row: int) -> Example:
        """A row's text, shortened, with its corpus and line."""
        source, target = self.texts(np.array([row]))
        file = bisect_right(self.origins, row, key=itemgetter(0)) - 1
        return example(self.origins[file][1], int(self.line[row]), source[0], target[0])

    def release(self) -> None:
        self.source.release()
        self.target.release()


class _Writer:
    """Takes raw pairs chunk by chunk; keeps those that pass on disk, and a few numbers of each in memory."""

    def __init__(self, directory: Path, config: CleaningConfig, *, text_form: int, keys: PairKeys | None) -> None:
        self._directory = directory
        self._config = config
        self._text_form = text_form
        self._source = RaggedWriter(directory, "source")
        self._target = RaggedWriter(directory, "target")
        self._corpora: list[NDArray[np.uint16]] = []
        self._lines: list[NDArray[np.uint32]] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._passed: list[NDArray[np.bool_]] = []
        self._origins: list[tuple[int, str]] = []
        self._file = ("", "")
        self._keys = keys
        self.report = CleaningReport()

    def add(self, rows: Sequence[Row], *, corpus: int, key: str, config: CorpusConfig) -> None:
        # the carriage return of a CRLF line end is not text
        all_sources = [normalise(row.source.removesuffix("\r"), self._text_form) for row in rows]
        all_targets = [normalise(row.target.removesuffix("\r"), self._text_form) for row in rows]
        sources: list[str] = []
        targets: list[str] = []
        lines: list[int] = []
        passed: list[bool] = []
        for row, source, target in zip(rows, all_sources, all_targets, strict=True):
            if self._file != (key, row.path):
                self._file = (key, row.path)
                self._origins.append((len(self._source) + len(lines), name_in_reports(key, config, row)))
            reason = reason_to_drop(source, target, self._config)
            passed.append(reason is None)
            if reason:
                self.report.drop(reason, example(self._origins[-1][1], row.line, source, target))
                continue
            sources.append(config.prefix + source)
            targets.append(target)
            lines.append(row.line)
        self.report.total += len(rows)
        self._corpora.append(np.full(len(lines), corpus, np.uint16))
        self._lines.append(np.array(lines, np.uint32))
        if self._config.drop_duplicates:
            self._hashes.append(hash_pairs(sources, targets))
        if self._keys is not None:
            self._passed.append(np.array(passed, bool))
            texts = zip(passed, all_sources, all_targets, strict=True)
            self._keys.add(all_sources, all_targets, [ok and bool(a.strip() and b.strip()) for ok, a, b in texts])
        _append_texts(self._source, sources)
        _append_texts(self._target, targets)

    def close(self, left_out: NDArray[np.bool_] | None) -> dict[str, NDArray[np.int64]]:
        """Finish the files; the rows on disk that are not kept, by reason.

        left_out  (P,), of all P pairs read: True for those that held-out sets take from the training text
        """
        self._source.close()
        self._target.close()
        corpus, line = np.concatenate(self._corpora), np.concatenate(self._lines)
        np.save(self._directory / "corpus.npy", corpus)
        np.save(self._directory / "line.npy", line)
        write_json(self._directory / _ORIGINS_FILE, {"origins": self._origins})
        kept = np.ones(len(line), dtype=bool)
        dropped = {}
        if self._config.drop_duplicates:
            hashes = np.concatenate(self._hashes)
            self._hashes.clear()
            kept = first_occurrences(hashes)
            dropped[DUPLICATE] = np.flatnonzero(~kept)
        if left_out is not None:
            held_out = left_out[np.concatenate(self._passed)]
            dropped[HELD_OUT] = np.flatnonzero(kept & held_out)
            kept &= ~held_out
        np.save(self._directory / "kept.npy", np.flatnonzero(kept))
        for reason, rows in dropped.items():
            add_counts(self.report, reason, len(rows))
        return dropped


def write_clean_text(
    directory: Path,
    corpora: Sequence[tuple[str, CorpusConfig]],
    config: CleaningConfig,
    *,
    text_form: int,
    hold_out: Sequence[str] = (),
) -> CleaningReport:
    """Read, normalise and clean the named corpora into a folder that CleanText.load understands.

    corpora    with the keys of their configurations
    text_form  version of the text form to normalise to
    hold_out   names of the sets (valid, test) that are taken from the first corpus, for load_held_out

    Raises UserError for corpora that cannot be read, or that have too few different pairs to hold some out.
    """
    keys = PairKeys() if hold_out else None
    writer = _Writer(directory, config, text_form=text_form, keys=keys)
    target_forms = LineForms()
    sizes = []
    for index, (name, corpus) in enumerate(corpora):
        before = writer.report.total
        for chunk in chunks(read_rows(corpus, key=name), CHUNK_PAIRS):
            writer.add(chunk, corpus=index, key=name, config=corpus)
            target_forms.add(row.target for row in chunk)
            log_progress("cleaned", writer.report.total)
        sizes.append(writer.report.total - before)
    left_out = None
    if keys is not None:
        chosen, left_out = keys.choose(hold_out, sizes[0])
        write_held_out(directory, corpora[0], chosen, left_out)
    dropped = writer.close(left_out)
    _save_target_unicode(directory, choose_form(target_forms, _RawTargets(corpora)))
    save_report(directory, writer.report)
    _add_dropped_examples(directory, dropped)
    return writer.report


@dataclass(frozen=True)
class _RawTargets:
    """The target lines as their files hold them, which can be read several times."""

    corpora: Sequence[tuple[str, CorpusConfig]]

    def __iter__(self) -> Iterator[str]:
        for name, corpus in self.corpora:
            yield from (target for _, target in read_pairs(corpus, key=name))


def log_progress(done: str, pairs: int) -> None:
    """A line in the log at every million pairs."""
    if pairs % _PAIRS_PER_MESSAGE == 0:
        logger.info("%s %s pairs so far", done, f"{pairs:,}")


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items each, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def save_report(directory: Path, report: CleaningReport) -> None:
    write_json(directory / "report.json", asdict(report))


def load_report(directory: Path) -> CleaningReport:
    stored = read_json(directory / "report.json")
    examples = {reason: [Example(**entry) for entry in entries] for reason, entries in stored["examples"].items()}
    return CleaningReport(total=stored["total"], dropped=stored["dropped"], examples=examples)


def _save_target_unicode(directory: Path, target_unicode: TargetUnicode) -> None:
    write_json(directory / "target_unicode.json", {"target_unicode": target_unicode.as_manifest()})


def _load_target_unicode(directory: Path) -> TargetUnicode:
    return TargetUnicode.of_manifest(read_json(directory / "target_unicode.json"))


def add_examples(report: CleaningReport, reason: str, text: CleanText, rows: NDArray[np.integer]) -> None:
    """Add the first rows dropped for a reason to the report's examples, as far as it has room."""
    for row in rows.tolist():
        if not report.wants_example(reason):
            return
        report.examples.setdefault(reason, []).append(text.example(row))


def _add_dropped_examples(directory: Path, dropped: dict[str, NDArray[np.int64]]) -> None:
    text = CleanText.load(directory)
    for reason, rows in dropped.items():
        add_examples(text.report, reason, text, rows)
    save_report(directory, text.report)


def _append_texts(writer: RaggedWriter, texts: Sequence[str]) -> None:
    encoded = [text.encode() for text in texts]
    writer.append(b"".join(encoded), np.fromiter(map(len, encoded), np.int32, len(encoded)))
