"""The interface of a document format, and what all formats share: options, reading bytes, encodings."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from translate.data.formats.language_names import same_language
from translate.documents.inline import Segment
from translate.errors import UserError, excerpt
from translate.opening import naming_errors, open_decompressed
from translate.text import Source, name_of

MAX_BYTES = 1 << 28  # of a document, decompressed: its tree takes about ten times as much memory
# UTF-32 before UTF-16, whose mark is a prefix of it
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class DocumentFormat(StrEnum):
    """Document formats; auto: by file name extension, none: translate lines."""

    auto = "auto"
    none = "none"
    csv = "csv"
    docx = "docx"
    html = "html"
    po = "po"
    srt = "srt"
    tmx = "tmx"
    txt = "txt"
    xliff = "xliff"


@dataclass(kw_only=True)
class DocumentConfig:
    """Settings of documents; DecodeConfig describes them."""

    document: DocumentFormat = DocumentFormat.auto
    overwrite: bool = False
    source_column: str = ""
    target_column: str = ""
    markup: bool = False
    keep: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DocumentOptions:
    """Name of a document for messages, and options for its translations.

    source_language, target_language   codes such as de or pt-BR; "": unknown
    overwrite      replace existing translations instead of keeping them
    source_column, target_column   of a table: a name in its header, or a number from 1; "": found by name
    max_bytes      of a document once it is decompressed
    """

    name: str
    source_language: str = ""
    target_language: str = ""
    overwrite: bool = False
    source_column: str = ""
    target_column: str = ""
    max_bytes: int = MAX_BYTES

    def require_source_language(self, found: str) -> None:
        """Raise UserError if a document names another source language than the model's."""
        if found and self.source_language and not same_language(found, self.source_language):
            raise UserError(
                f"{self.name} is in {excerpt(found)}, and the model translates from {self.source_language}: choose "
                "another model, or correct the language that the document names"
            )

    def require_target_language(self, found: str = "") -> str:
        """The target language to write into a document.

        found  language in the document; "": none

        Raises UserError if it is unknown, or if document and options contradict each other.
        """
        if found and self.target_language and not same_language(found, self.target_language):
            raise UserError(
                f"{self.name} wants translations into {excerpt(found)}, and those of the model are in "
                f"{self.target_language}: choose another model, or set target_language={excerpt(found)}"
            )
        if not (found or self.target_language):
            raise UserError(f"{self.name}: the language of the translations is unknown: set target_language=…")
        return found or self.target_language


class Document(Protocol):
    """A document that has been read.

    segments         its texts in order; inline markup lies between the pieces of a segment
    target_language  code of the target language that the document names; "": none
    """

    segments: list[Segment]
    target_language: str

    def write(self, translations: Sequence[list[str]]) -> bytes:
        """The document with the translations of all segments, each divided into pieces (division.divide)."""
        ...


def read_bytes(source: Source, *, is_archive: bool = False) -> bytes:
    """All bytes of a stream or file, decompressed unless the document itself is an archive.

    Raises UserError for more than MAX_BYTES.
    """
    if not isinstance(source, str | Path):
        content = source.read(MAX_BYTES + 1)
    elif is_archive:
        with naming_errors(source), open(source, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    else:
        with open_decompressed(source) as stream:
            content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{name_of(source)}: more than {MAX_BYTES:,} bytes; divide the document, or translate lines: document=none"
        )
    return content


def split_lines(text: str) -> list[tuple[str, str]]:
    """The lines of a text with their ends, LF, CR LF or CR; the last one has none."""
    parts = re.split("(\r\n|\n|\r)", text)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


@dataclass(frozen=True)
class Encoding:
    """An encoding of text, and the byte order mark in front of it."""

    name: str = "utf-8"
    mark: bytes = b""

    def encode(self, text: str, errors: str = "strict") -> bytes:
        return self.mark + text.encode(self.name, errors)


def decode(content: bytes, name: str, declared: str = "") -> tuple[str, Encoding]:
    """Decode a file by its byte order mark, else by its declared encoding, else as UTF-8; returns text and encoding.

    Raises UserError for bytes that are invalid in that encoding.
    """
    mark = next((mark for mark in BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = Encoding(BYTE_ORDER_MARKS.get(mark, _python_name(declared) or "utf-8"), mark)
    try:
        text = content[len(mark) :].decode(encoding.name)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name}, line {line}: 0x{content[len(mark) + error.start]:02x} is not {encoding.name.upper()}; "
            "convert the file to UTF-8 first (for example with iconv)"
        ) from None
    if "\0" in text:
        raise UserError(f"{name}: contains zero bytes, so it is not text; is it UTF-16 without a byte order mark?")
    return text, encoding


# UTF-16 and UTF-32; what no file is in: idna raises errors of its own, and in UTF-7, which browsers do not read, a text
# without tags may hold some (Encoding Standard, WHATWG)
_IMPOSSIBLE = ("utf-16", "utf-32", "utf-7", "idna", "punycode", "undefined", "unicode", "raw-unicode")


def _python_name(declared: str) -> str:
    """Python's name of a declared encoding; "" if it is unknown, not a text encoding, or cannot be the actual one."""
    try:
        found = codecs.lookup(declared)
    except (LookupError, ValueError):
        return ""
    # "hex" and "zlib" decode to bytes; a declaration readable as ASCII is not in UTF-16 or UTF-32
    is_possible = getattr(found, "_is_text_encoding", True) and not found.name.startswith(_IMPOSSIBLE)
    return found.name if is_possible else ""
