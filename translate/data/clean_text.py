"""Clean text of all training corpora, written to a folder in one pass over files that must not change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress
from operator import add
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import (
    COMMAND,
    DUPLICATE,
    HELD_OUT,
    NEAR_DUPLICATE,
    NO_PAIR,
    CleaningConfig,
    CleaningReport,
    example,
    first_occurrences,
    hash_pairs,
    reason_to_drop,
)
from translate.data.context import ContextWindow
from translate.data.corpora import KeyedCorpora
from translate.data.corpus import CorpusConfig
from translate.data.dataset import ORIGINS, TARGET_UNICODE, CleanText, Ragged, RaggedWriter, log_progress
from translate.data.filters.corpus_filters import CorpusFilters, open_filters
from translate.data.filters.near_duplicates import NearDuplicates
from translate.data.held_out import Candidates, write_held_out
from translate.data.held_out_choice import PairKeys
from translate.data.readers import (
    CHUNK_PAIRS,
    Row,
    chunks,
    files_of,
    name_in_reports,
    read_documents,
    read_pairs,
    read_rows,
    without_carriage_return,
)
from translate.errors import UserError, errors_naming
from translate.files import sha256, write_json
from translate.opening import naming_errors
from translate.text import normalise
from translate.unicode_form import LineForms, choose_form


def write_clean_text(
    directory: Path,
    corpora: Sequence[tuple[str, CorpusConfig]],
    config: CleaningConfig,
    *,
    text_form: int,
    hold_out: Mapping[str, int] = MappingProxyType({}),
) -> CleaningReport:
    """Read, normalise and clean the named corpora into a folder that CleanText.load opens.

    corpora    with the keys of their configurations
    text_form  version of the text form to normalise to
    hold_out   names of the sets that are taken from corpora, for load_held_out, with the indices of these

    Raises UserError for corpora that cannot be read, or that have too few different pairs to hold some out.
    """
    # The only pass over all text: rows are cleaned, and what later steps need of each is collected in memory.
    keys = PairKeys() if hold_out else None
    writer = _Writer(directory, config, text_form=text_form, keys=keys)
    target_forms = LineForms()
    sizes = []
    for index, (name, corpus) in enumerate(corpora):
        before = writer.report.total
        with closing(open_filters(corpus, config, key=name, normalise=writer.normalise)) as filters:
            window, documents = ContextWindow(corpus.context), read_documents(corpus, key=name)
            for chunk in chunks(read_rows(corpus, key=name), CHUNK_PAIRS):
                named = zip(chunk, documents, strict=False) if corpus.context else ()
                contexts = [window.context_of(writer.normalise(row.source), document) for row, document in named]
                writer.add(chunk, contexts, corpus=index, key=name, config=corpus, filters=filters)
                target_forms.add(row.target for row in chunk)
                log_progress("cleaned", writer.report.total)
            writer.end_corpus(filters)
        sizes.append(writer.report.total - before)
    # Duplicates and held-out pairs are known when all rows have been seen: their rows stay on disk, but are not kept.
    left_out = None
    if keys is not None:
        ends = np.cumsum(sizes).tolist()
        rows = [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]
        candidates = {name: Candidates(*corpora[index], rows[index]) for name, index in hold_out.items()}
        writer.report.require_pairs()  # before the question of which to hold out: a given set would not help
        chosen, left_out = keys.choose(candidates, unusable=writer.rejected_pairs(), dropped=writer.report.reasons())
        write_held_out(directory, candidates, chosen, left_out, ends)
    dropped = writer.close(left_out)
    # reads the files again, but only where their lines mix Unicode forms
    target_unicode = choose_form(target_forms, _RawTargets(corpora))
    write_json(directory / TARGET_UNICODE, {"target_unicode": target_unicode.as_manifest()})
    return _report_dropped_rows(directory, dropped)


def _report_dropped_rows(directory: Path, dropped: dict[str, NDArray[np.int64]]) -> CleaningReport:
    """Complete the report with the rows that are on disk but not kept, whose examples are read from there."""
    text = CleanText.load(directory)
    for reason, rows in dropped.items():
        text.report.drop(reason, text.examples(rows), count=len(rows))
    text.report.save(directory)
    return text.report


@dataclass(frozen=True)
class _RawTargets:
    """The target lines as their files hold them, which can be iterated several times."""

    corpora: Sequence[tuple[str, CorpusConfig]]

    def __iter__(self) -> Iterator[str]:
        for name, corpus in self.corpora:
            yield from (target for _, target in read_pairs(corpus, key=name))


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
        self._rejected: list[NDArray[np.bool_]] = []
        self._near = NearDuplicates()
        self._origins: list[tuple[int, str]] = []
        self._file = ("", "")
        self._keys = keys
        self.report = CleaningReport()

    def normalise(self, line: str) -> str:
        """The line as the model will read it."""
        return normalise(without_carriage_return(line), self._text_form)

    def add(
        self,
        rows: Sequence[Row],
        contexts: Sequence[str],
        *,
        corpus: int,
        key: str,
        config: CorpusConfig,
        filters: CorpusFilters,
    ) -> None:
        """Clean consecutive rows of a corpus, given with its index, its key and its configuration.

        contexts  of each row, which is put in front of its source; [] without context
        """
        sources, targets = (
            [self.normalise(line) for line in side]
            for side in ([row.source for row in rows], [row.target for row in rows])
        )
        reasons = [
            NO_PAIR if row.problem else reason_to_drop(source, target, self._config)
            for row, source, target in zip(rows, sources, targets, strict=True)
        ]
        filters.judge(sources, targets, reasons)
        passed = np.array([reason is None for reason in reasons], bool)
        # before the rows are appended, as it counts those on disk so far
        self._note_files(rows, passed, key, config)
        self.report.total += len(rows)
        for row, reason, source, target in zip(rows, reasons, sources, targets, strict=True):
            if reason is NO_PAIR:
                self.report.drop(reason, [example(name_in_reports(key, config, row), row.line, row.problem, "")])
            elif reason is not None:
                name = name_in_reports(key, config, row)
                self.report.drop(reason, [example(name, row.line, source, target, reason=reason)])
        if self._keys is not None:
            # the rules may let blank sides pass, but no blank pair is held out
            pairs = zip(passed.tolist(), sources, targets, strict=True)
            self._keys.add(sources, targets, [ok and bool(a.strip() and b.strip()) for ok, a, b in pairs])
            self._passed.append(passed)
        lines = np.array([row.line for row in rows], np.uint32)[passed]
        kept_sources, kept_targets = list(compress(sources, passed)), list(compress(targets, passed))
        filters.ask_command(kept_sources, kept_targets)
        if least := filters.near_duplicates:
            self._near.add(kept_sources, kept_targets, first_row=len(self._source), least=least, tag=config.tag)
        # after the rules: a tag is no text of the corpus, and context is another row's
        fronts = [config.prefix + context for context in compress(contexts or [""] * len(rows), passed)]
        self._append(list(map(add, fronts, kept_sources)), kept_targets, lines, corpus)

    def end_corpus(self, filters: CorpusFilters) -> None:
        """Take the answers of a corpus's command, which come later than its pairs."""
        self._rejected.append(filters.finish(len(self._source) - sum(map(len, self._rejected))))

    def rejected_pairs(self) -> NDArray[np.int64]:
        """Indices, among all pairs read, of those that commands have rejected; after the last corpus."""
        return np.flatnonzero(np.concatenate(self._passed))[np.concatenate(self._rejected)]

    def _note_files(self, rows: Sequence[Row], passed: NDArray[np.bool_], key: str, config: CorpusConfig) -> None:
        """Note the name of each file that begins, and how many rows are on disk before it."""
        # an exclusive running sum: rows on disk before each of these
        rows_before = len(self._source) + np.cumsum(passed) - passed
        for row, first in zip(rows, rows_before.tolist(), strict=True):
            if self._file != (key, row.path):
                self._file = (key, row.path)
                self._origins.append((first, name_in_reports(key, config, row)))

    def _append(self, sources: list[str], targets: list[str], lines: NDArray[np.uint32], corpus: int) -> None:
        self._corpora.append(np.full(len(lines), corpus, np.uint16))
        self._lines.append(lines)
        if self._config.drop_duplicates:
            # with the tag: the same pair with another tag asks for another translation, and is no duplicate
            self._hashes.append(hash_pairs(sources, targets))
        self._source.append_texts(sources)
        self._target.append_texts(targets)

    def close(self, left_out: NDArray[np.bool_] | None) -> dict[str, NDArray[np.int64]]:
        """Finish the files; the rows on disk that are not kept, by reason.

        left_out  (P,), of all P pairs read: True for those that held-out sets take from the training text
        """
        self._source.close()
        self._target.close()
        corpus, line = np.concatenate(self._corpora), np.concatenate(self._lines)
        np.save(self._directory / "corpus.npy", corpus)
        np.save(self._directory / "line.npy", line)
        write_json(self._directory / ORIGINS, {"origins": self._origins})
        # each row is reported for the first of these reasons
        dropped = {COMMAND: np.flatnonzero(np.concatenate(self._rejected))}
        kept = np.ones(len(line), dtype=bool)
        kept[dropped[COMMAND]] = False
        if self._config.drop_duplicates:
            hashes = np.concatenate(self._hashes)
            self._hashes.clear()  # copied: 8 bytes a pair less while they are sorted
            rows = np.flatnonzero(kept)
            dropped[DUPLICATE] = rows[~first_occurrences(hashes[kept])]
            kept[dropped[DUPLICATE]] = False
        text = Ragged(self._directory, "source", np.uint8), Ragged(self._directory, "target", np.uint8)
        dropped[NEAR_DUPLICATE] = self._near.find(kept, *text)
        kept[dropped[NEAR_DUPLICATE]] = False
        if left_out is not None:
            # left_out is of all pairs read, the other arrays are of those on disk
            held_out = left_out[np.concatenate(self._passed)]
            dropped[HELD_OUT] = np.flatnonzero(kept & held_out)
            kept &= ~held_out
        np.save(self._directory / "kept.npy", np.flatnonzero(kept))
        self.report.save(self._directory)
        return dropped


