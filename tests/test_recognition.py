"""Files that are easily taken for something else: inside of others, with long lines, and formats that are not read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.recognition import recognise
from translate.data.readers import read_rows
from translate.errors import UserError

TSV = b"A dog.\tEin Hund.\nA cat.\tEine Katze.\n"
PAIRS = [("A dog.", "Ein Hund."), ("A cat.", "Eine Katze.")]


def zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def a_parquet_file() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table({"en": ["a"], "de": ["b"]}), stream)
    return stream.getvalue()


def pairs(path: Path, content: bytes, **options: CorpusFormat) -> list[tuple[str, str]]:
    path.write_bytes(content)
    config = CorpusConfig(path=str(path), **options)
    return [(row.source, row.target) for row in read_rows(config, key="data.train")]


@pytest.mark.parametrize("inner", [gzip.compress, bz2.compress, lzma.compress, lambda raw: zipped({"a": raw})])
@pytest.mark.parametrize("outer", [gzip.compress, bz2.compress, lzma.compress, lambda raw: zipped({"a": raw})])
def test_a_compressed_file_in_a_compressed_one_is_said(tmp_path, inner, outer):
    with pytest.raises(UserError, match=r"x holds another file compressed with (gzip|bz2|xz|zip): decompress the out"):
        pairs(tmp_path / "x", outer(inner(TSV)))


@pytest.mark.parametrize("outer", [gzip.compress, lambda raw: zipped({"a.parquet": raw})])
def test_a_compressed_parquet_file_is_said(tmp_path, outer):
    with pytest.raises(UserError, match="a Parquet file in a compressed one; decompress it first"):
        pairs(tmp_path / "x", outer(a_parquet_file()))


def test_notes_beside_the_text_in_an_archive_are_passed_over(tmp_path):
    """As in the archives of ManyThings.org."""
    for notes in (["_about.txt"], ["README", "LICENSE"], ["x/readme.md", "x/License.txt"]):
        files = {"deu.txt": TSV} | dict.fromkeys(notes, b"About\tthis.\n")
        assert pairs(tmp_path / "x", zipped(files)) == PAIRS
    with pytest.raises(UserError, match=r"a zip archive of 2 files \(a, b\)"):
        pairs(tmp_path / "x", zipped({"a": TSV, "b": TSV}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped({}), "an empty zip archive"),
        (zipped({"mimetype": b"x", "content.xml": b"<x/>"}), r"OpenDocument file .* save it as \.xlsx"),
        (lzma.compress(TSV, format=lzma.FORMAT_ALONE), "lzma; decompress it first: unlzma"),
        (b"\x1f\x9d\x90" + bytes(range(128, 200)), "decompress it first: uncompress"),
        (b"\xde\x12\x04\x95" + bytes(100), r"compiled message catalogue .* msgunfmt"),
    ],
)
def test_files_of_other_forms_are_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        pairs(tmp_path / "x", content)


def test_json_lines_are_recognised_by_a_first_line_of_any_length(tmp_path):
    records = [{"en": f"{a} " * 10_000, "de": f"{b} " * 10_000} for a, b in PAIRS]
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "x").write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding=encoding)
        assert recognise(str(tmp_path / "x")) is CorpusFormat.jsonl
    (tmp_path / "x").write_text(json.dumps(records), encoding="utf-8")
    assert recognise(str(tmp_path / "x")) is CorpusFormat.json


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TSV, "none of its first 2 lines is a record with text: column 1: not JSON"),
        (
            b'{"en": ["a"], "de": ["b"]}\n',
            'none of its first 1 records has text; records have .* {"en": "…", "de": "…"}',
        ),
    ],
)
def test_lines_that_are_no_records_are_said(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        pairs(tmp_path / "x", content, format=CorpusFormat.jsonl)
