"""Readers of corpora: the table READERS with a reader for each format, and functions that read whole sets.

A reader is a lazy function from a CorpusConfig to rows, in order. Readers of files are in formats/; those of text
files, SQuAD and the Hugging Face hub are here. A "\\n" inside a value becomes a space, so that a sentence is a line
whatever the format. A blank line of a table or of JSON lines is a pair with two blank sides, as in text files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import compress, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

from translate.data.context import SEPARATOR, ContextWindow
from translate.data.corpora import ParallelText, name_of_set
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.archives import read_moses
from translate.data.formats.catalogues import read_po
from translate.data.formats.markup import read_tmx, read_xliff
from translate.data.formats.named_sets import mtdata_files, read_mtdata, with_sacrebleu_files
from translate.data.formats.recognition import recognise
from translate.data.formats.records import BATCH_ROWS, read_json, read_jsonl, read_parquet, record_pairs, squad_records
from translate.data.formats.rows import Row, aligned_rows, matching_files, mostly_pairs
from translate.data.formats.tables import read_table, read_tsv
from translate.data.formats.workbooks import read_xlsx
from translate.errors import UserError, errors_naming
from translate.opening import is_plain
from translate.text import read_lines

CHUNK_PAIRS = 50_000  # pairs that are processed at once
_LISTED_PROBLEMS = 10
Item = TypeVar("Item")
logger = logging.getLogger(__name__)


def read_pairs(config: CorpusConfig, *, key: str) -> Iterator[tuple[str, str]]:
    """Source and target of each row of read_rows."""
    for row in read_rows(config, key=key):
        yield row.source, row.target


def read_rows(config: CorpusConfig, *, key: str) -> Iterator[Row]:
    """Rows of a corpus in order, with unchanged text; with several targets, the first.

    key  name of the configuration in errors, such as data.train

    Raises UserError if a file is missing, unreadable or empty, if most rows of a file are not pairs, and if two files
    have different numbers of lines.
    """
    config.check(key)
    with errors_naming(key):
        config = with_sacrebleu_files(config)
        one_target = replace(config, target=config.targets[0])
        is_empty = True
        # skip and take count rows of the files, so that their effect does not depend on cleaning
        for row in islice(READERS[config.format](one_target), config.skip, config.last):
            yield row
            is_empty = False
        if is_empty and config.skip:
            raise UserError(f"{config.title}: no pairs after the first {config.skip:,}, which {key}.skip leaves out")
        if is_empty:
            raise UserError(f"{config.title}: the corpus is empty")


def read_pairs_in_context(config: CorpusConfig, *, key: str) -> Iterator[tuple[str, str]]:
    """Pairs of read_pairs, each source line behind its context if the corpus has one."""
    window, documents = ContextWindow(config.context), read_documents(config, key=key)
    for (source, target), document in zip(read_pairs(config, key=key), documents, strict=False):
        yield window.join(source, document), target


def read_documents(config: CorpusConfig, *, key: str) -> Iterator[str]:
    """Name of the document of each row of read_rows, "" without end where the corpus names none; key: see read_rows."""
    if not (config.context and config.document):
        return repeat("")
    # a second pass with this column as both sides, as for scores
    return (row.source for row in read_rows(config.of_documents, key=f"{key}.document"))


def name_in_reports(key: str, config: CorpusConfig, row: Row) -> str:
    """Key of a row's corpus, with the file name if the corpus has several files."""
    return f"{key} {Path(row.path).name}" if config.path not in ("", row.path) else key


def without_carriage_return(line: str) -> str:
    """Remove the carriage return of a CRLF line end."""
    return line.removesuffix("\r")


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def read_text(config: CorpusConfig) -> Iterator[Row]:
    """Pairs of line n of the source file and line n of the target file."""
    names = config.source, config.target
    row = None
    for row in aligned_rows(*map(read_lines, names), path=config.source, names=names):
        yield row
    if row is not None and row.line == 1:
        for path, line in zip(names, (row.source, row.target), strict=True):
            if "\r" in without_carriage_return(line):
                raise UserError(f"{path}: its lines end in CR alone, not in \\n; convert it first: tr '\\r' '\\n'")


def read_squad(config: CorpusConfig) -> Iterator[Row]:
    """Questions with their passages, "question <sep> passage", and their answers (Rajpurkar et al. 2016).

    A question without an answer (SQuAD 2) has an empty one.
    """
    for path in matching_files(config):
        for number, (question, passage, answers) in enumerate(squad_records(path), start=1):
            targets = list(dict.fromkeys(answers)) or [""]
            target = "\t".join(targets if config.every_answer else targets[:1])
            yield Row(path, number, f"{question} {SEPARATOR} {passage}", target)


def read_hub(config: CorpusConfig) -> Iterator[Row]:
    """A split of a data set on the Hugging Face hub, downloaded once and then read from its local copy."""
    batches = hub_dataset(config).with_format("arrow").iter(batch_size=BATCH_ROWS)
    records = (record for batch in batches for record in batch.to_pylist())
    yield from mostly_pairs(record_pairs(enumerate(records, start=1), config, config.name))


def read_recognised(config: CorpusConfig) -> Iterator[Row]:
    """Rows of files whose formats are recognised by their content."""
    for path in matching_files(config):
        yield from READERS[recognise(path)](replace(config, path=path))