@dataclass(frozen=True)
class Snapshot:
    """The files of some corpora, by the keys of their configurations: SHA-256, and inode, size and times."""

    corpora: dict[str, CorpusConfig]
    hashes: dict[str, list[str]]
    status: dict[str, list[tuple[int, ...]]]

    @classmethod
    def take(cls, corpora: KeyedCorpora) -> Snapshot:
        status = {key: _status(config, key) for key, config in corpora}  # first: a change while hashing is noticed
        return cls(dict(corpora), {key: content_hashes(config, key=key) for key, config in corpora}, status)

    def require_unchanged(self, keys: Iterable[str] | None = None) -> None:
        """Raise UserError where files are no longer what was hashed, so that what was read may be another text.

        A file that was changed and changed back has its old hash, but not its old times.
        """
        for key in self.corpora if keys is None else keys:
            config = self.corpora[key]
            # the cheap test first; hashes also find a change within one tick of the file system's clock
            if _status(config, key) != self.status[key] or content_hashes(config, key=key) != self.hashes[key]:
                raise UserError(f"{key}: the files have changed while they were read; start again when they are whole")


def content_hashes(config: CorpusConfig, *, key: str) -> list[str]:
    """SHA-256 of each of a corpus's files, compressed or not as it is stored; key: of its configuration in errors."""
    paths = files_of(config, key=key)
    with errors_naming(key):
        hashes = []
        for path in paths:
            with naming_errors(path):
                hashes.append(sha256(path))
        return hashes


def _status(config: CorpusConfig, key: str) -> list[tuple[int, ...]]:
    paths = files_of(config, key=key)
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return []  # hashing reports the error
    # a replaced file has another inode; ctime, unlike mtime, cannot be set back
    return [(each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in found]
