"""Readers of corpora: text files, tables, JSON lines, Parquet, SQuAD and the Hugging Face hub.

A reader is a lazy function from a CorpusConfig to rows, in order; READERS has one for each format. A "\\n" inside a
value of JSON, Parquet or the hub becomes a space, so that a sentence is a line whatever the format. A blank line of a
table or of JSON lines is a pair with two blank sides, as in text files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from translate.data.corpora import ParallelText
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.recognition import recognise
from translate.data.records import BATCH_ROWS, parquet_records, parse_record, squad_records, text_of
from translate.data.rows import Row, matching_files
from translate.errors import UserError, errors_naming, excerpt
from translate.text import read_lines

SEPARATOR = "<sep>"  # between a question and its passage
CHUNK_PAIRS = 50_000  # pairs that are processed at once
Item = TypeVar("Item")


def read_pairs(config: CorpusConfig, *, key: str) -> Iterator[tuple[str, str]]:
    """Source and target of each row of read_rows."""
    for row in read_rows(config, key=key):
        yield row.source, row.target


def read_rows(config: CorpusConfig, *, key: str) -> Iterator[Row]:
    """The corpus's pairs in order, untouched; of several targets, the first.

    key  of its configuration in errors, such as data.train

    Raises UserError when something is missing, unreadable or empty, when the two sides have different numbers of lines,
    or naming the line that lacks a column.
    """
    config.check(key)
    with errors_naming(key):
        one_target = replace(config, target=config.targets[0])
        is_empty = True
        # skip and take count pairs of the files, so that they mean the same whatever cleaning drops
        for row in islice(READERS[config.format](one_target), config.skip, config.last):
            yield row
            is_empty = False
        if is_empty:
            raise UserError(f"{config.path or config.name or config.source}: the corpus is empty")


def name_in_reports(key: str, config: CorpusConfig, row: Row) -> str:
    """A row's corpus, with its file where the corpus has several."""
    return f"{key} {Path(row.path).name}" if config.path not in ("", row.path) else key


def without_carriage_return(line: str) -> str:
    """The line without the carriage return of a CRLF line end, which is not text."""
    return line.removesuffix("\r")


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items each, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def read_text(config: CorpusConfig) -> Iterator[Row]:
    """Line n of one file and line n of the other."""
    counts = [0, 0]
    source = target = ""
    for source, target in zip_longest(read_lines(config.source), read_lines(config.target)):
        counts[0] += source is not None
        counts[1] += target is not None
        # where one file has ended, the other is read on to count its lines for the error
        if counts[0] == counts[1]:
            yield Row(config.source, counts[0], source, target)
    if counts[0] != counts[1]:
        raise UserError(
            f"the two sides must have the same number of lines, but {config.source} has {counts[0]:,} "
            f"and {config.target} has {counts[1]:,}"
        )
    for path, line in ((config.source, source), (config.target, target)):
        if counts == [1, 1] and "\r" in without_carriage_return(line):
            raise UserError(f"{path}: its lines end in CR alone, not in \\n; convert it first: tr '\\r' '\\n'")


