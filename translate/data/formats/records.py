"""Records of JSON, JSON lines, Parquet and SQuAD files. Errors name the file, problems of rows their line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from translate.data.corpus import CorpusConfig
from translate.data.formats.columns import find_columns
from translate.data.formats.rows import BLANK_LINE, Row, as_line, log_once, matching_files, mostly_pairs
from translate.errors import UserError, excerpt
from translate.opening import archive_members, is_plain
from translate.parsing import parse_json
from translate.text import open_bytes, read_lines

BATCH_ROWS = 10_000
_MAX_JSON_BYTES = 1 << 28  # six times SQuAD 2; as one value in memory it is ten times as large
_SAMPLE_RECORDS = 100
_MAX_LEVELS = 4  # of nested objects in which texts are found


def read_jsonl(config: CorpusConfig) -> Iterator[Row]:
    """One JSON value per line: an object with two keys, or an array with two texts."""
    for path in matching_files(config):
        yield from mostly_pairs(record_pairs(_json_lines(path), config, path))


def read_json(config: CorpusConfig) -> Iterator[Row]:
    """One JSON array of records, alone or as the only array in an object; records are numbered from 1."""
    for path in matching_files(config):
        yield from mostly_pairs(record_pairs(enumerate(_json_array(path), start=1), config, path))


def read_parquet(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of Parquet files, a batch of rows at a time."""
    for path in matching_files(config):
        if not config.source:
            sample = list(islice(_parquet_records(path, None), _SAMPLE_RECORDS))
            config = _with_keys(config, sample, path)
        columns = list(dict.fromkeys((config.source, config.targets[0])))
        records = enumerate(_parquet_records(path, columns), start=1)
        yield from mostly_pairs(record_pairs(records, config, path))


def record_pairs(records: Iterable[tuple[int, Any]], config: CorpusConfig, path: str) -> Iterator[Row]:
    """The pairs in numbered records; a ValueError, or a record without two texts, becomes a row with a problem."""
    numbered = iter(records)
    head = list(islice(numbered, _SAMPLE_RECORDS))
    if not config.source:
        config = _with_keys(config, [record for _, record in head], path)
    numbers = bool(config.extra_column)
    for number, record in chain(head, numbered):
        try:
            source, target = (text_of(record, key, numbers=numbers) for key in (config.source, config.targets[0]))
            yield Row(path, number, source, target)
        except ValueError as error:
            yield Row(path, number, "", "", str(error))


def _with_keys(config: CorpusConfig, sample: Sequence[Any], path: str) -> CorpusConfig:
    """The configuration with the keys of source and target, found by names and contents of a sample of records."""
    keys = _keys_of(sample)
    if not keys:
        if problem := next((record for record in sample if isinstance(record, ValueError)), None):
            raise UserError(f"{path}: none of its first {len(sample)} lines is a record with text: {problem}")
        what = f"none of its first {len(sample)} records has text" if sample else "there are no records"
        raise UserError(f'{path}: {what}; records have a text for each side, as in {{"en": "…", "de": "…"}}')
    records = [dict(_texts_in(record)) for record in sample]
    table = [[record.get(key, "") for key in keys] for record in records if record]
    source, target = find_columns(keys, table, config, path)
    first, second = config.describe_sides()
    log_once(f"{path}: {first} is {keys[source]!r}, {second} is {keys[target]!r}")
    return replace(config, source=keys[source], target=keys[target])


def jsonl_keys(path: str) -> list[str]:
    """Keys of texts in the first lines of JSON lines."""
    return _keys_of([record for _, record in islice(_json_lines(path), _SAMPLE_RECORDS)])


def json_keys(path: str) -> list[str]:
    """Keys of texts in the first records of a JSON array."""
    return _keys_of(_json_array(path)[:_SAMPLE_RECORDS])


def parquet_keys(path: str) -> list[str]:
    """Keys of texts in the first rows of a Parquet file."""
    return _keys_of(list(islice(_parquet_records(path, None), _SAMPLE_RECORDS)))


def _keys_of(sample: Sequence[Any]) -> list[str]:
    """Dotted keys of all texts in some records."""
    return list(dict.fromkeys(key for record in sample for key, _ in _texts_in(record)))


