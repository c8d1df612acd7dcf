"""Clean text of all training corpora, written to a folder in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import DUPLICATE, HELD_OUT, CleaningConfig, CleaningReport, example, reason_to_drop
from translate.data.corpora import CorpusConfig
from translate.data.dataset import ORIGINS, TARGET_UNICODE, CleanText, RaggedWriter, log_progress
from translate.data.held_out import PairKeys, write_held_out
from translate.data.readers import (
    CHUNK_PAIRS,
    Row,
    chunks,
    name_in_reports,
    read_pairs,
    read_rows,
    without_carriage_return,
)
from translate.data.text_profile import first_occurrences, hash_pairs
from translate.files import write_json
from translate.target_unicode import LineForms, choose_form
from translate.text import normalise


def write_clean_text(
    directory: Path,
    corpora: Sequence[tuple[str, CorpusConfig]],
    config: CleaningConfig,
    *,
    text_form: int,
    hold_out: Sequence[str] = (),
) -> CleaningReport:
    """Read, normalise and clean the named corpora into a folder that CleanText.load opens.

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
        self._origins: list[tuple[int, str]] = []
        self._file = ("", "")
        self._keys = keys
        self.report = CleaningReport()

    def add(self, rows: Sequence[Row], *, corpus: int, key: str, config: CorpusConfig) -> None:
        """Clean consecutive rows of a corpus, given with its index, its key and its configuration."""
        all_sources, all_targets = (
            [normalise(without_carriage_return(line), self._text_form) for line in side]
            for side in ([row.source for row in rows], [row.target for row in rows])
        )
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
                self.report.drop(reason, [example(self._origins[-1][1], row.line, source, target)])
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
        kept = np.ones(len(line), dtype=bool)
        dropped = {}
        if self._config.drop_duplicates:
            hashes = np.concatenate(self._hashes)
            self._hashes.clear()  # copied: 8 bytes a pair less while they are sorted
            kept = first_occurrences(hashes)
            dropped[DUPLICATE] = np.flatnonzero(~kept)
        if left_out is not None:
            held_out = left_out[np.concatenate(self._passed)]
            dropped[HELD_OUT] = np.flatnonzero(kept & held_out)
            kept &= ~held_out
        np.save(self._directory / "kept.npy", np.flatnonzero(kept))
        self.report.save(self._directory)
        return dropped
