"""Hostile documents: each format is read, translated by reversing the words, written, and read again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from fuzzing.inputs import TEXT, Bytes, damaged, joined
from fuzzing.markup import XML, translation_formats
from translate.documents import read_document
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.documents.translation import translate_segments

HTML = [
    b"<p>", b"</p>", b"<b>", b"</i>", b"<code>", b"<li>", b"<br/>", b"<!--", b"-->", b"<script>", b"</script", b"<",
    b"<a title='", b"'", b'"', b">", b"=", b" translate=no", b"&amp;", b"&copy;", b"&#0;", b"&#xd800;",
    b"<html lang=x>",
    b"<meta charset='utf-7'>", b"https://x.y/ ", b"%s", b"{a}", b"<?x", b"<!x",
]  # fmt: skip
SRT = [b"1\n", b"00:00:01,000 --> 00:00:02,000\n", b"-->", b"- a\n", b"\n", b"\r\n", b"<i>", b"{\\an8}", b"99:99"]
CSV = [b"source,target\n", b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"a", b'"a\nb",c\n']
_HTML = b"<html lang='en'><p>a <b>b <i>c</i></b> d<ul><li>e<li>f</ul><pre>g</pre><img alt='h i'>"
_SRT = b"1\n00:00:01,000 --> 00:00:02,000\n- a <i>b</i>\n- c\n\n2\n00:00:03,000 --> 00:00:04,000\nd\n"
_CSV = b'id,source,target\n1,"a ""b"", c",\n2,d,e\n'
_WORD = (
    b"<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:p><w:r><w:rPr><w:b/></w:rPr>"
    b"<w:t>a b</w:t><w:tab/></w:r><w:r><w:t>c</w:t></w:r></w:p></w:document>"
)


def document_formats() -> dict[DocumentFormat, Bytes]:
    """Content of the documents of each format."""
    corpora = translation_formats()
    return {
        DocumentFormat.html: damaged(_HTML, HTML, TEXT) | joined(HTML, TEXT, length=20),
        DocumentFormat.srt: damaged(_SRT, SRT, TEXT) | joined(SRT, TEXT, length=20),
        DocumentFormat.csv: damaged(_CSV, CSV, TEXT) | joined(CSV, TEXT, length=20),
        DocumentFormat.txt: joined([b"\n", b"\n\n", b" ", b"word " * 12], TEXT, length=20),
        DocumentFormat.docx: damaged(_docx(_WORD)) | damaged(_WORD, XML, TEXT).map(_docx),
        **{
            file_format: corpora[file_format.value][1]
            for file_format in (DocumentFormat.tmx, DocumentFormat.xliff, DocumentFormat.po)
        },
    }


def _docx(document: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", document)
    return output.getvalue()


def read_written(file_format: DocumentFormat, folder: Path) -> None:
    """Translate a document, and read what has been written: as many texts, or fewer where targets are full now."""
    options = DocumentOptions(name="file", source_language="en", target_language="de", overwrite=True)
    document = read_document(str(folder / "file"), file_format, options)
    content = document.write(translate_segments(document.segments, _reversed))
    read_document(io.BytesIO(content), file_format, options)


def _reversed(texts: list[str]) -> list[str]:
    return [" ".join(reversed(text.split())) for text in texts]
