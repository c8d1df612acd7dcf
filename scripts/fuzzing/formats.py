"""Readers whose files are recognised by their content: compressed text, tables and records without named columns."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path

import openpyxl
from hypothesis import strategies as st

from fuzzing.inputs import JSON, TEXT, Bytes, damaged, joined
from translate.data.corpus import CorpusConfig
from translate.data.readers import read_rows
from translate.text import read_lines

QUOTES = [b'"', b'""', b'","', b'"\n"', b"'", b",", b";", b"\t", b"|||", b"sep=;\n", b"\x00", b"en,de\n", b"a\tb\n"]
NOTES = [
    b"#separator:tab\n",
    b"#separator:,\n",
    b"#html:true\n",
    b"#columns:en,de\n",
    b"#deck column:1\n",
    b"<br>",
    b"&lt;",
]
PLAIN = "".join(f'"Sentence {n}, one","Satz ""{n}"", zwei"\n' for n in range(30)).encode()
ARRAY = json.dumps([{"en": "a b", "de": "c d"}] * 3, indent=1).encode()
MARKS = [b"PK\x03\x04", b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh91AY&SY", b"%PDF", b"PAR1", b"<?xml", b"\xff\xfe"]
NAME = "table"


def contents() -> Mapping[str, Bytes]:
    """Strategies for one file, by the name of the reader."""
    return {
        "table": damaged(PLAIN, QUOTES, TEXT)
        | joined(QUOTES, TEXT, length=20)
        | joined(NOTES, QUOTES, TEXT, length=20),
        "utf16": damaged(PLAIN.decode().encode("utf-16"), TEXT),
        "array": damaged(ARRAY, JSON) | joined(JSON, QUOTES),
        "recognised": st.builds(bytes.__add__, st.sampled_from(MARKS), joined(TEXT, JSON, QUOTES)),
        "workbook": damaged(_workbook()),
        "archive": damaged(_zip({"a": PLAIN})) | damaged(_zip({"en": b"x", "de": b"y"})),
        "xz": damaged(lzma.compress(PLAIN)),
        "bz2": damaged(bz2.compress(PLAIN)),
    }


def read_recognised_file(folder: Path) -> None:
    """Read a file once as a corpus, whatever its format, and once as lines."""
    path = str(folder / NAME)
    for row in read_rows(CorpusConfig(path=path), key="data.train"):
        assert "\n" not in row.source + row.target
        (row.source + row.target).encode()  # can be written
    list(read_lines(path))


def _workbook() -> bytes:
    book = openpyxl.Workbook()
    for row in [("en", "de"), ("a b", "c d"), (1, None)]:
        book.worksheets[0].append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()
