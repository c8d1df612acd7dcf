"""The cleaned training text of all corpora, one row per pair, on disk."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import (
    DUPLICATE,
    CleaningConfig,
    CleaningReport,
    Example,
    add_counts,
    example,
    first_occurrences,
    hash_pairs,
    reason_to_drop,
)
from translate.data.corpora import CorpusConfig, Pair, read_pairs
from translate.data.storage import Ragged, RaggedWriter
from translate.files import read_json, write_json
from translate.target_unicode import LineForms, TargetUnicode, choose_form
from translate.text import normalise

Item = TypeVar("Item")

CHUNK_PAIRS = 50_000
_PAIRS_PER_MESSAGE = 1_000_000

logger = logging.getLogger(__name__)


@dataclass
class CleanText:
    """Normalised source and target text with its origin; only the rows `kept` are for training.

    corpus (N,) and line (N,) say where a row came from: the corpus's place in the list, its line from 1.
    target_unicode is the form of the target side as its files hold it.
    """

    source: Ragged
    target: Ragged
    corpus: NDArray[np.uint16]
    line: NDArray[np.uint32]
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
            kept=np.load(directory / "kept.npy", mmap_mode="r"),
            report=load_report(directory),
            target_unicode=_load_target_unicode(directory),
        )

    def texts(self, rows: NDArray[np.integer]) -> tuple[list[str], list[str]]:
        return self.source.texts(rows), self.target.texts(rows)

    def release(self) -> None:
        self.source.release()
        self.target.release()


class _Writer:
    """Takes raw pairs chunk by chunk; keeps on disk those that pass, and in memory a few numbers of each."""

    def __init__(self, directory: Path, config: CleaningConfig, text_form: int) -> None:
        self._directory = directory
        self._config = config
        self._text_form = text_form
        self._source = RaggedWriter(directory, "source")
        self._target = RaggedWriter(directory, "target")
        self._corpora: list[NDArray[np.uint16]] = []
        self._lines: list[NDArray[np.uint32]] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self.report = CleaningReport()

    def add(self, pairs: Sequence[Pair], *, corpus: int, name: str, tag: str, first_line: int) -> None:
        sources, targets, lines = [], [], []
        prefix = f"{tag} " if tag else ""
        for line, pair in enumerate(pairs, start=first_line):
            source, target = (normalise(side, self._text_form) for side in pair)
            if reason := reason_to_drop(source, target, self._config):
                self.report.drop(reason, example(name, line, source, target))
                continue
            sources.append(prefix + source)
            targets.append(target)
            lines.append(line)
        self.report.total += len(pairs)
        self._corpora.append(np.full(len(lines), corpus, np.uint16))
        self._lines.append(np.array(lines, np.uint32))
        if self._config.drop_duplicates:
            self._hashes.append(hash_pairs(sources, targets))
        _append_texts(self._source, sources)
        _append_texts(self._target, targets)

    def close(self) -> None:
        self._source.close()
        self._target.close()
        corpus, line = np.concatenate(self._corpora), np.concatenate(self._lines)
        np.save(self._directory / "corpus.npy", corpus)
        np.save(self._directory / "line.npy", line)
        kept = np.ones(len(line), dtype=bool)
        if self._config.drop_duplicates:
            hashes = np.concatenate(self._hashes)
            self._hashes.clear()
            kept = first_occurrences(hashes)
        np.save(self._directory / "kept.npy", np.flatnonzero(kept))
        add_counts(self.report, DUPLICATE, int((~kept).sum()))


def write_clean_text(
    directory: Path, corpora: Sequence[tuple[str, CorpusConfig]], config: CleaningConfig, *, text_form: int
) -> CleaningReport:
    """Read, normalise and clean the named corpora into a folder that CleanText.load understands."""
    writer = _Writer(directory, config, text_form)
    target_forms = LineForms()
    for index, (name, corpus) in enumerate(corpora):
        first_line = 1
        for chunk in chunks(read_pairs(corpus, key=name), CHUNK_PAIRS):
            writer.add(chunk, corpus=index, name=name, tag=corpus.tag, first_line=first_line)
            target_forms.add(target for _, target in chunk)
            first_line += len(chunk)
            log_progress("cleaned", writer.report.total)
    writer.close()
    _save_target_unicode(directory, choose_form(target_forms, _RawTargets(corpora)))
    save_report(directory, writer.report)
    _add_duplicate_examples(directory, [name for name, _ in corpora])
    return writer.report


@dataclass(frozen=True)
class _RawTargets:
    """The target lines as their files hold them, which can be read again and again."""

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


def add_examples(
    report: CleaningReport, reason: str, text: CleanText, rows: NDArray[np.integer], names: Sequence[str]
) -> None:
    """Show the first of the rows dropped for a reason, as far as the report has room."""
    for row in rows.tolist():
        if not report.wants_example(reason):
            return
        source, target = text.texts(np.array([row]))
        shown = example(names[text.corpus[row]], int(text.line[row]), source[0], target[0])
        report.examples.setdefault(reason, []).append(shown)


def _add_duplicate_examples(directory: Path, names: Sequence[str]) -> None:
    text = CleanText.load(directory)
    duplicates = np.setdiff1d(np.arange(len(text.source)), text.kept, assume_unique=True)
    add_examples(text.report, DUPLICATE, text, duplicates, names)
    save_report(directory, text.report)


def _append_texts(writer: RaggedWriter, texts: Sequence[str]) -> None:
    encoded = [text.encode() for text in texts]
    writer.append(b"".join(encoded), np.fromiter(map(len, encoded), np.int32, len(encoded)))