def _texts_in(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The texts in a record with their dotted keys."""
    for key, item in _as_object(value).items():
        if isinstance(item, str):
            yield prefix + key, item
        elif isinstance(item, dict) and prefix.count(".") < _MAX_LEVELS:
            yield from _texts_in(item, f"{prefix}{key}.")


def _as_object(value: Any) -> dict[str, Any]:
    """An object unchanged, an array as an object with keys from 1; an empty object for anything else."""
    if isinstance(value, list):
        return {str(number): item for number, item in enumerate(value, start=1)}
    return value if isinstance(value, dict) else {}


def _json_lines(path: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            yield number, parse_json(line) if line.strip() else ValueError(BLANK_LINE)
        except json.JSONDecodeError as error:
            yield number, ValueError(f"column {error.colno}: not JSON: {error.msg}")
        except ValueError as error:  # numbers of thousands of digits, duplicate keys, deep nesting
            yield number, ValueError(f"not JSON: {excerpt(error)}")


def _json_array(path: str) -> list[Any]:
    try:
        value = _json_value(path)
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{path}: not JSON: {excerpt(error)}") from None
    if isinstance(value, dict):
        arrays = {key: item for key, item in value.items() if isinstance(item, list)}
        if len(arrays) != 1:
            raise UserError(
                f"{path}: an object with {len(arrays)} arrays ({excerpt(', '.join(arrays))}), not one array of records"
            )
        value = next(iter(arrays.values()))
    if not isinstance(value, list):
        raise UserError(f"{path}: {excerpt(repr(value))}, not an array of records")
    return value


def _parquet_records(path: str, columns: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file as dictionaries of these columns (None: all), read in batches."""
    import pyarrow
    from pyarrow import parquet

    if archive_members(path) or not is_plain(path):
        raise UserError(f"{path}: a Parquet file in a compressed one; decompress it first, as it is compressed itself")
    # ValueError: names and metadata that are not UTF-8
    with _damage(path, "Parquet", OSError, ValueError, pyarrow.ArrowException), parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        for column in columns or ():
            if column not in names and column.partition(".")[0] not in names:
                raise UserError(f"{path}: no column {excerpt(column)}, only {excerpt(', '.join(names))}")
        first = 1
        for batch in file.iter_batches(BATCH_ROWS, columns=None if columns is None else list(columns)):
            yield from _rows_of(batch, path, first)
            first += len(batch)


def _rows_of(batch: Any, path: str, first: int) -> list[dict[str, Any]]:
    """Rows of an Arrow batch; first: number of the first row. Raises UserError with the row of invalid UTF-8."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError as error:
        if len(batch) == 1:
            raise UserError(f"{path}, row {first:,}: text that is not UTF-8: {excerpt(error.object[:50])}") from None
        # Arrow does not report which row is invalid: bisect
        middle = len(batch) // 2
        return _rows_of(batch[:middle], path, first) + _rows_of(batch[middle:], path, first + middle)


def squad_records(path: str) -> Iterator[tuple[str, str, list[str]]]:
    """Question, passage and answers of each question (Rajpurkar et al. 2016)."""
    with _damage(path, "SQuAD's JSON", ValueError, LookupError, TypeError, AttributeError):
        for article in _json_value(path)["data"]:
            for passage in article["paragraphs"]:
                for question in passage["qas"]:
                    answers = [as_line(answer["text"]) for answer in question["answers"]]
                    yield as_line(question["question"]), as_line(passage["context"]), answers


def _json_value(path: str) -> Any:
    """The JSON value of a whole file. Raises ValueError for invalid JSON, UserError for a file that is too large."""
    with open_bytes(path) as stream:
        raw = stream.read(_MAX_JSON_BYTES + 1)
    if len(raw) > _MAX_JSON_BYTES:
        raise UserError(f"{path}: more than {_MAX_JSON_BYTES:,} bytes in one JSON value; write it as JSON lines")
    return parse_json(raw)


@contextmanager
def _damage(path: str, file_format: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of reading a damaged file, or one of another structure, into UserErrors that name it."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        raise UserError(
            f"{path}: cannot be read as {file_format}: {type(error).__name__}: "
            f"{excerpt(str(error).partition(chr(10))[0])}"
        ) from None


def text_of(record: Any, key: str, *, numbers: bool = False) -> str:
    """The text under a dotted key of a record, on one line. Raises ValueError if there is none.

    numbers  convert numbers to text
    """
    if isinstance(record, ValueError):
        raise record
    # a column whose name contains the dots takes precedence over a path
    value = record
    for part in [key] if isinstance(record, dict) and key in record else key.split("."):
        items = _as_object(value)
        if part not in items:
            found = ", ".join(_as_object(record)) or type(record).__name__
            raise ValueError(f"no key {key!r}, only {excerpt(found)}")
        value = items[part]
    if numbers and isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{key!r} should be text, but is {value!r:.40}")
    return as_line(value)
