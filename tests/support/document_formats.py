"""Documents translated by a function in place of a model."""

from __future__ import annotations

import io
from collections.abc import Callable

import docx

from translate.documents import read_document
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.documents.translation import translate_segments


def translated(
    content: bytes | str, file_format: DocumentFormat, translate: Callable[[str], str] = str.upper, **options: object
) -> bytes:
    """The document with the translation of each text."""
    content = content.encode() if isinstance(content, str) else content
    languages = {"source_language": "en", "target_language": "de"}
    settings = DocumentOptions(name=f"file.{file_format}", **{**languages, **options})
    document = read_document(io.BytesIO(content), file_format, settings)
    return document.write(translate_segments(document.segments, lambda texts: [translate(text) for text in texts]))


def word_file(document: object | None = None, *texts: str) -> bytes:
    """A DOCX of python-docx, or one with these paragraphs."""
    document = document or docx.Document()
    for text in texts:
        document.add_paragraph(text)
    output = io.BytesIO()
    document.save(output)
    return output.getvalue()