def read_tsv(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of a table in which only TAB and "\\n" count: no quoting, no escapes."""
    for path in matching_files(config):
        columns: tuple[int, int] | None = None  # read from the first line of each file
        for number, line in enumerate(read_lines(path), start=1):
            if columns is None:
                columns, is_header = _column_indices(path, config, line)
                if is_header:
                    continue
            # kept as a pair: dropping it is a rule of cleaning, which counts it
            if not line.strip():
                yield Row(path, number, "", "")
                continue
            cells = line.split("\t")
            if len(cells) <= max(columns):
                raise UserError(f"{path}, line {number}: column {max(columns) + 1} of {len(cells)} is missing")
            yield Row(path, number, cells[columns[0]], cells[columns[1]])


def read_jsonl(config: CorpusConfig) -> Iterator[Row]:
    """One JSON object per line."""
    for path in matching_files(config):
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                yield Row(path, number, "", "")
                continue
            record = parse_record(line, path, number)
            yield Row(path, number, *_sides(record, config, f"{path}, line {number}"))


def read_parquet(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of Parquet files, a batch of rows at a time."""
    columns = list(dict.fromkeys((config.source, config.target)))
    for path in matching_files(config):
        yield from _records_to_rows(parquet_records(path, columns), config, path)


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
    yield from _records_to_rows((record for batch in batches for record in batch.to_pylist()), config, config.name)


def read_recognised(config: CorpusConfig) -> Iterator[Row]:
    """Files whose forms are recognised by their content."""
    for path in matching_files(config):
        yield from READERS[recognise(path)](replace(config, path=path))


READERS: dict[CorpusFormat, Callable[[CorpusConfig], Iterator[Row]]] = {
    CorpusFormat.auto: read_recognised,
    CorpusFormat.text: read_text,
    CorpusFormat.tsv: read_tsv,
    CorpusFormat.jsonl: read_jsonl,
    CorpusFormat.parquet: read_parquet,
    CorpusFormat.squad: read_squad,
    CorpusFormat.hub: read_hub,
}


def _column_indices(path: str, config: CorpusConfig, first_line: str) -> tuple[tuple[int, int], bool]:
    """Indices of the two columns, from 0, and whether the first line is a header."""
    names = without_carriage_return(first_line).split("\t")
    if config.source.isdecimal() and config.target.isdecimal():
        indices = int(config.source) - 1, int(config.target) - 1
        if min(indices) < 0:
            raise UserError("columns are counted from 1, as in `cut -f`; found 0")
        # some tables have a header that only numbers the columns
        is_header = len(names) > max(indices) and [names[i] for i in indices] == [config.source, config.target]
        return indices, is_header
    for column in (config.source, config.target):
        if column not in names:
            raise UserError(
                f"{path}, line 1: no column {column!r} in the header, which has {excerpt(', '.join(names))}"
            )
    return (names.index(config.source), names.index(config.target)), True


def _records_to_rows(records: Iterable[Any], config: CorpusConfig, name: str) -> Iterator[Row]:
    for number, record in enumerate(records, start=1):
        yield Row(name, number, *_sides(record, config, f"{name}, row {number:,}"))


def _sides(record: Any, config: CorpusConfig, origin: str) -> tuple[str, str]:
    numbers = config.has_scores_as_sides
    source, target = (text_of(record, key, origin, numbers=numbers) for key in (config.source, config.targets[0]))
    return source, target


def read_scores(config: CorpusConfig, *, key: str) -> Iterator[float | None]:
    """The score of each row of read_rows, None where a row has no number; key: see read_rows."""
    # another pass with the column of scores as both sides: each format has one way to its columns
    for row in read_rows(config.of_scores, key=f"{key}.score"):
        try:
            yield float(row.source)
        except ValueError:
            yield None


def hub_dataset(config: CorpusConfig) -> Any:
    import datasets

    try:
        return datasets.load_dataset(
            config.name, config.subset or None, split=config.split, revision=config.revision or None
        )
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub data set {config.name!r}, split {config.split!r}: {reason}") from None


def read_references(config: CorpusConfig, *, key: str) -> tuple[list[str], list[list[str]]]:
    """All N source lines, and N lines of each target. Raises UserError where targets have other sources or lengths."""
    source: list[str] = []
    references = []
    for number, target in enumerate(config.targets):
        pairs = list(read_pairs(replace(config, target=target), key=key))
        sources = [line for line, _ in pairs]
        if number and len(sources) != len(source):
            raise UserError(
                f"{key}.target: all references must have the same number of lines, but "
                f"{config.targets[0]} has {len(source):,} and {target} has {len(sources):,}"
            )
        if number and sources != source:
            raise UserError(f"{key}.target: {config.targets[0]} and {target} belong to different source sentences")
        source = sources
        references.append([line for _, line in pairs])
    return source, references


def read_parallel_text(config: CorpusConfig, *, key: str) -> ParallelText:
    """A whole validation or test set; UserError also when its labels are not as many as its pairs."""
    source, references = read_references(config, key=key)
    labels = None
    if config.labels:
        labels = list(islice(read_labels(config.labels), config.skip, config.last))
        if len(labels) != len(source):
            raise UserError(
                f"{key}.labels: {config.labels} has {len(labels):,} lines for {len(source):,} sentence pairs"
            )
    if not any(pair[0].strip() and pair[1].strip() for pair in zip(source, references[0], strict=True)):
        raise UserError(f"{key}: none of its {len(source):,} pairs has text on both sides")
    # sacreBLEU's command, which reports name, reads whole plain files only
    is_compressed = any(target.endswith(".gz") for target in config.targets)
    is_plain = config.format is CorpusFormat.text and not is_compressed and not config.is_part
    return ParallelText(
        name=key.removeprefix("data."),
        source=[config.prefix + line for line in source],
        target=references[0],
        labels=labels,
        reference_paths=config.targets if is_plain else [],
        further_references=references[1:],
        tag=config.tag,
    )


def read_labels(path: str) -> Iterator[list[str]]:
    """The TAB-separated labels on each line of a file."""
    for line in read_lines(path):
        yield [label for label in without_carriage_return(line).split("\t") if label]