READERS: dict[CorpusFormat, Callable[[CorpusConfig], Iterator[Row]]] = {
    CorpusFormat.auto: read_recognised,
    CorpusFormat.text: read_text,
    CorpusFormat.csv: read_table,
    CorpusFormat.tsv: read_tsv,
    CorpusFormat.xlsx: read_xlsx,
    CorpusFormat.json: read_json,
    CorpusFormat.jsonl: read_jsonl,
    CorpusFormat.parquet: read_parquet,
    CorpusFormat.tmx: read_tmx,
    CorpusFormat.xliff: read_xliff,
    CorpusFormat.po: read_po,
    CorpusFormat.moses: read_moses,
    CorpusFormat.squad: read_squad,
    CorpusFormat.hub: read_hub,
    CorpusFormat.mtdata: read_mtdata,
}


def files_of(config: CorpusConfig, *, key: str) -> list[str]:
    """Files of a corpus; for a named data set, those of its local copy. key: see read_rows."""
    config.check(key)
    with errors_naming(key):
        config = with_sacrebleu_files(config)
        if config.format is CorpusFormat.text:
            return [config.source, *config.targets, *filter(None, [config.score, config.document])]
        if config.format is CorpusFormat.mtdata:
            return mtdata_files(config)
        if config.format is CorpusFormat.hub:
            return [file["filename"] for file in hub_dataset(config).cache_files]
        return matching_files(config)


def read_scores(config: CorpusConfig, *, key: str) -> Iterator[float | None]:
    """The score of each row of read_rows, None for a row without a number; key: see read_rows.

    Raises UserError also at the end of a corpus without any score.
    """
    has_scores = False
    # a second pass with the score column as both sides reuses the readers of all formats
    for row in read_rows(config.of_scores, key=f"{key}.score"):
        score = _number(row.source)
        has_scores |= score is not None
        yield score
    if not has_scores:
        raise UserError(f"{key}.score: {config.score!r} has no numbers")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def hub_dataset(config: CorpusConfig) -> Any:
    import datasets

    try:
        return datasets.load_dataset(
            config.name, config.subset or None, split=config.split, revision=config.revision or None
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub data set {config.name!r}, split {config.split!r}: {reason}") from None


def read_references(config: CorpusConfig, *, key: str) -> tuple[list[str], list[list[str]], list[bool]]:
    """N source lines, N lines for each target, and a mask (N) that is True for rows that are pairs in all of them.

    Raises UserError if the targets belong to different sources or have different lengths.
    """
    first: list[Row] = []
    references = []
    is_pair: list[bool] = []
    for target in config.targets:
        rows = list(read_rows(replace(config, target=target), key=key))
        if first and len(rows) != len(first):
            raise UserError(
                f"{key}.target: all references must have the same number of lines, but "
                f"{config.targets[0]} has {len(first):,} and {target} has {len(rows):,}"
            )
        first = first or rows
        is_pair = [not row.problem and before for row, before in zip(rows, is_pair or [True] * len(rows), strict=True)]
        # rows with a problem may lack their source
        if any(ok and row.source != other.source for row, other, ok in zip(rows, first, is_pair, strict=True)):
            raise UserError(f"{key}.target: {config.targets[0]} and {target} belong to different source sentences")
        references.append([row.target for row in rows])
        _warn_of_problems(rows, key)
    return [row.source for row in first], references, is_pair


def _warn_of_problems(rows: list[Row], key: str) -> None:
    """Log the lines that are left out of a validation or test set."""
    if problems := [row for row in rows if row.problem]:
        listing = ", ".join(f"{row.line} ({row.problem})" for row in problems[:_LISTED_PROBLEMS])
        more = f" and {len(problems) - _LISTED_PROBLEMS:,} more" if len(problems) > _LISTED_PROBLEMS else ""
        path = problems[0].path
        logger.warning("%s: left out rows that are not sentence pairs: line %s%s of %s", key, listing, more, path)


def read_parallel_text(config: CorpusConfig, *, key: str) -> ParallelText:
    """A whole validation or test set, without rows that are not sentence pairs.

    Raises UserError also if the number of labels differs from the number of rows.
    """
    config.check(key)
    with errors_naming(key):
        config = with_sacrebleu_files(config)
    source, references, is_pair = read_references(config, key=key)
    labels = None
    if config.labels:
        labels = list(islice(read_labels(config.labels), config.skip, config.last))
        if len(labels) != len(source):
            raise UserError(
                f"{key}.labels: {config.labels} has {len(labels):,} lines for {len(source):,} sentence pairs"
            )
        labels = list(compress(labels, is_pair))
    window, documents = ContextWindow(config.context), read_documents(config, key=key)
    source = [window.join(line, document) for line, document in zip(source, documents, strict=False)]
    source, *references = (list(compress(side, is_pair)) for side in (source, *references))
    if not any(pair[0].strip() and pair[1].strip() for pair in zip(source, references[0], strict=True)):
        raise UserError(f"{key}: none of its {len(source):,} pairs has text on both sides")
    # the sacrebleu command that reports print can read only whole, uncompressed files
    is_whole_text = config.format is CorpusFormat.text and not config.is_part
    return ParallelText(
        name=name_of_set(key, config),
        source=[config.prefix + line for line in source],
        target=references[0],
        labels=labels,
        reference_paths=config.targets if is_whole_text and all(map(is_plain, config.targets)) else [],
        further_references=references[1:],
        tag=config.tag,
        key=key,
        languages=(config.source_language, config.target_language),
    )


def read_labels(path: str) -> Iterator[list[str]]:
    """The TAB-separated labels on each line of a file."""
    for line in read_lines(path):
        yield [label for label in without_carriage_return(line).split("\t") if label]
