"""Records of untrusted JSON lines, Parquet and SQuAD files: every error names file and record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from translate.data.rows import as_line
from translate.errors import UserError, excerpt
from translate.parsing import parse_json
from translate.text import open_bytes

BATCH_ROWS = 10_000
_MAX_SQUAD_BYTES = 1 << 28  # six times SQuAD 2: its JSON is one value, which takes ten times as much memory


def parse_record(line: str, path: str, number: int) -> Any:
    """The value in a line of JSON lines."""
    try:
        return parse_json(line)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {number}, column {error.colno}: not JSON: {error.msg}") from None
    except ValueError as error:  # a number of 5,000 digits, a key twice, 1,000 brackets
        raise UserError(f"{path}, line {number}: not JSON: {excerpt(error)}") from None


def parquet_records(path: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file as dictionaries of these columns, a batch at a time."""
    import pyarrow
    from pyarrow import parquet

    # ValueError: names and metadata that are not UTF-8
    with _damage(path, "Parquet", OSError, ValueError, pyarrow.ArrowException), parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        for column in columns:
            if column not in names and column.partition(".")[0] not in names:
                raise UserError(f"{path}: no column {excerpt(column)}, only {excerpt(', '.join(names))}")
        first = 1
        for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
            yield from _rows_of(batch, path, first)
            first += len(batch)


def _rows_of(batch: Any, path: str, first: int) -> list[dict[str, Any]]:
    """The rows of a batch of Arrow's; first: number of the first one."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError as error:
        if len(batch) == 1:
            raise UserError(f"{path}, row {first:,}: text that is not UTF-8: {excerpt(error.object[:50])}") from None
        # one half of the rows after the other: Arrow does not say which one it is
        middle = len(batch) // 2
        return _rows_of(batch[:middle], path, first) + _rows_of(batch[middle:], path, first + middle)


def squad_records(path: str) -> Iterator[tuple[str, str, list[str]]]:
    """Question, passage and answers of each question (Rajpurkar et al. 2016)."""
    with _damage(path, "SQuAD's JSON", ValueError, LookupError, TypeError, AttributeError):
        with open_bytes(path) as stream:
            raw = stream.read(_MAX_SQUAD_BYTES + 1)
        if len(raw) > _MAX_SQUAD_BYTES:
            raise UserError(f"{path}: more than {_MAX_SQUAD_BYTES:,} bytes in one JSON value; split the file")
        for article in parse_json(raw)["data"]:
            for passage in article["paragraphs"]:
                for question in passage["qas"]:
                    answers = [as_line(answer["text"]) for answer in question["answers"]]
                    yield as_line(question["question"]), as_line(passage["context"]), answers


@contextmanager
def _damage(path: str, form: str, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of reading a damaged file, or one of another structure, into UserErrors that name it."""
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        raise UserError(
            f"{path}: cannot be read as {form}: {type(error).__name__}: {excerpt(str(error).partition(chr(10))[0])}"
        ) from None


def text_of(record: Any, key: str, origin: str, *, numbers: bool = False) -> str:
    """The text that a dotted key names in a record, as one line; origin: file and line, for errors.

    numbers  a number is text too, and so is null, which is "": for scores
    """
    value = record
    # a column whose own name has a dot wins over the path
    for part in [key] if isinstance(record, dict) and key in record else key.split("."):
        if not isinstance(value, dict) or part not in value:
            found = ", ".join(map(str, record)) if isinstance(record, dict) else type(record).__name__
            raise UserError(f"{origin}: no {key!r} here, only {excerpt(found)}")
        value = value[part]
    if numbers and (value is None or isinstance(value, int | float)):
        return "" if value is None else str(value)
    if not isinstance(value, str):
        raise UserError(f"{origin}: {key!r} should be text, but is {value!r:.40}")
    return as_line(value)
