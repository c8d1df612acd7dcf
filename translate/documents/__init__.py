"""Translation of documents that keeps their markup and layout.

Each format is a class that parses a file's bytes, offers its texts as segments, and writes the file with their
translations (document.Document), with lines in the tables FORMATS and ENDINGS. Libraries are imported when a document
is read.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from translate.documents.document import Document, DocumentFormat, DocumentOptions, read_bytes
from translate.documents.plain_text import is_wrapped
from translate.text import STANDARD, Source, is_complete, open_bytes

# format -> module and class
FORMATS: dict[DocumentFormat, tuple[str, str]] = {
    DocumentFormat.csv: ("csv_table", "TableDocument"),
    DocumentFormat.docx: ("word", "WordDocument"),
    DocumentFormat.html: ("web_page", "WebPage"),
    DocumentFormat.po: ("messages", "CatalogueDocument"),
    DocumentFormat.srt: ("subtitles", "SubtitleDocument"),
    DocumentFormat.tmx: ("tmx", "TmxDocument"),
    DocumentFormat.txt: ("plain_text", "TextDocument"),
    DocumentFormat.xliff: ("xliff", "XliffDocument"),
}
ENDINGS: dict[str, DocumentFormat] = {
    ".csv": DocumentFormat.csv,
    ".docx": DocumentFormat.docx,
    ".htm": DocumentFormat.html,
    ".html": DocumentFormat.html,
    ".po": DocumentFormat.po,
    ".pot": DocumentFormat.po,
    ".srt": DocumentFormat.srt,
    ".tmx": DocumentFormat.tmx,
    ".txt": DocumentFormat.txt,
    ".xhtml": DocumentFormat.html,
    ".xlf": DocumentFormat.xliff,
    ".xliff": DocumentFormat.xliff,
}
_COMPRESSED = {".gz", ".xz", ".bz2", ".zip"}
_SAMPLE = 1 << 16  # bytes of a text file that decide whether it is hard-wrapped


def find_format(path: str, requested: DocumentFormat) -> DocumentFormat:
    """The format of an input: as requested, or by its file name extension; DocumentFormat.none to translate lines.

    A .txt file is a document if it is hard-wrapped (plain_text.is_wrapped).
    """
    if requested is not DocumentFormat.auto:
        return requested
    name = Path(path)
    ending = Path(name.stem).suffix if name.suffix in _COMPRESSED else name.suffix
    file_format = ENDINGS.get(ending.lower(), DocumentFormat.none)
    if path == STANDARD or file_format is DocumentFormat.none or not is_complete(path):
        return DocumentFormat.none
    if file_format is DocumentFormat.txt:
        with open_bytes(path) as stream:
            sample = stream.read(_SAMPLE)
        # ignore: the last character may be incomplete
        return file_format if is_wrapped(sample.decode("utf-8", "ignore")) else DocumentFormat.none
    return file_format


def read_document(source: Source, file_format: DocumentFormat, options: DocumentOptions) -> Document:
    """Read a document. Raises UserError if it is damaged, too large or of another format."""
    module, name = FORMATS[file_format]
    read: Callable[[bytes, DocumentOptions], Document] = getattr(import_module(f"{__name__}.{module}"), name)
    return read(read_bytes(source, is_archive=file_format is DocumentFormat.docx), options)
