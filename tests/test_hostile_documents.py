"""Documents that are damaged, of another format or made to harm end in one clear error, or in their translation."""

from __future__ import annotations

import io
import sys
import time
import zipfile
from itertools import pairwise

import docx
import pytest

from document_formats import translated, word_file
from translate.documents.document import DocumentFormat
from translate.errors import UserError

BOMB = '<!DOCTYPE x [<!ENTITY a "ha">{}]>\n'.format(
    "".join(f'<!ENTITY {b} "&{a};&{a};">' for a, b in pairwise("abcdefgh"))
)
UNIT = '<trans-unit id="1"><source>{}</source></trans-unit>'
XLIFF = f'<xliff version="1.2"><file source-language="en"><body>{UNIT}</body></file></xliff>'


def zip_of(**files: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return output.getvalue()


@pytest.mark.parametrize(
    ("content", "file_format", "message"),
    [
        (BOMB + XLIFF.format("&h;"), DocumentFormat.xliff, "line 1: XML that declares entities is refused"),
        (
            f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///x">]>{XLIFF.format("&f;")}',
            DocumentFormat.xliff,
            "declares entities",
        ),
        (XLIFF.format("&unknown;"), DocumentFormat.xliff, "not well-formed XML.*undefined entity"),
        (XLIFF[:60], DocumentFormat.xliff, "the file ends before its XML does"),
        (b"\xff\xfe\x00", DocumentFormat.xliff, "the file ends before its XML does"),
        ("<a>" * 10_000 + "</a>" * 10_000, DocumentFormat.tmx, "Excessive depth|its root element is a, not tmx"),
        ("<html/>", DocumentFormat.xliff, "its root element is html"),
        ("<html/>", DocumentFormat.tmx, "its root element is html, not tmx"),
        ('<xliff version="3.0"/>', DocumentFormat.xliff, "not xliff of version 1.2 or 2.x"),
        ("1\nno time\ntext\n", DocumentFormat.srt, "no line of times"),
        (
            "1\n00:00:01,000 --> 00:00:03,000\nok\n\n2\n00:0x --> 1\nno\n",
            DocumentFormat.srt,
            "line 6: .* is not a line of times",
        ),
        (b"a\xffb\n", DocumentFormat.txt, "line 1: 0xff is not UTF-8"),
        (b"\xff\xfea\x00\x00\xd8", DocumentFormat.csv, "is not UTF-16-LE"),
        ("source\n" + "\0", DocumentFormat.csv, "zero bytes"),
        ('text\n"never closed', DocumentFormat.csv, "line 2: not a CSV table: unexpected end of data"),
        ("", DocumentFormat.csv, "the table has no rows"),
        ("nothing", DocumentFormat.po, "no messages; is it"),
        ('msgid "a"\nmsgstr "b\n"c\nmsgfoo', DocumentFormat.po, "cannot be read as PO"),
        ("text", DocumentFormat.docx, "not a DOCX, or a damaged one: File is not a zip file"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, DocumentFormat.docx, "encrypted, or a DOC of before 2007"),
        (zip_of(other=b"<a/>"), DocumentFormat.docx, "it has no word/document.xml"),
        (
            zip_of(word__document=f"{BOMB}<a/>".encode()),
            DocumentFormat.docx,
            "document.xml, line 1: XML that declares entities",
        ),
        (zip_of(word__document=b"<a>"), DocumentFormat.docx, "word/document.xml, line 1: the file ends"),
        (word_file(None, "text")[:-40], DocumentFormat.docx, "not a DOCX, or a damaged one"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_one_error(content, file_format, message):
    with pytest.raises(UserError, match=message) as caught:
        translated(content, file_format)
    assert str(caught.value).startswith(f"file.{file_format}")
    assert "\n" not in str(caught.value)


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lxml.etree", None)
    with pytest.raises(UserError, match=r"TMX, XLIFF, DOCX\) needs an extra package .*: pip install '.*\[documents\]'"):
        translated(XLIFF.format("text"), DocumentFormat.xliff)


def test_a_zip_bomb_is_not_decompressed():
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as file:
        for _ in range(300):
            file.write(b" " * (1 << 20))
    start = time.process_time()
    with pytest.raises(UserError, match="bytes or 20,000 files when decompressed"):
        translated(output.getvalue(), DocumentFormat.docx)
    assert time.process_time() - start < 1


def test_macros_and_external_relations_are_copied_as_they_are():
    document = docx.Document()
    document.part.relate_to("http://127.0.0.1:9/template.dotm", "http://x/attachedTemplate", is_external=True)
    output = io.BytesIO(word_file(document, "text"))
    with zipfile.ZipFile(output, "a") as archive:
        archive.writestr("word/vbaProject.bin", b"\0macro")
    found = zipfile.ZipFile(io.BytesIO(translated(output.getvalue(), DocumentFormat.docx)))
    assert found.read("word/vbaProject.bin") == b"\0macro"
    assert b'Target="http://127.0.0.1:9/template.dotm"' in found.read("word/_rels/document.xml.rels")
    assert b">TEXT<" in found.read("word/document.xml")


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 10_000 + "x" + "</div>" * 10_000,
        "<b>" * 10_000 + "x" + "</i>" * 10_000,
        "<p>x" * 10_000,
        "<!--" * 100_000,
        "<a b='" * 100_000,
        "<a b=\"'" * 100_000,
        "<script>" * 100_000,
        "<" * 100_000,
        "&" * 100_000,
        "<a " + "b " * 100_000 + ">",
        "{\\" * 100_000,
        "%(" * 100_000,
        "a@" * 100_000,
        "https://" * 30_000,
        "</p></b>" * 50_000,
    ],
    ids=lambda page: page[:12],
)
def test_hostile_html_takes_time_in_proportion(page):
    start = time.process_time()
    assert translated(page, DocumentFormat.html, str).decode() == page
    assert time.process_time() - start < 2


def test_deep_and_broken_documents_keep_what_they_are():
    runs = "".join("<w:ins>" for _ in range(1000)), "".join("</w:ins>" for _ in range(1000))
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{namespace}"><w:p>{runs[0]}<w:r><w:t>text</w:t></w:r>{runs[1]}</w:p></w:document>'
    found = zipfile.ZipFile(io.BytesIO(translated(zip_of(word__document=body.encode()), DocumentFormat.docx)))
    assert found.read("word/document.xml").count(b"<w:ins>") == 1000
    assert b">TEXT<" in found.read("word/document.xml")
    control = translated(XLIFF.format("text"), DocumentFormat.xliff, lambda text: "a\x00\x0bb\ud800")
    assert b">a  b <" in control
