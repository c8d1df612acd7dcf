"""Sentence pairs as files of all formats whose columns are found by the readers."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pyarrow
from pyarrow import parquet

from translate.data.corpus import CorpusFormat

Pairs = Sequence[tuple[str, str]]


def csv_bytes(rows: Sequence[Sequence[str]], **dialect: object) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, **dialect).writerows(rows)  # type: ignore[arg-type]
    return stream.getvalue().encode()


def comma(pairs: Pairs) -> bytes:
    return csv_bytes([("English words/sentences", "German words/sentences"), *pairs])


def semicolon(pairs: Pairs) -> bytes:
    """As a spreadsheet in a country whose decimal sign is the comma."""
    rows = [(str(number), *pair) for number, pair in enumerate(pairs)]
    return "\ufeff".encode() + csv_bytes([("id", "en", "de"), *rows], delimiter=";")


def quoted_tsv(pairs: Pairs) -> bytes:
    return csv_bytes([("en", "de"), *pairs], delimiter="\t", quoting=csv.QUOTE_ALL)


def spreadsheet_utf16(pairs: Pairs) -> bytes:
    """As Excel's Unicode text: TAB, and quotation marks around cells with commas or quotation marks."""

    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text

    return "".join(f"{cell(source)}\t{cell(target)}\r\n" for source, target in pairs).encode("utf-16")


def attributed(pairs: Pairs) -> bytes:
    """As ManyThings.org writes Tatoeba's pairs for Anki, and a blank last line."""
    end = "\tCC-BY 2.0 (France) Attribution: tatoeba.org #{0} (CK) & #{0} (Pfirsichbaeumchen)\n"
    lines = [f"{source}\t{target}{end.format(number)}" for number, (source, target) in enumerate(pairs)]
    return ("".join(lines) + "\n").encode()


def bars(pairs: Pairs) -> bytes:
    return "".join(f"{source} ||| {target}\n" for source, target in pairs).encode()


def workbook(pairs: Pairs) -> bytes:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in [("source", "target"), *pairs]:
        sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def json_lines(pairs: Pairs) -> bytes:
    rows = [json.dumps({"id": "x", "translation": {"en": source, "de": target}}) for source, target in pairs]
    return "".join(f"{row}\n" for row in rows).encode()


def json_arrays_in_lines(pairs: Pairs) -> bytes:
    return "".join(f"{json.dumps(pair, ensure_ascii=False)}\n" for pair in pairs).encode()


def json_array(pairs: Pairs) -> bytes:
    return json.dumps([{"src": source, "tgt": target} for source, target in pairs], indent=1).encode()


def json_object(pairs: Pairs) -> bytes:
    return json.dumps({"rows": [{"english": source, "german": target} for source, target in pairs]}).encode()


def columns(pairs: Pairs) -> bytes:
    stream = io.BytesIO()
    source, target = zip(*pairs, strict=True)
    parquet.write_table(pyarrow.table({"en": source, "de": target, "score": [0.5] * len(pairs)}), stream)
    return stream.getvalue()


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/corpus", content)
        archive.writestr("__MACOSX/._corpus", b"x")
    return stream.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "zip": zipped,
}
# name: writer, and the format that is recognised
FORMATS: dict[str, tuple[Callable[[Pairs], bytes], CorpusFormat]] = {
    "comma": (comma, CorpusFormat.csv),
    "semicolon": (semicolon, CorpusFormat.csv),
    "quoted TSV": (quoted_tsv, CorpusFormat.csv),
    "spreadsheet in UTF-16": (spreadsheet_utf16, CorpusFormat.csv),
    "attributed": (attributed, CorpusFormat.csv),
    "bars": (bars, CorpusFormat.csv),
    "workbook": (workbook, CorpusFormat.xlsx),
    "JSON lines": (json_lines, CorpusFormat.jsonl),
    "JSON lines of arrays": (json_arrays_in_lines, CorpusFormat.jsonl),
    "JSON array": (json_array, CorpusFormat.json),
    "JSON object": (json_object, CorpusFormat.json),
    "Parquet": (columns, CorpusFormat.parquet),
}


def write_file(folder: Path, name: str, pairs: Pairs) -> str:
    """Write a file whose name says nothing; its path."""
    path = folder / "corpus"
    path.write_bytes(FORMATS[name][0](pairs))
    return str(path)
